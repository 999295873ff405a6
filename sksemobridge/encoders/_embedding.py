"""From images or texts to their embeddings: threads read, the model embeds each content once, in full batches."""

import hashlib
from collections import defaultdict, deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import Any, Protocol

import numpy as np

from .._utils.validation import warn_caller
from ._cache import CacheSession

# A `GridSearchCV` embeds hundreds of times, mostly what is cached. A shorter bar would only flicker.
_BAR_AFTER_SECONDS = 2


class Source(Protocol):
    """An image or a text that was read."""

    digest: bytes  # of its content

    def load(self) -> np.ndarray:
        """The input of the model. It is not needed if the embedding is known."""


class Tower(Protocol):
    """From images, or from texts, to embeddings."""

    width: int

    def digest(self) -> bytes:
        """What embeddings depend on besides the content."""

    def read(self, item: Any) -> Source:
        """Read an image or a text. Several threads call it."""

    def compute(self, inputs: Any) -> Any:
        """The embeddings of a tensor of inputs, in a tensor."""


def embed(tower, items, *, batch_size, cache, bar_options, n_threads=0, skip=()):
    """Embeddings `(n, width)` of images or texts in float32, and the errors of the classes `skip` by their rows.

    Rows with an error are NaN. Other errors are raised. `bar_options` are those of tqdm. `n_threads` read.
    """
    from tqdm.auto import tqdm

    n, chunk_size = len(items), batch_size
    embeddings = np.full((n, tower.width), np.nan, dtype=np.float32)
    rows_by_key = defaultdict(list)
    errors, batch = {}, []

    with CacheSession(cache) as session, tqdm(total=n, delay=_BAR_AFTER_SECONDS, **bar_options) as bar:
        # Reading all weights for the digest takes time. Only keys on disk need it.
        prefix = tower.digest() if session.active else b""

        def prepare(row):
            """The key of a source, its embedding if the cache has it, and the input of the model if it is needed."""
            source = tower.read(items[row])
            key = hashlib.sha256(prefix + source.digest).digest()
            # Threads see `rows_by_key` late, so a content may be loaded twice. It is never missing: the row that
            # registers a key saw it unregistered.
            cached = session.get(key)
            return key, cached, source.load() if cached is None and key not in rows_by_key else None

        with closing(_read_ahead(prepare, n, batch_size, n_threads)) as prepared:
            for row, get in enumerate(prepared):
                try:
                    key, cached, model_input = get()
                except skip as error:
                    errors[row] = error
                else:
                    rows_by_key[key].append(row)
                    if cached is not None:
                        embeddings[row] = cached
                    elif len(rows_by_key[key]) == 1:
                        batch.append((row, key, model_input))
                if batch and (len(batch) == batch_size or row == n - 1):
                    chunk_size = _embed_batch(batch, embeddings, tower, session, chunk_size)
                    batch = []
                bar.update()
    if chunk_size < batch_size:
        warn_caller(
            f"Batches of {batch_size} did not fit in the memory of the device; the last were computed {chunk_size} at a "
            "time. Set batch_size to that or less.",
            RuntimeWarning,
        )
    for first, *copies in rows_by_key.values():
        if copies:
            embeddings[copies] = embeddings[first]
    return embeddings, errors


def _read_ahead(prepare, n, n_ahead, n_threads):
    """Yield for each of `n` rows a function that gives `prepare(row)`. Threads, if any, work on the next `n_ahead`."""
    if not n_threads:
        # A text is read in less time than it takes to hand it to a thread.
        yield from (partial(prepare, row) for row in range(n))
        return
    pool = ThreadPoolExecutor(n_threads, thread_name_prefix="sksemobridge-read")
    waiting = deque()
    try:
        for row in range(n):
            waiting.append(pool.submit(prepare, row))
            if len(waiting) > n_ahead:
                yield waiting.popleft().result
        while waiting:
            yield waiting.popleft().result
    finally:
        # After an error or an interrupt, reads that have not begun are dropped, and no thread outlives the call.
        pool.shutdown(wait=True, cancel_futures=True)


def _embed_batch(batch, embeddings, tower, cache, chunk_size):
    """Fill the rows of a batch; return how many inputs fitted into the memory of the device at once."""
    with cache.turn():
        missing = []
        for row, key, model_input in batch:
            # Another process may have embedded it since it was read.
            cached = cache.get(key)
            if cached is None:
                missing.append((row, key, model_input))
            else:
                embeddings[row] = cached
        if missing:
            rows, keys, inputs = zip(*missing)
            computed, chunk_size = _compute_in_chunks(tower.compute, np.stack(inputs), chunk_size)
            embeddings[list(rows)] = computed
            cache.put(keys, computed)
    return chunk_size


def _compute_in_chunks(compute, inputs, chunk_size):
    """The results in NumPy, and the `chunk_size` that fitted: it is halved each time memory runs out."""
    import torch

    while True:
        try:
            chunks = torch.from_numpy(inputs).split(chunk_size)
            return torch.cat([compute(chunk) for chunk in chunks]).cpu().numpy(), chunk_size
        except torch.OutOfMemoryError:
            if chunk_size == 1:
                raise
        # Not in the handler: its exception keeps the tensors of the failed pass in memory.
        chunk_size = (min(chunk_size, len(inputs)) + 1) // 2
        torch.cuda.empty_cache()
