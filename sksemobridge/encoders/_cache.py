"""Embeddings that are kept between runs, by the content of the image or text."""

import os
import sqlite3
import threading
import time
import zlib
from contextlib import closing, contextmanager, suppress
from numbers import Real
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from .._utils.validation import warn_caller

_FILE = "embeddings.sqlite3"
# The oldest embeddings have the lowest row numbers. `prune` drops them first.
_SCHEMA = "CREATE TABLE IF NOT EXISTS embeddings (key BLOB PRIMARY KEY, embedding BLOB NOT NULL)"
# Small pages, so that the file is little larger than its embeddings.
_PAGE_BYTES = 512
# How long SQLite waits for another writer. A batch is written in far less.
_WAIT_SECONDS = 30
# How long a call waits for a process that adds no embeddings, and may have been stopped.
_PATIENCE_SECONDS = 60
_POLL_SECONDS = 0.01
# Reading and writing raise these if the disk is full, the file is damaged or the system has no locks. From a damaged
# file, SQLite may return values of other types than were stored.
_FAILURES = (OSError, sqlite3.Error, ValueError, TypeError, OverflowError, NotImplementedError)


class EmbeddingCache:
    """A directory in which encoders with `cache=directory` keep embeddings.

    Several processes may use it at once, on a local disk. A crash loses only what was being written. A damaged
    embedding is noticed and computed anew.

    Parameters
    ----------
    directory : str or os.PathLike
        Made on first use.

    Raises
    ------
    ValueError
        If `directory` is empty, or begins with `~` and a user that does not exist.

    See Also
    --------
    CLIPImageEncoder, CLIPTextEncoder : Fill it and read it.

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
        self.directory = cache_folder(directory)
        self._path = self.directory / _FILE

    def __len__(self) -> int:
        """Number of embeddings kept; 0 with a warning if the file is damaged."""
        if not self._path.exists():
            return 0
        try:
            with closing(_connect(self._path)) as connection:
                return _read_number(connection, "SELECT count(*) FROM embeddings")
        except _FAILURES as error:
            self._raise_if_whole(error)
            _warn(self.directory, f"is damaged ({error}), so nothing is found in it; clear() empties it.")
            return 0

    def size(self) -> int:
        """Bytes taken on disk."""
        return sum(path.stat().st_size for path in self.directory.glob(f"{_FILE}*"))

    def clear(self) -> None:
        """Forget all embeddings and give their space back.

        Raises
        ------
        TimeoutError
            If another process writes for too long.
        """
        self.prune(0)

    def prune(self, max_bytes: int) -> None:
        """Forget the oldest embeddings until the rest take at most `max_bytes` on disk.

        Parameters
        ----------
        max_bytes : int
            An empty cache takes about 2 kB.

        Raises
        ------
        ValueError
            If `max_bytes` is no number, or below zero.
        TimeoutError
            If another process writes for too long.
        PermissionError
            If the cache may not be written.

        Warns
        -----
        RuntimeWarning
            If all had to go, since the file is damaged or the disk too full to write it anew.
        """
        # A comparison with NaN is false, and would drop nothing; with text it would fail later.
        if not isinstance(max_bytes, Real) or not max_bytes >= 0:
            raise ValueError(f"max_bytes must be a number of bytes, at least 0; got {max_bytes!r}.")
        if not self._path.exists():
            return
        try:
            with closing(_connect(self._path)) as connection:
                _prune(connection, max_bytes)
        except _FAILURES as error:
            self._raise_if_whole(error)
            for path in self.directory.glob(f"{_FILE}*"):
                path.unlink(missing_ok=True)
            if max_bytes:
                _warn(self.directory, f"cannot be written anew ({error}), so all of it was dropped.")

    def _raise_if_whole(self, error):
        """Raise if the file is not damaged, but another process uses it or we may not write it."""
        name, code = str(self.directory), _error_code(error)
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            message = f"Another process is writing to the cache in {name!r}; try again when it is done."
            raise TimeoutError(message) from error
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
            raise PermissionError(f"The cache in {name!r} may not be written: {error}.") from error


def cache_folder(directory):
    """The directory that a user names, as a path; `ValueError` if the name is empty or its user does not exist."""
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
    """A connection to the database, which is created if it is missing."""
    connection = sqlite3.connect(path, timeout=_WAIT_SECONDS, check_same_thread=False)
    try:
        connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        _enter_wal_mode(connection)
        # A power cut may then lose the last embeddings, but does not damage the file.
        connection.execute("PRAGMA synchronous = NORMAL")
        # In pages. By default, SQLite would copy the journal into the file every 0.5 MB.
        connection.execute("PRAGMA wal_autocheckpoint = 8192")
        connection.execute(_SCHEMA)
    except BaseException:
        connection.close()
        raise
    return connection


def _enter_wal_mode(connection):
    """Let readers and a writer work at once."""
    deadline, mode = time.monotonic() + _WAIT_SECONDS, None
    while mode is None:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            # If several processes create the database at once, SQLite does not let all but one wait: it raises an error.
            if _error_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    if mode != "wal":
        raise OSError("SQLite cannot share a file there; name a directory on a local disk")


def _prune(connection, max_bytes):
    if (problem := connection.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
        raise sqlite3.DatabaseError(problem)
    while n := _read_number(connection, "SELECT count(*) FROM embeddings"):
        size = _read_number(connection, "PRAGMA page_count") * _PAGE_BYTES
        if size <= max_bytes:
            break
        n_oldest = max(1, int(n * (1 - max_bytes / size)))
        with connection:
            connection.execute(
                "DELETE FROM embeddings WHERE rowid IN (SELECT rowid FROM embeddings ORDER BY rowid LIMIT ?)",
                (n_oldest,),
            )
        connection.execute("VACUUM")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _read_number(connection, statement):
    return connection.execute(statement).fetchone()[0]


def _error_code(error):
    """SQLite's code of an error, without its details."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _checksum(key, embedding):
    """Four bytes by which a damaged embedding, or one under another key, is noticed."""
    return zlib.crc32(embedding, zlib.crc32(key)).to_bytes(4, "big")


