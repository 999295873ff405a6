"""The semantic modality bridge: image embeddings mapped into CLIP's text modality.

Symbols: `W (d, D)` the text projection with bias `b_W (D,)`, `W+ (D, d)` its pseudo-inverse, `L` the average
length of a text embedding before the projection. Pure functions on NumPy arrays.
"""

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from .._utils.array_api import l2_normalize
from .._utils.lru import LRUCache, content_key

# Cutoff of `atol="auto"` relative to the median singular value. The absolute 0.3 of the paper is 0.70 of the
# median for ViT-L/14 (0.428) and 0.73 for RN50x64 (0.413), the two models where it keeps most
# (`python benchmarks/retrieval.py --projections FILE` prints how many directions both cutoffs keep).
AUTO_CUTOFF = 0.7

# A search over the paper's numbers asks for the same decomposition in every fit.
_decompositions = LRUCache(max_items=4)


@dataclass(frozen=True, eq=False)
class Bridge:
    """The map `bridge(x) = nrm(L * nrm((x - b_W) @ W+) @ W + b_W)`."""

    matrix: np.ndarray  # `W+ (D, d)`, in closed form or trained
    projection: np.ndarray | None = None  # `W (d, D)`; None stands for the identity (no text side)
    projection_bias: np.ndarray | None = None  # `b_W (D,)`
    text_length: float = 1.0  # `L`, which cancels without a projection bias
    # Of the closed form: orthonormal columns `V (D, r)` with `W+ @ W = V V'`, the directions that are kept
    basis: np.ndarray | None = None

    @classmethod
    def identity(cls, width):
        """The bridge of `W = I`: rows are scaled to unit length."""
        identity = np.eye(width)
        return cls(identity, basis=identity)

    @classmethod
    def closed_form(cls, projection, projection_bias=None, text_length=1.0, atol="auto"):
        """The bridge of a text projection, its Moore-Penrose inverse with small singular values cut off.

        Singular values of `projection (d, D)` that are `<= atol` count as zero (the paper: 0.3). `"auto"` is relative to
        the median of those that are not rounding: `W` and `c * W` keep the same directions. All is in float64.
        """
        projection = np.asarray(projection, dtype=np.float64)
        u, values, vt = _decompositions.get(content_key(projection), lambda: linalg.svd(projection))
        values = values[values > values.max() * max(projection.shape) * np.finfo(np.float64).eps]
        if len(values):
            values = values[values > (AUTO_CUTOFF * np.median(values) if atol == "auto" else atol)]
        basis = vt[: len(values)].T.copy()
        inverse = (basis / values) @ u[:, : len(values)].T
        bias = None if projection_bias is None else np.asarray(projection_bias, dtype=np.float64)
        return cls(inverse, projection, bias, float(text_length), basis)

    def inputs(self, x):
        """What `W+` is multiplied by: `x - b_W`."""
        return x if self.projection_bias is None else x - self.projection_bias

    def eos(self, x, class_bias=None):
        """Texts before the projection: `nrm((x - b_W) @ W+ [+ bias_c])` with a row of `class_bias` for each `x`, (n, d)."""
        eos = self.inputs(x) @ self.matrix
        return l2_normalize(eos if class_bias is None else eos + class_bias)

    def joint(self, eos):
        """`L * eos @ W + b_W`, shape (n, D); it is affine, so that of a mean is the mean."""
        joint = eos if self.projection is None else eos @ self.projection
        return joint if self.projection_bias is None else self.text_length * joint + self.projection_bias

    def apply(self, x):
        """`bridge(x)`, shape (n, D)."""
        return l2_normalize(self.joint(self.eos(x)))

    def apply_unscaled(self, x):
        """`bridge(x)` of the closed form without the outer `nrm`; without a bias `x @ W+ @ W`, shape (n, D)."""
        # Without a bias L and the inner nrm would set lengths only.
        return x @ self.basis @ self.basis.T if self.projection_bias is None else self.joint(self.eos(x))

    def affinity(self, queries, image_means):
        """`z3 = bridge(q) . F_c`: bridged queries against the means of the shots as images, shape (n, C)."""
        if self.basis is not None and self.projection_bias is None:
            # An orthogonal projector: lengths and products can be taken in the kept directions.
            return l2_normalize(queries @ self.basis) @ (image_means @ self.basis).T
        return self.apply(queries) @ image_means.T
