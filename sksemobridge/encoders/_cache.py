"""Caches of embeddings, by the contents of images and texts, and of facts on files: within this
process, or in a folder between runs.
"""

import os
import sqlite3
import threading
import zlib
from collections.abc import Mapping
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock, Timeout

from .._utils.lru import LRUCache
from .._utils.validation import warn_caller

# 90,000 embeddings of 512 numbers, of images and texts together. A search over the parameters of a
# classifier embeds none of them twice.
MAX_BYTES = 2**28
# Bytes that Python needs for an item beside its numbers.
_ITEM_BYTES = 400
_FILE = "embeddings.sqlite3"
# Small pages, so that the file is little larger than its embeddings.
_PAGE_BYTES = 512
# Seconds of waiting for another process that writes, until a note says so. Writing takes far less
# time.
_NOTE_SECONDS = 5
# Seconds of waiting after the note.
_MORE_SECONDS = 25
# Seconds of waiting the next time, if the first wait was in vain.
_AGAIN_SECONDS = 1
# Caches for which a process has waited in vain.
_HELD: set[Path] = set()
# Errors of a full disk, or of a system without locks, among others. A damaged name of a column is
# no text.
_FAILURES = sqlite3.Error, OSError, NotImplementedError, UnicodeDecodeError


class CacheSession(Protocol):
    """Access to a cache during one call. Threads may share a session."""

    def find(self, keys: list[Any]) -> Mapping[Any, bytes]:
        """The contents that are kept under these keys, at most some hundred."""

    def keep(self, contents: Mapping[Any, bytes]) -> None:
        """Store contents under their keys."""


def store_in_memory(max_bytes: int = MAX_BYTES) -> LRUCache:
    return LRUCache(max_bytes, lambda content: len(content) + _ITEM_BYTES)


IN_MEMORY = store_in_memory()


def open_cache(cache: str | os.PathLike[str] | None) -> AbstractContextManager[CacheSession]:
    """A session of the cache that the parameter `cache` of an encoder names. The session of None
    stores nothing.
    """
    if is_on_disk(cache):
        return closing(FolderSession(cache))
    return nullcontext((IN_MEMORY if cache == "memory" else LRUCache(0)).begin())


def is_on_disk(cache):
    return cache not in (None, "memory")


def as_path(directory):
    # Path("") would be the working directory.
    if not os.fspath(directory):
        raise ValueError(f"cache={directory!r} names no directory; None keeps no embeddings.")
    return Path(directory).expanduser()


def _set_aside(path):
    """Rename a broken file, and drop its journal."""
    with FileLock(path.with_name("embeddings.open.lock"), timeout=_NOTE_SECONDS):
        path.replace(path.with_name(f"{path.name}.broken"))
        for journal in ("-wal", "-shm"):
            path.with_name(path.name + journal).unlink(missing_ok=True)


def _is_of_a_broken_file(error):
    """Whether an error says that a file is broken, and not in use, not ours to write, or on a full
    disk.
    """
    # Our statements have no errors, so a table or a column is missing.
    is_logical = getattr(error, "sqlite_errorname", "") == "SQLITE_ERROR"
    return (
        is_logical or type(error) is sqlite3.DatabaseError or isinstance(error, UnicodeDecodeError)
    )


def _checksum(key, embedding):
    # The checksum reveals a damaged embedding, and an embedding under a wrong key.
    return zlib.crc32(embedding, zlib.crc32(key)).to_bytes(4, "big")


class FolderSession:
    """The `CacheSession` of a folder.

    After a failure (a full disk, a directory that cannot be written) the call goes on without the
    cache. A broken file is replaced by a new one. Warnings name the broken file, and say what the
    call waits for. A damaged embedding counts as missing.
    """

    def __init__(self, directory):
        self._path, self._is_usable = as_path(directory) / _FILE, True
        self._timeout = _AGAIN_SECONDS if self._path in _HELD else _NOTE_SECONDS
        self._lock = threading.Lock()
        self._connection, self._was_broken = None, False
        # Connect here: in a thread, a warning could not name a line of the user.
        self._try(lambda: None)

    def _try(self, function):
        """The result of `function()` with a connection, or None after a first failure."""
        while self._is_usable:
            try:
                if self._connection is None:
                    self._connect()
                return function()
            except _FAILURES as error:
                is_held = isinstance(error, Timeout) or "BUSY" in getattr(
                    error, "sqlite_errorname", ""
                )
                if is_held and self._timeout == _NOTE_SECONDS:
                    self._warn(
                        "is held by another process; waiting for it, for half a minute at most"
                    )
                    self.close()
                    self._timeout = _MORE_SECONDS
                elif self._was_broken or not _is_of_a_broken_file(error):
                    self._warn(f"cannot be used ({error}); going on without it")
                    self._is_usable = False
                    if is_held:
                        _HELD.add(self._path)
                else:
                    self._warn(f"is broken ({error}); it is set aside, and a new one begun")
                    self.close()
                    self._was_broken = True
                    # If the broken file cannot be set aside, the next attempt fails, too.
                    with suppress(OSError):
                        _set_aside(self._path)
        return None

    def _connect(self):
        """Connect to the database. A missing database is created with its folder."""
        os.makedirs(self._path.parent, exist_ok=True)
        # SQLite raises an error if two processes create a database at once.
        with FileLock(self._path.with_name("embeddings.open.lock"), timeout=self._timeout):
            self._connection = sqlite3.connect(
                self._path, timeout=self._timeout, check_same_thread=False
            )
            # Names in a damaged file may be no text.
            self._connection.text_factory = bytes
            self._connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
            # Readers and a writer work at once.
            self._connection.execute("PRAGMA journal_mode = WAL")
            # A power cut may then lose the last embeddings, but does not damage the file.
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS embeddings"
                " (key BLOB PRIMARY KEY, embedding BLOB NOT NULL)"
            )
            found = self._connection.execute("PRAGMA table_info(embeddings)").fetchall()
            if [column[1] for column in found] != [b"key", b"embedding"]:
                raise sqlite3.DatabaseError("its table embeddings has other columns")

    def _warn(self, problem):
        warn_caller(f"The cache in {str(self._path.parent)!r} {problem}.")

    def close(self):
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def find(self, keys):
        """As in `CacheSession`. Damaged contents count as missing."""
        places = ",".join("?" * len(keys))
        statement = f"SELECT key, embedding FROM embeddings WHERE key IN ({places})"
        with self._lock:
            rows = self._try(lambda: self._connection.execute(statement, keys).fetchall())
        return {
            key: content[4:]
            for key, content in rows or ()
            if isinstance(content, bytes) and content[:4] == _checksum(key, content[4:])
        }

    def keep(self, contents):
        """Store all of the contents, or none after a failure."""
        rows = [(key, _checksum(key, content) + content) for key, content in contents.items()]
        self._write("INSERT OR REPLACE INTO embeddings VALUES (?, ?)", rows)

    def forget(self, keys):
        self._write("DELETE FROM embeddings WHERE key = ?", [(key,) for key in keys])

    def _write(self, statement, rows):
        def write():
            with self._connection:
                self._connection.executemany(statement, rows)
            _HELD.discard(self._path)

        with self._lock:
            self._try(write)
