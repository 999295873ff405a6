"""Embeddings kept between runs, by the content of the image or text."""

import os
import sqlite3
import threading
import time
import zlib
from contextlib import ExitStack, closing, suppress
from numbers import Real
from pathlib import Path

import numpy as np

from .._utils.validation import warn_caller
from ._locks import NumberLocks

_FILE = "embeddings.sqlite3"
_LOCK_FILE = "embeddings.lock"
# Embeddings lie in blocks, and the last page of a block is not full: small pages keep a small cache near the size
# of its embeddings. SQLite reads a block as a whole, so it must not be large.
_PAGE_BYTES = 512
_BLOCK_BYTES = 16384
# How long SQLite waits for another writer, whose batch takes far less, and between two looks at a claimed embedding.
_WAIT_SECONDS = 30
_POLL_SECONDS = 0.02
_SCHEMA = """
CREATE TABLE IF NOT EXISTS blocks (
    block INTEGER PRIMARY KEY, record_bytes INTEGER NOT NULL, records BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS places (
    head INTEGER PRIMARY KEY, block INTEGER NOT NULL, position INTEGER NOT NULL
);
"""
_FIND = """
SELECT substr(records, position * record_bytes + 1, record_bytes) FROM places LEFT JOIN blocks USING (block)
WHERE head = ?
"""
# What reading and writing raise where the disk is full or the file damaged: SQLite may give values of other types
# than were stored, and messages that are no text.
_FAILURES = (OSError, sqlite3.Error, ValueError, TypeError, OverflowError)
# A call waits so long for other processes, which may have been stopped, then computes the embeddings that they claimed.
_PATIENCE_SECONDS = 20


class EmbeddingCache:
    """A directory in which encoders with `cache=directory` keep embeddings.

    Several processes may use it at once, on a local disk. A crash loses only what was being written. A damaged
    embedding is noticed and computed anew.

    Parameters
    ----------
    directory : str or os.PathLike
        Made on first use.

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
        self.directory = Path(directory).expanduser()

    def __len__(self) -> int:
        """Number of embeddings kept; 0 with a warning if the file is damaged."""
        if not self._path.exists():
            return 0
        try:
            with closing(_connect(self._path)) as connection:
                return _count(connection, "places")
        except _FAILURES as error:
            self._raise_if_whole(error)
            self._warn(f"is damaged ({error}), so nothing is found in it; clear() empties it.")
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
        # Anything else would drop all, as no limit that was meant.
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
                self._warn(f"cannot be written anew ({error}), so all of it was dropped.")

    def _raise_if_whole(self, error):
        """Raise where not the file but who else has it, or who we are, is the reason for an error."""
        if _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise TimeoutError(
                f"Another process is writing to the cache in {str(self.directory)!r}; try again when it is done."
            ) from error
        if _code(error) in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
            raise PermissionError(
                f"The cache in {str(self.directory)!r} may not be written: {error}."
            ) from error

    def _warn(self, problem):
        warn_caller(f"The cache in {str(self.directory)!r} {problem}", RuntimeWarning)

    @property
    def _path(self):
        return self.directory / _FILE


def _prune(connection, max_bytes):
    if (problem := connection.execute("PRAGMA quick_check").fetchone()[0]) != "ok":
        raise sqlite3.DatabaseError(problem)
    if not max_bytes:
        connection.executescript(f"DROP TABLE blocks; DROP TABLE places; {_SCHEMA}")
    # First of all, so that new rows have the space of the deleted ones.
    _drop_oldest(connection, max_bytes)
    _compact(connection)
    while _count(connection, "blocks") and _bytes(connection) > max_bytes:
        _drop_oldest(connection, max_bytes)
        _compact(connection)


def _drop_oldest(connection, max_bytes):
    count, size = _count(connection, "blocks"), _bytes(connection)
    if size <= max_bytes:
        return
    drop = max(1, int(count * (1 - max_bytes / size)))
    with connection:
        connection.execute(
            "DELETE FROM blocks WHERE block IN (SELECT block FROM blocks ORDER BY block LIMIT ?)", (drop,)
        )
        connection.execute("DELETE FROM places WHERE block NOT IN (SELECT block FROM blocks)")


def _code(error):
    """SQLite's kind of an error, without its details."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _count(connection, table):
    return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def _bytes(connection):
    """Bytes of the pages that are in use."""
    pages, free = (connection.execute(f"PRAGMA {name}_count").fetchone()[0] for name in ("page", "freelist"))
    return (pages - free) * _PAGE_BYTES


def _compact(connection):
    connection.execute("VACUUM")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _connect(path):
    """A connection to the database, which is made where it is missing."""
    connection = sqlite3.connect(path, timeout=_WAIT_SECONDS, check_same_thread=False)
    try:
        _prepare(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection):
    connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
    deadline = time.monotonic() + _WAIT_SECONDS
    # Where several processes make the same database at once, SQLite lets one change the journal and answers the
    # others with an error instead of a wait.
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    # In WAL mode a power cut may lose the last embeddings but not damage the file.
    connection.execute("PRAGMA synchronous = NORMAL")
    # In pages. SQLite's default of 1000 would copy the journal into the file every 0.5 MB.
    connection.execute("PRAGMA wal_autocheckpoint = 8192")
    connection.executescript(_SCHEMA)


