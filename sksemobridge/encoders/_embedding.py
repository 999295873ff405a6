"""From inputs that are read one by one to their embeddings: each content once, in full batches."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from .._utils.validation import warn_caller


@dataclass(frozen=True)
class Reading:
    """What reading one image or text gave: an input to embed, an embedding, the row of an equal one or an error."""

    # Digest of the content, the model and the precision.
    key: bytes | None = None
    # Pixels or tokens for the model.
    input: np.ndarray | None = None
    # Found in the cache.
    embedding: np.ndarray | None = None
    # Another row, which has the same content.
    same_as: int | None = None
    # Why the content cannot be read.
    error: Exception | None = None


class Reader:
    """Tells what is to be embedded from what is known, in one call; threads may share it."""

    def __init__(self, cache):
        self._cache = cache
        self._rows = {}

    def find_equal(self, row, value):
        """The row that came first with an equal value, or None where it is this one."""
        # Atomic, so that of several threads with equal values one is first.
        first = self._rows.setdefault(value, row)
        return None if first == row else first

    def read(self, row, key, load):
        """The `Reading` of a content; `load()` gives the input where its embedding is not known."""
        if (first := self.find_equal(row, key)) is not None:
            return Reading(same_as=first)
        embedding = self._cache.get(key)
        return Reading(key, input=load()) if embedding is None else Reading(key, embedding=embedding)


def read_ahead(read, sources, n_ahead, n_threads):
    """Yield `read(row, source)` for all sources in order, while threads work on the next `n_ahead`."""
    pool = ThreadPoolExecutor(n_threads, thread_name_prefix="sksemobridge-read")
    waiting = deque()
    try:
        for row, source in enumerate(sources):
            waiting.append(pool.submit(read, row, source))
            if len(waiting) > n_ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        # After an error or interrupt, what has not begun is dropped.
        pool.shutdown(wait=True, cancel_futures=True)


def embed(readings, n, width, forward, cache, *, batch_size, device="cpu", advance=lambda n: None):
    """Embed `n` inputs.

    Parameters
    ----------
    readings : generator of Reading
        One for each row.
    n, width : int
        Shape of the result.
    forward : callable
        From a tensor of inputs to a tensor of embeddings. Rows do not depend on each other.
    cache : CacheSession
    batch_size : int
        Inputs in one forward pass.
    device : torch.device or str
        Where the result lies.
    advance : callable
        Called with the number of rows whenever some are done.

    Returns
    -------
    embeddings : torch.Tensor of shape (n, D), float32
        NaN in rows that cannot be read.
    errors : dict
        From rows that cannot be read to their errors.
    """
    import torch

    embeddings = torch.full((n, width), torch.nan).to(device)
    errors, copies, batch, fitting_size = {}, {}, [], batch_size
    # Closed at once on an error, so that no reading thread outlives the call.
    with closing(readings):
        for row, reading in enumerate(readings):
            if reading.input is not None:
                batch.append((row, reading))
            else:
                if reading.embedding is not None:
                    embeddings[row] = torch.from_numpy(reading.embedding)
                elif reading.same_as is not None:
                    copies[row] = reading.same_as
                else:
                    errors[row] = reading.error
                advance(1)
            if batch and (len(batch) == batch_size or row == n - 1):
                fitting_size = _embed_batch(batch, embeddings, forward, cache, fitting_size)
                advance(len(batch))
                batch = []
    if fitting_size < batch_size:
        warn_caller(
            f"Batches of {batch_size} did not fit in the memory of the device; the last were computed {fitting_size} at "
            "a time. Set batch_size to that or less.",
            RuntimeWarning,
        )
    if copies:
        # An equal source, or one of equal content: so twice at most.
        origins = {row: copies.get(first, first) for row, first in copies.items()}
        rows, first = (torch.tensor(list(part)).to(embeddings.device) for part in (origins, origins.values()))
        embeddings[rows] = embeddings[first]
        errors |= {row: errors[origin] for row, origin in origins.items() if origin in errors}
    return embeddings, errors


def _embed_batch(batch, embeddings, forward, cache, size):
    """Fill the rows of a batch; return how many inputs fit into the memory of the device."""
    import torch

    with cache.turn():
        missing = []
        for row, reading in batch:
            # Another process may have kept it since it was read.
            known = cache.get(reading.key)
            if known is None:
                missing.append((row, reading))
            else:
                embeddings[row] = torch.from_numpy(known)
        if not missing:
            return size
        rows, readings = zip(*missing)
        inputs = torch.from_numpy(np.stack([reading.input for reading in readings]))
        computed, size = _compute(forward, inputs, size)
        embeddings[torch.tensor(rows).to(embeddings.device)] = computed.to(embeddings.device)
        if cache.active:
            cache.put([reading.key for reading in readings], computed.cpu().numpy())
    return size


def _compute(forward, inputs, size):
    """Rows of `forward`, and the number of inputs that it took at once: `size`, halved where memory ran out."""
    import torch

    while True:
        try:
            return torch.cat([forward(piece) for piece in inputs.split(size)]), size
        except torch.OutOfMemoryError:
            if size == 1:
                raise
        # Outside of the handler, whose exception holds on to the tensors of the failed pass.
        size = (min(size, len(inputs)) + 1) // 2
        torch.cuda.empty_cache()
