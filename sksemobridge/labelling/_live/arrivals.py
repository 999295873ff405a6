"""Pictures that come into the folder while the page is open."""

import os
import threading
import time
from contextlib import suppress

from ...datasets import is_image

# Seconds between two looks into the folder, while a page is open.
EVERY = 10


class Arrivals:
    """A count of new pictures. `find()` lists the files of the folder, and `read(job)` gives a new
    job with all of them.
    """

    def __init__(self, find, read):
        self._find, self.read = find, read
        self._known, self._n, self._looked_at, self._is_looking = {}, 0, 0.0, False

    def begin(self, job):
        """Begin to count pictures that a job does not have."""
        # A file may have been half copied when the job read it: such a file counts as new if it has
        # changed since.
        unread = {path: changed(path) for path in job.problems}
        self._known = dict.fromkeys(job.files) | unread
        self._n, self._looked_at = 0, time.monotonic()

    def count(self):
        """The number of new pictures at the last look into the folder."""
        if not self._is_looking and time.monotonic() - self._looked_at >= EVERY:
            self._is_looking = True
            threading.Thread(target=self.look, daemon=True).start()
        return self._n

    def look(self):
        """Look into the folder now."""
        known = self._known
        try:
            n = sum(is_image(path) for path in self._find() if is_new(path, known))
        # The folder may be gone for a while.
        except (OSError, ValueError):
            n = 0
        if known is self._known:
            self._n = n
        self._looked_at, self._is_looking = time.monotonic(), False


def is_new(path, known):
    """Whether a file is not `known`, or could not be read and has changed since."""
    return path not in known or (known[path] is not None and known[path] != changed(path))


def changed(path):
    """Values that tell whether a file was changed, None if the file is gone."""
    with suppress(OSError):
        status = os.stat(path)
        return status.st_size, status.st_mtime_ns
    return None
