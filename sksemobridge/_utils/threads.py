"""Number of threads that compute: one for small matrix products, all for large products or many
parts.
"""

import contextvars
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import cache

from threadpoolctl import ThreadpoolController

try:
    from threadpoolctl import get_cached_controller
except ImportError:  # before 3.8
    get_cached_controller = cache(ThreadpoolController)

# One thread computes matrix products with fewer multiplications. Several threads would wait for
# each other longer than they save, and several times as long if other programs use the cores
# (`python benchmarks/speed.py`).
SMALL_PRODUCT = 2**31
# Least number of images that a thread embeds at once. With fewer images, each image takes longer
# (`python benchmarks/encoding.py --only pieces`).
SMALLEST_PIECE = 16


def threads_for(n_multiplications):
    """A context in which BLAS and torch use one thread if each product is small."""
    return nullcontext() if n_multiplications >= SMALL_PRODUCT else one_thread()


@contextmanager
def one_thread():
    """A context in which BLAS and torch use one thread. `in_parallel` still uses as many threads as
    BLAS had before.
    """
    if _libraries("blas") is None:
        yield
        return
    # OpenMP has a limit for each Python thread, and BLAS has one limit for all threads.
    with _limit_openmp(1), _one_blas_thread:
        yield


class _OneBlasThread:
    """Context in which BLAS has one thread. The last Python thread that leaves it restores the
    earlier limit: overlapping contexts of threadpoolctl alone would leave one thread.
    """

    def __init__(self):
        self._lock, self._n_inside, self.n_before = threading.Lock(), 0, 1

    def __enter__(self):
        with self._lock:
            if self._n_inside == 0:
                self._blas = _libraries("blas")
                self.n_before = max(
                    (library["num_threads"] for library in self._blas.info()), default=1
                )
                with _any_thread_may_limit(self._blas):
                    self._limit = self._blas.limit(limits=1)
            self._n_inside += 1

    def __exit__(self, *_):
        with self._lock:
            self._n_inside -= 1
            if self._n_inside == 0:
                self.n_before = 1
                self._restore()

    def after_fork(self):
        """Restore the limit in a new process, in which no other Python thread is left that could do
        it.
        """
        if self._n_inside:
            self._restore()
        self.__init__()

    def _restore(self):
        with _any_thread_may_limit(self._blas):
            self._limit.restore_original_limits()


_one_blas_thread = _OneBlasThread()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_one_blas_thread.after_fork)


def in_parallel(function, parts):
    """`[function(part) for part in parts]`. Within `one_thread`, several parts are computed at
    once.

    Threads of BLAS wait for each other, busily, in each product. The threads of this function wait
    only at the end.
    """
    n_threads = min(_one_blas_thread.n_before, len(parts))
    if n_threads < 2:
        return [function(part) for part in parts]
    with ThreadPoolExecutor(n_threads, thread_name_prefix="sksemobridge-part") as pool:
        # Each thread gets a copy of the context, which has `np.errstate`.
        started = [pool.submit(contextvars.copy_context().run, function, part) for part in parts]
        return [part.result() for part in started]


def on_all_cores(forward, batch):
    """Compute `forward(batch)` on the CPU in pieces. Each piece has its share of the threads of
    torch.

    Threads that share one pass wait for each other at every layer. Threads with their own pieces
    wait only at the end. `forward` takes a tensor of rows, and returns a tensor with as many rows.
    Each row depends only on the same row of the input.
    """
    import torch

    n_threads = torch.get_num_threads()
    n_pieces = min(n_threads, len(batch) // SMALLEST_PIECE)
    if n_pieces < 2:
        return forward(batch)

    def compute(piece):
        torch.get_num_threads()  # the first call sets the number for a new thread
        with _limit_openmp(n_threads // n_pieces):
            return forward(piece)

    with ThreadPoolExecutor(n_pieces, thread_name_prefix="sksemobridge-forward") as pool:
        return torch.cat(list(pool.map(compute, batch.chunk(n_pieces))))


def _limit_openmp(n):
    libraries = _libraries("openmp")
    return nullcontext() if libraries is None else libraries.limit(limits=n)


def _libraries(user_api):
    """A controller of these libraries alone, since the end of a limit restores all libraries of a
    controller.
    """
    try:
        return get_cached_controller().select(user_api=user_api)
    # Linux without its proc file system has no list of loaded libraries.
    except FileNotFoundError:
        return None


@contextmanager
def _any_thread_may_limit(libraries):
    """Context in which any Python thread may limit OpenBLAS. Otherwise, since threadpoolctl 3.8,
    OpenBLAS silently obeys only the first Python thread that limited it.
    """

    def release():
        for library in libraries.lib_controllers:
            if hasattr(library, "clear_controlling_thread"):
                library.clear_controlling_thread(force=True)

    release()
    yield
    release()
