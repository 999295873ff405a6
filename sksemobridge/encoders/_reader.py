"""What threads do with one image while the model computes others: find its embedding, or its pixels."""

import hashlib
from dataclasses import dataclass

import numpy as np

from ._pictures import ImageReadError, decode, fetch, picture_digest

# Part of the keys of the cache: raise it whenever pictures are read or scaled differently.
_READING = 1

# A JPEG is decoded smaller as long as its sides stay this many times what the model takes, so that the
# resizing of the model's preprocessing still has the last word.
_JPEG_MARGIN = 2


@dataclass
class ReadItem:
    """One image as `Reader` leaves it: an error, or an embedding found in the cache, or pixels."""

    key: bytes | None = None
    embedding: np.ndarray | None = None
    pixels: np.ndarray | None = None
    error: ImageReadError | None = None


class Reader:
    """From one source of an image to a `ReadItem`; raises nothing for images that cannot be read.

    Parameters
    ----------
    loaded : LoadedModel
    precision : str
        That embeddings are computed in.
    cache : CacheSession
    """

    def __init__(self, loaded, precision, cache):
        self._loaded = loaded
        self._cache = cache
        self._shortest_side = _JPEG_MARGIN * max(loaded.image_size)
        if cache.active:
            self._context = b"%d %s " % (_READING, precision.encode()) + loaded.image_digest()

    def __call__(self, source):
        try:
            content = fetch(source)
            key = None
            if self._cache.active:
                key = hashlib.sha256(self._context + picture_digest(content)).digest()
                embedding = self._cache.get(key)
                if embedding is not None:
                    return ReadItem(embedding=embedding)
            image = decode(content, shortest_side=self._shortest_side)
            return ReadItem(key=key, pixels=np.asarray(self._loaded.crop(image)))
        except ImageReadError as error:
            return ReadItem(error=error)
