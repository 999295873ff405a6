"""Embeddings that the process keeps in memory, of images by their content, and of texts; and files
that were read.
"""

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

from .._utils.lru import LRUCache

# Embeddings of images with their files, and as many bytes of texts: 90,000 of 512 numbers. A search
# over the parameters of a classifier embeds no more of them again.
MAX_BYTES = 2**28
# What Python takes for an item beside its numbers.
_ITEM_BYTES = 400


def embedding_store(max_bytes: int = MAX_BYTES) -> LRUCache:
    """A store of bytes."""
    return LRUCache(max_bytes, lambda content: len(content) + _ITEM_BYTES)


OF_IMAGES, OF_TEXTS = embedding_store(), embedding_store()


class MemorySession:
    """What the process keeps, during one call, with the methods of `CacheSession`."""

    active, is_lasting = True, False

    def __init__(self, kept: LRUCache) -> None:
        self._kept, self._number = kept, kept.begin()

    def find(self, keys: Iterable[Hashable]) -> dict[Any, bytes]:
        """The contents that are kept under these keys."""
        return self._kept.find(keys, self._number)

    def keep(self, contents: Mapping[Any, bytes]) -> None:
        """Keep contents under their keys."""
        self._kept.keep(contents, self._number)

    # Their keys have another length.
    find_files, keep_files = find, keep

    def close(self) -> None:
        """There is nothing to close."""


def forget_embeddings() -> None:
    """Forget all embeddings that the process keeps."""
    OF_IMAGES.clear()
    OF_TEXTS.clear()
