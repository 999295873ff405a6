"""Files that an earlier run has read: their digests, trusted as git trusts its index."""

import hashlib
import os
import threading
from collections.abc import Sequence
from contextlib import closing
from typing import NamedTuple

from .._utils.files import file_state, has_settled
from ._cache import CacheSession, FolderSession

# Number of entries that are written at once.
_BATCH = 1000


class SeenFile(NamedTuple):
    """A file before it is read."""

    key: bytes  # key of the path, shorter than keys of embeddings
    state: bytes  # text that changes with the content
    digest: bytes | None  # digest of the content, if the file has not changed since it was indexed


class FileIndex:
    """The files of a session, known by their paths. Threads may share an index."""

    def __init__(self, session: CacheSession) -> None:
        self._session = session
        self._new: dict[bytes, bytes] = {}
        self._lock = threading.Lock()

    def look_up(self, paths: Sequence[str | os.PathLike[str] | None]) -> list[SeenFile | None]:
        """The current state of files, None for a path that is no file."""
        seen = [None if path is None else _seen(path) for path in paths]
        keys = [file.key for file in seen if file is not None]
        found = self._session.find(keys) if keys else {}
        return [
            file._replace(digest=known[:32])
            if file is not None and (known := found.get(file.key, b""))[32:] == file.state
            else file
            for file in seen
        ]

    def note(self, path: str | os.PathLike[str], seen: SeenFile, digest: bytes) -> None:
        """Keep the digest of a file that was read, if the file did not change meanwhile or just
        before.

        `seen` is the file before it was read.
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
        """Write the notes."""
        with self._lock:
            new, self._new = self._new, {}
        if new:
            self._session.keep(new)


def forget_files(directory: str | os.PathLike[str], paths: list[str]) -> None:
    """Let the next run read these files, whatever their state."""
    with closing(FolderSession(directory)) as session:
        session.forget([_key(path) for path in paths])


def _seen(path):
    status = _stat(path)
    return None if status is None else SeenFile(_key(path), _state(status), None)


def _key(path):
    return hashlib.sha256(os.fsencode(os.path.abspath(path))).digest()[:16]


def _state(status):
    return file_state(status).encode()


def _stat(path):
    try:
        return os.stat(path)
    # No file has this path, or the path has a null byte or no bytes.
    except (OSError, ValueError):
        return None
