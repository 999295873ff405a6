"""From images or texts to their embeddings: threads read, the model embeds each content once, in full batches."""

import hashlib
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np

from .._utils.validation import warn_caller
from ._cache import CacheSession
from ._pictures import ImageReadError, describe


def embed(encoder, sources, read, forward, width, context, bar, *, n_threads=0, errors=None, batch_done=None):
    """Embeddings `(n, width)` of images or texts in float32, with NaN in rows that cannot be read.

    Parameters
    ----------
    encoder : CLIPEncoder
        Its `batch_size` says how many inputs the model takes at once, and how many sources are read ahead of it.
    sources : list of length n
    read : callable
        From a source to a digest of its content, and a function that makes the input of the model. `n_threads` call it.
    forward : callable
        From a tensor of inputs to a tensor of embeddings. Rows do not depend on each other.
    context : callable
        Gives what embeddings depend on apart from the content, as bytes. Called if there is a cache.
    bar : dict
        Options of tqdm.
    errors : dict or None
        Gets the `ImageReadError` of each row that cannot be read. None: the first of them is raised.
    batch_done : callable or None
        Called after every `batch_size` rows.
    """
    from tqdm.auto import tqdm

    n, batch_size = len(sources), encoder.batch_size
    embeddings = np.full((n, width), np.nan, dtype=np.float32)
    # `rows`: the first row with each source, by its path or identity, and with each content, by its key.
    rows, batch, fitting_size = {}, [], batch_size
    # For each row the row that has its embedding.
    origin = np.arange(n)

    def is_new(row, name):
        # Atomic: of several threads with equal names exactly one is first.
        origin[row] = rows.setdefault(name, row)
        return origin[row] == row

    def prepare(row, source):
        """Row, key and input of the model; None if the model is not needed. `cache` and `prefix` are set below."""
        try:
            # Two threads must not read one object at once.
            if is_new(row, os.fspath(source) if isinstance(source, (str, os.PathLike)) else id(source)):
                digest, load = read(source)
                key = hashlib.sha256(prefix + digest).digest()
                if is_new(row, key):
                    known = cache.get(key)
                    if known is None:
                        return row, key, load()
                    embeddings[row] = known
        except ImageReadError as error:
            if errors is None:
                message = f"Image {row} ({describe(source)}) cannot be read: {error}."
                raise ImageReadError(message) from error
            errors[row] = error
        return None

    with CacheSession(encoder.cache) as cache, tqdm(total=n, **bar) as shown:
        prefix = context() if cache.active else b""
        with closing(_read_ahead(prepare, sources, batch_size, n_threads)) as prepared:
            for n_done, item in enumerate(prepared, 1):
                if item is not None:
                    batch.append(item)
                if batch and (len(batch) == batch_size or n_done == n):
                    fitting_size = _embed_batch(batch, embeddings, forward, cache, fitting_size)
                    batch = []
                shown.update()
                if batch_done is not None and (n_done % batch_size == 0 or n_done == n):
                    batch_done()
    if fitting_size < batch_size:
        warn_caller(
            f"Batches of {batch_size} did not fit in the memory of the device; the last were computed {fitting_size} at "
            "a time. Set batch_size to that or less.",
            RuntimeWarning,
        )
    # A row may be equal by its name to a row that is equal by its content to a third.
    origin = origin[origin]
    for row in np.flatnonzero(origin != np.arange(n)):
        embeddings[row] = embeddings[origin[row]]
        if errors and origin[row] in errors:
            errors[row] = errors[origin[row]]
    return embeddings


def _read_ahead(prepare, sources, n_ahead, n_threads):
    """Yield `prepare(row, source)` for all sources in order, while threads, if any, work on the next `n_ahead`."""
    if not n_threads:
        # A text is read in less time than it takes to hand it to a thread.
        yield from map(prepare, range(len(sources)), sources)
        return
    pool = ThreadPoolExecutor(n_threads, thread_name_prefix="sksemobridge-read")
    waiting = deque()
    try:
        for row, source in enumerate(sources):
            waiting.append(pool.submit(prepare, row, source))
            if len(waiting) > n_ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        # After an error or an interrupt, reads that have not begun are dropped, and no thread outlives the call.
        pool.shutdown(wait=True, cancel_futures=True)


def _embed_batch(batch, embeddings, forward, cache, size):
    """Fill the rows of a batch; return how many inputs fitted into the memory of the device at once."""
    import torch

    with cache.turn():
        missing = []
        for row, key, model_input in batch:
            # Another process may have embedded it since it was read.
            known = cache.get(key)
            if known is None:
                missing.append((row, key, model_input))
            else:
                embeddings[row] = known
        if missing:
            rows, keys, inputs = zip(*missing)
            computed, size = _compute(forward, torch.from_numpy(np.stack(inputs)), size)
            embeddings[list(rows)] = computed
            cache.put(keys, computed)
    return size


def _compute(forward, inputs, size):
    """`forward(inputs)` in NumPy, and how many inputs it took at once: `size`, halved each time memory ran out."""
    import torch

    while True:
        try:
            return torch.cat([forward(piece) for piece in inputs.split(size)]).cpu().numpy(), size
        except torch.OutOfMemoryError:
            if size == 1:
                raise
        # Not in the handler: its exception keeps the tensors of the failed pass in memory.
        size = (min(size, len(inputs)) + 1) // 2
        torch.cuda.empty_cache()
