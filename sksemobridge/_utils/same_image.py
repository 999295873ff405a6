"""Rules for when two embeddings are of one image.

- Equal rows have equal numbers. `distinct_rows` orders them by content, so that a result does not
  depend on copies or on the order of the input.
- Rows of one image differ by rounding, which another batch size or precision causes:
  `SAME_EMBEDDING`. A shot is thus found again among other images, and counts once.
- Near copies are, for example, augmentations of one image: `_model/near_copies` learns from the
  images how near they must be.
"""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.metrics import pairwise_distances_argmin_min

from .array_api import l2_normalize

# Embeddings are equal up to this distance, relative to their length. Single precision and other
# batch sizes cause about 1e-6.
SAME_EMBEDDING = 1e-5
SAME_COSINE = 1 - SAME_EMBEDDING**2 / 2  # of unit embeddings at this distance
# Most rows with which a row is compared. Thousands of nearly equal rows would have too many pairs.
MOST_NEIGHBOURS = 64


def merge_within_rounding(X, codes):
    """Chains of rows of one class that are the same image: the chain of each row `(n,)`, and the
    first row of each chain `(m,)`.
    """
    n, width = X.shape
    unit, scale = l2_normalize(X), np.abs(X).max(axis=1)
    # Close rows are also close after a projection to a line, so only neighbours on the line are
    # compared. In single precision, each of two positions may be wrong by half of the tolerance.
    direction = np.random.default_rng(0).normal(size=width)
    position = unit @ (direction / np.linalg.norm(direction)).astype(X.dtype)
    order = np.lexsort((position, codes))
    links = coo_array((n, n))
    for step in range(1, min(n, MOST_NEIGHBOURS + 1)):
        a, b = order[:-step], order[step:]
        near = (codes[a] == codes[b]) & (position[b] - position[a] <= 2 * SAME_EMBEDDING)
        if not near.any():
            break
        a, b = a[near], b[near]
        same = np.linalg.norm(unit[a] - unit[b], axis=1) <= SAME_EMBEDDING
        same &= np.abs(scale[a] - scale[b]) <= SAME_EMBEDDING * scale[b]
        links += coo_array((np.ones(same.sum()), (a[same], b[same])), shape=(n, n))
    chain = connected_components(links, directed=False)[1]
    return chain, np.unique(chain, return_index=True)[1]


def distinct_rows(X):
    """The distinct rows of `X (n, D)` in lexicographic order, and for each row its index among
    them.
    """
    order = np.lexsort(X.T[2::-1])
    ordered = X[order]
    is_new = np.append(True, np.any(ordered[1:] != ordered[:-1], axis=1))[: len(X)]
    # Three numbers usually decide which of two rows comes first. Comparing all numbers takes
    # longer.
    is_open = np.append(False, np.all(ordered[1:, :3] == ordered[:-1, :3], axis=1))
    if np.any(is_new & is_open):
        return np.unique(X, axis=0, return_inverse=True)
    index = np.empty(len(X), dtype=np.intp)
    index[order] = np.cumsum(is_new) - 1
    return ordered[is_new], index


def are_among(u, others):
    """Whether each unit embedding of `u (n, D)` is of the same image as one of the
    `others (m, D)`.
    """
    if not len(u) or not len(others):
        return np.zeros(len(u), dtype=bool)
    # Close rows are also close on a line, so only neighbours on the line are compared.
    direction = np.random.default_rng(0).normal(size=u.shape[1])
    direction = (direction / np.linalg.norm(direction)).astype(u.dtype)
    at, at_others = u @ direction, others @ direction
    order = np.argsort(at_others)
    # In single precision, rounding may move both positions.
    low = np.searchsorted(at_others[order], at - 2 * SAME_EMBEDDING)
    high = np.searchsorted(at_others[order], at + 2 * SAME_EMBEDDING)
    n_steps, result = (high - low).max(), np.zeros(len(u), dtype=bool)
    if n_steps > MOST_NEIGHBOURS:
        return pairwise_distances_argmin_min(u, others)[1] <= SAME_EMBEDDING
    for step in range(n_steps):
        rows = np.flatnonzero((low + step < high) & ~result)
        distance = np.linalg.norm(u[rows] - others[order[low[rows] + step]], axis=1)
        result[rows] = distance <= SAME_EMBEDDING
    return result
