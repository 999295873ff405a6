"""The files of the pictures that the page shows. A path that leads to another file than at the
beginning is refused.
"""

import hashlib
import os
import stat
from contextlib import contextmanager, suppress

from ..._utils.files import settled_change
from ...encoders import ImageReadError
from .._answers.events import PictureEvent
from .._photos.report._page import jpeg

# Pixels of the longer side of a picture that a person is asked about.
LARGE_SIDE = 800
# Pixels of the longer side of a picture among others.
SMALL_SIDE = 160
# Most small pictures that are kept in memory. A small picture has about 5,000 bytes.
MOST_SMALL = 4000


class PictureFiles:
    """Files by the numbers of `pictures`.

    Attributes
    ----------
    unread : dict
        The reason why a picture cannot be shown, by number.
    """

    def __init__(self, job, pictures):
        self.pictures, self.unread = pictures, {}
        self._place = job.pictures.place
        # The content that was shown last, by number: size, digest, and time of the last change of
        # the file.
        self._contents = {}
        self._small = {}

    def jpeg(self, number, is_small=False):
        """A picture as a JPEG. An ImageReadError says why a picture cannot be read."""
        if is_small:
            return self._small.get(number) or self._keep(number, self._read(number, SMALL_SIDE))
        picture = self._read(number, LARGE_SIDE)
        self._keep(number, jpeg(picture, SMALL_SIDE))
        return picture

    def _keep(self, number, picture):
        """Keep a small picture in place of the one that was read first."""
        self._small[number] = picture
        if len(self._small) > MOST_SMALL:
            with suppress(StopIteration, KeyError, RuntimeError):  # other threads drop some, too
                del self._small[next(iter(self._small))]
        return picture

    def _read(self, number, side=None):
        """Read a picture, and keep the digest of its file for `event`. Return a JPEG with a longer
        side of `side` pixels, or None without `side`.
        """
        try:
            with self._opened(number) as file:
                before = os.fstat(file.fileno())
                picture = None if side is None else jpeg(file, side)
                file.seek(0)
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
                after = os.fstat(file.fileno())
        except (OSError, ImageReadError) as error:
            self.unread[number] = getattr(error, "strerror", None) or str(error)
            raise ImageReadError(self.unread[number]) from error
        self.unread.pop(number, None)
        self._contents[number] = before.st_size, sha256, settled_change(before, after)
        return picture

    def event(self, number, *, is_shown=True, **fields):
        """A picture as an event keeps it: with the digest of the content that was shown, or else of
        the current content.
        """
        if number not in self._contents:
            if is_shown:
                self.jpeg(number, is_small=True)
            else:
                self._read(number)
        root, path = self._place[self.pictures.real[number]]
        return PictureEvent(path, root, *self._contents[number], **fields)

    @contextmanager
    def _opened(self, number):
        """An open file. A link that leads to another file than at the beginning is an error."""
        path, real = self.pictures.paths[number], self.pictures.real[number]
        flags = [getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY")]
        with open(os.open(real, os.O_RDONLY | sum(flags)), "rb") as file:
            status = os.fstat(file.fileno())
            is_same = os.path.realpath(path) == real and os.path.samestat(status, os.lstat(real))
            if not is_same or not stat.S_ISREG(status.st_mode):
                raise ImageReadError("it leads to another file than at the beginning")
            yield file
