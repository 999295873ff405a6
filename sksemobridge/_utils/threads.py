"""How many threads linear algebra computes with."""

import threading
from contextlib import contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController

_lock = threading.Lock()
_n_users, _limiter = 0, None


@contextmanager
def one_blas_thread():
    """One thread for products of matrices within the block.

    The limit holds for the whole process. Blocks of several threads may overlap: the last one to end restores what was before the first.
    """
    global _n_users, _limiter
    with _lock:
        if not _n_users:
            _limiter = _controller().limit(limits=1, user_api="blas")
        _n_users += 1
    try:
        yield
    finally:
        with _lock:
            _n_users -= 1
            if not _n_users:
                _limiter.restore_original_limits()


@cache
def _controller():
    return ThreadpoolController()
