"""The semantic modality bridge, which maps image embeddings to the texts of CLIP.

`W (d, D)` is the text projection, `b_W (D,)` its bias, and `W+ (D, d)` its pseudo-inverse. `L` is
the mean length of a text embedding before the projection.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import linalg

from .._utils.array_api import l2_normalize
from .._utils.lru import LRUCache, content_key
from .._utils.validation import warn_caller

# The cutoff of the paper, for models of OpenAI. The bridge keeps 209 of 512 directions of ViT-B/16,
# 607 of 768 of ViT-L/14, and 881 of 1,024 of RN50x64.
PAPER_ATOL = 0.3
# `atol="auto"` is that of the paper where it keeps a share of the directions between these. Fewer
# or more say that the singular values of a model have another scale.
LEAST_KEPT, MOST_KEPT = 0.25, 0.95
# Elsewhere it is this times the median singular value. The cutoff of the paper is 0.70 times the
# median of ViT-L/14, and 0.73 times that of RN50x64.
AUTO_CUTOFF = 0.7

# A search over hyperparameters needs the same inverse in every fit, and the same other directions.
_inverses, _rests = LRUCache(max_size=4), LRUCache(max_size=4)


@dataclass(frozen=True, eq=False)
class Bridge:
    """The map `bridge(x) = nrm(L * nrm((x - b_W) @ W+) @ W + b_W)`."""

    matrix: Any  # `W+ (D, d)`, in closed form or trained; None is the identity
    projection: np.ndarray | None = None  # `W (d, D)`; None is the identity
    projection_bias: np.ndarray | None = None  # `b_W (D,)`
    text_length: float = 1.0  # `L`, which has no effect without a bias
    # In closed form: the kept directions, orthonormal columns `V (D, r)` with `W+ @ W = V V'`
    basis: np.ndarray | None = None
    atol: float | None = None  # singular values up to it count as zero; None for the identity

    @classmethod
    def identity(cls, width):
        """The bridge for `W = I`, which only scales rows to unit length."""
        identity = np.eye(width)
        return cls(identity, basis=identity)

    @classmethod
    def closed_form(cls, projection, projection_bias=None, text_length=1.0, atol="auto"):
        """The Moore-Penrose inverse of `projection (d, D)`. Singular values up to `atol` count as
        zero.
        """
        projection = np.asarray(projection, dtype=np.float64)
        key = content_key(projection), atol
        inverse, basis, cutoff = _inverses.get(key, lambda: _invert(projection, atol))
        if not basis.shape[1]:
            warn_caller(
                f"atol={atol} cuts off every direction of the projection, so that nothing can be"
                ' bridged. Use atol="auto".'
            )
        bias = None if projection_bias is None else np.asarray(projection_bias, dtype=np.float64)
        return cls(inverse, projection, bias, float(text_length), basis, cutoff)

    @property
    def rank(self):
        """The number of directions that the closed form keeps."""
        return 0 if self.basis is None else self.basis.shape[1]

    def inputs(self, x):
        """`x - b_W`, which is multiplied by `W+`."""
        return x if self.projection_bias is None else x - self.projection_bias

    def eos(self, x, class_bias=None):
        """Texts before the projection: `nrm((x - b_W) @ W+ [+ bias_c])` with a row of `class_bias`
        for each `x`, (n, d).
        """
        eos = self.inputs(x) @ self.matrix
        return l2_normalize(eos if class_bias is None else eos + class_bias)

    def joint(self, eos):
        """`L * eos @ W + b_W`, shape (n, D). The bridge is affine, so the result for a mean is the
        mean of the results.
        """
        joint = eos if self.projection is None else eos @ self.projection
        return (
            joint
            if self.projection_bias is None
            else self.text_length * joint + self.projection_bias
        )

    def for_predictions(self):
        """The bridge with what `apply` and `bridge_` need."""
        if self.basis is None:  # it was trained
            return self
        if self.projection_bias is not None:
            return replace(self, basis=None)
        if np.array_equal(self.matrix, np.eye(len(self.matrix))):
            return replace(self, matrix=None, projection=None, basis=None)
        return replace(self, projection=None)

    def apply(self, x):
        """`bridge(x)`, shape (n, D)."""
        if self.matrix is None:
            return l2_normalize(x)
        is_span = self.basis is not None and self.projection_bias is None
        return l2_normalize(self.apply_unscaled(x) if is_span else self.joint(self.eos(x)))

    def as_rows(self, y):
        """`(y @ M' (C, D), N (k, D), is_rest)` of a bridge without a bias of the projection, where
        `bridge(x) = nrm(x @ M)` with `|x @ M| <= |x|`. `|N x|` is the length of `x @ M`, or if
        `is_rest`, what is left: `|x|^2 = |x @ M|^2 + |N x|^2`.
        """
        if self.matrix is None:  # the identity
            return y, y[:0], True
        if self.basis is None:
            matrix = self.matrix if self.projection is None else self.matrix @ self.projection
            # Its scale has no effect, and no length overflows.
            matrix = l2_normalize(matrix.reshape(1, -1)).reshape(matrix.shape)
            return y @ matrix.T, matrix.T, False
        # What takes fewer multiplications: with the kept directions, two rows of each class, such
        # as `y` and its prototype, have `rank` numbers.
        (width, rank), of_classes = self.basis.shape, 2 * len(y)
        is_rest = (width - rank) * width + of_classes * width < rank * (width + of_classes)
        rows = self.basis.T
        if is_rest:
            key = content_key(self.basis)
            rows = _rests.get(key, lambda: linalg.qr(self.basis)[0][:, rank:].T.copy())
        return y @ self.basis @ self.basis.T, rows, is_rest

    def apply_unscaled(self, x):
        """`bridge(x)` in closed form without the outer `nrm`, shape (n, D). Without a bias, it is
        `x @ W+ @ W`.
        """
        # Without a bias, L and the inner nrm would only change lengths.
        return (
            x @ self.basis @ self.basis.T
            if self.projection_bias is None
            else self.joint(self.eos(x))
        )


def _invert(projection, atol):
    """The pseudo-inverse `W+ (D, d)`, the kept directions `V (D, r)`, and the cutoff as a number.
    The arrays are read-only, since all fits share them.
    """
    u, values, vt = linalg.svd(projection)
    values = values[values > values.max() * max(projection.shape) * np.finfo(np.float64).eps]
    atol = automatic_atol(values) if atol == "auto" else float(atol)
    values = values[values > atol]
    basis = vt[: len(values)].T.copy()
    inverse = (basis / values) @ u[:, : len(values)].T
    inverse.flags.writeable = basis.flags.writeable = False
    return inverse, basis, atol


def automatic_atol(values):
    """The cutoff for singular values that are more than rounding."""
    if len(values) and not LEAST_KEPT <= np.mean(values > PAPER_ATOL) <= MOST_KEPT:
        return float(AUTO_CUTOFF * np.median(values))
    return PAPER_ATOL
