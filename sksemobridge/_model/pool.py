"""Unlabelled images as distinct images: a sample ordered by content, near copies joined, and the
weight of each image of a group ("Unlabelled images" in docs/method.md).
"""

from typing import NamedTuple

import numpy as np

from .._utils.array_api import l2_normalize
from .._utils.rows import evenly_spaced, sum_rows
from .._utils.same_image import distinct_rows
from .near_copies import near_copies

# Largest number of values in an array (64 MB). If there are more, evenly spaced images are used.
MOST_SAMPLE_VALUES = 2**23


class Pool(NamedTuple):
    """Unlabelled images, and in which groups they are. An image may be in several groups."""

    X: np.ndarray  # embeddings `(N, D)`, distinct and ordered by content
    image: np.ndarray  # the number of an image `(m,)`
    group: np.ndarray  # a group that it is in `(m,)`

    def take(self, is_kept):
        """The images for which `is_kept (n,)` is true."""
        number = np.cumsum(is_kept) - 1
        rows = is_kept[self.image]
        return Pool(self.X[is_kept], number[self.image[rows]], self.group[rows])


def sorted_sample(X, n_classes, groups=None):
    """The `Pool` of `X (n, D)`, or of evenly spaced rows, in `groups (n,)`, or with each image by
    itself. Equal rows become one image, because a repeated image is no new information.
    """
    most = max(MOST_SAMPLE_VALUES // max(X.shape[1], n_classes), 1)
    rows = evenly_spaced(len(X), most)
    distinct, image = distinct_rows(X[rows])
    return Pool(distinct, image, rows if groups is None else groups[rows])


def without_copies(u, logits):
    """Unit embeddings `u (N, D)`, in which near copies are replaced by their mean, and the row of
    each image among them. `logits` have the shape `(N, C)`.
    """
    group = near_copies(u, logits.argmax(axis=1))
    first, index, counts = np.unique(group, return_inverse=True, return_counts=True)
    if len(first) == len(u):
        return u, index
    return l2_normalize(sum_rows(u, 1 / counts[index], index, len(first))).astype(u.dtype), index


def weight_in_groups(image, group):
    """The weight of each image: one, divided by the number of images in its group. An image in
    several groups has the largest weight. `image (m,)` and `group (m,)` are pairs of an image and
    its group.
    """
    _, group = np.unique(group, return_inverse=True)
    image, group = np.unique(np.stack([image, group]), axis=1)
    weight = np.zeros(image.max() + 1)
    np.maximum.at(weight, image, 1 / np.bincount(group)[group])
    return weight
