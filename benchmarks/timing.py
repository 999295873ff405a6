"""Time of callables."""

from time import perf_counter, process_time

import numpy as np


def timed(function, *args, **kwargs):
    """Seconds that a call takes, and what it returns."""
    start = perf_counter()
    result = function(*args, **kwargs)
    return perf_counter() - start, result


def cpu_timed(function, *args, **kwargs):
    """As `timed`, in seconds of the processor, which other programs distort less than those of the
    clock.
    """
    start = process_time()
    result = function(*args, **kwargs)
    return process_time() - start, result


def alternate(*functions, repeats=5):
    """Seconds of each function in each round, shape (repeats, n_functions), after one call that
    does not count.

    The functions take turns, so that other programs on the machine distort their ratios little.
    """
    for function in functions:
        function()
    return np.array([[timed(function)[0] for function in functions] for _ in range(repeats)])
