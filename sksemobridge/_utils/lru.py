"""A cache for results that a process computes once for equal content."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np


def content_key(array: np.ndarray) -> tuple[Hashable, ...]:
    """A hashable key of the dtype, shape and bytes of an array."""
    return array.dtype.str, array.shape, hashlib.sha256(np.ascontiguousarray(array).data).digest()


class LRUCache:
    """A thread-safe cache of results. The least recently used ones are dropped first.

    Parameters
    ----------
    max_size : int
        The sizes of all results sum to at most this. A larger result is not kept.
    size_of : callable, default=None
        The size of a result, such as its bytes. None counts each result as one.
    """

    def __init__(self, max_size: int, size_of: Callable[[Any], int] | None = None) -> None:
        self._max_size = max_size
        self._size_of = size_of or (lambda result: 1)
        self._items: OrderedDict[Hashable, Any] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def get(self, key: Hashable, compute: Callable[[], Any]) -> Any:
        """The result for `key`. If it is missing, `compute()` gives it."""
        return self.get_many([key], [None], lambda _: [compute()])[0]

    def get_many(
        self,
        keys: Sequence[Hashable],
        items: Sequence[Any],
        compute: Callable[[list[Any]], Sequence[Any]],
    ) -> list[Any]:
        """The results for `keys`. One call `compute(items)` gives the missing ones."""
        with self._lock:
            found = {key: self._items[key] for key in keys if key in self._items}
        missing = {key: item for key, item in zip(keys, items) if key not in found}
        if missing:  # no thread waits for another: two may compute the same
            found.update(zip(missing, compute(list(missing.values()))))
        with self._lock:
            for key in keys:
                self._keep(key, found[key])
            while self._size > self._max_size:
                self._size -= self._size_of(self._items.popitem(last=False)[1])
        return [found[key] for key in keys]

    def _keep(self, key, result):
        """Make `result` the most recent one, if it is not too large for the cache."""
        size = self._size_of(result)
        if size <= self._max_size:
            if key in self._items:
                self._size -= self._size_of(self._items.pop(key))
            self._items[key] = result
            self._size += size
