"""Bursts: images that show the same, such as images of a camera trap within a few seconds."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._model.near_copies import near_copies
from .._utils.array_api import l2_normalize, softmax, to_numpy
from .._utils.rows import sum_rows
from .._utils.validation import group_codes

# Least probability: smaller ones are raised to it. Otherwise one image alone could rule out a
# class.
LEAST_PROBA = 1e-12


def proba_by_group(proba: ArrayLike, groups: ArrayLike) -> NDArray[np.float64]:
    """Return for each image the probabilities of its group: the mean of their logarithms, scaled
    to sum to one.

    Images of a burst show the same, so that each image says something about all of them.

    Parameters
    ----------
    proba : array-like of shape (n, C)
        Probabilities of the classes, as of `predict_proba`.
    groups : array-like of shape (n,)
        Equal values mark images of one group. An image with None or NaN is a group by itself.

    Returns
    -------
    ndarray of shape (n, C)
        Probabilities, equal for all images of a group.

    Raises
    ------
    ValueError
        If `proba` is no table of probabilities, or `groups` has another length.

    Examples
    --------
    >>> from sksemobridge.labelling import proba_by_group
    >>> proba_by_group([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]], ["a", "a", None]).round(2).tolist()
    [[0.75, 0.25], [0.75, 0.25], [0.2, 0.8]]
    """
    proba = np.asarray(to_numpy(proba), dtype=np.float64)
    if proba.ndim != 2 or not np.all(proba >= 0) or not np.all(np.isfinite(proba)):
        raise ValueError(
            "proba must be numbers of shape (n, C), not negative and not NaN, as of"
            f" predict_proba; got an array of shape {proba.shape}."
        )
    codes = group_codes(groups, len(proba))
    weight = 1 / np.bincount(codes)[codes] if len(codes) else np.zeros(0)
    logs = np.log(np.maximum(proba, LEAST_PROBA))
    return softmax(sum_rows(logs, weight, codes, codes.max(initial=-1) + 1))[codes]


def first_of_each(groups):
    """Whether each image is the first of its burst `(n,)`. `groups (n,)` are the numbers of the
    bursts.
    """
    is_first = np.zeros(len(groups), dtype=bool)
    is_first[np.unique(groups, return_index=True)[1]] = True
    return is_first


def with_near_copies(groups, labels, embeddings):
    """The numbers of the bursts `groups (n,)`, where near copies of one label that are in no burst
    are a burst, too. `labels (n,)`, `embeddings (n, D)`.
    """
    alone, groups = np.bincount(groups)[groups] == 1, groups.copy()
    _, codes = np.unique(labels[alone], return_inverse=True)
    copy_of = near_copies(l2_normalize(embeddings[alone]), codes)
    groups[alone] = groups[alone][copy_of]
    return groups
