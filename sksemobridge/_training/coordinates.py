"""The loss in the coordinates in which L-BFGS minimises it: smaller, but exact, and well scaled."""

from dataclasses import replace

import numpy as np
from scipy import linalg

from .._utils.array_api import l2_normalize, to_numpy
from .._utils.svd import singular_vectors
from .loss import BridgeLoss

# Embeddings come in single precision: a direction below its rounding is not in their span.
ROUNDING = np.finfo(np.float32).eps

# How far the directions of the inputs are evened out; 1 would be wholly. The further, the fewer iterations.
# But the loss has many minima, and wholly evened out L-BFGS ends in some where directions of little variance
# have changed the bridge as much as any, which costs accuracy (`studies/training.py`).
PRECONDITIONING = 0.5

# The unit of the class bias, relative to that of the bridge; it, too, chooses among the minima. Queries never
# get a class bias, so they lose what the bias learns: with equal units it learns most, and accuracy
# falls behind AdamW's. A much smaller unit takes more iterations (`studies/training.py`).
BIAS_SCALE = 0.25


class FlatLoss:
    """The loss as a function of one vector.

    The vector holds `B (k, m)` and the class bias `(C, m)` of

    `v_i = v_i0 + inputs_i @ Q @ B @ U' + bias_c @ U'`,

    where `v_i0` comes from the bridge at the start. The columns of `Q (D, k)` and `U (d, m)` are orthogonal.
    Gradients of the bridge lie in the span of the inputs, so nothing is lost in `Q`, their principal
    directions. Where `W` is the identity, everything that `v` is compared with lies in one space, and
    gradients of `v` in the span of all of it: `U`. Any other `W` is diagonal in the bases of its singular
    vectors.

    Parameters
    ----------
    problem : Problem
    bridge : ndarray of shape (D, d)
        Where training starts.
    bias : ndarray of shape (C, d) or None
        Class bias at the start.
    dtype : dtype
    device : torch.device or None
        As in `BridgeLoss`.

    Attributes
    ----------
    start : ndarray of shape (size,)
        The vector at the start.
    """

    def __init__(self, problem, bridge, bias, dtype=np.float32, device=None):
        self._bridge = bridge
        self._q = inputs_basis(problem.inputs, problem.weight_in_class)
        inputs = problem.inputs @ self._q
        problem = replace(problem, offset=problem.inputs @ bridge)
        if problem.projection is None:
            self._u = v = eos_basis(problem, bias)
            singular_values = None
        else:
            self._u, singular_values, v = singular_bases(problem.projection)
        if self._u is not None:
            problem = in_bases(problem, self._u, v, singular_values)
            bias = None if bias is None else bias @ self._u
        # In these units v has length one, and so has a step of the bridge that turns it by as much.
        v_scale = _typical_length(problem.offset, problem.weight_in_class)
        self._bridge_scale = v_scale / _typical_length(inputs, problem.weight_in_class)
        # Without text, the bridge learns only what the bias leaves to it: equal units.
        self._bias_scale = (1.0 if problem.text is None else BIAS_SCALE) * v_scale
        self._loss = BridgeLoss(replace(problem, inputs=inputs * self._bridge_scale), dtype, device)
        start = np.zeros((inputs.shape[1], problem.offset.shape[1]))
        self._n_inputs = len(start)
        if bias is not None:
            start = np.vstack([start, bias / self._bias_scale])
        self._shape = start.shape
        self.start = start.astype(dtype).ravel()

    def __call__(self, x):
        """The loss and its gradient, an array like `x`."""
        parameters = [None if part is None else self._loss.to_array(part) for part in self._parts(x)]
        value, d_bridge, d_bias = self._loss.value_and_gradient(*parameters)
        gradient = np.empty(self._shape, dtype=x.dtype)
        gradient[: self._n_inputs] = to_numpy(d_bridge)
        if d_bias is not None:
            np.multiply(to_numpy(d_bias), self._bias_scale, out=gradient[self._n_inputs :])
        return value, gradient.ravel()

    def bridge_and_bias(self, x):
        """The bridge `(D, d)` and the class bias `(C, d)` or None that a vector stands for, in float64."""
        change, bias = self._parts(x.astype(np.float64))
        change = change * self._bridge_scale
        if self._u is not None:
            change = change @ self._u.T
            bias = None if bias is None else bias @ self._u.T
        return self._bridge + self._q @ change, bias

    def _parts(self, x):
        """`B` and the class bias, or None for want of one."""
        matrix = x.reshape(self._shape)
        bias = matrix[self._n_inputs :]
        return matrix[: self._n_inputs], bias * x.dtype.type(self._bias_scale) if len(bias) else None


def inputs_basis(inputs, weight):
    """The principal directions of the inputs as columns of length `s ** -PRECONDITIONING`, (D, k).

    `s` is the length that the inputs, weighted, have in the direction together.
    """
    rows = np.sqrt(weight)[:, None] * inputs
    n, width = rows.shape
    squares, directions = linalg.eigh(rows @ rows.T if n < width else rows.T @ rows, check_finite=False)
    kept = squares > ROUNDING**2 * squares[-1]
    lengths, directions = np.sqrt(squares[kept]), directions[:, kept]
    if n < width:
        directions = rows.T @ directions / lengths
    return directions * lengths**-PRECONDITIONING


def eos_basis(problem, bias):
    """Orthonormal columns that span all that `v` starts from or is compared with; None if there are none.

    Needs `W` to be the identity: any other `W` leads out of every smaller space.
    """
    n, width = problem.offset.shape
    if 2 * n > width:
        return None
    parts = [problem.offset, problem.unit_shots, problem.text, problem.eos, problem.projection_bias, bias]
    rows = l2_normalize(np.vstack([part for part in parts if part is not None]))
    basis, upper, _ = linalg.qr(rows.T, mode="economic", pivoting=True, check_finite=False)
    diagonal = np.abs(np.diag(upper))
    rank = int((diagonal > ROUNDING * diagonal[0]).sum())
    return basis[:, :rank] if 0 < rank < width else None


def singular_bases(projection):
    """Orthonormal bases `U (d, m)` and `V (D, m)` with `W = U diag(s) V'`, and `s (m,)`; `m = max(d, D)`.

    Where `W` is not square the smaller space is padded with columns of zeros.
    """
    size = max(projection.shape)
    return tuple(
        np.pad(part, [(0, 0)] * (part.ndim - 1) + [(0, size - part.shape[-1])])
        for part in singular_vectors(projection)
    )


def in_bases(problem, eos, joint, projection):
    """The problem in coordinates of orthonormal bases of the two spaces; `projection` is `L W` in them."""
    bases = {"offset": eos, "eos": eos, "unit_shots": joint, "text": joint, "projection_bias": joint}
    parts = {name: getattr(problem, name) for name in bases}
    rotated = {name: part @ bases[name] for name, part in parts.items() if part is not None}
    return replace(problem, projection=projection, **rotated)


def _typical_length(rows, weight):
    """Root of the weighted mean of squared lengths of rows; one if all are zero."""
    square = np.average((rows**2).sum(axis=1), weights=weight)
    return float(np.sqrt(square)) if square > 0 else 1.0
