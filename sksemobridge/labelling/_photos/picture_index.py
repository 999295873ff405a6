"""The files of the pictures in events, found by path, or else by content."""

import hashlib
import os
from collections import defaultdict
from contextlib import suppress
from functools import cache
from pathlib import PurePath

from ..._utils.files import settled_change


class Pictures:
    """The files of a job.

    `files` are lists of paths by root, `"photos"` and `"shots"`, and `folders` are the folders of
    the roots. Files are known by their real path, whatever link leads there.
    """

    def __init__(self, folders, files):
        # Real paths by root and path below the root, the inverse, and real paths by path.
        self.real, self.place, self.real_of = {}, {}, {}
        for root, paths in files.items():
            for path, real in real_paths(paths).items():
                below = PurePath(path).relative_to(folders[root]).as_posix()
                self.real[root, below] = real
                self.place.setdefault(real, (root, below))
                self.real_of[path] = real
        self._digests, self._of_size = {}, None

    def finder(self, events):
        """A function from a picture of these events, or of this run, to its real paths.

        A picture whose content is gone from its path is any file with this content, except a file
        with an answer of its own.
        """
        keys = {key_of(picture): [] for event in events for picture in event.pictures}
        for key, found in keys.items():
            real = self.real.get(key[:2])
            if real is not None and self._is(real, *key[2:]):
                found.append(real)
        own = {real for found in keys.values() for real in found}
        for key, found in keys.items():
            if not found and key[3] is not None:
                same = [real for real in self._with_size(key[2]) if self._is(real, *key[2:4])]
                found += [real for real in same if real not in own]

        def find(picture):
            key = key_of(picture)
            # Pictures of this run are found by path, whatever their content is now.
            return keys[key] if key in keys else self._at(picture)

        return find

    def _at(self, picture):
        real = self.real.get((picture.root, picture.path))
        return [] if real is None else [real]

    def _is(self, real, size, sha256, changed=None):
        """Whether a file has this content. The file is not read if its last change was at the time
        `changed`. Without a digest, any content will do.
        """
        if sha256 is None:
            return True
        with suppress(OSError):
            status = os.stat(real)
            is_same = (status.st_size, settled_change(status, status)) == (size, changed)
            if is_same and changed is not None:
                return True
        if real not in self._digests:
            with suppress(OSError), open(real, "rb") as file:
                n_bytes = os.fstat(file.fileno()).st_size
                if n_bytes != size:
                    return False
                self._digests[real] = n_bytes, hashlib.file_digest(file, "sha256").hexdigest()
        return self._digests.get(real) == (size, sha256)

    def _with_size(self, size):
        if self._of_size is None:
            self._of_size = defaultdict(list)
            for real in self.place:
                with suppress(OSError):
                    self._of_size[os.stat(real).st_size].append(real)
        return self._of_size[size]


def real_paths(paths):
    """Real paths of files, by path. Most files are in few folders, and are no links."""
    real_folder, real = cache(os.path.realpath), {}
    for path in paths:
        folder, name = os.path.split(path)
        real[path] = os.path.join(real_folder(folder), name)
        if os.path.islink(real[path]):
            real[path] = os.path.realpath(path)
    return real


def key_of(picture):
    """The values by which an event identifies a picture."""
    return picture.root, picture.path, picture.size, picture.sha256, picture.changed
