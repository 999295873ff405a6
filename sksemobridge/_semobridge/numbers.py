"""The seven numbers of the score, those of them that are "auto", and the temperature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

from .._utils.array_api import log_softmax
from .held_out import HeldOut
from .score import Numbers, log_score

# Numbers that are "auto".
DEFAULTS = Numbers(
    alpha=6.0, beta=1.0, gamma=1.5, lambda1=1.0, lambda2=0.25, lambda3=0.05, smoothness=0.01
)
# Standard deviation of the prior of the log of the temperature, around its default.
TEMPERATURE_SPREAD = 0.5
# Largest distance of the log of the temperature from its default.
TEMPERATURE_REACH = 4.0
# Step of a numerical derivative of the log score.
STEP = 1e-3


class Calibration(NamedTuple):
    """What the shots, or validation data, say of a score."""

    numbers: Numbers
    temperature: float


def estimate_numbers(
    given: Mapping[str, float],
    held_out: HeldOut,
    divergence: np.ndarray,
    logit_scale: float,
    temperature: float | None,
    is_trained: bool,
) -> Calibration:
    """The `Calibration` by cosines of shots. Numbers that are not `given` are estimated, and so is
    a `temperature` of None.

    A trained bridge has seen the shots, so they say nothing of its temperature.
    """
    numbers = DEFAULTS._replace(**given)
    if temperature is None:
        temperature = fit_temperature(numbers, held_out, divergence, logit_scale, is_trained)
    return Calibration(numbers, temperature)


def fit_temperature(
    numbers: Numbers,
    held_out: HeldOut,
    divergence: np.ndarray,
    logit_scale: float,
    is_trained: bool,
) -> float:
    """The factor of the log score that gives the largest likelihood of the held-out shots.

    The default gives a cosine the same scale as CLIP does. It is the result for a trained bridge,
    and the centre of a prior else. Predictions from the names, which stand in for the means of
    single shots, say less than images, so the result is then the geometric mean of both.
    """
    scores = log_score(held_out.cosines, numbers, divergence)
    near = {name: z + STEP for name, z in held_out.cosines.items()}
    own = np.arange(len(scores)), held_out.codes
    rise = (log_score(near, numbers, divergence) - scores)[own]
    slope = np.average(rise, weights=held_out.weight) / STEP
    default = logit_scale / slope if slope > STEP else 1.0
    if is_trained:
        return float(default)

    def loss(log_ratio):
        log_proba = log_softmax(default * np.exp(log_ratio) * scores)[own]
        return 0.5 * (log_ratio / TEMPERATURE_SPREAD) ** 2 - held_out.weight @ log_proba

    reach = -TEMPERATURE_REACH, TEMPERATURE_REACH
    log_ratio = minimize_scalar(loss, bounds=reach, method="bounded").x
    return float(default * np.exp(log_ratio / 2 if held_out.is_single else log_ratio))
