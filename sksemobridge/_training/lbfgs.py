"""L-BFGS on one flat NumPy vector, kept close to what training the bridge needs.

SciPy's `L-BFGS-B` spends as long on its bookkeeping as the loss takes, works in float64 only, and judges
convergence by a single iteration, so that one slow iteration ends it early.
"""

import math
from dataclasses import dataclass

import numpy as np

# Corrections kept, and iterations whose mean progress decides about convergence (`studies/training.py`).
MEMORY = 5
WINDOW = 10

# Wolfe conditions: how much of the predicted decrease is asked for, and how much of the slope may stay. Values of
# Nocedal and Wright: "Numerical Optimization", for quasi-Newton methods.
DECREASE = 1e-4
CURVATURE = 0.9
# Points along a line; each search is over after a few, unless rounding hides the decrease.
MAX_TRIALS = 30
# Where in an interval the next trial point may lie.
SAFEGUARD = 0.1, 0.9


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
        Maps a point to its value (float) and gradient (a new array of `x`'s dtype).
    x : ndarray of shape (size,)
        Start. Its dtype is the dtype of all vectors.
    max_iter : int
    tol : float
        Converged when the last `WINDOW` iterations lowered the value by less than `tol / 2` of itself on
        average. What is left to gain is then of the order of what the window gained.
    report : callable
        Called with the value at the start and after each iteration; a true answer stops.

    Returns
    -------
    x : ndarray of shape (size,)
    converged : bool
        False after `max_iter` iterations, or when `report` stopped it.
    """
    value, gradient = function(x)
    values = [value]
    history = _History(len(x), x.dtype)
    stopped = report(value)
    while len(values) <= max_iter and not stopped:
        direction = history.direction(gradient)
        slope = _dot(direction, gradient)
        if not slope < 0:  # a zero gradient, or nothing left but rounding
            return x, True
        start = _Point(0.0, x, value, gradient, slope)
        end = _search(function, start, direction)
        if end is None:
            return x, True
        history.add(start, end)
        x, value, gradient = end.x, end.value, end.gradient
        values.append(value)
        stopped = report(value)
        if len(values) > WINDOW and values[-1 - WINDOW] - value <= 0.5 * WINDOW * tol * abs(value):
            return x, True
    return x, False


class _History:
    """The last steps `s` and gradient changes `y`, and the direction `-H g` that they imply.

    The two loops of Nocedal ("Updating quasi-Newton matrices with limited storage", 1980), on coefficients of
    `s`, `y` and `g` in place of vectors. Products of a new `y` with older rows are differences of their
    products with the gradients, so that each direction passes over the history twice, in whole matrices.
    """

    def __init__(self, size, dtype):
        self._rows = np.zeros((2 * MEMORY, size), dtype=dtype)  # all s, then all y
        self._products = np.zeros(2 * MEMORY)  # of the rows with the last gradient
        self._sy, self._yy = np.zeros((2, MEMORY, MEMORY)).tolist()  # products s_i . y_j, y_i . y_j
        self._order = []  # rows of s and y in use, oldest first
        self._free = list(range(MEMORY))  # the other rows
        self._is_new = False

    def add(self, start, end):
        """Take in the step between two points on a search line."""
        row = self._order.pop(0) if len(self._order) == MEMORY else self._free.pop()
        self._order.append(row)
        s, y = self._rows[row], self._rows[MEMORY + row]
        np.subtract(end.x, start.x, out=s)
        np.subtract(end.gradient, start.gradient, out=y)
        self._products[row], self._products[MEMORY + row] = end.step * start.slope, _dot(y, start.gradient)
        self._is_new = True

    def direction(self, gradient):
        """`-H g`; without a history the negative gradient at length one."""
        products = (self._rows @ gradient).astype(np.float64)
        if self._is_new:
            self._complete((products - self._products).tolist())
        self._products = products
        if not self._order:
            return gradient / -max(math.sqrt(_dot(gradient, gradient)), float(np.finfo(gradient.dtype).tiny))
        sg, yg = products.reshape(2, MEMORY).tolist()
        order, sy, yy = self._order, self._sy, self._yy
        along_y, along_s = {}, {}
        for i in reversed(order):
            along_y[i] = (sg[i] - sum(along_y[j] * sy[i][j] for j in along_y)) / sy[i][i]
        newest = order[-1]
        scale = sy[newest][newest] / yy[newest][newest]
        for i in order:
            y_r = scale * (yg[i] - sum(along_y[j] * yy[i][j] for j in order))
            y_r += sum(along_s[j] * sy[j][i] for j in along_s)
            along_s[i] = along_y[i] - y_r / sy[i][i]
        along = np.zeros(2 * MEMORY, dtype=gradient.dtype)
        for i in order:
            along[i], along[MEMORY + i] = -along_s[i], scale * along_y[i]
        direction = along @ self._rows
        direction -= gradient.dtype.type(scale) * gradient
        return direction

    def _complete(self, change):
        """Fill in the products of all rows with the newest `y`."""
        newest = self._order[-1]
        for i in self._order:
            self._sy[i][newest] = change[i]
            self._yy[i][newest] = self._yy[newest][i] = change[MEMORY + i]
        self._is_new = False
        # The line search makes both positive; rounding can undo that at the very end.
        if not (self._sy[newest][newest] > 0 and self._yy[newest][newest] > 0):
            self._order.remove(newest)
            self._free.append(newest)


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
        bend = high.slope - low.slope
        fraction = -low.slope / bend if bend > 0 else 0.5
        step = low.step + (high.step - low.step) * np.clip(fraction, *SAFEGUARD)
    return None


def _dot(a, b):
    return float(a @ b)
