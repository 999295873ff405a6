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

from .._utils.threads import in_parallel

# Images are compared with about this many that lie close to them.
COMPARED = 2**11
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
    u = u.astype(np.float32)  # half of the time

    def compare(rows):
        """Half of the distance of each row to other classes, and the pairs of rows of a class that
        may be closer.
        """
        part = u[rows]
        distance, same = 1 - part @ part.T, codes[rows, None] == codes[rows]
        half = np.maximum(distance.min(axis=1, where=~same, initial=2.0), 0) / 2
        one, other = np.nonzero(same & (distance <= np.minimum(room[rows], half)))
        one, other = one[one < other], other[one < other]
        return rows, half, rows[one], rows[other], np.maximum(distance[one, other], 0)

    rows, half, one, other, distance = map(np.concatenate, zip(*in_parallel(compare, _parts(u))))
    np.minimum.at(room, rows, half)
    room *= 1 - 1 / max(len(np.unique(codes)), 2)
    # An image may be there under two labels.
    closeness = distance / np.maximum(np.minimum(room[one], room[other]), np.finfo(u.dtype).eps)

    nearest = np.ones(n)
    np.minimum.at(nearest, np.concatenate([one, other]), np.tile(closeness, 2))
    nearest = np.sort(np.maximum(nearest, np.finfo(u.dtype).eps))
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


def _mean_distance(u, codes):
    """Mean distance of each image to the images of other classes `(n,)`, or with one class to all
    others.
    """
    _, index, counts = np.unique(codes, return_inverse=True, return_counts=True)
    if len(counts) == 1:
        return 1 - (u @ u.sum(axis=0) - 1) / (len(u) - 1)
    sums = coo_array((np.ones(len(u)), (index, np.arange(len(u))))).tocsr() @ u
    return 1 - np.einsum("nd,nd->n", u, (u.sum(axis=0) - sums)[index]) / (len(u) - counts[index])


def _parts(u):
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
    some = rows[np.linspace(0, len(rows) - 1, cut + len(rows) // COMPARED).astype(np.intp)]
    part = (u[rows] @ u[some].T).argmax(axis=1)
    if np.ptp(part) == 0:
        return [cell for half in np.array_split(rows, 2) for cell in _cells(u, half, cut)]
    return [cell for i in np.unique(part) for cell in _cells(u, rows[part == i], cut)]
