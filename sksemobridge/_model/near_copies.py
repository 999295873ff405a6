"""Near copies: images of a class that are much closer to each other than to other classes ("Near
copies" in docs/method.md).

Augmentations of one image, or frames of one film, are not independent images. A class would look
narrower than it is. The closeness of two images is their distance, divided by the room that other
classes leave. The rule assumes that of distinct images, at most a share `c` have an image of their
class within the closeness `c`. So the closeness is like a p-value, and the limit is as in the
procedure of Benjamini and Hochberg (Journal of the Royal Statistical Society B, 1995): if all
images have copies, these may fill the room; if few have, they must be much closer.
`python benchmarks/robustness.py copies` prints what copies cost, and how many fits of distinct
images change.
"""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from .._utils.rows import blocks, evenly_spaced, sum_rows
from .._utils.threads import in_parallel

# Images are compared with about this many that lie close to them.
COMPARED = 2**11
# Rows of a block of distances, which then takes 2 MB.
BLOCK = 2**8
# With fewer features, distinct images (or other data) are close by chance.
LEAST_WIDTH = 64


def near_copies(u, codes):
    """For each image the index of its first near copy `(n,)`, among unit embeddings `u (n, D)`.

    Images with different `codes (n,)` are no copies. If there are no labels, codes are predictions,
    or all zero.
    """
    n = len(codes)
    if u.shape[1] < LEAST_WIDTH or n < 3:
        return np.arange(n)
    # Embeddings have a direction in common, so this mean is about 0.2 to 0.5. If it is one, tight
    # groups are no copies.
    mean = _mean_distance(u, codes)
    room = mean * np.maximum(1 - mean, 0) / 2
    eps = np.finfo(np.float32).eps
    cells = _cells_of(u)

    def distances(rows):
        """Half of the distance of each row to other classes, and the distance to its own."""
        # The rows of a class come together. So the pairs of one class are squares on the diagonal,
        # and no table `(n, n)` must say which they are.
        rows = rows[np.argsort(codes[rows], kind="stable")]
        start = np.flatnonzero(np.diff(codes[rows], prepend=codes[rows[0]] - 1))
        stop = np.append(start[1:], len(rows))
        own = np.empty(len(rows), dtype=np.float32)
        # Single precision takes half of the time. A product of an array with its own transpose also
        # takes half, as BLAS computes only one half of the symmetric result.
        of_cell = u[rows].astype(np.float32, copy=False)
        cosine = of_cell @ of_cell.T
        # The nearest image is another one.
        np.fill_diagonal(cosine, -1.0)
        for first, last in zip(start, stop):
            of_class = cosine[first:last, first:last]
            own[first:last] = of_class.max(axis=1)
            of_class[:] = -1.0  # what is left are the other classes
        others = cosine.max(axis=1)
        return rows, np.maximum(1 - others, 0) / 2, 1 - own

    rows, half, own = map(np.concatenate, zip(*in_parallel(distances, cells)))
    np.minimum.at(room, rows, half)
    # An image may be there under two labels, and then there is no room.
    room = np.maximum(room * (1 - 1 / max(len(np.unique(codes)), 2)), eps)
    is_near = np.zeros(n, dtype=bool)
    is_near[rows[own <= room[rows]]] = True

    def links(rows):
        """The pairs of rows of a class in a minimum spanning forest, and their closeness. It has
        the nearest image of each, and the same chains within any limit as all pairs, which would
        take much memory.
        """
        rows = rows[is_near[rows]]
        of_cell = u[rows].astype(np.float32, copy=False)
        closeness = of_cell @ of_cell.T
        for part in blocks(len(rows), BLOCK):
            distance = np.maximum(1 - closeness[part], 0)
            closeness[part] = distance / np.minimum(room[rows[part], None], room[rows])
            closeness[part][codes[rows[part], None] != codes[rows]] = np.inf
        one, other, closeness = _spanning_forest(closeness)
        return rows[one], rows[other], closeness

    one, other, closeness = map(np.concatenate, zip(*map(links, cells)))
    nearest = np.ones(n)
    np.minimum.at(nearest, np.concatenate([one, other]), np.tile(closeness, 2))
    nearest = np.sort(np.maximum(nearest, eps))
    level = np.arange(1, n + 1) / n
    # A few distinct images may be within the level too. So the limit is where many images are much
    # closer than the level.
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
    others.
    """
    _, index, counts = np.unique(codes, return_inverse=True, return_counts=True)
    if len(counts) == 1:
        return 1 - (u @ u.sum(axis=0) - 1) / (len(u) - 1)
    sums = sum_rows(u, np.ones(len(u)), index, len(counts))
    others = u.sum(axis=0) - sums
    cosines = [
        np.einsum("nd,nd->n", u[part], others[index[part]]) for part in blocks(len(u), BLOCK)
    ]
    return 1 - np.concatenate(cosines) / (len(u) - counts[index])


def _cells_of(u):
    """Rows that lie close together. If there are many, they are cut in three ways, because a cut
    may separate copies.
    """
    rows = np.arange(len(u))
    return (
        [rows]
        if len(u) <= COMPARED
        else [part for cut in (1, 2, 3) for part in _cells(u, rows, cut)]
    )


def _cells(u, rows, cut):
    """The `rows (n,)` in parts of at most COMPARED. The rows of a part are nearest to the same of
    some images.
    """
    if len(rows) <= COMPARED:
        return [rows]
    some = rows[evenly_spaced(len(rows), cut + len(rows) // COMPARED)]
    nearest = [(u[rows[block]] @ u[some].T).argmax(axis=1) for block in blocks(len(rows), BLOCK)]
    part = np.concatenate(nearest)
    if np.ptp(part) == 0:
        return [cell for half in np.array_split(rows, 2) for cell in _cells(u, half, cut)]
    return [cell for i in np.unique(part) for cell in _cells(u, rows[part == i], cut)]
