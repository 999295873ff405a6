"""Embeddings kept between runs, by the content of what was embedded."""

import os
import sqlite3
import threading
import time
import warnings
from contextlib import ExitStack
from pathlib import Path

import numpy as np

_FILE = "embeddings.sqlite3"
# Large pages hold rows of a few kilobytes with little left over at their ends.
_PAGE_BYTES = 65536
_WAIT_SECONDS = 30
_SCHEMA = """
CREATE TABLE IF NOT EXISTS embeddings (
    place INTEGER PRIMARY KEY, head INTEGER NOT NULL, tail BLOB NOT NULL, embedding BLOB NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS by_head ON embeddings (head);
"""


class EmbeddingCache:
    """A directory in which `CLIPImageEncoder(cache=directory)` keeps embeddings.

    Several processes may use it at once, on a local disk. What is written is there after a crash; what was
    being written then is not.

    Parameters
    ----------
    directory : str or os.PathLike
        Made on first use.

    Examples
    --------
    >>> import tempfile
    >>> from sksemobridge.encoders import EmbeddingCache
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     cache = EmbeddingCache(directory)
    ...     print(len(cache), cache.size())
    0 0
    """

    def __init__(self, directory):
        self.directory = Path(directory)

    def __len__(self):
        """Number of embeddings kept."""
        if not self._path.exists():
            return 0
        with _Connection(self._path) as connection:
            return _count(connection)

    def size(self):
        """Bytes taken on disk."""
        return sum(path.stat().st_size for path in self.directory.glob(f"{_FILE}*"))

    def clear(self):
        """Forget all embeddings and give their space back; an empty cache takes some 200 kB."""
        self.prune(0)

    def prune(self, max_bytes):
        """Forget the oldest embeddings, so that the rest take at most so many bytes on disk.

        Parameters
        ----------
        max_bytes : int
            An empty cache takes some 200 kB, which is the least.
        """
        if not self._path.exists():
            return
        with _Connection(self._path) as connection:
            _compact(connection)
            while (count := _count(connection)) and (size := _bytes(connection)) > max_bytes:
                drop = max(1, int(count * (1 - max_bytes / size)))
                with connection:
                    connection.execute(
                        "DELETE FROM embeddings WHERE place IN "
                        "(SELECT place FROM embeddings ORDER BY place LIMIT ?)",
                        (drop,),
                    )
                _compact(connection)

    @property
    def _path(self):
        return self.directory / _FILE


def _count(connection):
    return connection.execute("SELECT count(*) FROM embeddings").fetchone()[0]


def _bytes(connection):
    return connection.execute("PRAGMA page_count").fetchone()[0] * _PAGE_BYTES


def _compact(connection):
    connection.execute("VACUUM")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


class _Connection:
    """A connection to a database that is made where it is missing; closed at the end of a `with` block."""

    def __init__(self, path):
        self._path = path

    def __enter__(self):
        self._connection = sqlite3.connect(self._path, timeout=_WAIT_SECONDS, check_same_thread=False)
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise
        return self._connection

    def __exit__(self, *exception):
        self._connection.close()

    def _prepare(self):
        connection = self._connection
        connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        deadline = time.monotonic() + _WAIT_SECONDS
        # Of processes that make the same database at once, SQLite lets only one change the journal and does
        # not let the others wait.
        while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            try:
                connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        # In WAL mode a power cut may lose the last embeddings but not damage the file.
        connection.execute("PRAGMA synchronous = NORMAL")
        # In pages: SQLite's default of 1000 would let the journal grow to 64 MB.
        connection.execute("PRAGMA wal_autocheckpoint = 64")
        connection.executescript(_SCHEMA)


class CacheSession:
    """The cache of one call to `transform`, for keys that are digests of at least 12 bytes.

    A cache that fails (a full disk, a directory that cannot be written, a broken file) is out of use for the
    rest of the call and warns once at its end. Threads may share a session.

    Parameters
    ----------
    directory : str, os.PathLike or None
        `None`: nothing is kept and nothing found.
    """

    def __init__(self, directory):
        self._directory = directory
        self._lock = threading.Lock()
        self._stack = ExitStack()
        self._connection = None
        self._error = None

    @property
    def active(self):
        return self._connection is not None

    def __enter__(self):
        if self._directory is not None:
            try:
                os.makedirs(self._directory, exist_ok=True)
                self._connection = self._stack.enter_context(_Connection(Path(self._directory) / _FILE))
            except (OSError, sqlite3.Error) as error:
                self._give_up(error)
        return self

    def __exit__(self, kind, value, traceback):
        self._connection = None
        self._stack.close()
        if self._error is not None and kind is None:
            warnings.warn(
                f"The cache in {str(self._directory)!r} cannot be used ({self._error}); went on without it.",
                RuntimeWarning,
                stacklevel=2,
            )

    def get(self, key):
        """The embedding under a key, or `None`."""
        head, tail = _split(key)
        with self._lock:
            if self._connection is None:
                return None
            try:
                row = self._connection.execute(
                    "SELECT tail, embedding FROM embeddings WHERE head = ?", (head,)
                ).fetchone()
            except sqlite3.Error as error:
                self._give_up(error)
                return None
        return np.frombuffer(row[1], dtype="<f4") if row is not None and row[0] == tail else None

    def put(self, keys, embeddings):
        """Keep rows of float32, all or none of them."""
        with self._lock:
            if self._connection is None:
                return
            rows = [(*_split(key), row.astype("<f4").tobytes()) for key, row in zip(keys, embeddings)]
            try:
                with self._connection:
                    self._connection.executemany(
                        "INSERT OR IGNORE INTO embeddings (head, tail, embedding) VALUES (?, ?, ?)", rows
                    )
            except sqlite3.Error as error:
                self._give_up(error)

    def _give_up(self, error):
        self._connection = None
        self._error = error


def _split(key):
    # An index over 6 bytes keeps the file within a tenth of its embeddings. Should two keys share them, the
    # other 6 tell them apart, and the second is not kept.
    return int.from_bytes(key[:6], "big", signed=True), bytes(key[6:12])
