"""The seven numbers of the score, searched on validation data as in the paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .numbers import Calibration, default_temperature, fit_temperature, typical_of
from .score import START, LabelledCosines, Numbers, terms_of_score

# Number of random candidates. The paper makes as many trials, of a sampler that learns from them.
N_CANDIDATES = 1000
# Largest values of the candidates, those of the paper. The smallest are 0.
HIGHEST = Numbers(
    alpha=10.0, beta=10.0, gamma=10.0, lambda1=1.0, lambda2=1.0, lambda3=1.0, smoothness=1.5
)
# Scores of a block. In single precision they take 0.5 MB, so that those of all terms fit into the
# cache of a processor.
BLOCK = 2**17


def search_numbers(
    given: Mapping[str, Any],
    images: LabelledCosines,
    logit_scale: float,
    temperature: float | None,
) -> Calibration:
    """The numbers with the best accuracy on validation images, and their most probable temperature.

    Of candidates with the same accuracy, the one with the most probable labels is taken.

    Parameters
    ----------
    given : mapping
        Numbers that are not searched.
    images : LabelledCosines
        The validation images.
    logit_scale : float
        That of the model, for the default of the temperature.
    temperature : float or None
        A temperature that stays, or None.

    Returns
    -------
    Calibration
        The numbers and the temperature.
    """
    # Single precision takes half of the time, and hardly changes which score is the largest.
    images = LabelledCosines(
        {name: z.astype(np.float32) for name, z in images.cosines.items()},
        images.codes,
        images.weight / images.weight.mean(),
        images.divergence.astype(np.float32),
    )
    candidates = draw_candidates(given)
    right = weight_of_right(candidates, images)
    best = [numbers for numbers, w in zip(candidates, right) if np.isclose(w, right.max())]
    fits = [fit_temperature(numbers, images, logit_scale) for numbers in best]
    number = int(np.argmin([loss for _, loss in fits]))
    if temperature is None:
        default = default_temperature(best[number], typical_of(images), logit_scale)
        temperature = fits[number][0] * default
    return Calibration(best[number], temperature)


def draw_candidates(given: Mapping[str, Any]) -> list[Numbers]:
    """The paper's start, and random numbers in the paper's ranges. Those that are `given` stay."""
    if len(given) == len(Numbers._fields):
        return [START._replace(**given)]
    drawn = np.random.default_rng(0).uniform(
        0, np.array(HIGHEST), size=(N_CANDIDATES, len(HIGHEST))
    )
    candidates = [START, *(Numbers(*row) for row in drawn.tolist())]
    return [numbers._replace(**given) for numbers in candidates]


def weight_of_right(candidates: list[Numbers], images: LabelledCosines) -> np.ndarray:
    """The summed weight of the images that each of the candidates classifies right."""
    result, height = np.zeros(len(candidates)), max(BLOCK // len(images.divergence), 1)
    for start in range(0, len(images.codes), height):
        block = slice(start, start + height)
        cosines = {name: z[block] for name, z in images.cosines.items()}
        for number, numbers in enumerate(candidates):
            predicted = _score(cosines, numbers, images.divergence).argmax(axis=1)
            result[number] += images.weight[block] @ (predicted == images.codes[block])
    return result


def _score(
    cosines: Mapping[str, np.ndarray], numbers: Numbers, divergence: np.ndarray
) -> np.ndarray:
    """The score, up to a factor. It takes a ninth of the time of its logarithm, which is not needed
    in the ranges of the search.
    """
    terms = list(terms_of_score(cosines, numbers, divergence))
    top = float(max(np.max(offset) for _, _, offset in terms))
    return sum(np.exp(offset - top - sharp * (1 - cosines[name])) for name, sharp, offset in terms)
