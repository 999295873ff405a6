"""The numbers by which the page knows the pictures of a job."""

import numpy as np

from .refused import Refused

# Most digits of the number of a picture.
MOST_DIGITS = 10


class PictureNumbers:
    """Numbers of pictures: first of the pictures of PHOTOS, which are the rows of `job.embeddings`,
    then of `--shots`. The numbers never change.

    Attributes
    ----------
    paths, real : list of str
        Paths as the user knows them, and real paths.
    number_of : dict
        The number of each real path.
    n_photos : int
    """

    def __init__(self, job):
        shots = [job.shots.paths[row] for row in job.shown_shots]
        self.paths, self.n_photos = [*job.paths, *shots], len(job.paths)
        self.real = [*job.real, *(job.shots.real[row] for row in job.shown_shots)]
        self.number_of = {real: number for number, real in reversed([*enumerate(self.real)])}
        self._first = np.array([self.number_of[real] for real in self.real], dtype=int)

    def has(self, number):
        """Whether a value is the number of a picture."""
        return type(number) is int and 0 <= number < len(self.paths)

    def check(self, number):
        """Refuse a value that is no number of a picture."""
        if not self.has(number):
            raise Refused("There is no such picture.")

    def from_text(self, text):
        """The number of a picture, from an address."""
        number = int(text) if text.isdecimal() and len(text) < MOST_DIGITS else -1
        self.check(number)
        return number

    def among(self, real):
        """Whether each picture is one of these real paths `(n,)`."""
        known = np.zeros(len(self.real), dtype=bool)
        known[[self.number_of[path] for path in real if path in self.number_of]] = True
        return known[self._first]
