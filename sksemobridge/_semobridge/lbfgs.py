"""L-BFGS minimises a smooth function of many numbers (Nocedal and Wright, Numerical Optimization,
algorithms 7.5 and 3.1).
"""

import math

# Number of earlier steps that say how the function is curved. With 3 to 15, training takes as many
# steps.
MEMORY = 4
# A step must lower the function by this share of what the slope says.
SUFFICIENT = 1e-4
# The largest number of shorter steps. After so many, rounding hides any decrease.
MOST_SHORTER = 12


def minimize(function, x, max_iter, is_done):
    """The point of the smallest value found from the tensor `x` on, and whether the search ended
    before `max_iter` steps.

    `function(x)` returns a value and its gradient. `is_done(value)` is asked at the start and after
    each step.
    """
    value, gradient = function(x)
    is_done(value)
    memory = []
    for _ in range(max_iter):
        direction = _direction(gradient, memory)
        slope = _dot(gradient, direction)
        found = _search(function, x, value, direction, slope) if slope < 0 else None
        if found is None:
            return x, True
        before = x, gradient
        x, value, gradient = found
        if is_done(value):
            return x, True
        step, change = x - before[0], gradient - before[1]
        curvature = _dot(step, change)
        if curvature > 0:
            memory = [*memory, (step, change, curvature)][-MEMORY:]
    return x, False


def _direction(gradient, memory):
    """The descent direction: minus the gradient, divided by the curvature that the memory says."""
    direction, shares = -gradient, []
    for step, change, curvature in reversed(memory):
        shares.append(_dot(step, direction) / curvature)
        direction.sub_(change, alpha=shares[-1])
    if memory:
        _, change, curvature = memory[-1]
        direction *= curvature / _dot(change, change)
    else:
        direction /= _dot(gradient, gradient) ** 0.5 or 1.0
    for (step, change, curvature), share in zip(memory, reversed(shares)):
        direction.add_(step, alpha=share - _dot(change, direction) / curvature)
    return direction


def _search(function, x, value, direction, slope):
    """The next point along the direction, its value and gradient; None if no step lowers it."""
    length = 1.0
    for _ in range(MOST_SHORTER):
        new_x = x.add(direction, alpha=length)
        new_value, gradient = function(new_x)
        if new_value <= value + SUFFICIENT * length * slope:
            return new_x, new_value, gradient
        # the minimum of the parabola through the two values and the slope
        bend = new_value - value - length * slope
        best = -slope * length**2 / (2 * bend) if math.isfinite(bend) and bend > 0 else 0.0
        length = min(max(best, 0.1 * length), 0.5 * length)
    return None


def _dot(a, b):
    return float(a.ravel() @ b.ravel())
