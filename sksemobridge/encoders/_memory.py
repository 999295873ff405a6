"""Embeddings that the process keeps in memory: of images by their content, and of texts."""

import threading
from collections import OrderedDict
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

# Embeddings of images, and as many bytes of texts: 100,000 of 512 numbers. A search over the
# parameters of a classifier embeds no more of them again.
MAX_BYTES = 2**28
# What Python takes for an item beside its numbers.
_ITEM_BYTES = 400


class EmbeddingMemory:
    """A bounded store that threads may share. It drops what the longest time no pass has used.

    A pass drops only what earlier passes left. So a second pass over more images than there is room
    for finds the first of them, where it would otherwise find none.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._n_bytes = self._n_passes = 0
        # The number of the pass that used an embedding last, and its bytes.
        self._items: OrderedDict[Hashable, tuple[int, bytes]] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self) -> "MemoryPass":
        """A pass over images or texts."""
        with self._lock:
            self._n_passes += 1
            return MemoryPass(self, self._n_passes)

    def clear(self) -> None:
        """Forget all embeddings."""
        with self._lock:
            self._items.clear()
            self._n_bytes = 0

    def get(self, key: Hashable, number: int) -> bytes | None:
        """The bytes of an embedding, for a pass of this number."""
        with self._lock:
            if key not in self._items:
                return None
            _, content = self._items.pop(key)
            self._items[key] = number, content
            return content

    def put(self, key: Hashable, content: bytes, number: int) -> None:
        """Keep the bytes of an embedding, if a pass of this number finds room."""
        size = len(content) + _ITEM_BYTES
        with self._lock:
            if key in self._items:
                return
            while self._items and self._n_bytes + size > self._max_bytes:
                oldest, (last_used, old) = next(iter(self._items.items()))
                if last_used >= number:
                    return
                del self._items[oldest]
                self._n_bytes -= len(old) + _ITEM_BYTES
            if self._n_bytes + size <= self._max_bytes:
                self._items[key] = number, content
                self._n_bytes += size


class MemoryPass:
    """The memory during one call, with the methods of `CacheSession`."""

    def __init__(self, memory: EmbeddingMemory, number: int) -> None:
        self._memory, self._number = memory, number

    def get(self, key: Hashable) -> NDArray[np.float32] | None:
        """The embedding under a key, or None."""
        content = self._memory.get(key, self._number)
        return None if content is None else np.frombuffer(content, dtype=np.float32)

    def put(self, keys: Sequence[Hashable], embeddings: NDArray[np.float32]) -> None:
        """Keep rows of float32."""
        for key, embedding in zip(keys, embeddings):
            self._memory.put(key, embedding.tobytes(), self._number)

    def close(self) -> None:
        """There is nothing to close."""


OF_IMAGES, OF_TEXTS = EmbeddingMemory(), EmbeddingMemory()


def forget_embeddings() -> None:
    """Forget all embeddings that the process keeps."""
    OF_IMAGES.clear()
    OF_TEXTS.clear()
