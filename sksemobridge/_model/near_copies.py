"""Near copies: images of a class that are much closer to each other than to other classes ("Near
copies" in docs/method.md).

Augmentations of one image, or frames of one film, are not independent images. A class would look
narrower than it is. The closeness of two images is their distance, divided by the room that other
classes leave. The rule assumes that of distinct images, at most a share `c` have an image of their
class within the closeness `c`. The closeness is thus like a p-value, and the limit is as in the
procedure of Benjamini and Hochberg (Journal of the Royal Statistical Society B, 1995): if all
images have copies, copies may fill the room; if few images have copies, copies must be much closer.
`python benchmarks/robustness.py copies` prints the cost of copies, and how many fits of distinct
images change.
"""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from .._utils.rows import BLOCK, blocks, evenly_spaced, sum_rows
from .._utils.threads import in_parallel

# Approximate limit of the number of close images with which an image is compared.
COMPARED = 2**11
# Least number of features. With fewer, distinct images (or other data) are close by chance.
LEAST_WIDTH = 64


def near_copies(u, codes):
    """For each image the index of its first near copy `(n,)`. Images with different `codes` are no
    copies. Without labels, codes are predictions, or all zero.
    """
    n = len(codes)
    if u.shape[1] < LEAST_WIDTH or n < 3:
        return np.arange(n)
    # Embeddings have a direction in common, so this mean is about 0.2 to 0.5. If the mean is one,
    # tight groups are no copies.
    mean = _mean_distance(u, codes)
    room = mean * np.maximum(1 - mean, 0) / 2
    eps = np.finfo(np.float32).eps

    def cosines(rows):
        """The cosines of all pairs of some rows."""
        # Single precision takes half of the time. A product of an array with its own transpose also
        # takes half, as BLAS computes only one half of the symmetric result.
        some = u[rows].astype(np.float32, copy=False)
        return some @ some.T

    def nearest_of_others(rows):
        """The cosine of each row to the nearest image of another class."""
        # The rows of a class come together. The pairs of one class are then squares on the
        # diagonal, and no table `(n, n)` of these pairs is needed.
        rows = rows[np.argsort(codes[rows], kind="stable")]
        cosine = cosines(rows)
        for of_class in _runs(codes[rows]):
            cosine[of_class, of_class] = -1.0
        return rows, cosine.max(axis=1)

    rows, cosine = map(
        np.concatenate, zip(*in_parallel(nearest_of_others, _cells(u, np.arange(n))))
    )
    np.minimum.at(room, rows, np.maximum(1 - cosine, 0) / 2)
    # An image under two labels leaves no room.
    room = np.maximum(room * (1 - 1 / max(len(np.unique(codes)), 2)), eps)

    def links(rows):
        """The pairs of the rows of a class in a minimum spanning forest, and their closeness. The
        forest has the nearest image of each image, and the same chains within any limit as all
        pairs, which would take much memory.
        """
        cosine = cosines(rows)
        np.fill_diagonal(cosine, -1.0)  # the nearest image is another one
        rows = rows[1 - cosine.max(axis=1) <= room[rows]]
        del cosine  # free memory before the next table
        closeness = cosines(rows)
        for block in blocks(len(rows)):
            distance = np.maximum(1 - closeness[block], 0)
            closeness[block] = distance / np.minimum(room[rows[block], None], room[rows])
        one, other, closeness = _spanning_forest(closeness)
        return rows[one], rows[other], closeness

    by_class = np.argsort(codes, kind="stable")
    cells = [cell for run in _runs(codes[by_class]) for cell in _cells(u, by_class[run])]
    one, other, closeness = map(np.concatenate, zip(*in_parallel(links, cells)))
    nearest = np.ones(n)
    np.minimum.at(nearest, np.concatenate([one, other]), np.tile(closeness, 2))
    nearest = np.sort(np.maximum(nearest, eps))
    level = np.arange(1, n + 1) / n
    # A few distinct images may be within the level, too. The limit is therefore where many images
    # are much closer than the level.
    gain = level * np.log(level / nearest)
    best = gain.argmax()
    kept = (closeness <= np.sqrt(nearest * level)[best]) & (gain[best] > 0)
    graph = coo_array((kept[kept], (one[kept], other[kept])), shape=(n, n))
    _, first, index = np.unique(
        connected_components(graph, directed=False)[1], return_index=True, return_inverse=True
    )
    return first[index]


def _spanning_forest(weight):
    """The pairs of a minimum spanning forest, and their weights, of the pairs with a weight of at
    most one. `weight (n, n)` is symmetric. (The algorithm of Prim.)
    """
    n = len(weight)
    nearest, least = np.zeros(n, dtype=np.intp), np.full(n, np.inf)
    is_open, pairs = np.ones(n, dtype=bool), []
    for _ in range(n):
        new = np.where(is_open, least, np.inf).argmin()
        if not is_open[new]:
            new = is_open.argmax()
        if least[new] <= 1:
            pairs.append((nearest[new], new, least[new]))
        is_open[new] = False
        closer = weight[new] < least
        least[closer], nearest[closer] = weight[new][closer], new
    one, other, least = zip(*pairs) if pairs else ((), (), ())
    return (
        np.array(one, dtype=np.intp),
        np.array(other, dtype=np.intp),
        np.array(least, dtype=float),
    )


def _mean_distance(u, codes):
    """Mean distance of each image to the images of other classes `(n,)`, or with one class to all
    other images.
    """
    _, index, counts = np.unique(codes, return_inverse=True, return_counts=True)
    if len(counts) == 1:
        return 1 - (u @ u.sum(axis=0) - 1) / (len(u) - 1)
    sums = sum_rows(u, np.ones(len(u), dtype=u.dtype), index, len(counts))
    others = u.sum(axis=0) - sums
    cosines = [np.einsum("nd,nd->n", u[block], others[index[block]]) for block in blocks(len(u))]
    return 1 - np.concatenate(cosines) / (len(u) - counts[index])


def _runs(codes):
    """Slices of equal values of sorted `codes (n,)`."""
    start = np.flatnonzero(np.diff(codes, prepend=codes[0] - 1))
    return [slice(*ends) for ends in zip(start, np.append(start[1:], len(codes)))]


def _cells(u, rows):
    """The `rows (n,)` in parts of at most COMPARED that lie close together. A row is in two parts,
    since two copies may have different nearest centres.
    """
    if len(rows) <= COMPARED:
        return [rows]
    # Each part has about two blocks of rows. Larger parts take longer, and find one more copy in a
    # thousand.
    some = u[rows[evenly_spaced(len(rows), len(rows) // BLOCK)]]

    def nearest(block):
        return np.argpartition(-u[rows[block]] @ some.T, 2, axis=1)[:, :2]

    part_of = np.concatenate([nearest(block) for block in blocks(len(rows))])
    parts = [rows[np.any(part_of == i, axis=1)] for i in range(len(some))]
    if max(map(len, parts)) > len(rows) / 2:
        # Most rows are near one image. Two parts of a line that overlap separate hardly any copies.
        ordered = rows[np.argsort(u[rows] @ (some[0] - some[-1]), kind="stable")]
        fifth = len(rows) // 5
        parts = [ordered[: 3 * fifth], ordered[2 * fifth :]]
    return [cell for part in parts for cell in _cells(u, part) if len(part)]
