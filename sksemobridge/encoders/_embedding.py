"""Embeddings of many inputs: found in the cache, computed in full batches, or copied from an equal input."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from .._utils.validation import warn_caller
from ._cache import CacheSession


@dataclass
class Item:
    """What reading one image or text gave: an embedding, an input or an error.

    All three are None where the same content is being embedded already, here or in another process.

    Attributes
    ----------
    key : bytes or None
        Digest of the content, the model and the precision; equal for equal content.
    embedding : ndarray of shape (D,) or None
        Found in the cache.
    input : ndarray or None
        Pixels or tokens for the model.
    error : Exception or None
        Why the content cannot be read.
    """

    key: bytes | None = None
    embedding: np.ndarray | None = None
    input: np.ndarray | None = None
    error: Exception | None = None


def embed(n, width, forward, make_reader, *, cache, batch_size, device="cpu", advance=lambda n: None):
    """Embed `n` inputs, each content once.

    Parameters
    ----------
    n, width : int
        Shape of the result.
    forward : callable
        From a tensor of inputs to a tensor of embeddings.
    make_reader : callable
        From a `CacheSession` to `read`, a generator of the `Item` of each row in a list of rows.
    cache : path or None
        Directory of the cache.
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
    fitting = FittingForward(forward, batch_size)
    with CacheSession(cache) as session:
        collector = Collector(n, width, fitting, session, batch_size, device, advance)
        collector.collect(make_reader(session))
    fitting.warn_if_halved()
    return collector.embeddings, collector.errors


class Collector:
    """The embeddings of one call, row by row; see `embed`."""

    def __init__(self, n, width, forward, cache, batch_size, device="cpu", advance=lambda n: None):
        import torch

        self.embeddings = torch.full((n, width), torch.nan).to(device)
        self.errors = {}
        self._forward = forward
        self._cache = cache
        self._batch_size = batch_size
        self._advance = advance
        self._waiting = []
        self._row_of_key = {}
        self._open = []

    def collect(self, read):
        """Fill all rows."""
        rows = list(range(len(self.embeddings)))
        while rows:
            # Closed at once on an error, so that no reading thread outlives the call.
            with closing(read(rows)) as items:
                for row, item in zip(rows, items):
                    self._add(row, item)
            if self._waiting:
                self._compute_waiting()
            left = self._copy_equal()
            if left:
                # Other processes embed these. We hold no lock here, so they never wait for us in turn.
                self._cache.wait(left[0][1])
            rows = [row for row, _ in left]

    def _add(self, row, item):
        import torch

        if item.error is None and item.embedding is None and item.input is None:
            self._open.append((row, item.key))
            return
        if item.key is not None:
            self._row_of_key[item.key] = row
        if item.input is not None:
            self._waiting.append((row, item))
            if len(self._waiting) == self._batch_size:
                self._compute_waiting()
            return
        if item.error is not None:
            self.errors[row] = item.error
        else:
            # Copied, since torch does not take read-only arrays.
            self.embeddings[row] = torch.from_numpy(item.embedding.copy())
        self._advance(1)

    def _compute_waiting(self):
        import torch

        rows, items = zip(*self._waiting)
        self._waiting = []
        inputs = torch.from_numpy(np.stack([item.input for item in items]))
        computed = self._forward(inputs).to(self.embeddings.device)
        self.embeddings[torch.tensor(rows).to(computed.device)] = computed
        kept = computed.cpu().numpy() if self._cache.active else ()
        self._cache.put([item.key for item in items], kept)
        self._advance(len(rows))

    def _copy_equal(self):
        """Settle open rows whose content is that of another row; return the rest with their keys."""
        left = []
        for row, key in self._open:
            first = self._row_of_key.get(key)
            if first is None:
                left.append((row, key))
                continue
            if first in self.errors:
                self.errors[row] = self.errors[first]
            else:
                self.embeddings[row] = self.embeddings[first]
            self._advance(1)
        self._open = []
        return left


class FittingForward:
    """A forward pass that halves its batches, again and again, where the device runs out of memory.

    Rows do not depend on each other, so the result is the same. The size that fits is kept for the batches
    that follow.

    Parameters
    ----------
    forward : callable
        From a tensor of inputs to a tensor with as many rows.
    batch_size : int
        The size to begin with.
    """

    def __init__(self, forward, batch_size):
        self._forward = forward
        self._batch_size = batch_size
        self._size = batch_size

    def __call__(self, batch):
        """Rows of `forward`.

        Raises
        ------
        torch.OutOfMemoryError
            If a single row is too much.
        """
        import torch

        size = self._size
        while True:
            try:
                result = torch.cat([self._forward(piece) for piece in batch.split(size)])
            except torch.OutOfMemoryError:
                if size == 1:
                    raise
            else:
                break
            # Outside of the handler, whose exception holds on to the tensors of the failed pass.
            size = (min(size, len(batch)) + 1) // 2
            torch.cuda.empty_cache()
        self._size = size
        return result

    def warn_if_halved(self):
        """Warn where batches were too large."""
        if self._size < self._batch_size:
            warn_caller(
                f"Batches of {self._batch_size} did not fit in the memory of the device; the last were "
                f"computed {self._size} at a time. Set batch_size to that or less.",
                RuntimeWarning,
            )


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
        # After an error or interrupt, drop what has not begun.
        pool.shutdown(wait=True, cancel_futures=True)
