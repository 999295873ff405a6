"""A cache that keeps embeddings between runs. Its keys are the contents of images and texts."""

import os
import sqlite3
import threading
import zlib
from contextlib import closing, nullcontext, suppress
from numbers import Real
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from .._utils.validation import warn_caller

_FILE = "embeddings.sqlite3"
# Small pages, so that the file is little larger than its embeddings.
_PAGE_BYTES = 512
# How long SQLite waits for another writer. A batch is written in far less.
_WAIT_SECONDS = 30
# How long a call waits for its turn. If it waits in vain, the process that has the turn has probably stopped.
_TURN_SECONDS = 600
# From a damaged file, SQLite may return values of other types than were stored.
_DAMAGE = (sqlite3.Error, ValueError, TypeError, OverflowError)
# Reading and writing also raise these, if the disk is full or the system has no locks.
_FAILURES = (*_DAMAGE, OSError, NotImplementedError)
# Codes of SQLite for a file that is not damaged, but in use by others, or not ours to write.
_REFUSALS = sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN


class EmbeddingCache:
    """A folder in which encoders with `cache=directory` keep embeddings.

    Several processes may use it at once. Their batches are computed in turns, so two GPUs need two folders. The folder
    must be on a local disk. A crash loses only what was being written. Damaged embeddings are found by checksums, and
    computed again.

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
        self.directory = _as_path(directory)

    def __len__(self) -> int:
        """Number of embeddings. If the file is damaged, it is 0, with a warning."""
        try:
            return self._use(_count)
        except _DAMAGE as error:
            _warn(self.directory, f"is damaged ({error}), so nothing is found in it; clear() empties it.")
            return 0

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
        self.prune(0)

    def prune(self, max_bytes: int) -> None:
        """Remove the oldest embeddings until the rest takes at most `max_bytes` on disk.

        Parameters
        ----------
        max_bytes : int
            An empty cache takes about 2 kB.

        Raises
        ------
        ValueError
            If `max_bytes` is no number, or below zero.
        OSError
            If another process writes for too long, or the cache may not be written.

        Warns
        -----
        RuntimeWarning
            If all embeddings were removed, because the file is damaged, or the disk is too full to write it again.
        """
        # A comparison with NaN is false, so nothing would be removed. A comparison with text would fail later.
        if not isinstance(max_bytes, Real) or not max_bytes >= 0:
            raise ValueError(f"max_bytes must be a number of bytes, at least 0; got {max_bytes!r}.")
        try:
            self._use(_prune, max_bytes)
        except _DAMAGE as error:
            for path in self.directory.glob(f"{_FILE}*"):
                path.unlink(missing_ok=True)
            if max_bytes:
                _warn(self.directory, f"cannot be written anew ({error}), so all of it was dropped.")

    def _use(self, function, *args):
        """Call `function(connection, *args)`; 0 without a file. An OSError if the file is in use, or not ours to write."""
        path = self.directory / _FILE
        if not path.exists():
            return 0
        try:
            with closing(_connect(path)) as connection:
                return function(connection, *args)
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _REFUSALS:
                raise
            raise OSError(
                f"The cache in {str(self.directory)!r} cannot be used now: {error}. Another process is writing to it, or you "
                "may not write to it."
            ) from error


def _as_path(directory):
    # Path("") would be the working directory.
    if not os.fspath(directory):
        raise ValueError(f"cache={directory!r} names no directory; None keeps no embeddings.")
    try:
        return Path(directory).expanduser()
    except RuntimeError as error:
        raise ValueError(f"cache={os.fspath(directory)!r} names no directory: {error}") from error


def _warn(directory, problem):
    warn_caller(f"The cache in {str(directory)!r} {problem}", RuntimeWarning)


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
            # The oldest embeddings have the lowest row numbers. `prune` drops them first.
            columns = "key BLOB PRIMARY KEY, embedding BLOB NOT NULL"
            connection.execute(f"CREATE TABLE IF NOT EXISTS embeddings ({columns})")
        except BaseException:
            connection.close()
            raise
    return connection


def _count(connection):
    return connection.execute("SELECT count(*) FROM embeddings").fetchone()[0]


def _prune(connection, max_bytes):
    if (problem := connection.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
        raise sqlite3.DatabaseError(problem)
    oldest = "SELECT rowid FROM embeddings ORDER BY rowid LIMIT ?"
    while n := _count(connection):
        size = connection.execute("PRAGMA page_count").fetchone()[0] * _PAGE_BYTES
        if size <= max_bytes:
            break
        with connection:
            n_oldest = max(1, int(n * (1 - max_bytes / size)))
            connection.execute(f"DELETE FROM embeddings WHERE rowid IN ({oldest})", (n_oldest,))
        connection.execute("VACUUM")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _checksum(key, embedding):
    """Four bytes by which a damaged embedding, or one under another key, is noticed."""
    return zlib.crc32(embedding, zlib.crc32(key)).to_bytes(4, "big")


class CacheSession:
    """The cache of one call. Threads may share it. Without a directory it keeps nothing and finds nothing.

    After a failure (a full disk, a directory that cannot be written, a broken file) the call goes on without the cache,
    and warns once at the end. A damaged embedding counts as missing.
    """

    def __init__(self, directory):
        self.active = directory is not None
        self._directory = _as_path(directory) if self.active else None
        self._lock = threading.Lock()
        self._connection = self._error = None
        self._damaged = set()
        self._wait_seconds = _TURN_SECONDS

    def __enter__(self):
        self._connection = self._try(lambda: _connect(self._directory / _FILE))
        return self

    def __exit__(self, kind, value, traceback):
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
        problem = f"is damaged; {len(self._damaged)} embeddings were computed anew."
        if self._error:
            problem = f"cannot be used ({self._error}); went on without it."
        if kind is None and (self._error or self._damaged):
            _warn(self._directory, f"{problem} EmbeddingCache(directory).clear() empties it.")

    def _try(self, function):
        """`function()`; None without a directory, and from the first failure on."""
        if self.active:
            try:
                return function()
            except _FAILURES as error:
                self.active, self._error = False, error
        return None

    def get(self, key):
        """The embedding under a key, or `None`."""
        statement = "SELECT embedding FROM embeddings WHERE key = ?"
        with self._lock:
            row = self._try(lambda: self._connection.execute(statement, (key,)).fetchone())
        if row is None:
            return None
        if not isinstance(row[0], bytes) or row[0][:4] != _checksum(key, row[0][4:]):
            self._damaged.add(key)
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
        return self._try(self._wait) or nullcontext()

    def _wait(self):
        turn = FileLock(self._directory / "embeddings.lock")
        try:
            # A process that embeds batch after batch is without its turn only for some milliseconds.
            return turn.acquire(timeout=self._wait_seconds, poll_interval=0.002)
        except Timeout:
            # The next batches of this call do not wait.
            self._wait_seconds = 0
