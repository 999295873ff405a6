"""A cache that keeps embeddings between runs. Its keys are the contents of images and texts."""

import os
import sqlite3
import threading
import zlib
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from .._utils.validation import warn_caller

_FILE = "embeddings.sqlite3"
# Small pages, so that the file is little larger than its embeddings.
_PAGE_BYTES = 512
# Seconds of waiting for another process that writes, until a note says so. Writing takes far less.
_NOTE_SECONDS = 5
# Seconds of waiting after the note.
_MORE_SECONDS = 25
# Seconds of waiting the next time, if the first wait was in vain.
_AGAIN_SECONDS = 1
# Caches that were waited for in vain.
_HELD: set[Path] = set()
# A full disk, or a system without locks, among others. A damaged name of a column is no text.
_FAILURES = sqlite3.Error, OSError, NotImplementedError, UnicodeDecodeError
# The tables: embeddings by their keys, and digests of files by their paths.
_TABLES = {"embeddings": ("key", "embedding"), "files": ("path", "digest")}


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
    # Our statements have no errors, so a table or a column is not there.
    is_logical = getattr(error, "sqlite_errorname", "") == "SQLITE_ERROR"
    return (
        is_logical or type(error) is sqlite3.DatabaseError or isinstance(error, UnicodeDecodeError)
    )


def _checksum(key, embedding):
    # So that a damaged embedding, or one under another key, is noticed.
    return zlib.crc32(embedding, zlib.crc32(key)).to_bytes(4, "big")


class CacheSession:
    """The cache of one call. Threads may share it. Without a directory it keeps nothing and finds
    nothing.

    After a failure (a full disk, a directory that cannot be written) the call goes on without the
    cache. It begins a new file in place of a broken one. A warning says either, and what is waited
    for. A damaged embedding counts as missing.
    """

    is_lasting = True

    def __init__(self, directory):
        self.active = directory is not None
        self._path = as_path(directory) / _FILE if self.active else None
        self._timeout = _AGAIN_SECONDS if self._path in _HELD else _NOTE_SECONDS
        self._lock = threading.Lock()
        self._connection, self._was_broken = None, False
        # here, because threads would wait and warn where no line is of the user
        self._try(lambda: None)

    def _try(self, function):
        """`function()` with a connection. None without a directory, and after a first failure."""
        while self.active:
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
                    self.active = False
                    if is_held:
                        _HELD.add(self._path)
                else:
                    self._warn(f"is broken ({error}); it is set aside, and a new one begun")
                    self.close()
                    self._was_broken = True
                    # If it cannot be set aside, the next attempt fails, too.
                    with suppress(OSError):
                        _set_aside(self._path)
        return None

    def _connect(self):
        """Connect to the database, which is created with its folder if it is missing."""
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
            for table, (key, content) in _TABLES.items():
                self._connection.execute(
                    f"CREATE TABLE IF NOT EXISTS {table}"
                    f" ({key} BLOB PRIMARY KEY, {content} BLOB NOT NULL)"
                )
                found = self._connection.execute(f"PRAGMA table_info({table})").fetchall()
                if [column[1] for column in found] != [key.encode(), content.encode()]:
                    raise sqlite3.DatabaseError(f"its table {table} has other columns")

    def _warn(self, problem):
        warn_caller(f"The cache in {str(self._path.parent)!r} {problem}.")

    def close(self):
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def find(self, keys):
        """The contents under these keys, as far as they are there and whole. At most some hundred
        keys.
        """
        return self._find("embeddings", keys)

    def keep(self, contents):
        """Keep contents under their keys: all of them, or none after a failure."""
        self._keep("embeddings", contents)

    def find_files(self, keys):
        """What is kept of files, by the keys of their paths."""
        return self._find("files", keys)

    def keep_files(self, contents):
        """Keep what is known of files: all of them, or none after a failure."""
        self._keep("files", contents)

    def delete_files(self, keys):
        """Forget files."""
        self._write("DELETE FROM files WHERE path = ?", [(key,) for key in keys])

    def _find(self, table, keys):
        key_column, column = _TABLES[table]
        places = ",".join("?" * len(keys))
        statement = f"SELECT {key_column}, {column} FROM {table} WHERE {key_column} IN ({places})"
        with self._lock:
            rows = self._try(lambda: self._connection.execute(statement, keys).fetchall())
        return {
            key: content[4:]
            for key, content in rows or ()
            if isinstance(content, bytes) and content[:4] == _checksum(key, content[4:])
        }

    def _keep(self, table, contents):
        rows = [(key, _checksum(key, content) + content) for key, content in contents.items()]
        self._write(f"INSERT OR REPLACE INTO {table} VALUES (?, ?)", rows)

    def _write(self, statement, rows):
        def write():
            with self._connection:
                self._connection.executemany(statement, rows)
            _HELD.discard(self._path)

        with self._lock:
            self._try(write)
