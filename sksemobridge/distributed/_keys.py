"""Keys of rows as digests of 16 bytes."""

import hashlib

import numpy as np


def row_digests(table):
    """A digest of each row; rows with equal values have equal ones, whatever Arrow types hold the values.

    Returns
    -------
    ndarray of shape (n,), bytes of length 16
    """
    batches = table.to_batches(max_chunksize=2**16)
    rows = (row for batch in batches for row in zip(*(column.to_pylist() for column in batch.columns)))
    digests = (hashlib.blake2b(repr(row).encode(), digest_size=16).digest() for row in rows)
    return np.fromiter(digests, dtype="S16", count=len(table))


def is_among(digests, sorted_digests):
    """Which digests are among `sorted_digests`."""
    if not len(sorted_digests):
        return np.zeros(len(digests), dtype=bool)
    places = np.searchsorted(sorted_digests, digests).clip(max=len(sorted_digests) - 1)
    return sorted_digests[places] == digests


def sort_digests(parts):
    """One sorted array from several arrays of digests, or from their bytes."""
    return np.sort(
        np.concatenate([np.zeros(0, dtype="S16"), *(np.frombuffer(part, "S16") for part in parts)])
    )


def repeats(sorted_digests):
    """Digests that occur more than once."""
    return np.unique(sorted_digests[1:][sorted_digests[1:] == sorted_digests[:-1]])
