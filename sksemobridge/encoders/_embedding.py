"""From images or texts that are read one by one to their embeddings. Each content is embedded once, in full batches."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from .._utils.validation import warn_caller


@dataclass(frozen=True)
class Reading:
    """One image or text after reading. It has an input, an embedding, an equal row or an error."""

    # Digest of the content, the model and the precision.
    key: bytes | None = None
    # Pixels or tokens for the model.
    input: np.ndarray | None = None
    # The embedding in the cache.
    embedding: np.ndarray | None = None
    # An earlier row with the same content.
    same_as: int | None = None
    # Why the content cannot be read.
    error: Exception | None = None


class Reader:
    """Finds equal contents and cached embeddings, within one call of `embed`. Threads may share it."""

    def __init__(self, cache):
        self._cache = cache
        self._rows = {}

    def find_equal(self, row, value):
        """The row of the first equal value; None if this row is the first."""
        # Atomic: of several threads with equal values exactly one is first.
        first = self._rows.setdefault(value, row)
        return None if first == row else first

    def read(self, row, key, load):
        """The `Reading` of a content. Only if its embedding is not known, `load()` makes the input."""
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
        # After an error or an interrupt, reads that have not begun are dropped.
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
        Device of the result.
    advance : callable
        Called with a number of rows when these are done.

    Returns
    -------
    embeddings : torch.Tensor of shape (n, D), float32
        NaN in rows that cannot be read.
    errors : dict
        Errors by row.
    """
    import torch

    embeddings = torch.full((n, width), torch.nan).to(device)
    errors, copies, batch, fitting_size = {}, {}, [], batch_size
    # Closed at once after an error, so that no reading thread outlives the call.
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
        # A row may be equal by its source to a row that is equal by its content to a third: two steps at most.
        origins = {row: copies.get(first, first) for row, first in copies.items()}
        rows, first = (torch.tensor(list(part)).to(embeddings.device) for part in (origins, origins.values()))
        embeddings[rows] = embeddings[first]
        errors |= {row: errors[origin] for row, origin in origins.items() if origin in errors}
    return embeddings, errors


def _embed_batch(batch, embeddings, forward, cache, size):
    """Fill the rows of a batch; return how many inputs fitted into the memory of the device at once."""
    import torch

    with cache.turn():
        missing = []
        for row, reading in batch:
            # Another process may have cached it since the image was read.
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
    """`forward(inputs)`, and how many inputs it took at once: `size`, halved each time memory ran out."""
    import torch

    while True:
        try:
            return torch.cat([forward(piece) for piece in inputs.split(size)]), size
        except torch.OutOfMemoryError:
            if size == 1:
                raise
        # Not in the handler: its exception keeps the tensors of the failed pass in memory.
        size = (min(size, len(inputs)) + 1) // 2
        torch.cuda.empty_cache()
