"""Near copies: images that are much closer to each other than other images of their class (not from a paper).

Augmentations of one image, or frames of one film, are not independent images. If they counted as independent, a class would
look more certain and narrower than it is.

Distances are `1 - cos`. Single linkage makes a tree of all images. Each node of the tree is a group of `g` images, and has

    ratio = distance of the node to the nearest other image / distance within the node.

The distance within a node is the mean distance or the longest link, whichever is longer. If the node is a whole class,
`(C - 1) / C` of the ratio counts, because the next class may be far if there are few classes. In real tasks, distinct images
have ratios of 0.7 to 2, and few have 3. Clock faces among other drawings have 5.

There are four cases. The first one that applies decides which nodes are one image:

1. Most images have copies. Nodes with a ratio of at least `APART + EACH / n` hold `MOST` of all `n` images. These nodes are
   one image each.
2. Some images have copies. Nodes with a ratio of at least `SOME_APART + 2 EACH / n` hold `SOME + 3 / n + n / (100 C)` of the
   images. These nodes are one image each. (Pairs of distinct images may reach this ratio, mostly if there are few images or
   large classes. So the share must be larger then.)
3. Most images have copies that differ more, such as crops. Nodes with a ratio of at least `STILL_APART + EACH / n` hold `MOST`
   of the images. These nodes are one image each. (Such nodes hold up to two thirds of the distinct images of real tasks.)
4. A single group has copies. It has a ratio of at least `ALONE + EACH / g`.

Groups of distinct images may also pass the first three limits. So the limit is doubled, as long as nearly as many images pass.
If such nodes hold `MOST` of the images, images of a class with less than half of their median distance are copies too.

`python benchmarks/near_copies.py` counts distinct images that are taken for copies, and measures what copies cost.
"""

from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import linkage
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import squareform

APART, SOME_APART, STILL_APART, ALONE, EACH = 1.75, 3.0, 1.35, 7.0, 10.0
# Shares of all images that are most, some, and nearly as many. Smallest number of images in a single group (case 4).
MOST, SOME, NEARLY, LEAST_ALONE = 0.8, 0.25, 0.98, 5
# Largest mean distance of near copies, as a share of the mean distance between classes.
NEAR = 0.3
# Largest number of images that are compared with each other.
MOST_COMPARED = 2**11
# Image embeddings have at least this width, and their directions have something in common. Other data is not searched, because
# tight groups in it are no copies.
LEAST_WIDTH, MOST_BETWEEN = 64, 0.9


def near_copies(u, codes, n_classes, of_classes=True):
    """For each image the index of its first near copy `(n,)`, among unit embeddings `u (n, D)`.

    Images with different codes are no copies. The `codes (n,)` are sorted. Several codes are compared at once, up to
    `MOST_COMPARED` images. A code with more images is not searched. If codes are not `of_classes`, any node may be a class.
    """
    group, start = np.arange(len(codes)), 0
    ends = np.append(np.flatnonzero(np.diff(codes)) + 1, len(codes))
    between = _mean_distance(u, codes)
    if u.shape[1] < LEAST_WIDTH or between > MOST_BETWEEN:
        return group
    while start < len(codes):
        # As many whole classes as fit, and at least one.
        stop = max(ends[ends - start <= MOST_COMPARED].max(initial=0), ends[ends > start][0])
        if 2 < stop - start <= MOST_COMPARED:
            part = slice(start, stop)
            group[part] = start + _near_copies(u[part], codes[part], NEAR * between, n_classes, of_classes)
        start = stop
    return group


def _mean_distance(u, codes):
    """Mean distance between the class means. With one class, mean distance between the images."""
    first = np.flatnonzero(np.diff(codes, prepend=-1))
    if len(first) > 1:
        u = np.add.reduceat(u, first) / np.diff(first, append=len(u))[:, None]
    squares = np.square(u).sum()
    return 1 - (np.square(u.sum(axis=0)).sum() - squares) / max(len(u) * (len(u) - 1), 1)


