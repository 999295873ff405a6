"""Rows of arrays: evenly spaced rows, blocks of rows, and sums by class."""

import numpy as np
from scipy.sparse import coo_array

# Relative sums of squares below this are only rounding.
ROUNDING = 1e-14
# Least share of a whole. Half of the digits stay for a difference, such as for a class without its
# heaviest shot.
LEAST_SHARE = float(np.sqrt(np.finfo(float).eps))
# Rows of a block. 256 rows of 512 numbers take 1 MB, which fits into the cache of a processor.
BLOCK = 2**8


def weight_in_class(codes, weight):
    """Each weight `(n,)`, divided by the sum of the weights of its class."""
    return weight / np.bincount(codes, weights=weight)[codes]


def images_per_weight(weight):
    """The number of images that a weight of one counts, if all weights `(n,)` together count as
    their effective number, `(sum w)^2 / sum w^2`. The result does not jump if a weight goes to
    zero.
    """
    return weight.sum() / np.square(weight).sum()


def sum_rows(values, weight, index, n):
    """Weighted sums of the rows of `values (m, k)` with the same `index`, shape (n, k)."""
    return (
        coo_array((weight, (index, np.arange(len(index)))), shape=(n, len(index))).tocsr() @ values
    )


def evenly_spaced(n, most):
    """Indices of `most` evenly spaced rows among `n`, or of all rows if there are no more."""
    return np.arange(n) if n <= most else np.linspace(0, n - 1, most).astype(np.intp)


def blocks(n, size=BLOCK):
    """Slices of `size` rows."""
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]
