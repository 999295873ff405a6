"""Time and memory of callables."""

import multiprocessing
import resource
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from time import perf_counter, process_time

import numpy as np


def timed(function, *args, **kwargs):
    """Seconds that a call takes, and what it returns."""
    start = perf_counter()
    result = function(*args, **kwargs)
    return perf_counter() - start, result


def cpu_timed(function, *args, **kwargs):
    """As `timed`, in seconds of the processor, which other programs distort less than those of the clock."""
    start = process_time()
    result = function(*args, **kwargs)
    return process_time() - start, result


def alternate(*functions, repeats=5):
    """Seconds of each function in each round, shape (repeats, n_functions), after one call that does not count.

    The functions take turns, so that other programs on the machine distort their ratios little.
    """
    for function in functions:
        function()
    return np.array([[timed(function)[0] for function in functions] for _ in range(repeats)])


def peak_memory(function, *args, warm_up):
    """Resident memory that a call adds at its peak, in a process of its own.

    Parameters
    ----------
    function : callable
        Of a module, so that the process finds it.
    *args : objects
    warm_up : tuple
        Arguments of a first, small call: what is imported when it is used does not count.

    Returns
    -------
    n_bytes : int
    result : object
        What the function returns.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(_measure_peak, function, args, warm_up).result()


def _measure_peak(function, args, warm_up):
    function(*warm_up)
    before = _peak()
    result = function(*args)
    return _peak() - before, result


def _peak():
    """Largest resident memory of this process so far, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # `getrusage` of Linux starts from the peak of the process that started this one
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return 1024 * int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