class CacheSession:
    """The cache of one call, for keys that are digests of at least 12 bytes; threads may share it.

    It also decides who computes a missing embedding: one call in one process at a time holds the lock on its key,
    until it puts the embedding or releases the key.

    After a failure (a full disk, a directory that cannot be written, a broken file) the call goes on without
    the cache and warns once at its end. A damaged embedding counts as missing.

    Parameters
    ----------
    directory : str, os.PathLike or None
        `None`: nothing is kept and nothing found.
    """

    def __init__(self, directory):
        self._directory = directory
        self._lock = threading.Lock()
        self._stack = ExitStack()
        self._begun = set()
        self._damaged = set()
        self._is_patient = True
        self._connection = None
        self._locks = None
        self._error = None

    @property
    def active(self):
        return self._connection is not None

    def __enter__(self):
        if self._directory is not None:
            try:
                folder = Path(self._directory).expanduser()
                os.makedirs(folder, exist_ok=True)
                self._locks = self._stack.enter_context(closing(NumberLocks(folder / _LOCK_FILE)))
                self._connection = self._stack.enter_context(closing(_connect(folder / _FILE)))
            except _FAILURES as error:
                self._give_up(error)
        return self

    def __exit__(self, kind, value, traceback):
        self._connection = self._locks = None
        with suppress(sqlite3.Error):
            self._stack.close()
        directory, message = str(self._directory), None
        if self._error is not None:
            message = f"The cache in {directory!r} cannot be used ({self._error}); went on without it."
        elif self._damaged:
            message = (
                f"The cache in {directory!r} is damaged; {len(self._damaged)} embeddings were computed anew."
            )
        if message is not None and kind is None:
            message += " EmbeddingCache(directory).clear() empties it."
            warn_caller(message, RuntimeWarning)

    def get(self, key):
        """The embedding under a key, or `None`."""
        head, tail = _split(key)
        with self._lock:
            if self._connection is None:
                return None
            try:
                row = self._connection.execute(_FIND, (head,)).fetchone()
            except _FAILURES as error:
                self._give_up(error)
                return None
            if row is None:
                return None
            if not _is_sound(head, row[0]):
                self._damaged.add(head)
                return None
        return np.frombuffer(row[0][10:], dtype="<f4") if row[0][4:10] == tail else None

    def find_or_lock(self, key):
        """The embedding under a key, or `None`, and whether the caller has its lock and shall compute it.

        Without either, another process or an earlier request of this call is computing it, or has computed it
        and could not keep it.
        """
        embedding = self.get(key)
        if embedding is not None or not self._take(key):
            return embedding, False
        # Another process may have kept it between the first look and the lock.
        embedding = self.get(key)
        if embedding is not None:
            self.release([key])
        return embedding, embedding is None

    def release(self, keys):
        """Unlock keys, so that other processes compute what is still missing."""
        with self._lock:
            if self._locks is not None:
                for key in keys:
                    self._locks.release(_split(key)[0])

    def wait(self, key):
        """Return when no other process holds the lock on a key.

        After `_PATIENCE_SECONDS` the session waits for no process any more, and takes no locks.
        """
        head = _split(key)[0]
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while self._is_patient:
            with self._lock:
                if not self.active or self._locks.take(head):
                    if self.active:
                        self._locks.release(head)
                    return
            self._is_patient = time.monotonic() < deadline
            time.sleep(_POLL_SECONDS)

    def put(self, keys, embeddings):
        """Keep rows of float32, all or none of them, and unlock their keys."""
        with self._lock:
            if self._connection is not None:
                try:
                    with self._connection:
                        _write(self._connection, keys, embeddings, self._damaged)
                except _FAILURES as error:
                    self._give_up(error)
        self.release(keys)

    def _take(self, key):
        with self._lock:
            if key in self._begun:
                return False
            if self.active and self._is_patient and not self._locks.take(_split(key)[0]):
                return False
            self._begun.add(key)
            return True

    def _give_up(self, error):
        self._connection = None
        self._error = error


def _write(connection, keys, embeddings, damaged):
    # IMMEDIATE: no other process may write between our reading and our writing.
    connection.execute("BEGIN IMMEDIATE")
    first = connection.execute("SELECT coalesce(max(block), 0) + 1 FROM blocks").fetchone()[0]
    per_block = max(1, _BLOCK_BYTES // (10 + 4 * embeddings.shape[1]))
    records = []
    for key, embedding in zip(keys, embeddings):
        head, tail = _split(key)
        if head in damaged:
            connection.execute("DELETE FROM places WHERE head = ?", (head,))
        place = head, first + len(records) // per_block, len(records) % per_block
        if connection.execute("INSERT OR IGNORE INTO places VALUES (?, ?, ?)", place).rowcount:
            record = tail + embedding.astype("<f4").tobytes()
            records.append(_checksum(head, record) + record)
    for block, start in enumerate(range(0, len(records), per_block), first):
        row = block, len(records[0]), b"".join(records[start : start + per_block])
        connection.execute("INSERT INTO blocks VALUES (?, ?, ?)", row)


def _checksum(head, record):
    """Checksum of four bytes of a record and its place."""
    return zlib.crc32(record, zlib.crc32(head.to_bytes(6, "big"))).to_bytes(4, "big")


def _is_sound(head, record):
    return isinstance(record, bytes) and record[:4] == _checksum(head, record[4:])


def _split(key):
    # An index over 6 bytes keeps the file at most a tenth larger than its embeddings. Where two keys share these,
    # the other 6 tell them apart, and the second is not kept.
    return int.from_bytes(key[:6], "big"), bytes(key[6:12])
