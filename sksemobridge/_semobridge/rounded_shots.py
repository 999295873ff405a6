"""Shots as L-BFGS gets them: shots that are equal up to rounding are equal.

Minima of the loss are flat, and a step of L-BFGS about doubles any difference. So embeddings that
differ in their last bit would train bridges whose probabilities differ by 0.1 and more, however
many steps are made.
"""

from __future__ import annotations

import numpy as np

from .._utils.array_api import rows_as_bytes
from .._utils.rows import blocks, weight_in_class
from .solvers import Training

# Bits of a rounded number of an embedding. With 4 bits, bridges are as good as with 24. The fewer
# bits, the fewer numbers lie so near the middle of two rounded ones that another precision of the
# input moves them.
BITS = 4
# Bits of the rounded share that a shot has in its class.
BITS_OF_SHARE = 16


def rounded_shots(training: Training) -> tuple[Training, float]:
    """The training on rounded shots, which are sorted by class and then by content, and the typical
    length by which embeddings are divided. The length is one if the projection has a bias: then the
    bridge of a longer embedding is another.
    """
    codes, share, length = training.codes, training.share, 1.0
    if training.bridge.projection_bias is None:
        # without a copy of X
        squares = np.einsum("nd,nd->n", training.X, training.X, dtype=np.float64)
        length = float(np.sqrt(np.average(squares, weights=share))) or 1.0
    X, share = np.empty(training.X.shape, np.float32), _rounded(share, BITS_OF_SHARE)
    for rows in blocks(len(X)):
        X[rows] = _rounded(training.X[rows].astype(np.float64) / length, BITS)
    order = np.lexsort((share, codes))
    for rows in np.split(np.arange(len(codes)), np.flatnonzero(np.diff(codes)) + 1):
        own = order[rows]
        own = own[np.argsort(rows_as_bytes(X[own]), kind="stable")]
        order[rows], X[rows] = own, X[own]
    left_out = None if training.left_out is None else training.left_out[order]
    share = weight_in_class(codes, share[order])
    return training._replace(X=X, share=share, left_out=left_out), length


def _rounded(values: np.ndarray, bits: int) -> np.ndarray:
    """The values with so many bits."""
    mantissa, exponent = np.frexp(values)
    return np.ldexp(np.round(np.ldexp(mantissa, bits)), exponent - bits)
