"""The pictures that the page shows: their numbers, and their files as they were at first."""

import os
import stat

import numpy as np

from ..._utils.files import digest_of
from ...encoders._heads import ImageReadError, read_picture
from ..events import PictureEvent
from ..report._page import jpeg

# Pixels of the longer side of a picture, and of a small one.
SIDE, SMALL = 800, 160


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
        # Of what was shown last.
        self._digests = {}

    def among(self, real):
        """Whether each picture is one of these real paths `(n,)`."""
        known = np.zeros(len(self.real), dtype=bool)
        known[[self.numbers[path] for path in real if path in self.numbers]] = True
        return known[self._first]

    def jpeg(self, number, is_small=False):
        """A picture as a JPEG. ImageReadError says why there is none."""
        try:
            content = self._content(number)
            picture = jpeg(content, SMALL if is_small else SIDE)
        except (OSError, ImageReadError) as error:
            self.unread[number] = getattr(error, "strerror", None) or str(error)
            raise ImageReadError(self.unread[number]) from error
        self.unread.pop(number, None)
        self._digests[number] = digest_of(content)
        return picture

    def event(self, number, **said):
        """A picture as an event keeps it: with the digest of what was shown."""
        if number not in self._digests:
            self.jpeg(number, is_small=True)
        root, path = self._pictures.place[self.real[number]]
        size, sha256 = self._digests[number]
        return PictureEvent(path, root, size, sha256, **said)

    def _content(self, number):
        """The content of the file that was there at the beginning, not of one that a link leads to
        now.
        """
        path, real = self.paths[number], self.real[number]
        flags = [getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY")]
        with open(os.open(real, os.O_RDONLY | sum(flags)), "rb") as file:
            status = os.fstat(file.fileno())
            is_same = os.path.realpath(path) == real and os.path.samestat(status, os.lstat(real))
            if not is_same or not stat.S_ISREG(status.st_mode):
                raise ImageReadError("it leads to another file than at the beginning")
            return read_picture(file)
