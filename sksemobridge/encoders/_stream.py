"""Work of threads, delivered in batches and in order while the next batch is prepared."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor


def iterate_batches(work, items, batch_size, *, n_threads=1):
    """Yield `(start, results)` of `work(item)` for each batch of items, in order.

    While the caller uses one batch, threads prepare the next; never more than two batches are held.

    Parameters
    ----------
    work : callable
    items : sequence
    batch_size : int
    n_threads : int, default=1
    """
    pool = ThreadPoolExecutor(n_threads, thread_name_prefix="sksemobridge-read")
    waiting = deque()
    try:
        for start in range(0, len(items), batch_size):
            batch = [pool.submit(work, item) for item in items[start : start + batch_size]]
            waiting.append((start, batch))
            if len(waiting) == 2:
                yield _collect(*waiting.popleft())
        while waiting:
            yield _collect(*waiting.popleft())
    finally:
        # On an error or interrupt what has not begun is dropped.
        pool.shutdown(wait=True, cancel_futures=True)


def _collect(start, batch):
    return start, [future.result() for future in batch]
