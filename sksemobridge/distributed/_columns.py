"""Columns of Arrow tables."""

import hashlib

import numpy as np


def without(table, *names):
    """A table without columns, whether it has them or not."""
    return table.drop_columns([name for name in names if name in table.column_names])


def fixed_size_lists(values, valid):
    """A column of vectors, null where they are not valid.

    Parameters
    ----------
    values : ndarray of shape (n, D)
    valid : sequence of n bool

    Returns
    -------
    pyarrow.FixedSizeListArray
    """
    import pyarrow as pa

    mask = pa.array(~np.asarray(valid, dtype=bool))
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1], mask=mask)


def row_digests(table):
    """16 bytes for each row, equal for rows with equal values, of whatever Arrow type they are.

    Returns
    -------
    ndarray of shape (n,), bytes of length 16
    """
    batches = table.to_batches(max_chunksize=2**16)
    rows = (row for batch in batches for row in zip(*(column.to_pylist() for column in batch.columns)))
    digests = (hashlib.blake2b(repr(row).encode(), digest_size=16).digest() for row in rows)
    return np.fromiter(digests, dtype="S16", count=len(table))


def is_among(digests, sorted_digests):
    """Which digests are among others, that are sorted."""
    if not len(sorted_digests):
        return np.zeros(len(digests), dtype=bool)
    places = np.searchsorted(sorted_digests, digests).clip(max=len(sorted_digests) - 1)
    return sorted_digests[places] == digests


def sort_digests(parts):
    """One sorted array of digests from several, or from their bytes."""
    return np.sort(
        np.concatenate([np.zeros(0, dtype="S16"), *(np.frombuffer(part, "S16") for part in parts)])
    )


def repeats(sorted_digests):
    """Those that are there more than once."""
    return np.unique(sorted_digests[1:][sorted_digests[1:] == sorted_digests[:-1]])
