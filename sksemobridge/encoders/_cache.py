"""A cache that keeps embeddings between runs. Its keys are the contents of images and texts."""

import os
import sqlite3
import threading
import zlib
from contextlib import closing, nullcontext, suppress
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from .._utils.validation import warn_caller

_FILE = "embeddings.sqlite3"
# Small pages, so that the file is little larger than its embeddings.
_PAGE_BYTES = 512
# How long SQLite waits for another writer. A batch is written in far less.
_WAIT_SECONDS = 30
# A call that waits for its turn says so after the first time. After the second, the process that has the turn has
# probably stopped.
_SAY_SECONDS, _TURN_SECONDS = 5, 30
# Reading and writing also raise the last two, if the disk is full or the system has no locks.
_FAILURES = sqlite3.Error, ValueError, TypeError, OverflowError, OSError, NotImplementedError
# Codes of SQLite for a file that is not broken, but in use by others, not ours to write, or on a full or bad disk.
_REFUSALS = {
    *(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN),
    *(sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR),
}


class EmbeddingCache:
    """A folder in which encoders with `cache=directory` keep embeddings.

    Several processes may use it at once. Their batches are computed in turns, so two GPUs need two folders. The folder
    must be on a local disk. A crash loses only what was being written. Each embedding has a checksum: one that is
    damaged is computed again. A broken file is set aside.

    Parameters
    ----------
    directory : str or os.PathLike
        The folder. It is made on first use.

    Raises
    ------
    ValueError
        If `directory` is empty, or names a user (`~name`) that does not exist.

    Examples
    --------
    >>> import tempfile
    >>> from sksemobridge.encoders import EmbeddingCache
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     cache = EmbeddingCache(directory)
    ...     print(len(cache), cache.size())
    0 0
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = as_path(directory)

    def __len__(self) -> int:
        """Number of embeddings. In a broken file it is 0."""
        return self._use(
            lambda connection: connection.execute("SELECT count(*) FROM embeddings").fetchone()[0]
        )

    def size(self) -> int:
        """Return the number of bytes on disk."""
        return sum(path.stat().st_size for path in self.directory.glob(f"{_FILE}*"))

    def clear(self) -> None:
        """Remove all embeddings.

        Raises
        ------
        OSError
            If another process writes for too long, or the cache may not be written.
        """

        def empty(connection):
            with connection:
                connection.execute("DELETE FROM embeddings")
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

        self._use(empty)
        for path in self.directory.glob("model-*.json"):
            path.unlink(missing_ok=True)

    def _use(self, function):
        """`function(connection)`; 0 without a file. A broken one is set aside. It is an OSError if it cannot be used."""
        path = self.directory / _FILE
        inode = _inode(path)
        if inode is None:
            return 0
        try:
            with closing(_connect(path)) as connection:
                return function(connection)
        except sqlite3.Error as error:
            if _is_broken(error):
                _set_aside(path, inode)
                return 0
            raise OSError(
                f"The cache in {str(self.directory)!r} cannot be used now: {error}. Another process is writing to it, or you "
                "may not write to it."
            ) from error


def as_path(directory):
    # Path("") would be the working directory.
    if not os.fspath(directory):
        raise ValueError(f"cache={directory!r} names no directory; None keeps no embeddings.")
    try:
        return Path(directory).expanduser()
    except RuntimeError as error:
        raise ValueError(f"cache={os.fspath(directory)!r} names no directory: {error}") from error


def _connect(path):
    """A connection to the database, which is created with its folder if it is missing."""
    os.makedirs(path.parent, exist_ok=True)
    # SQLite raises an error if two processes create a database at once.
    with FileLock(path.with_name("embeddings.open.lock"), timeout=_WAIT_SECONDS):
        connection = sqlite3.connect(path, timeout=_WAIT_SECONDS, check_same_thread=False)
        try:
            connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
            # Readers and a writer work at once.
            if connection.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
                raise OSError("SQLite cannot share a file there; name a directory on a local disk")
            # A power cut may then lose the last embeddings, but does not damage the file.
            connection.execute("PRAGMA synchronous = NORMAL")
            # In pages. By default, SQLite would copy the journal into the file every 0.5 MB.
            connection.execute("PRAGMA wal_autocheckpoint = 8192")
            columns = "key BLOB PRIMARY KEY, embedding BLOB NOT NULL"
            connection.execute(f"CREATE TABLE IF NOT EXISTS embeddings ({columns})")
        except BaseException:
            connection.close()
            raise
    return connection


def _is_broken(error):
    # The code of a few errors of Python's own is missing.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_BUSY) & 0xFF
    return isinstance(error, sqlite3.Error) and code not in _REFUSALS


def _set_aside(path, inode):
    """Rename a broken file, unless another process has done so, and drop its journal."""
    with FileLock(path.with_name("embeddings.open.lock"), timeout=_WAIT_SECONDS):
        if inode == _inode(path):
            path.replace(path.with_name(f"{path.name}.broken"))
            for journal in ("-wal", "-shm"):
                path.with_name(path.name + journal).unlink(missing_ok=True)


def _inode(path):
    return path.stat().st_ino if path.exists() else None


def _checksum(key, embedding):
    """Four bytes by which a damaged embedding, or one under another key, is noticed."""
    return zlib.crc32(embedding, zlib.crc32(key)).to_bytes(4, "big")


class CacheSession:
    """The cache of one call. Threads may share it. Without a directory it keeps nothing and finds nothing.

    After a failure (a full disk, a directory that cannot be written) the call goes on without the cache. It begins a new file
    in place of a broken one. A warning at the end says either. A damaged embedding counts as missing.
    """

    def __init__(self, directory):
        self.active = directory is not None
        self._path = as_path(directory) / _FILE if self.active else None
        self._lock = threading.Lock()
        self._connection = self._inode = self._problem = None
        self._may_wait = True

    def __enter__(self):
        self._try(lambda: None)
        return self

    def __exit__(self, kind, value, traceback):
        self._close()
        if kind is None and self._problem:
            warn_caller(f"The cache in {str(self._path.parent)!r} {self._problem}.", RuntimeWarning)

    def _try(self, function):
        """`function()` with a connection; None without a directory, and from the first failure on."""
        while self.active:
            try:
                if self._connection is None:
                    self._inode = _inode(self._path)
                    self._connection = _connect(self._path)
                return function()
            except _FAILURES as error:
                try:
                    if self._problem or not _is_broken(error):
                        raise
                    self._problem = f"was broken ({error}); it was set aside, and a new one begun"
                    self._close()
                    _set_aside(self._path, self._inode)
                except _FAILURES as last:
                    self._problem = f"cannot be used ({last}); went on without it"
                    self.active = False
        return None

    def _close(self):
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def get(self, key):
        """The embedding under a key, or `None`."""
        statement = "SELECT embedding FROM embeddings WHERE key = ?"
        with self._lock:
            row = self._try(lambda: self._connection.execute(statement, (key,)).fetchone())
        if row is None or not isinstance(row[0], bytes) or row[0][:4] != _checksum(key, row[0][4:]):
            return None
        return np.frombuffer(row[0], dtype="<f4", offset=4)

    def put(self, keys, embeddings):
        """Keep rows of float32: all of them, or none after a failure."""
        contents = [embedding.astype("<f4").tobytes() for embedding in embeddings]
        rows = [(key, _checksum(key, content) + content) for key, content in zip(keys, contents)]

        def insert():
            with self._connection:
                self._connection.executemany("INSERT OR REPLACE INTO embeddings VALUES (?, ?)", rows)

        with self._lock:
            self._try(insert)

    def turn(self):
        """A context in which no other process embeds. There, one looks up what is still missing, and computes it."""
        return (self._try(self._wait) if self._may_wait else None) or nullcontext()

    def _wait(self):
        turn, name = FileLock(self._path.with_name("embeddings.lock")), repr(str(self._path.parent))
        # A process that embeds batch after batch is without its turn only for some milliseconds.
        with suppress(Timeout):
            return turn.acquire(timeout=_SAY_SECONDS, poll_interval=0.002)
        warn_caller(f"Waiting for another process that embeds with the cache in {name}.")
        with suppress(Timeout):
            return turn.acquire(timeout=_TURN_SECONDS - _SAY_SECONDS, poll_interval=0.002)
        warn_caller(f"Went on, since the other process that embeds with the cache in {name} does not.")
        # Neither for the next turns nor to write. What cannot be written is not kept.
        self._may_wait = False
        self._connection.execute("PRAGMA busy_timeout = 0")
