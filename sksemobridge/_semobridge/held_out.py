"""Cosines of the shots to classes that are made of other shots."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .._model.class_means import LEAST_NEIGHBOUR, effective_numbers
from .._model.shots import Images, Shots
from .._utils.array_api import l2_normalize
from .._utils.rows import evenly_spaced, weight_in_class
from .bridged_classes import BridgedClasses
from .score import LabelledCosines

# Largest number of folds. With eight, at most a quarter of the images of a class is left out where
# there are more than eight of them, and one where there are fewer.
MOST_FOLDS = 8
# Largest number of cosines of one kind. More do not change what is estimated from them.
MOST_COSINES = 2**19


class HeldOut(NamedTuple):
    """Cosines of shots to all classes, each in a fold of which the shot is left out.

    In a fold all classes of several images leave out some, so that all are known equally well. If a
    shot were left out of its own class only, the other classes would be nearer.
    """

    shots: LabelledCosines  # weights have equal sums in all classes, and sum to all images
    n_images: float  # number of images of a class in a fold, as `images_of_class` has it
    reach: float  # mean cosine of a shot and its own bridge, which limits `"z3"`
    # All classes have one image. Then predictions from the names replace the classes without it.
    is_single: bool


def images_of_class(shots: Shots) -> float:
    """The effective number of images of a class, as the harmonic mean over the classes: the noise
    of a class mean is the inverse of its number.
    """
    images = shots.images()
    counts, _ = effective_numbers(images.codes, images.weight)
    return float(1 / np.mean(1 / counts))


def labelled_cosines(classes: BridgedClasses, shots: Shots, rows: np.ndarray) -> LabelledCosines:
    """Cosines of the shots at `rows (k,)` to `classes`, or of evenly spaced ones of them."""
    rows, weight = _sample(shots, rows)
    cosines = classes.cosines(shots.X[rows])
    return LabelledCosines(cosines, shots.codes[rows], weight, classes.divergence)


def _sample(shots: Shots, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """So many evenly spaced `rows` that there are at most `MOST_COSINES`, and their weights, which
    have equal sums in all classes, and sum to the number of images.
    """
    rows = rows[evenly_spaced(len(rows), max(MOST_COSINES // (shots.codes[-1] + 1), 1))]
    # All classes count the same, as in accuracy on queries. Means of many shots are near to all
    # images, so that classes with many shots would ask for a weight that harms those with few.
    weight = weight_in_class(shots.codes, shots.weight)[rows]
    return rows, weight * (len(shots.take(rows).images().codes) / weight.sum())


def hold_out(classes_of: Callable[[np.ndarray], BridgedClasses], shots: Shots) -> HeldOut:
    """`HeldOut` of `Shots` in float64. `classes_of(kept)` makes the classes of the shots of a mask
    `(n,)`.

    The only image of a class is never left out, unless all classes have one image.
    """
    images = shots.images()
    fold, is_single = _folds(images)
    fold_of_shot = fold[images.image_of_shot]
    rows, weight = _sample(shots, np.flatnonzero(fold_of_shot >= 0))
    X, codes, n_classes = shots.X[rows], shots.codes[rows], shots.codes[-1] + 1
    cosines: dict[str, np.ndarray] = {}
    divergence, count, reach = np.empty((len(rows), n_classes)), *np.empty((2, len(rows)))
    for number in range(fold.max() + 1):
        tested = fold_of_shot[rows] == number
        is_left_out = (fold == number) & (not is_single)
        kept = ~is_left_out[images.image_of_shot]
        classes = classes_of(kept)
        of_fold = classes.cosines(X[tested])
        if is_single:
            _predict_own(of_fold, classes, X, codes)
        for name, values in of_fold.items():
            cosines.setdefault(name, np.empty_like(divergence))[tested] = values
        divergence[tested] = classes.divergence
        count[tested] = images_of_class(shots.take(kept))
        reach[tested] = np.vecdot(l2_normalize(X[tested]), classes.bridge.apply(X[tested]))
    return HeldOut(
        LabelledCosines(cosines, codes, weight, divergence),
        n_images=float(np.average(count, weights=weight)),
        reach=float(np.average(reach, weights=weight)),
        is_single=is_single,
    )


def left_out_once(shots: Shots) -> np.ndarray | None:
    """The shots of the first fold of `hold_out`, a mask `(n,)`, or None if all classes have one
    image.
    """
    images = shots.images()
    fold, is_single = _folds(images)
    return None if is_single else (fold == 0)[images.image_of_shot]


def _folds(images: Images) -> tuple[np.ndarray, bool]:
    """The fold in which each image is left out, or -1, and whether all classes have one image. The
    folds of a class are equally large, as far as possible.
    """
    # One of hardly any weight says nothing, and is never left out.
    weighs = np.flatnonzero(images.relative >= LEAST_NEIGHBOUR)
    u, codes, fold = images.u[weighs], images.codes[weighs], np.full(len(images.codes), -1)
    counts = np.bincount(codes)
    if counts.max() == 1:
        fold[weighs] = 0
        return fold, True
    # Any order is good that depends on content, but not on the length and order of the rows.
    means = np.stack([u[codes == code].mean(axis=0) for code in range(len(counts))])
    order = np.lexsort((u @ means.mean(axis=0), codes))
    first = np.cumsum(counts) - counts
    place = np.empty(len(order), dtype=int)
    place[order] = np.arange(len(order)) - first[codes[order]]
    fold[weighs] = np.where(counts[codes] > 1, place % min(counts.max(), MOST_FOLDS), -1)
    return fold, False


def _predict_own(cosines, classes, X, codes):
    """Replace the cosines to the own class by those to a class that is predicted from its name, or
    without text to the mean of all classes.
    """
    if classes.text_embeddings is not None:
        prototypes, image_means = classes.guesses(classes.text_embeddings[codes])
    else:
        prototypes, image_means = classes.prototypes.mean(axis=0), classes.image_means.mean(axis=0)
    own = np.arange(len(codes)), codes
    if classes.stand_ins is not None:
        assert classes.text_embeddings is not None
        cosines["z1"][own] = np.vecdot(l2_normalize(X), classes.text_embeddings[codes])
    cosines["z2"][own] = np.vecdot(l2_normalize(X), l2_normalize(prototypes))
    cosines["z3"][own] = np.vecdot(classes.bridge.apply(X), l2_normalize(image_means))
