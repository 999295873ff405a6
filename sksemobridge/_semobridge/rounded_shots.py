"""Shots as L-BFGS gets them: shots that are equal up to rounding are equal.

Minima of the loss are flat, and a step of L-BFGS about doubles any difference. So embeddings that
differ in their last bit would train bridges whose probabilities differ by 0.1 and more, however
many steps are made.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._model.shots import Shots
from .._utils.array_api import rows_as_bytes
from .._utils.rows import blocks, weight_in_class
from .bridge import Bridge
from .training import TrainedBridge

# Bits of a rounded number of an embedding. With 4 bits, bridges are as good as with 24. The fewer
# bits, the fewer numbers lie so near the middle of two rounded ones that another precision of the
# input moves them.
BITS = 4
# Bits of the rounded share that a shot has in its class.
BITS_OF_SHARE = 16


class RoundedShots(NamedTuple):
    """Shots in an order that does not depend on the scale of the embeddings."""

    X: np.ndarray  # embeddings, divided by their length, `(n, D)`
    codes: np.ndarray  # `(n,)`
    share: np.ndarray  # of the weight of the class `(n,)`
    order: np.ndarray  # index of each among the shots `(n,)`
    # The typical length of an embedding. One if the projection has a bias: then the bridge of a
    # longer embedding is another.
    length: float

    def unscaled(self, trained: TrainedBridge) -> TrainedBridge:
        """A bridge that was trained on these, for embeddings of their own length."""
        if trained.class_bias is None:
            return trained
        held_out = trained.held_out and self.unscaled(trained.held_out)
        return trained._replace(class_bias=self.length * trained.class_bias, held_out=held_out)


def rounded_shots(shots: Shots, bridge: Bridge) -> RoundedShots:
    """`RoundedShots` of `Shots`, for the training of a bridge."""
    codes, length = shots.codes, 1.0
    share = weight_in_class(codes, shots.weight)
    if bridge.projection_bias is None:
        squares = np.einsum("nd,nd->n", shots.X, shots.X, dtype=np.float64)  # without a copy of X
        length = float(np.sqrt(np.average(squares, weights=share))) or 1.0
    X, share = np.empty(shots.X.shape, np.float32), _rounded(share, BITS_OF_SHARE)
    for rows in blocks(len(X)):
        X[rows] = _rounded(shots.X[rows].astype(np.float64) / length, BITS)
    order = np.lexsort((share, codes))
    for rows in np.split(np.arange(len(codes)), np.flatnonzero(np.diff(codes)) + 1):
        own = order[rows]
        own = own[np.argsort(rows_as_bytes(X[own]), kind="stable")]
        order[rows], X[rows] = own, X[own]
    return RoundedShots(X, codes, weight_in_class(codes, share[order]), order, length)


def _rounded(values: np.ndarray, bits: int) -> np.ndarray:
    """The values with so many bits."""
    mantissa, exponent = np.frexp(values)
    return np.ldexp(np.round(np.ldexp(mantissa, bits)), exponent - bits)
