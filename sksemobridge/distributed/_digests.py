"""Digests of the keys of rows, and of the versions of the files behind them."""

import hashlib

import numpy as np

# Bytes of a file, and nanoseconds since 1970. They change when the file is replaced; null if it cannot be seen.
VERSION_COLUMNS = ["file_size", "file_modified"]


def _digest(values):
    return hashlib.blake2b(repr(values).encode(), digest_size=16).digest()


_UNKNOWN = _digest((None, None))


def digest_rows(table, key_columns, version_columns=()):
    """Digests of the rows of an Arrow table `(n, 2)`, 16 bytes each: of the key, and of the version, if it has columns.

    They depend on the values, not on their Arrow types.
    """
    digests = np.full((len(table), 2), _UNKNOWN, dtype="S16")
    for i, columns in enumerate((key_columns, version_columns)):
        if columns:
            batches = table.select(columns).to_batches(max_chunksize=2**16)
            rows = (row for batch in batches for row in zip(*batch.to_pydict().values()))
            digests[:, i] = np.fromiter(map(_digest, rows), dtype="S16", count=len(table))
    return digests


def find(keys, sorted_keys):
    """The place of each key among sorted keys; -1 if it is not there."""
    if not len(sorted_keys):
        return np.full(len(keys), -1)
    places = np.searchsorted(sorted_keys, keys).clip(max=len(sorted_keys) - 1)
    return np.where(sorted_keys[places] == keys, places, -1)


def is_changed(digests, sorted_digests):
    """Which rows have another version than the row of the same key in `sorted_digests`, if its version is known."""
    places = find(digests[:, 0], sorted_digests[:, 0])
    changed = places >= 0
    now = sorted_digests[places[changed], 1]
    changed[changed] = (now != digests[changed, 1]) & (now != _UNKNOWN)
    return changed
