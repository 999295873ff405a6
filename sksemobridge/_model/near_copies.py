"""Near copies: images that are far closer to each other than the classes explain (ours).

Augmentations of one image, or frames of one film, are no independent images. Taken for such, they make a class look
certain and narrow. Distances are `1 - cos`. In the tree of single linkage over all images, a node with `g` images is set
apart by

    ratio = distance of the node to the nearest other image / distance within the node,

which is the mean distance or the longest link, whichever is longer. If the node is a whole class, `(C - 1) / C` of the
ratio counts: with few classes, the next one may be far. Distinct images of real tasks are set apart by 0.7 to 2, few by 3;
clock faces among other drawings by 5. A node is one image

- if nodes that are set apart by `APART + EACH / n` hold `MOST` of all `n` images: most come in copies then. Images of a
  class that are closer than half of what then sets images apart are copies too;
- else if nodes that are set apart by `SOME_APART + 2 EACH / n` hold `SOME + 3 / n + n / (100 C)` of them: some come in
  copies. Pairs of distinct images are set apart as much, more of them where images are few or classes large;
- else if it is set apart by `ALONE + EACH / g`.

As several images of a class may be set apart too, twice as much is asked as long as nearly as many images are held.

`python benchmarks/near_copies.py` counts distinct images that are taken for copies, and measures what copies cost.
"""

import numpy as np
from scipy.cluster.hierarchy import linkage
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import squareform

APART, SOME_APART, ALONE, EACH = 1.75, 3.0, 7.0, 10.0
# Shares of all images that are most and some, what is nearly as many, and images of a node that is evidence by itself, at
# least.
MOST, SOME, NEARLY, LEAST_ALONE = 0.8, 0.25, 0.98, 5
# Mean distance of near copies, at most, as a share of that between classes.
NEAR = 0.3
# Images that are compared with each other, at most.
MOST_COMPARED = 2**11
# Embeddings of images by one model have a direction in common and are no narrower. What is else is not searched: tight
# groups of few numbers, or of any directions, are no copies.
LEAST_WIDTH, MOST_BETWEEN = 64, 0.9


def near_copies(u, codes, n_classes, of_classes=True):
    """The index of the first near copy of each image, `(n,)`, among unit embeddings `u (n, D)`.

    Images with another code are no copies. The sorted `codes (n,)` are taken whole, as many at a time as may be compared;
    one with more images is left as it is. If codes are not `of_classes`, any node may be a whole class.
    """
    group, start = np.arange(len(codes)), 0
    ends = np.append(np.flatnonzero(np.diff(codes)) + 1, len(codes))
    between = _mean_distance(u, codes)
    if u.shape[1] < LEAST_WIDTH or between > MOST_BETWEEN:
        return group
    while start < len(codes):
        stop = max(ends[ends - start <= MOST_COMPARED].max(initial=0), ends[ends > start][0])
        if 2 < stop - start <= MOST_COMPARED:
            part = slice(start, stop)
            group[part] = start + _near_copies(u[part], codes[part], NEAR * between, n_classes, of_classes)
        start = stop
    return group


def _mean_distance(u, codes):
    """Between the means of classes, or between images where all are of one."""
    first = np.flatnonzero(np.diff(codes, prepend=-1))
    if len(first) > 1:
        u = np.add.reduceat(u, first) / np.diff(first, append=len(u))[:, None]
    squares = np.square(u).sum()
    return 1 - (np.square(u.sum(axis=0)).sum() - squares) / max(len(u) * (len(u) - 1), 1)


def _near_copies(u, codes, most_within, n_classes, of_classes):
    n = len(u)
    distance = np.maximum(1 - u @ u.T, 0)
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), "single")
    # The first nodes are the images, the last one is all of them.
    parent, size, code = np.zeros(2 * n - 1, dtype=np.intp), np.ones(2 * n - 1), np.full(2 * n - 1, -1)
    sums = np.zeros((2 * n - 1, u.shape[1]))
    code[:n], sums[:n] = codes, u
    for node, (a, b) in enumerate(tree[:, :2].astype(np.intp), start=n):
        parent[[a, b]] = node
        size[node], sums[node] = size[a] + size[b], sums[a] + sums[b]
        code[node] = code[a] if code[a] == code[b] else -1
    nodes = slice(n, 2 * n - 2)
    size, code, height = size[nodes], code[nodes], tree[parent[nodes] - n, 2]
    within = (size**2 - np.square(sums[nodes]).sum(axis=1)) / (size * (size - 1))
    ratio = height / np.maximum(np.maximum(within, tree[:-1, 2]), np.finfo(float).eps)
    ratio[(within > most_within) | (code < 0)] = 0.0
    whole = size == np.bincount(codes)[code] if of_classes else True
    ratio = np.where(whole, (1 - 1 / max(n_classes, 2)) * ratio, ratio)

    def outermost(is_one):
        """For each image the outermost node that is one image, or the image itself."""
        top = np.arange(2 * n - 1)
        for node in range(2 * n - 3, -1, -1):
            above = parent[node]
            if top[above] != above or (above < 2 * n - 2 and is_one[above - n]):
                top[node] = top[above]
        return top[:n]

    found, some = np.arange(n), SOME + 3 / n + n / (100 * n_classes)
    for least, most in ((APART + EACH / n, MOST), (SOME_APART + 2 * EACH / n, some)):
        while np.mean((stricter := outermost(ratio >= least)) >= n) >= most:
            found, least, most = stricter, 2 * least, NEARLY * np.mean(stricter >= n)
        if np.any(found >= n):
            break
    if np.mean(found >= n) >= MOST:
        apart = np.median(height[np.unique(found[found >= n]) - n])
        near = (codes[:, None] == codes) & (distance < apart / 2) | (found[:, None] == found)
        found = connected_components(near, directed=False)[1]
    elif np.all(found < n):
        found = outermost((size >= LEAST_ALONE) & (ratio >= ALONE + EACH / size))
    _, first, index = np.unique(found, return_index=True, return_inverse=True)
    return first[index]
