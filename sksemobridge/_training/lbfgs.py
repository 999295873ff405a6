"""L-BFGS on one flat NumPy vector, kept close to what training the bridge needs.

SciPy's `L-BFGS-B` spends as long on its bookkeeping as the loss takes, works in float64 only, and judges
convergence by a single iteration, so that one slow iteration ends it early.
"""

from dataclasses import dataclass

import numpy as np
from scipy import linalg

# Corrections kept, and iterations whose mean progress decides about convergence.
MEMORY = 5
WINDOW = 10

# Wolfe conditions: the share of the predicted decrease that is asked for, and of the slope that may stay.
DECREASE = 1e-4
CURVATURE = 0.9
MAX_TRIALS = 30


@dataclass(frozen=True)
class Minimum:
    """Outcome of `minimize`: the point, iterations done, and whether they converged."""

    x: np.ndarray
    n_iter: int
    converged: bool


@dataclass(frozen=True)
class _Point:
    """A point on the search line `x + step * direction`, its value, gradient and slope along the line."""

    step: float
    x: np.ndarray
    value: float
    gradient: np.ndarray
    slope: float


def minimize(function, x, *, max_iter, tol, report):
    """Minimise a smooth function.

    Parameters
    ----------
    function : callable
        Maps a point to its value (float) and gradient (array of `x`'s dtype).
    x : ndarray of shape (size,)
        Start. Its dtype is the dtype of all vectors.
    max_iter : int
    tol : float
        Converged when the last `WINDOW` iterations lowered the value by less than `tol / 2` of itself on average.
        What is left to gain is then of the order of what the window gained.
    report : callable
        Called with the value at the start and after each iteration; a true answer stops.
    """
    value, gradient = function(x)
    values = [value]
    history = _Corrections(len(x), x.dtype)
    stopped = report(value)
    while len(values) <= max_iter and not stopped:
        direction = -history.inverse_hessian_times(gradient)
        slope = _dot(direction, gradient)
        if not slope < 0:  # a zero gradient, or nothing left but rounding
            return Minimum(x, len(values) - 1, True)
        start = _Point(0.0, x, value, gradient, slope)
        end = _search(function, start, direction)
        if end is None:
            return Minimum(x, len(values) - 1, True)
        history.add(end.x - x, end.gradient - gradient)
        x, value, gradient = end.x, end.value, end.gradient
        values.append(value)
        stopped = report(value)
        if len(values) > WINDOW and values[-1 - WINDOW] - value <= 0.5 * WINDOW * tol * abs(value):
            return Minimum(x, len(values) - 1, True)
    return Minimum(x, len(values) - 1, False)


class _Corrections:
    """The last steps `s` and gradient changes `y`, and the inverse Hessian that they imply.

    In the compact form of Byrd, Nocedal and Schnabel ("Representations of quasi-Newton matrices and their use
    in limited memory methods", 1994, eq. 3.1) a product passes over the history twice in whole matrices.
    """

    def __init__(self, size, dtype):
        self._s = np.zeros((MEMORY, size), dtype=dtype)
        self._y = np.zeros((MEMORY, size), dtype=dtype)
        self._sy = np.zeros((MEMORY, MEMORY))
        self._yy = np.zeros((MEMORY, MEMORY))
        self._order = []  # rows of the history, oldest first

    def add(self, s, y):
        if not _dot(s, y) > 0:  # the line search makes it positive; rounding can undo that at the very end
            return
        row = len(self._order) if len(self._order) < MEMORY else self._order.pop(0)
        self._order.append(row)
        self._s[row], self._y[row] = s, y
        self._sy[:, row] = self._s @ y  # products with older y, below the triangle `R`, are not needed
        self._yy[:, row] = self._yy[row] = self._y @ y

    def inverse_hessian_times(self, gradient):
        """`H g = c g + S a - c Y p` with `p = R^-1 S'g`, `a = R^-T (D p + c Y'Y p - c Y'g)`.

        `R` is the upper triangle of `S'Y`, `D` its diagonal, `c = s'y / y'y` of the newest pair. Without a
        history the step has length one.
        """
        if not self._order:
            return gradient / max(np.sqrt(_dot(gradient, gradient)), np.finfo(gradient.dtype).tiny)
        order = self._order
        square = np.ix_(order, order)
        upper, diagonal = np.triu(self._sy[square]), np.diag(self._sy)[order]
        scale = diagonal[-1] / self._yy[order[-1], order[-1]]
        p = linalg.solve_triangular(upper, (self._s @ gradient)[order].astype(np.float64))
        a = linalg.solve_triangular(
            upper, diagonal * p + scale * (self._yy[square] @ p - (self._y @ gradient)[order]), trans="T"
        )
        along_s, along_y = np.zeros((2, MEMORY), dtype=gradient.dtype)
        along_s[order], along_y[order] = a, scale * p
        return gradient.dtype.type(scale) * gradient + along_s @ self._s - along_y @ self._y


def _search(function, start, direction):
    """The first trial point that meets the Wolfe conditions, None if there is none within rounding.

    Doubles the step until the minimum along the line is enclosed, then closes in by the secant of the slopes.
    Where the decrease drowns in the rounding of the values, slopes decide alone (the approximate Wolfe
    conditions of Hager and Zhang, 2005).
    """
    rounding = np.finfo(start.x.dtype).eps * abs(start.value)
    low, high = start, None
    step = 1.0
    for _ in range(MAX_TRIALS):
        x = start.x + start.x.dtype.type(step) * direction
        value, gradient = function(x)
        trial = _Point(step, x, value, gradient, _dot(gradient, direction))
        enough = value <= start.value + DECREASE * step * start.slope or (
            value <= start.value + rounding and trial.slope <= (2 * DECREASE - 1) * start.slope
        )
        if enough and trial.slope >= CURVATURE * start.slope:
            return trial
        if enough:
            low = trial
        else:
            high = trial
        if high is None:
            step = 2 * step
            continue
        width = high.step - low.step
        bend = high.slope - low.slope
        share = -low.slope / bend if bend > 0 else 0.5
        step = low.step + width * min(max(share, 0.1), 0.9)
    return None


def _dot(a, b):
    return float(a @ b)
