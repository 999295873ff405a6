"""Embeddings that are equal up to rounding."""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.metrics import pairwise_distances_argmin_min

from .array_api import l2_normalize

# Embeddings are equal up to this distance, relative to their length. Single precision and other
# batch sizes cause about 1e-6.
SAME_EMBEDDING = 1e-5
# A row is compared with at most this many rows. Thousands of nearly equal rows would have too many
# pairs.
MOST_NEIGHBOURS = 64


def merge_within_rounding(X, codes):
    """Chains of rows of one class that differ only by rounding: that of each row `(n,)`, and the
    first row of each `(m,)`.
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


def are_among(u, others):
    """Whether each of the unit embeddings `u (n, D)` is one of the `others (m, D)`."""
    if not len(u) or not len(others):
        return np.zeros(len(u), dtype=bool)
    # Close rows are also close on a line, so only neighbours there are compared.
    direction = np.random.default_rng(0).normal(size=u.shape[1])
    direction = (direction / np.linalg.norm(direction)).astype(u.dtype)
    at, at_others = u @ direction, others @ direction
    order = np.argsort(at_others)
    # In single precision, both positions may be wrong by some rounding.
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
