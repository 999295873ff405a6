"""Smaller but exact versions of a training problem: coordinates in orthonormal bases of both spaces."""

from dataclasses import replace

import numpy as np
from scipy import linalg

from .._method.bridge import singular_vectors
from .._utils.array_api import l2_normalize

# Embeddings come in single precision: what is left of a direction below its rounding is in none of their span.
ROUNDING = np.finfo(np.float32).eps

# How far L-BFGS evens out the directions of the shots; 1 would be wholly. The further, the fewer iterations; but
# the loss has many minima, and wholly evened out it ends in some where directions of little variance have changed
# the bridge as much as any, which costs accuracy (`studies/training.py`).
PRECONDITIONING = 0.5


def shots_basis(inputs, weight):
    """Orthogonal columns that span the shots: their principal directions, short where the shots are long, (D, k).

    Gradients of the bridge lie in this span, so nothing is lost in it. Directions in which the shots have length
    `s` are scaled by `s ** -PRECONDITIONING`.
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
