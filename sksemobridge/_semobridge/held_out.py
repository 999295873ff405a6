"""Cosines of the shots to classes that are made of other shots."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from .._model.class_means import effective_numbers
from .._model.shots import Images, Shots
from .._utils.array_api import l2_normalize
from .._utils.rows import blocks, evenly_spaced, weight_in_class
from .bridged_classes import BridgedClasses
from .score import LabelledCosines

# Largest number of folds. With eight, at most a quarter of the images of a class is left out where
# there are more than eight of them, and one where there are fewer.
MOST_FOLDS = 8
# Largest number of cosines of one kind. More do not change what is estimated from them.
MOST_COSINES = 2**19
# Number of shots that are in double precision at once. 1,024 of 512 numbers take 4 MB.
ROWS_AT_ONCE = 2**10


class HeldOut(NamedTuple):
    """Cosines of shots to all classes, each in a fold of which the shot is left out.

    In a fold all classes of several images leave out some, so that all are known equally well. If a
    shot were left out of its own class only, the other classes would be nearer.
    """

    shots: LabelledCosines  # weights have equal sums in all classes, and sum to all images
    n_images: float  # number of images of a class in a fold, as `images_of_class` has it
    reach: float  # mean cosine of a shot and its own bridge, which limits `"z3"`
    # All classes have one image. Names then predict a class without its image.
    is_single: bool


def images_of_class(shots: Shots, part: np.ndarray | None = None) -> float:
    """The effective number of images of a class, as the harmonic mean over the classes: the noise
    of a class mean is the inverse of its number. Shots may keep some `part (n,)` of their weights.
    """
    images = shots.distinct_images(part)
    counts, _ = effective_numbers(images.codes, images.weight)
    return float(1 / np.mean(1 / counts))


def labelled_cosines(classes: BridgedClasses, shots: Shots, rows: np.ndarray) -> LabelledCosines:
    """Cosines of the shots at `rows (k,)` to `classes`, or of evenly spaced ones of them."""
    images = shots.distinct_images()
    rows, weight = _sample(shots, images, rows, np.ones(len(images.codes)))
    parts = [
        classes.cosines(shots.X[rows[some]].astype(np.float64))
        for some in blocks(len(rows), ROWS_AT_ONCE)
    ]
    # Each name leaves the parts, so that only one kind of cosines has a copy.
    cosines = {name: np.concatenate([part.pop(name) for part in parts]) for name in [*parts[0]]}
    return LabelledCosines(cosines, shots.codes[rows], weight, classes.divergence)


def _sample(
    shots: Shots, images: Images, rows: np.ndarray, tested: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Evenly spaced `rows` of at most `MOST_COSINES`. Weights sum to the number of images, and to
    equal sums in all classes, as far as their images are `tested (m,)`.
    """
    rows = rows[evenly_spaced(len(rows), max(MOST_COSINES // (shots.codes[-1] + 1), 1))]
    image = images.image_of_shot[rows]
    # All classes count the same, as in accuracy on queries. Means of many shots are near to all
    # images, so that classes with many shots would ask for a weight that harms those with few.
    weight = weight_in_class(shots.codes, shots.weight)[rows] * tested[image]
    some = np.unique(image)
    return rows, weight * (images.relative[some] @ tested[some] / weight.sum())


def hold_out(
    classes_of: Callable[[np.ndarray], BridgedClasses], shots: Shots
) -> list[tuple[float, HeldOut]]:
    """Each `HeldOut` of `Shots`, and its share. `classes_of(part)` makes the classes of shots that
    have the `part (n,)` of their weights, in float64.

    If all classes have one image, names predict the classes without it. If one has several, images
    are left out in folds, by their order, or by their weights if some weigh half as much as others.
    Between, each way has a share, so that nothing jumps if a weight goes to zero or is no longer
    that of others.
    """
    images = shots.distinct_images()
    number = np.bincount(images.codes, weights=images.relative).max()
    single = float(np.clip(2 - number, 0, 1))
    even = _evenness(images)
    ways: list[tuple[float, Any]] = [
        (single, partial(_compare_with_names, images)),
        ((1 - single) * even, partial(_leave_out_folds, images, by_weight=False)),
        ((1 - single) * (1 - even), partial(_leave_out_folds, images, by_weight=True)),
    ]
    return [(share, way(classes_of, shots)) for share, way in ways if share > 0]


def _evenness(images):
    """How near the weights of a class are to each other: zero if one is half as much as others."""
    return float(np.clip(2 * images.relative.min() - 1, 0, 1))


def _compare_with_names(images, classes_of, shots):
    """`HeldOut` where all classes have one image."""
    everything = np.arange(len(shots.codes)), np.ones(len(images.codes))
    rows, weight = _sample(shots, images, *everything)
    X, codes = shots.X[rows].astype(np.float64), shots.codes[rows]
    classes = classes_of(np.ones(len(shots.codes)))
    cosines = classes.cosines(X)
    _predict_own(cosines, classes, X, codes)
    return HeldOut(
        LabelledCosines(cosines, codes, weight, np.tile(classes.divergence, (len(rows), 1))),
        n_images=images_of_class(shots),
        reach=float(np.average(_reach(X, classes), weights=weight)),
        is_single=True,
    )


def _leave_out_folds(images, classes_of, shots, by_weight):
    """`HeldOut` where a class has several images. The only image of another one is never left
    out.
    """
    fold, part = _folds(shots, images, by_weight)
    rows = np.flatnonzero(fold[images.image_of_shot] >= 0)
    rows, weight = _sample(shots, images, rows, 1 - part)
    fold, part = fold[images.image_of_shot], part[images.image_of_shot]
    codes, n_classes = shots.codes[rows], shots.codes[-1] + 1
    found: dict[str, np.ndarray] = {}
    count, reach = np.empty((2, len(rows)))
    for number in range(fold.max() + 1):
        tested, is_left_out = fold[rows] == number, fold == number
        kept = np.where(is_left_out, part, 1.0)
        classes, X = classes_of(kept), shots.X[rows[tested]].astype(np.float64)
        values = _values(classes, X)
        stays = np.flatnonzero(part[rows][tested])
        if len(stays):
            # No image meets itself in its own class.
            others = _values(classes_of(1.0 * ~is_left_out), X[stays])
            for name in values:
                each = np.arange(len(stays)), codes[tested][stays]
                values[name][stays, each[1]] = others[name][each]
        for name in values:
            if name not in found:
                found[name] = np.empty((len(rows), n_classes))
            found[name][tested] = values[name]
        count[tested] = images_of_class(shots, kept)
        reach[tested] = _reach(X, classes)
        del classes, values  # before the next are made
    divergence = found.pop("divergence")
    return HeldOut(
        LabelledCosines(found, codes, weight, divergence),
        n_images=float(np.average(count, weights=weight)),
        reach=float(np.average(reach, weights=weight)),
        is_single=False,
    )


def _values(classes, X):
    """The cosines of embeddings `(k, D)` to classes, and their `"divergence"`, each `(k, C)`."""
    cosines = classes.cosines(X)
    return cosines | {"divergence": np.tile(classes.divergence, (len(X), 1))}


def _reach(X, classes):
    """The cosine of each embedding and its bridge `(k,)`."""
    return np.vecdot(l2_normalize(X), classes.bridge.apply(X))


def left_out_once(shots: Shots) -> np.ndarray | None:
    """The shots of the first fold, a mask `(n,)`, without those whose class would keep less than
    half an image. None if there are no others.
    """
    images = shots.distinct_images()
    fold, part = _folds(shots, images, by_weight=_evenness(images) < 0.5)
    is_left_out = (fold == 0) & (part <= 0.5)
    return is_left_out[images.image_of_shot] if is_left_out.any() else None


def _folds(shots: Shots, images: Images, by_weight: bool) -> tuple[np.ndarray, np.ndarray]:
    """The fold that leaves out each image, or -1 for the only one of a class, and the part of it
    that stays: what the others of its class lack of one image.
    """
    codes, relative = images.codes, images.relative
    counts = np.bincount(codes)
    # Any order is good that depends on content, but not on the length and order of the rows. By
    # weight, those of hardly any weight come last: they give no other image another fold.
    weight = relative.round(9) if by_weight else np.ones(len(codes))
    products = _products_with_mean(shots, images)
    order = np.lexsort((products, -weight, codes))
    first = np.cumsum(counts) - counts
    place = np.empty(len(order), dtype=int)
    place[order] = np.arange(len(order)) - first[codes[order]]
    n_folds = min(counts.max(), MOST_FOLDS)
    of_class_and_fold = codes * n_folds + place % n_folds
    others = np.bincount(codes, weights=relative)[codes]
    others -= np.bincount(of_class_and_fold, weights=relative)[of_class_and_fold]
    return np.where(counts[codes] > 1, place % n_folds, -1), np.maximum(1 - others, 0)


def _products_with_mean(shots: Shots, images: Images) -> np.ndarray:
    """Products of the unit embeddings of images and the mean of the class means of these `(m,)`."""
    part = shots.weight / images.weight[images.image_of_shot]
    share = part * weight_in_class(images.codes, images.relative)[images.image_of_shot]
    rows_of_blocks = blocks(len(part), ROWS_AT_ONCE)
    mean, products = np.zeros(shots.X.shape[1]), np.empty(len(part))
    for rows in rows_of_blocks:
        mean += share[rows] @ l2_normalize(shots.X[rows].astype(np.float64))
    mean /= images.codes[-1] + 1
    for rows in rows_of_blocks:
        products[rows] = l2_normalize(shots.X[rows].astype(np.float64)) @ mean
    return np.bincount(images.image_of_shot, weights=part * products)


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
