"""Cosines of the shots to their classes, each without its own image."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._model.shots import Shots, sum_rows, weight_in_class
from .._utils.array_api import l2_normalize

# Largest number of cosines of one kind. More do not change what is estimated from them.
MOST_COSINES = 2**22


class HeldOut(NamedTuple):
    """Cosines of `k` shots to all classes. In the column of its own class, a shot is compared with
    the class without its image.
    """

    cosines: dict[str, np.ndarray]  # `"z1"` (if there is text), `"z2"` and `"z3"`, each `(k, C)`
    codes: np.ndarray  # own class `(k,)`
    weight: np.ndarray  # `(k,)`; in a class, the weights of all shots sum to its number of images
    counts: np.ndarray  # images of each class `(C,)`
    # All classes have one image. Then predictions from the names replace the classes without it.
    is_single: bool


def held_out_cosines(scores, shots: Shots, eos: np.ndarray) -> HeldOut:
    """`HeldOut` of `Scores` of `Shots`, whose bridged texts are `eos (n, d)`.

    Classes of one image are left out, unless there are no others. `scores` with a trained bridge
    have seen the shots, so these are not held out.
    """
    share, images = weight_in_class(shots.codes, shots.weight), shots.images()
    image, counts = images.image_of_shot, np.bincount(images.codes)
    n_images = counts[shots.codes]
    is_single = bool(n_images.max() == 1)
    rows = np.flatnonzero((n_images > 1) | is_single)
    rows = rows[:: -(-len(rows) * len(scores.prototypes) // MOST_COSINES)]
    codes, X = shots.codes[rows], np.asarray(shots.X, dtype=np.float64)
    cosines, weight = scores.cosines(X[rows]), (share * n_images)[rows]
    if scores.is_trained:
        return HeldOut(cosines, codes, weight, counts, is_single)

    def without(values):
        """For each row, the mean of its class without its image."""
        class_sums = sum_rows(values, share, shots.codes, len(scores.prototypes))
        image_sums = sum_rows(values, share, image, len(images.codes))
        image_share = np.bincount(image, weights=share)[image[rows], None]
        return (class_sums[codes] - image_sums[image[rows]]) / (1 - image_share)

    if not is_single:
        prototypes = l2_normalize(scores.bridge.joint(without(eos)))
        image_means = l2_normalize(without(X))
    elif scores.text_embeddings is not None:
        prototypes, image_means = scores.guesses(scores.text_embeddings[codes])
    else:
        prototypes, image_means = scores.prototypes.mean(axis=0), scores.image_means.mean(axis=0)
    own = np.arange(len(rows)), codes
    cosines["z2"][own] = np.vecdot(l2_normalize(X[rows]), prototypes)
    cosines["z3"][own] = np.vecdot(scores.bridge.apply(X[rows]), image_means)
    return HeldOut(cosines, codes, weight, counts, is_single)
