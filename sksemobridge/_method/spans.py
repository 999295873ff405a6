"""Where texts live: the part of the joint space that images are compared in (ours, not in the paper).

With `V (D, r)` the directions in which texts differ and `m (D,)` the mean of the images at hand,

`bridge(x) = nrm(V V' (nrm(x) - m))`.

It keeps the part of an image that words can describe, and drops the part that all images share. `V` is learnt from
the embeddings of everyday words, or of the texts of the classes. Both sides of a comparison between images go through
it.
"""

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from .._utils.array_api import l2_normalize, namespace
from .._utils.lru import LRUCache, content_key
from .._utils.svd import read_only
from .shots import blocks, sum_rows, weight_in_class

# The rank keeps this share of the variance of the texts. What is left are directions in which no two words
# differ much; RN50 has a tail of hundreds of them, and loses most of the gain where all are kept
# (`python studies/directions.py`).
VARIANCE_SHARE = 0.9
# Bounds of the rank as parts of `D`. Coarse words fill few directions, and fine classes need more of them; texts
# that differ in every direction alike must not turn the bridge into the identity.
LEAST_RANK, MOST_RANK = 1 / 3, 1 / 2
# Parts of unit embeddings shorter than this are rounding, of the embedding or of the mean.
RESOLUTION = 1e-5

_bases = LRUCache(max_items=16)


@dataclass(frozen=True, eq=False)
class Span:
    """The bridge `bridge(x) = nrm(V V' (nrm(x) - m))`.

    A row within rounding of the mean, or without a part in the span, stays zero.

    Attributes
    ----------
    basis : ndarray of shape (D, r) or None
        Orthonormal columns `V`; None is the whole space.
    mean : ndarray of shape (D,) or None
        `m`, in or out of the span; None is zero.
    """

    basis: np.ndarray | None = None
    mean: np.ndarray | None = None

    def coordinates(self, x):
        """`V' (nrm(x) - m)`: affine in the unit embeddings, of the length that is left; shape (n, r)."""
        centred = l2_normalize(x)
        if self.mean is not None:
            centred = centred - self.mean
        return centred if self.basis is None else centred @ self.basis

    def apply_unscaled(self, x):
        """`V V' (nrm(x) - m)`, shape (n, D)."""
        coordinates = self.coordinates(x)
        return coordinates if self.basis is None else coordinates @ self.basis.T

    def apply(self, x):
        """`bridge(x)`, shape (n, D)."""
        return normalize_parts(self.apply_unscaled(x))


def normalize_parts(x):
    """Parts of unit embeddings `(n, k)` divided by their lengths; rows within rounding of zero stay near zero."""
    xp = namespace(x)
    return x / xp.clip(xp.linalg.vector_norm(x, axis=1, keepdims=True), RESOLUTION, None)


def span_of_texts(texts):
    """Orthonormal directions in which texts differ, the strongest first.

    The rank is that of `VARIANCE_SHARE` of the variance of the texts, but at least `LEAST_RANK` and at most
    `MOST_RANK` of `D`. Texts that span fewer directions than the least are kept whole: `C` texts of classes
    give `C - 1` directions.

    Parameters
    ----------
    texts : ndarray of shape (n, D)
        Joint-space embeddings of any length; each text counts the same.

    Returns
    -------
    ndarray of shape (D, r)
        Float64, read-only: the same content is computed once per process. Of one text, or texts that are all
        the same, `r` is zero.
    """

    def compute():
        unit = l2_normalize(np.asarray(texts, dtype=np.float64))
        _, deviations, right = linalg.svd(unit - unit.mean(axis=0), full_matrices=False)
        variances = np.square(deviations) / len(unit)
        basis = right[: _rank(variances, unit.shape[1])].T
        # A singular vector has no sign of its own.
        largest = np.abs(basis).argmax(axis=0)
        basis = np.ascontiguousarray(basis * np.sign(basis[largest, np.arange(basis.shape[1])]))
        return read_only(basis)

    return _bases.get(content_key(np.asarray(texts)), compute)


def _rank(variances, dimension):
    """How many of the directions are kept that have these variances, the largest first."""
    n_spanned = int((variances > RESOLUTION**2).sum())
    share = np.cumsum(variances) / max(variances.sum(), RESOLUTION**2)
    rank = int(np.searchsorted(share, VARIANCE_SHARE)) + 1
    least, most = np.ceil(LEAST_RANK * dimension), np.ceil(MOST_RANK * dimension)
    return min(int(np.clip(rank, least, most)), n_spanned)


def class_balanced_mean(X, codes, weight):
    """Mean over the classes of the weighted means of their unit embeddings: `m` of labelled shots.

    Parameters
    ----------
    X : ndarray of shape (n, D)
    codes : ndarray of shape (n,)
        Class indices. Classes without rows do not count.
    weight : ndarray of shape (n,)
        Positive.

    Returns
    -------
    ndarray of shape (D,), float64
    """
    _, codes = np.unique(codes, return_inverse=True)
    share = weight_in_class(codes, weight)
    unit = l2_normalize(X.astype(np.float64, copy=False))
    return sum_rows(unit, share, codes, codes.max() + 1).mean(axis=0)


@dataclass(frozen=True, eq=False)
class RunningMean:
    """The mean of unit embeddings that come in several parts: `m` of a gallery.

    Attributes
    ----------
    total : ndarray of shape (D,)
        Their sum, float64.
    n_rows : int
    """

    total: np.ndarray | float = 0.0
    n_rows: int = 0

    def add(self, X):
        """The mean with more rows `X (n, D)`."""
        total = self.total
        for rows in blocks(len(X)):
            total = total + l2_normalize(X[rows].astype(np.float64, copy=False)).sum(axis=0)
        return RunningMean(total, self.n_rows + len(X))

    @property
    def mean(self):
        """The mean so far, shape (D,)."""
        return self.total / self.n_rows
