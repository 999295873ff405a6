"""Results that a process keeps, up to a size."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np


def content_key(array: np.ndarray) -> tuple[Hashable, ...]:
    """A hashable key of the dtype, shape and bytes of an array."""
    return array.dtype.str, array.shape, hashlib.sha256(np.ascontiguousarray(array).data).digest()


def arrays_of(part: Any) -> Iterator[np.ndarray]:
    """All arrays in dataclasses, mappings, lists and tuples."""
    if isinstance(part, np.ndarray):
        yield part
        return
    if is_dataclass(part):
        part = [getattr(part, field.name) for field in fields(part)]
    elif isinstance(part, Mapping):
        part = part.values()
    elif not isinstance(part, (list, tuple)):
        return
    for item in part:
        yield from arrays_of(item)


def n_bytes(result: Any) -> int:
    """The bytes of all arrays in a result."""
    return sum(array.nbytes for array in arrays_of(result))


def read_only(result: Any) -> Any:
    """The result, with its arrays made read-only."""
    for array in arrays_of(result):
        array.flags.writeable = False
    return result


class LRUCache:
    """Results that threads may share. Results that no pass has used for the longest time are
    dropped first.

    A pass drops only what earlier passes left. A second pass over more results than there is room
    for thus finds the first part of them. Otherwise it would find nothing.

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
        # The pass that used a result last, and the result.
        self._items: OrderedDict[Hashable, tuple[int, Any]] = OrderedDict()
        self._size = self._n_passes = 0
        self._lock = threading.Lock()

    def begin(self) -> Pass:
        """Begin a new pass."""
        with self._lock:
            self._n_passes += 1
            return Pass(self, self._n_passes)

    def get(self, key: Hashable, compute: Callable[[], Any]) -> Any:
        """The result for `key`, in a pass of its own. If it is missing, `compute()` gives it."""
        one = self.begin()
        found = one.find([key])
        # No thread waits for another, so two threads may compute one result.
        result = found[key] if key in found else compute()
        one.keep({key: result})
        return result

    def clear(self) -> None:
        """Forget all results."""
        with self._lock:
            self._items.clear()
            self._size = 0

    def _keep(self, key, result, number):
        size = self._size_of(result)
        if key in self._items:
            self._size -= self._size_of(self._items.pop(key)[1])
        if size > self._max_size:
            return
        while self._size + size > self._max_size:
            oldest, (last_used, old) = next(iter(self._items.items()))
            if last_used >= number:
                return
            del self._items[oldest]
            self._size -= self._size_of(old)
        self._items[key] = number, result
        self._size += size


class Pass:
    """The use of a store from `LRUCache.begin` on. Threads may share it."""

    def __init__(self, store: LRUCache, number: int) -> None:
        self._store, self._number = store, number

    def find(self, keys: Iterable[Hashable]) -> dict[Any, Any]:
        """The results that are kept of these keys."""
        items, found = self._store._items, {}
        with self._store._lock:
            for key in keys:
                if key in items:
                    found[key] = result = items[key][1]
                    items[key] = self._number, result
                    items.move_to_end(key)
        return found

    def keep(self, results: Mapping[Any, Any]) -> None:
        """Keep the results for which there is room."""
        with self._store._lock:
            for key, result in results.items():
                self._store._keep(key, result, self._number)
