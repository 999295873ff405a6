"""A cache for results that a process computes once for equal content."""

import hashlib
import threading
from collections import OrderedDict

import numpy as np


def content_key(array):
    """A hashable key of the dtype, shape and bytes of an array."""
    return array.dtype.str, array.shape, hashlib.sha256(np.ascontiguousarray(array)).digest()


class LRUCache:
    """A thread-safe cache of at most `max_items` results. The least recently used one is dropped
    first.
    """

    def __init__(self, max_items):
        self._max_items = max_items
        self._items = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key, compute):
        """The result for `key`. If it is missing, `compute()` gives it."""
        return self.get_many([key], [None], lambda _: [compute()])[0]

    def get_many(self, keys, items, compute):
        """The results for `keys`. One call `compute(items)` gives the missing ones."""
        with self._lock:
            found = {key: self._items[key] for key in keys if key in self._items}
        missing = {key: item for key, item in zip(keys, items) if key not in found}
        if missing:  # no thread waits for another: two may compute the same
            found.update(zip(missing, compute(list(missing.values()))))
        with self._lock:
            for key in keys:
                self._items[key] = found[key]
                self._items.move_to_end(key)
            while len(self._items) > self._max_items:
                self._items.popitem(last=False)
        return [found[key] for key in keys]
