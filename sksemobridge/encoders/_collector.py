"""Embeddings as they come in: found, computed in full batches, or equal to an earlier one's."""

from contextlib import closing
from dataclasses import dataclass

import numpy as np


@dataclass
class Item:
    """One image or text as it was read: an error, an embedding, an input; or none if it is being embedded.

    Attributes
    ----------
    key : bytes or None
        Digest of what was read, the model and the precision; equal for equal content.
    embedding : ndarray of shape (D,) or None
        Found in the cache.
    input : ndarray or None
        Pixels or tokens that the model is to embed.
    error : Exception or None
        Why it cannot be read.
    """

    key: bytes | None = None
    embedding: np.ndarray | None = None
    input: np.ndarray | None = None
    error: Exception | None = None


class Collector:
    """Puts what is found in its place, and computes what is not.

    Parameters
    ----------
    n, width : int
        Shape of `embeddings`.
    compute : callable
        From a stack of inputs to embeddings, one row each.
    cache : CacheSession
    batch_size : int
        Inputs that wait before they are computed.
    device : torch.device or None
        Where `embeddings` are to be a tensor; None for an array.
    advance : callable
        Told the number of rows whenever some are done.

    Attributes
    ----------
    embeddings : ndarray or torch.Tensor of shape (n, D), float32
        NaN in rows that cannot be read.
    errors : dict
        From rows that cannot be read to their errors.
    """

    def __init__(self, n, width, compute, cache, batch_size, advance=lambda n: None, device=None):
        self.embeddings = np.full((n, width), np.nan, dtype=np.float32)
        self._on_device = device is not None
        if self._on_device:
            import torch

            self.embeddings = torch.from_numpy(self.embeddings).to(device)
        self.errors = {}
        self._compute = compute
        self._cache = cache
        self._batch_size = batch_size
        self._advance = advance
        self._waiting = []
        self._row_of_key = {}
        self._open = []

    def collect(self, read):
        """Fill all rows.

        Parameters
        ----------
        read : callable
            A generator of the `Item` of each row in a list of rows.
        """
        rows = list(range(len(self.embeddings)))
        while rows:
            # Closed at once on an error, so that nothing that reads outlives the call.
            with closing(read(rows)) as items:
                for row, item in zip(rows, items):
                    self._add(row, item)
            if self._waiting:
                self._compute_waiting()
            left = self._copy_equal()
            if left:
                # Other processes embed these. They hold no claim of ours up: we have none left.
                self._cache.wait(left[0][1])
            rows = [row for row, _ in left]

    def _add(self, row, item):
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
            found = item.embedding
            # Copied, since torch does not take what is read-only.
            self.embeddings[row] = self.embeddings.new_tensor(found.copy()) if self._on_device else found
        self._advance(1)

    def _compute_waiting(self):
        rows, items = [row for row, _ in self._waiting], [item for _, item in self._waiting]
        self._waiting = []
        self.embeddings[rows] = self._compute(np.stack([item.input for item in items]))
        kept = self.embeddings[rows]
        if self._on_device and self._cache.active:
            kept = kept.cpu().numpy()
        self._cache.put([item.key for item in items], kept)
        self._advance(len(rows))

    def _copy_equal(self):
        """Settle open rows whose content is that of another row; returns the rest with their keys."""
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
