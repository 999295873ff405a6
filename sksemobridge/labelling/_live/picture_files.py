"""The pictures that the page shows: their numbers, and their files as they were at first."""

import os
import stat

import numpy as np

from ..._utils.files import digest_of
from ..._utils.lru import LRUCache
from ...encoders._heads import ImageReadError, read_picture
from .._photos.events import PictureEvent
from .._photos.picture_index import settled_change
from .._photos.report._page import jpeg

# Pixels of the longer side of a picture that a person is asked about.
SIDE = 800
# Pixels of the longer side of a picture among others.
SMALL_SIDE = 160
# Bytes of small pictures that are kept, so that a file is not read for each of them again. One has
# about 5,000.
MOST_KEPT_BYTES = 20_000_000


class PictureFiles:
    """Pictures by number: first those of PHOTOS, the rows of `job.embeddings`, then those of
    `--shots`.

    Attributes
    ----------
    paths, real : list of str
        As the user knows them, and without links.
    numbers : dict
        The number of each real path.
    n_photos : int
    unread : dict
        Why a picture cannot be shown, by number.
    """

    def __init__(self, job):
        shots = [job.shots.paths[row] for row in job.shown_shots]
        self.paths, self.n_photos = [*job.paths, *shots], len(job.paths)
        self.real = [*job.real, *(job.shots.real[row] for row in job.shown_shots)]
        self.numbers = {real: number for number, real in reversed([*enumerate(self.real)])}
        self._first = np.array([self.numbers[real] for real in self.real], dtype=int)
        self.unread = {}
        self._pictures = job.given.pictures
        # Of what was shown last: size, digest, and when the file was changed.
        self._contents = {}
        self._small = LRUCache(MOST_KEPT_BYTES, len)

    def has(self, number):
        """Whether a value is the number of a picture."""
        return type(number) is int and 0 <= number < len(self.paths)

    def among(self, real):
        """Whether each picture is one of these real paths `(n,)`."""
        known = np.zeros(len(self.real), dtype=bool)
        known[[self.numbers[path] for path in real if path in self.numbers]] = True
        return known[self._first]

    def jpeg(self, number, is_small=False):
        """A picture as a JPEG. ImageReadError says why there is none."""
        if is_small:
            return self._small.get(number, lambda: self._read(number, SMALL_SIDE))
        picture = self._read(number, SIDE)
        self._small.get(number, lambda: jpeg(picture, SMALL_SIDE))
        return picture

    def _read(self, number, side=None):
        """Read a picture, and keep for `event` what its file holds. Gives a JPEG with a longer side
        of `side` pixels, or None without `side`.
        """
        try:
            content, changed = self._content(number)
            picture = None if side is None else jpeg(content, side)
        except (OSError, ImageReadError) as error:
            self.unread[number] = getattr(error, "strerror", None) or str(error)
            raise ImageReadError(self.unread[number]) from error
        self.unread.pop(number, None)
        self._contents[number] = *digest_of(content), changed
        return picture

    def event(self, number, *, is_shown=True, **fields):
        """A picture as an event keeps it: with the digest of what was shown, or else of what is
        there.
        """
        if number not in self._contents:
            if is_shown:
                self.jpeg(number, is_small=True)
            else:
                self._read(number)
        root, path = self._pictures.place[self.real[number]]
        return PictureEvent(path, root, *self._contents[number], **fields)

    def _content(self, number):
        """The content of the file that was there at the beginning, not of one that a link leads to
        now. And when it was changed.
        """
        path, real = self.paths[number], self.real[number]
        flags = [getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY")]
        with open(os.open(real, os.O_RDONLY | sum(flags)), "rb") as file:
            status = os.fstat(file.fileno())
            is_same = os.path.realpath(path) == real and os.path.samestat(status, os.lstat(real))
            if not is_same or not stat.S_ISREG(status.st_mode):
                raise ImageReadError("it leads to another file than at the beginning")
            content = read_picture(file)
            return content, settled_change(status, os.fstat(file.fileno()))
