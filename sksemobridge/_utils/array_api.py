"""Arrays of other libraries. Predictions are computed on the device of the queries, and constants are copied there.

Fitted models are NumPy arrays. With `sklearn.set_config(array_api_dispatch=True)`, queries may be arrays of any library
that follows the array API standard, on any device. Results have the same library and device.
"""

from dataclasses import fields, is_dataclass, replace

import array_api_compat
import numpy as np
from sklearn import get_config

from .threads import in_parallel

# Number of values in a block of rows. It is small enough for the cache of a processor, and large enough for its threads
# or a GPU (`python benchmarks/speed.py` prints time and memory).
HOST_BLOCK = 2**20
DEVICE_BLOCK = 2**25
# The same for the softmax of scores.
SOFTMAX_BLOCK = 2**17
# In float32, exponentials of smaller numbers lose digits or become zero.
LEAST_EXPONENT = float(np.log(np.finfo(np.float32).tiny))


def is_foreign(x):
    """True if `x` is an array of another library than NumPy, and the computation should use that library."""
    has_dispatch = not isinstance(x, np.ndarray) and get_config()["array_api_dispatch"]
    return has_dispatch and array_api_compat.is_array_api_obj(x)


def namespace(x):
    """The module with the array API functions for `x`. For NumPy arrays it is NumPy."""
    return np if isinstance(x, np.ndarray) else array_api_compat.array_namespace(x)


def to_numpy(x):
    """`x` as a NumPy array, copied from its device if necessary. Other objects are returned unchanged."""
    if isinstance(x, np.ndarray):
        return x
    if array_api_compat.is_torch_array(x):
        # NumPy has no bfloat16.
        return (x.float() if str(x.dtype) == "torch.bfloat16" else x).detach().cpu().numpy()
    if array_api_compat.is_cupy_array(x):
        return x.get()
    return np.from_dlpack(x) if is_foreign(x) else x


def map_arrays(part, function):
    """A copy of a dataclass with `function(array)` for each NumPy array in it, also in dataclasses and dicts in it."""

    def mapped(value):
        if isinstance(value, np.ndarray):
            return function(value)
        if isinstance(value, dict):
            return {key: mapped(item) for key, item in value.items()}
        return map_arrays(value, function) if is_dataclass(value) else value

    return replace(part, **{field.name: mapped(getattr(part, field.name)) for field in fields(part)})


def astype(part, dtype):
    """A dataclass with its float arrays in another precision. Arrays that have this precision are not copied."""
    return map_arrays(part, lambda a: a.astype(dtype, copy=False) if a.dtype.kind == "f" else a)


def constants_like(x, part):
    """A dataclass of NumPy arrays, with the precision and the device of the queries `x`."""
    xp, device = namespace(x), array_api_compat.device(x)
    part = astype(part, np.float32 if x.dtype == xp.float32 else np.float64)
    return part if xp is np else map_arrays(part, lambda a: xp.asarray(a.copy(), device=device))


def in_blocks(function, X):
    """`function(X)` in blocks of the rows of `X (n, D)`. So the memory for intermediate results does not grow with `n`.

    The function must treat each row by itself, and return an array with as many rows.
    """
    step, n = max(1, (HOST_BLOCK if isinstance(X, np.ndarray) else DEVICE_BLOCK) // X.shape[1]), X.shape[0]
    if n <= step:
        return function(X)
    first = function(X[:step, ...])
    shape = (n, *first.shape[1:])
    result = namespace(first).empty(shape, dtype=first.dtype, device=array_api_compat.device(first))
    result[:step, ...] = first

    def compute(start):
        stop = min(start + step, n)
        result[start:stop, ...] = function(X[start:stop, ...])

    starts = range(step, n, step)
    if isinstance(X, np.ndarray):
        in_parallel(compute, starts)
    else:
        for start in starts:
            compute(start)
    return result


def apply_in_blocks(model, X, finish):
    """`finish(values)` of queries `X (n, D)`, in blocks of rows. `finish` must treat each row by itself.

    `model` is a dataclass whose `decide(X)` gives the values. They have the array library and the device of `X`.
    """
    model = constants_like(X, model)
    return in_blocks(lambda block: finish(model.decide(block)), X)


def softmax(scores):
    """Softmax of each row, shape (n, C). For NumPy arrays it is float64, so that rows sum to one up to rounding."""
    xp = namespace(scores)
    if xp is not np:
        result = xp.exp(scores - xp.max(scores, axis=1, keepdims=True))
        return result / xp.sum(result, axis=1, keepdims=True)
    # Exponentials keep the precision of the scores, which is faster. A few rows at a time fit into the cache of a
    # processor (`python benchmarks/speed.py`).
    result = np.empty(scores.shape)
    step = max(1, SOFTMAX_BLOCK // scores.shape[1])
    for start in range(0, len(scores), step):
        rows = slice(start, start + step)
        part = scores[rows] - scores[rows].max(axis=1, keepdims=True)
        if part.dtype == np.float32 and part.min() < LEAST_EXPONENT:
            part = part.astype(np.float64)
        np.exp(part, out=part)
        np.divide(part, part.sum(axis=1, keepdims=True, dtype=np.float64), out=result[rows])
    return result


def log_softmax(scores):
    """Logarithm of the softmax of each row, shape (n, C). For NumPy arrays it is float64."""
    xp = namespace(scores)
    scores = scores.astype(np.float64, copy=False) if xp is np else scores
    shifted = scores - xp.max(scores, axis=1, keepdims=True)
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis=1, keepdims=True))


def rows_and_lengths(x):
    """Rows and their lengths `(n, 1)`. `rows / lengths` are the rows of `x` with unit length.

    The rows are those of `x`. They are rescaled only if their squares would overflow or underflow. A row of zeros gets
    a tiny length above zero, so it stays zero.
    """
    xp = namespace(x)
    tiny = float(xp.finfo(x.dtype).smallest_normal)
    with np.errstate(over="ignore", under="ignore"):
        square = xp.linalg.vecdot(x, x)[..., None]
        least = tiny * x.shape[-1] ** 2
        if 0 not in x.shape and (float(xp.min(square)) < least or float(xp.max(square)) == np.inf):
            x = x / xp.clip(xp.max(xp.abs(x), axis=-1, keepdims=True), tiny, None)
            square = xp.linalg.vecdot(x, x)[..., None]
        return x, xp.clip(xp.sqrt(square), tiny, None)


def rows_as_bytes(x):
    """Each row of a NumPy array as one value, shape (n,). Values are equal if all numbers of the rows are equal."""
    x = np.ascontiguousarray(x + x.dtype.type(0))  # -0.0 becomes 0.0, so that equal numbers have equal bytes
    return x.view(np.dtype((np.void, x.dtype.itemsize * x.shape[1]))).ravel()


def l2_normalize(x):
    """Rows of `x`, divided by their lengths. A row of zeros stays zero."""
    x, length = rows_and_lengths(x)
    return x / length