class CacheSession:
    """The cache of one call. Threads may share it. Without a directory it keeps nothing and finds nothing.

    After a failure (a full disk, a directory that cannot be written, a broken file) the call goes on without the cache,
    and warns once at the end. A damaged embedding counts as missing.
    """

    def __init__(self, directory):
        self._directory = None if directory is None else cache_folder(directory)
        self._lock = threading.Lock()
        self._connection = self._open_connection = self._error = None
        self._damaged = set()
        self._is_patient = True

    @property
    def active(self):
        return self._connection is not None

    def __enter__(self):
        if self._directory is not None:
            try:
                os.makedirs(self._directory, exist_ok=True)
                self._at_work = FileLock(self._directory / "embeddings.lock")
                self._in_line = FileLock(self._directory / "embeddings.line.lock")
                self._connection = self._open_connection = _connect(self._directory / _FILE)
            except _FAILURES as error:
                self._give_up(error)
        return self

    def __exit__(self, kind, value, traceback):
        self._connection = None
        if self._open_connection is not None:
            with suppress(sqlite3.Error):
                self._open_connection.close()
        problem = None
        if self._error is not None:
            problem = f"cannot be used ({self._error}); went on without it."
        elif self._damaged:
            problem = f"is damaged; {len(self._damaged)} embeddings were computed anew."
        if problem is not None and kind is None:
            _warn(self._directory, f"{problem} EmbeddingCache(directory).clear() empties it.")

    @contextmanager
    def _using(self):
        """The connection for one thread at a time; None without one. A failure ends the use of the cache."""
        with self._lock:
            try:
                yield self._connection
            except _FAILURES as error:
                self._give_up(error)

    def _give_up(self, error):
        self._connection = None
        self._error = error

    def get(self, key):
        """The embedding under a key, or `None`."""
        row = None
        with self._using() as connection:
            if connection is not None:
                row = connection.execute("SELECT embedding FROM embeddings WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        if not isinstance(row[0], bytes) or row[0][:4] != _checksum(key, row[0][4:]):
            self._damaged.add(key)
            return None
        return np.frombuffer(bytearray(row[0][4:]), dtype="<f4")

    def put(self, keys, embeddings):
        """Keep rows of float32: all of them, or none after a failure."""
        contents = [embedding.astype("<f4").tobytes() for embedding in embeddings]
        rows = [(key, _checksum(key, content) + content) for key, content in zip(keys, contents)]
        with self._using() as connection:
            if connection is not None:
                with connection:
                    connection.executemany("INSERT OR REPLACE INTO embeddings VALUES (?, ?)", rows)

    @contextmanager
    def turn(self):
        """Hold the lock of the directory: one process at a time looks up what is missing, and computes it."""
        is_ours = self._take_turn()
        try:
            yield
        finally:
            if is_ours:
                self._at_work.release()

    def _take_turn(self):
        wait = {"timeout": _PATIENCE_SECONDS, "poll_interval": _POLL_SECONDS}
        while self._is_patient and (before := self._data_version()) is not None:
            try:
                # The next in line holds the other lock, so that no process takes two turns while another one waits.
                with suppress(Timeout), self._in_line.acquire(**wait):
                    self._at_work.acquire(**wait)
                    return True
            except _FAILURES as error:
                self._give_up(error)
            # Go on waiting only if others have added embeddings meanwhile.
            self._is_patient = self._data_version() != before
        return False

    def _data_version(self):
        """A number that changes when other processes add embeddings; None without a connection."""
        with self._using() as connection:
            return None if connection is None else _read_number(connection, "PRAGMA data_version")
