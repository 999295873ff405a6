"""Digests of the keys of rows, and of the versions of the files behind them."""

import hashlib

import numpy as np

# Bytes of a file, and nanoseconds since 1970. They change when the file is replaced.
VERSION_COLUMNS = ["file_size", "file_modified"]
# Stands for the digest of a version if the file cannot be seen.
_UNKNOWN = b""


def digest_rows(tables, key_columns, version_columns=()):
    """Digests of the rows of several tables, 16 bytes each. They depend on the values, not on their Arrow types.

    The first column is the digest of the key. With `version_columns`, the second is that of key and version together.
    """
    parts = [np.zeros((0, 2 if version_columns else 1), dtype="S16")]
    for table in tables:
        digests = [_digest(table.select(key_columns))]
        if version_columns:
            digests.append(_digest(table.select([*key_columns, *version_columns])))
            digests[1][table[version_columns[0]].is_null().to_numpy()] = _UNKNOWN
        parts.append(np.stack(digests, axis=1))
    return np.concatenate(parts)


def _digest(table):
    batches = table.to_batches(max_chunksize=2**16)
    rows = (row for batch in batches for row in zip(*(column.to_pylist() for column in batch.columns)))
    digests = (hashlib.blake2b(repr(row).encode(), digest_size=16).digest() for row in rows)
    return np.fromiter(digests, dtype="S16", count=len(table))


def is_among(keys, sorted_keys):
    """Which keys are among `sorted_keys`."""
    return _search(keys, sorted_keys)[0]


def is_changed(rows, sorted_rows):
    """Which rows have another version than the row of the same key in `sorted_rows`, if its version is known."""
    if rows.shape[1] == 1:
        return np.zeros(len(rows), dtype=bool)
    changed, places = _search(rows[:, 0], sorted_rows[:, 0])
    now = sorted_rows[places[changed], -1]
    changed[changed] = (now != rows[changed, -1]) & (now != _UNKNOWN)
    return changed


def _search(keys, sorted_keys):
    places = np.searchsorted(sorted_keys, keys)
    found = places < len(sorted_keys)
    found[found] = sorted_keys[places[found]] == keys[found]
    return found, places