def _near_copies(u, codes, most_within, n_classes, of_classes):
    distance = np.maximum(1 - u @ u.T, 0)
    np.fill_diagonal(distance, 0)
    tree = Tree.of(u, codes, distance)
    ratio = np.where((tree.within > most_within) | (tree.code < 0), 0.0, tree.ratio)
    whole = tree.size == np.bincount(codes)[tree.code] if of_classes else True
    ratio = np.where(whole, (1 - 1 / max(n_classes, 2)) * ratio, ratio)

    n = len(u)
    found = _of_many(tree, ratio, n_classes)
    if np.mean(found >= n) >= MOST:
        found = _with_close_images(tree, found, codes, distance)
    elif np.all(found < n):
        found = tree.outermost((tree.size >= LEAST_ALONE) & (ratio >= ALONE + EACH / tree.size))
    _, first, index = np.unique(found, return_index=True, return_inverse=True)
    return first[index]


def _of_many(tree, ratio, n_classes):
    """The cases 1 to 3: for each image the node that is one image, or the image itself, shape (n,)."""
    n = len(ratio) + 2
    some = SOME + 3 / n + n / (100 * n_classes)
    found = np.arange(n)
    for least, most in (
        (APART + EACH / n, MOST),
        (SOME_APART + 2 * EACH / n, some),
        (STILL_APART + EACH / n, MOST),
    ):
        while np.mean((stricter := tree.outermost(ratio >= least)) >= n) >= most:
            found, least, most = stricter, 2 * least, NEARLY * np.mean(stricter >= n)
        if np.any(found >= n):
            break
    return found


def _with_close_images(tree, found, codes, distance):
    """`found (n,)`, where nodes of a class are joined with images that are less than half as far as such nodes usually are."""
    n = len(found)
    apart = np.median(tree.height[np.unique(found[found >= n]) - n])
    near = (codes[:, None] == codes) & (distance < apart / 2) | (found[:, None] == found)
    return connected_components(near, directed=False)[1]


@dataclass(frozen=True, eq=False)
class Tree:
    """Single linkage of `n` images. Its first nodes are the images. Then come `n - 2` groups, and last a node with all images.

    The attributes have one value for each group.
    """

    parent: np.ndarray  # of each node `(2 n - 1,)`
    size: np.ndarray  # number of images
    code: np.ndarray  # class of the images, or -1 if they have several
    height: np.ndarray  # distance to the nearest other image
    within: np.ndarray  # mean distance within the group
    ratio: np.ndarray  # as at the top of this module

    @classmethod
    def of(cls, u, codes, distance):
        n = len(u)
        tree = linkage(squareform(distance, checks=False), "single")
        parent, size, code = np.zeros(2 * n - 1, dtype=np.intp), np.ones(2 * n - 1), np.full(2 * n - 1, -1)
        sums = np.zeros((2 * n - 1, u.shape[1]))
        code[:n], sums[:n] = codes, u
        for node, (a, b) in enumerate(tree[:, :2].astype(np.intp), start=n):
            parent[[a, b]] = node
            size[node], sums[node] = size[a] + size[b], sums[a] + sums[b]
            code[node] = code[a] if code[a] == code[b] else -1
        groups = slice(n, 2 * n - 2)
        size, code, height = size[groups], code[groups], tree[parent[groups] - n, 2]
        within = (size**2 - np.square(sums[groups]).sum(axis=1)) / (size * (size - 1))
        ratio = height / np.maximum(np.maximum(within, tree[:-1, 2]), np.finfo(float).eps)
        return cls(parent, size, code, height, within, ratio)

    def outermost(self, is_one):
        """For each image the largest group that is one image, or the image itself, shape (n,)."""
        n = len(is_one) + 2
        top = np.arange(2 * n - 1)
        for node in range(2 * n - 3, -1, -1):
            above = self.parent[node]
            if top[above] != above or (above < 2 * n - 2 and is_one[above - n]):
                top[node] = top[above]
        return top[:n]
