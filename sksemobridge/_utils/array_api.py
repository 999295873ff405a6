"""Arrays of other libraries. Predictions are computed on the device of the queries, and constants
are copied there.

Fitted models are NumPy arrays. With `sklearn.set_config(array_api_dispatch=True)`, queries may be
arrays of any library that follows the array API standard, on any device. Results have the same
library and device.
"""

from dataclasses import fields, is_dataclass, replace

import array_api_compat
import numpy as np
from sklearn import get_config

from .threads import in_parallel

# Number of values in a block of rows (`python benchmarks/speed.py` prints time and memory).
HOST_BLOCK = 2**20
DEVICE_BLOCK = 2**25


def is_foreign(x):
    """True if `x` is an array of another library than NumPy, and the computation should use that
    library.
    """
    is_numpy = isinstance(x, np.ndarray) or not get_config()["array_api_dispatch"]
    return not is_numpy and array_api_compat.is_array_api_obj(x)


def namespace(x):
    """The module with the array API functions for `x`. For NumPy arrays this is NumPy."""
    return np if isinstance(x, np.ndarray) else array_api_compat.array_namespace(x)


def to_numpy(x):
    """`x` as a NumPy array, copied from its device if necessary. Other objects are returned
    unchanged.
    """
    if isinstance(x, np.ndarray):
        return x
    if array_api_compat.is_torch_array(x):
        # NumPy has no bfloat16.
        return (x.float() if str(x.dtype) == "torch.bfloat16" else x).detach().cpu().numpy()
    if array_api_compat.is_cupy_array(x):
        return x.get()
    return np.from_dlpack(x) if is_foreign(x) else x


def map_arrays(part, function):
    """A copy of a dataclass with `function(array)` for each NumPy array, also in nested dataclasses
    and dicts.
    """

    def mapped(value):
        if isinstance(value, np.ndarray):
            return function(value)
        if isinstance(value, dict):
            return {key: mapped(item) for key, item in value.items()}
        return map_arrays(value, function) if is_dataclass(value) else value

    return replace(
        part, **{field.name: mapped(getattr(part, field.name)) for field in fields(part)}
    )


def astype(part, dtype):
    """A dataclass with its float arrays in another precision."""
    return map_arrays(part, lambda a: a.astype(dtype, copy=False) if a.dtype.kind == "f" else a)


def constants_like(x, part):
    """A dataclass of NumPy arrays, with the precision and the device of the queries `x`."""
    xp, device = namespace(x), array_api_compat.device(x)
    part = astype(part, np.float32 if x.dtype == xp.float32 else np.float64)
    return part if xp is np else map_arrays(part, lambda a: xp.asarray(a.copy(), device=device))


def in_blocks(function, X):
    """`function(X)` in blocks of rows, so that memory does not grow with the number of rows. The
    function must treat each row by itself.
    """
    step, n = (
        max(1, (HOST_BLOCK if isinstance(X, np.ndarray) else DEVICE_BLOCK) // X.shape[1]),
        X.shape[0],
    )
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
    """`finish(model.decide(X))` of queries `X (n, D)` and a dataclass `model`, in blocks."""
    model = constants_like(X, model)
    return in_blocks(lambda block: finish(model.decide(block)), X)


def softmax(scores):
    """Softmax of each row, shape (n, C), in the precision of the scores. The sums of its rows are 1
    to this precision.
    """
    xp = namespace(scores)
    # The array of the exponential is used again: with 1,000 classes, exponentials take most of the
    # time of a prediction.
    p = scores - xp.max(scores, axis=1, keepdims=True)
    p = np.exp(p, out=p) if xp is np else xp.exp(p)
    p /= xp.sum(p, axis=1, keepdims=True)
    return p


def sigmoid(logits):
    """The probability of each logit, without an overflow."""
    xp = namespace(logits)
    small = xp.exp(-xp.abs(logits))
    return xp.where(logits >= 0, 1 / (1 + small), small / (1 + small))


def log_softmax(scores):
    """Logarithm of the softmax of each row, shape (n, C), as `softmax`."""
    xp = namespace(scores)
    shifted = scores - xp.max(scores, axis=1, keepdims=True)
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis=1, keepdims=True))


def margins(values, least=-np.inf):
    """The difference of the two largest `values (n, C)` of each row of a NumPy array `(n,)`, with
    the second raised to at least `least`. The array is overwritten.
    """
    # Two searches for a maximum are much faster than sorting or partitioning many columns.
    each, best = np.arange(len(values)), values.argmax(axis=1)
    largest = values[each, best]
    values[each, best] = -np.inf
    return largest - values.max(axis=1, initial=least)


def rows_and_lengths(x):
    """Rows, rescaled if their squares would overflow or underflow, and their lengths `(n, 1)`,
    which are never zero.
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
    """Each row of a NumPy array as one value, shape (n,). Values are equal if all numbers of the
    rows are equal.
    """
    # -0.0 becomes 0.0, so that equal numbers have equal bytes
    x = np.ascontiguousarray(x + x.dtype.type(0))
    return x.view(np.dtype((np.void, x.dtype.itemsize * x.shape[1]))).ravel()


def l2_normalize(x):
    """Rows of `x`, divided by their lengths. A row of zeros stays zero."""
    x, length = rows_and_lengths(x)
    return x / length


def resolve_device(device):
    """The torch device of a parameter. `"auto"` is CUDA if there is a GPU, else the CPU."""
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=device).device
    except (AssertionError, ImportError, RuntimeError) as error:
        reason = str(error).partition("\n")[0].partition(". ")[0]  # some messages go on for pages
        raise ValueError(
            f"device={device!r} is no device that torch can use here: {reason}"
        ) from error
