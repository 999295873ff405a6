"""The numbers of the score, searched on validation images."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from .numbers import Calibration, default_temperature, fit_temperature, typical_of
from .score import LabelledCosines, Numbers, terms_of_score

# Standard deviation of the logarithms of the candidates around the numbers "auto". With a half of
# it, validation images gain as much with one shot, and less with more.
SPREAD = 1.0
# The same for a trained bridge, whose numbers are constants that suit a task less well.
TRAINED_SPREAD = 1.5
# Scores of a block. In single precision they take 0.5 MB, so that those of all terms fit into the
# cache of a processor.
BLOCK = 2**17


def search_numbers(
    auto: Numbers,
    given: Mapping[str, Any],
    images: LabelledCosines,
    logit_scale: float,
    temperature: float | None,
    spread: float,
    n_candidates: int,
    random_state: Any,
) -> Calibration:
    """The numbers with the best accuracy on validation images, and their most probable temperature.

    The best of many candidates is partly luck. So `auto` stays unless the best one is right more
    often by more than a standard error, and makes the labels as probable. Of candidates with the
    same accuracy, the one with the most probable labels is taken.

    Parameters
    ----------
    auto : Numbers
        The numbers without validation images.
    given : mapping
        Numbers that are not searched. `auto` contains them.
    images : LabelledCosines
        The validation images.
    logit_scale : float
        That of the model, for the default of the temperature.
    temperature : float or None
        A temperature that stays, or None.
    spread : float
        Standard deviation of the logarithms of the candidates around `auto`.
    n_candidates : int
        Number of candidates beside `auto`.
    random_state : int, RandomState or None
        Draws the candidates.

    Returns
    -------
    Calibration
        The numbers and the temperature.
    """
    # Single precision takes half of the time, and hardly changes which score is the largest.
    images = LabelledCosines(
        {name: z.astype(np.float32) for name, z in images.cosines.items()},
        images.codes,
        # An effective number of images, which does not jump if a weight goes to zero.
        images.weight * images.weight.sum() / np.square(images.weight).sum(),
        images.divergence.astype(np.float32),
    )

    def fit(numbers: Numbers) -> tuple[float, float]:
        return fit_temperature(numbers, images, logit_scale)

    numbers, (factor, loss) = auto, fit(auto)
    candidates = draw_candidates(auto, given, spread, n_candidates, random_state)
    lead, error = compare(auto, candidates, images)
    if (lead > error).any():
        best = lead[lead > error].max()
        found = [c for c, a, e in zip(candidates, lead, error) if a > e and np.isclose(a, best)]
        fits = [fit(candidate) for candidate in found]
        number = int(np.argmin([loss for _, loss in fits]))
        if fits[number][1] <= loss:
            numbers, (factor, _) = found[number], fits[number]
    if temperature is None:
        temperature = factor * default_temperature(numbers, typical_of(images), logit_scale)
    return Calibration(numbers, temperature)


def draw_candidates(
    auto: Numbers, given: Mapping[str, Any], spread: float, n_candidates: int, random_state: Any
) -> list[Numbers]:
    """`auto` times random factors, number by number. Those that are `given` stay."""
    searched = [name for name in Numbers._fields if name not in given]
    if not searched:
        return []
    values = np.array([getattr(auto, name) for name in searched])
    noise = check_random_state(random_state).normal(size=(n_candidates, len(searched)))
    factors = np.exp(spread * noise)
    return [auto._replace(**dict(zip(searched, row))) for row in (values * factors).tolist()]


def compare(
    auto: Numbers, candidates: list[Numbers], images: LabelledCosines
) -> tuple[np.ndarray, np.ndarray]:
    """By how much more weight of the images each candidate classifies right than `auto`, and the
    standard error of this difference if both are equally good (McNemar's test).
    """
    lead, squares = np.zeros((2, len(candidates)))
    height = max(BLOCK // len(images.divergence), 1)
    for start in range(0, len(images.codes), height):
        block = slice(start, start + height)
        cosines = {name: z[block] for name, z in images.cosines.items()}
        part = images._replace(
            cosines=cosines, codes=images.codes[block], weight=images.weight[block]
        )
        before = _is_right(auto, part)
        for number, candidate in enumerate(candidates):
            change = part.weight * (_is_right(candidate, part) - before)
            lead[number] += change.sum()
            squares[number] += change @ change
    return lead, np.sqrt(squares)


def _is_right(numbers: Numbers, images: LabelledCosines) -> np.ndarray:
    """One for each image that the score classifies right, else zero."""
    exponents = [
        sharpness * images.cosines[name] + (offset - sharpness)
        for name, sharpness, offset in terms_of_score(images.cosines, numbers, images.divergence)
    ]
    # The logarithm of the score would take much longer.
    top = reduce(np.maximum, (part.max(axis=1, keepdims=True) for part in exponents))
    score = sum(np.exp(part - top) for part in exponents)
    return (score.argmax(axis=1) == images.codes).astype(int)
