"""Results that a process computes once for equal content."""

import hashlib
import threading
from collections import OrderedDict

import numpy as np


def content_key(*parts):
    """A hashable key of arrays (by dtype, shape and bytes) and plain values (by themselves)."""
    # sha256 is computed in hardware nearly everywhere.
    return tuple(
        (part.dtype.str, part.shape, hashlib.sha256(np.ascontiguousarray(part)).digest())
        if isinstance(part, np.ndarray)
        else (type(part).__name__, part)
        for part in parts
    )


class LRUCache:
    """A thread-safe memory of at most `max_items` results; the least recently used one is dropped first.

    Two threads that ask for the same missing key may both compute it. No thread waits for the key of another.
    """

    def __init__(self, max_items):
        self._max_items = max_items
        self._items = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key, compute):
        """The result kept under `key`, else that of `compute()`."""
        return self.get_many([key], [None], lambda _: [compute()])[0]

    def get_many(self, keys, items, compute):
        """The results of `items`, kept under `keys`; the missing ones come from one `compute(items)`."""
        with self._lock:
            found = {key: self._items[key] for key in keys if key in self._items}
        missing = {key: item for key, item in zip(keys, items) if key not in found}
        if missing:
            found.update(zip(missing, compute(list(missing.values()))))
        with self._lock:
            for key in keys:
                self._items[key] = found[key]
                self._items.move_to_end(key)
            while len(self._items) > self._max_items:
                self._items.popitem(last=False)
        return [found[key] for key in keys]
