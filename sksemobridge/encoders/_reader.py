"""What threads do with one image while the model computes others: find its embedding, or its pixels."""

import hashlib

import numpy as np

from ._collector import Item
from ._pictures import ImageReadError, decode, fetch, picture_digest

# Part of the keys of the cache: raise it whenever pictures are read or scaled differently.
_READING = 1


class Reader:
    """From one source of an image to an `Item`; raises nothing for images that cannot be read.

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
        self._context = b"image %d %s " % (_READING, precision.encode())
        # Without a cache keys need to tell apart only the images of this call.
        if cache.active:
            self._context += loaded.image_digest()

    def __call__(self, source):
        try:
            content = fetch(source)
        except ImageReadError as error:
            return Item(error=error)
        key = hashlib.sha256(self._context + picture_digest(content)).digest()
        embedding, claimed = self._cache.find_or_claim(key)
        if not claimed:
            return Item(key, embedding)
        try:
            image = decode(content, shortest_side=max(self._loaded.image_size))
            return Item(key, input=np.asarray(self._loaded.crop(image)))
        except ImageReadError as error:
            self._cache.release([key])
            return Item(key, error=error)
