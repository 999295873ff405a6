"""A child process of limited memory that reads images first, for an actor whose predecessor has died."""

import multiprocessing
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from .._utils.platforms import limit_memory
from ..encoders._pictures import ImageReadError, decode, fetch

# Enough for any image within Pillow's limit on pixels, with the copies made while it is read.
_MAX_BYTES = 2 * 2**30


def actor_was_restarted():
    """Whether this process is an actor of Ray in place of one that died."""
    # An actor has imported Ray; elsewhere Ray need not be installed.
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized() or ray.get_runtime_context().get_actor_id() is None:
        return False
    with warnings.catch_warnings():
        # Ray's own property uses another that it has deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        return bool(ray.get_runtime_context().was_current_actor_reconstructed)


class Sandbox:
    """Reads images in a child process to find those that would end the process that reads them."""

    def __init__(self):
        self._pool = None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._close()

    def reason_against(self, image):
        """Why an image must not be read here, or None. A broken image does no harm: it may be read."""
        from PIL import Image

        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                1,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_limit,
                initargs=(_MAX_BYTES, Image.MAX_IMAGE_PIXELS),
            )
        try:
            fits = self._pool.submit(_read, image).result()
        except BrokenProcessPool:
            self._close()
            return "reading it ends the process that reads it"
        return None if fits else f"reading it takes more than {_MAX_BYTES / 2**30:g} GiB of memory"

    def _close(self):
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None


def _limit(n_bytes, max_image_pixels):
    """Limit the memory that this process may take from now on."""
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = max_image_pixels
    # Without a limit, only images that end the process are found.
    limit_memory(n_bytes)


def _read(image):
    """Whether the memory suffices to read an image."""
    try:
        decode(fetch(image))
    except MemoryError:
        return False
    except ImageReadError as error:
        return not isinstance(error.__cause__, MemoryError)
    return True
