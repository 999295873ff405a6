"""Work of threads, delivered in order while more is being done."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor


def iterate_items(work, items, n_ahead, n_threads=1):
    """Yield `work(item)` for all items in order, while threads work on the next ones.

    Parameters
    ----------
    work : callable
    items : sequence
    n_ahead : int
        How many results may wait for the caller, which bounds memory.
    n_threads : int, default=1
    """
    pool = ThreadPoolExecutor(n_threads, thread_name_prefix="sksemobridge-read")
    waiting = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > n_ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        # On an error or interrupt what has not begun is dropped.
        pool.shutdown(wait=True, cancel_futures=True)
