"""Files that an earlier run has read: their digests, trusted as git trusts its index."""

import hashlib
import os
import threading
from collections.abc import Sequence
from contextlib import closing
from typing import NamedTuple

from .._utils.files import has_settled
from ._cache import CacheSession
from ._memory import MemorySession

# So many are written at once.
_BATCH = 1000


class SeenFile(NamedTuple):
    """A file before it is read."""

    key: bytes  # of its path
    state: bytes  # what changes with its content
    digest: bytes | None  # of its content, if it has not changed since it was indexed


class FileIndex:
    """The files of a store. Threads may share it.

    A file is known by its path. Size, time of content and of change in nanoseconds, device and file
    number tell whether it is as it was: programs can set the first time, but not the second.
    """

    def __init__(self, store: CacheSession | MemorySession) -> None:
        self._store = store
        self._new: dict[bytes, bytes] = {}
        self._lock = threading.Lock()

    def look_up(self, paths: Sequence[str | os.PathLike[str] | None]) -> list[SeenFile | None]:
        """Files as they are now. None for what is no file."""
        seen = [None if path is None else _seen(path) for path in paths]
        keys = [file.key for file in seen if file is not None]
        found = self._store.find_files(keys) if keys else {}
        return [
            file._replace(digest=known[:32])
            if file is not None and (known := found.get(file.key, b""))[32:] == file.state
            else file
            for file in seen
        ]

    def note(self, path: str | os.PathLike[str], seen: SeenFile, digest: bytes) -> None:
        """Keep the digest of a file that was read, if it did not change meanwhile or just before.

        `seen` is from before it was read.
        """
        status = _stat(path)
        if status is None or _state(status) != seen.state or not has_settled(status):
            return
        with self._lock:
            self._new[seen.key] = digest + seen.state
            is_full = len(self._new) >= _BATCH
        if is_full:
            self.close()

    def close(self) -> None:
        """Write what was noted."""
        with self._lock:
            new, self._new = self._new, {}
        if new:
            self._store.keep_files(new)


def forget_files(directory: str | os.PathLike[str], paths: list[str]) -> None:
    """Let the next run read these files, whatever their state."""
    with closing(CacheSession(directory)) as session:
        session.delete_files([_key(path) for path in paths])


def _seen(path):
    status = _stat(path)
    return None if status is None else SeenFile(_key(path), _state(status), None)


def _key(path):
    return hashlib.sha256(os.fsencode(os.path.abspath(path))).digest()[:16]


def _stat(path):
    try:
        return os.stat(path)
    # There is none, or its name has a null byte or no bytes.
    except (OSError, ValueError):
        return None


def _state(status):
    facts = status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_dev, status.st_ino
    return " ".join(map(str, facts)).encode()
