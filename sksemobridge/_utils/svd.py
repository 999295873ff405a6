"""The singular vectors of a projection, which the bridge and its training share."""

import numpy as np
from scipy import linalg

from .lru import LRUCache, content_key

_decompositions = LRUCache(max_items=4)


def singular_vectors(projection):
    """Singular value decomposition `W = U diag(s) V'` of the text projection.

    Parameters
    ----------
    projection : ndarray of shape (d, D)
        Text projection `W`.

    Returns
    -------
    u : ndarray of shape (d, d)
    singular_values : ndarray of shape (min(d, D),)
        In descending order.
    v : ndarray of shape (D, D)
        All three in float64 and read-only: the same content is decomposed once per process.
    """

    def compute():
        u, singular_values, vt = linalg.svd(np.asarray(projection, dtype=np.float64))
        return tuple(map(read_only, (u, singular_values, np.ascontiguousarray(vt.T))))

    return _decompositions.get(content_key(projection), compute)


def read_only(array):
    """The array itself, locked."""
    array.flags.writeable = False
    return array
