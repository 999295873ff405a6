"""L-BFGS minimises a smooth function of many numbers (Nocedal and Wright, Numerical Optimization,
algorithms 7.5 and 3.1).
"""

import math

# Number of earlier steps that say how the function is curved. Each takes the memory of two vectors.
# With 5 to 15, training takes as many steps, and with 3, up to a third more time.
MEMORY = 4
# Steps of long vectors are fewer, so that they have at most so many numbers together, but at least
# two. With 440 real classes, two steps train as well as four, and as fast.
NUMBERS_OF_MEMORY = 2**22
LEAST_MEMORY = 2
# A step must lower the function by this share of what the slope says.
SUFFICIENT = 1e-4
# The largest number of shorter steps. After so many, rounding hides any decrease.
MOST_SHORTER = 12


def minimize(function, x, max_iter, is_done, precondition=lambda vector: vector.clone()):
    """The point of the smallest value found from the tensor `x` on, and whether the search ended
    before `max_iter` steps. `x` may be overwritten.

    `function(x)` returns a value and its gradient. `is_done(value)` is asked at the start and after
    each step. `precondition(vector)` is a guess of the inverse curvature, up to a factor, times a
    vector: a new tensor.
    """
    value, gradient = function(x)
    is_done(value)
    memory = []
    most = min(MEMORY, max(LEAST_MEMORY, NUMBERS_OF_MEMORY // max(2 * x.numel(), 1)))
    for _ in range(max_iter):
        direction = _direction(gradient, memory, precondition)
        slope = _dot(gradient, direction)
        # All steps are as large as `x`. The oldest makes room before the search of the next. If the
        # next step is refused below, for its curvature, the memory shrinks.
        memory = memory[1 - most :]
        found = _search(function, x, value, direction, slope) if slope < 0 else None
        del direction
        if found is None:
            return x, True
        new_x, value, new_gradient = found
        if is_done(value):
            return new_x, True
        # Neither the last point nor its gradient is needed any more.
        step, change = x.neg_().add_(new_x), gradient.neg_().add_(new_gradient)
        curvature = _dot(step, change)
        if curvature > 0:
            scale = curvature / _dot(change, precondition(change))
            memory.append((step, change, curvature, scale))
        x, gradient = new_x, new_gradient
        del found, step, change, new_x, new_gradient
    return x, False


def _direction(gradient, memory, precondition):
    """The descent direction: minus the gradient, divided by the curvature that the memory says.
    Without memory, the length of the direction is one in the metric of the preconditioning.
    """
    direction, shares = -gradient, []
    for step, change, curvature, _ in reversed(memory):
        shares.append(_dot(step, direction) / curvature)
        direction.sub_(change, alpha=shares[-1])
    direction = precondition(direction)
    direction *= memory[-1][-1] if memory else 1 / (abs(_dot(gradient, direction)) ** 0.5 or 1.0)
    for (step, change, curvature, _), share in zip(memory, reversed(shares)):
        direction.add_(step, alpha=share - _dot(change, direction) / curvature)
    return direction


def _search(function, x, value, direction, slope):
    """The next point along the direction, which is overwritten, its value and gradient; None if no
    step lowers it.
    """
    length, new_x = 1.0, direction.add_(x)
    for _ in range(MOST_SHORTER):
        new_value, gradient = function(new_x)
        if new_value <= value + SUFFICIENT * length * slope:
            return new_x, new_value, gradient
        # the minimum of the parabola through the two values and the slope
        bend = new_value - value - length * slope
        best = -slope * length**2 / (2 * bend) if math.isfinite(bend) and bend > 0 else 0.0
        shorter = min(max(best, 0.1 * length), 0.5 * length)
        new_x = x.lerp(new_x, shorter / length)
        length = shorter
    return None


def _dot(a, b):
    return float(a.ravel() @ b.ravel())
