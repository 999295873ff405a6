"""Precision of a search by cosine similarity."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_array, check_scalar
from sklearn.utils.validation import check_consistent_length

from .._utils.array_api import l2_normalize, rows_as_bytes, to_numpy
from .._utils.validation import as_labels, refuse_masked, sorted_labels, warn_caller

# Number of similarities that are computed at once. Each similarity takes 17 bytes.
BLOCK_SIZE = 2**22


def mean_average_precision(
    query: ArrayLike,
    gallery: ArrayLike,
    query_labels: ArrayLike,
    gallery_labels: ArrayLike,
    *,
    exclude_self: bool = False,
    batch_size: int | None = None,
) -> float:
    """Measure a search: each query ranks the whole gallery by cosine similarity.

    A match is a gallery row with the label of the query. The average precision of a query is
    scikit-learn's `average_precision_score`: 1 if all matches come first.

    Parameters
    ----------
    query, gallery : array-likes of shape (n, D) and (m, D)
        Embeddings. Rows may have any length. Equal gallery rows share a rank.
    query_labels, gallery_labels : array-likes of shape (n,) and (m,)
        Labels, text on both sides or on none.
    exclude_self : bool, default=False
        Whether query `i` and gallery row `i` are the same item. Query `i` then does not rank row
        `i`.
    batch_size : int or None, default=None
        Number of queries that are ranked at once. None limits the memory to about 100 MB, besides
        copies of the embeddings.

    Returns
    -------
    float
        Mean over the queries that have a match, between 0 and 1. A warning says how many queries
        have none.

    Raises
    ------
    ValueError
        If no query has a match, or parameters do not fit together.

    Examples
    --------
    The first query finds its matches at ranks 1 and 3, the second one at rank 1:

    >>> from sksemobridge import mean_average_precision
    >>> gallery = [[1.0, 0.0], [0.9, 0.4], [0.5, 0.9]]
    >>> query = [[2.0, 0.0], [0.9, 0.5]]
    >>> mean_average_precision(query, gallery, ["cat", "dog"], ["cat", "dog", "cat"])
    0.916...
    """
    if batch_size is not None:
        check_scalar(batch_size, "batch_size", Integral, min_val=1)
    queries, y_queries = _read_side(query, query_labels, "query")
    items, y_items = _read_side(gallery, gallery_labels, "gallery")
    if queries.shape[1] != items.shape[1]:
        raise ValueError(
            f"query has {queries.shape[1]} columns, gallery {items.shape[1]}; both must agree."
        )
    if exclude_self:
        check_consistent_length(queries, items)
    _, codes = sorted_labels([y_queries, y_items], return_inverse=True)
    query_codes, gallery_codes = np.split(codes, [len(queries)])
    queries, items = l2_normalize(queries), l2_normalize(items)
    _, first, inverse = np.unique(rows_as_bytes(items), return_index=True, return_inverse=True)
    step = batch_size or max(1, BLOCK_SIZE // len(items))
    total, n_found = 0.0, 0
    for start in range(0, len(queries), step):
        rows = slice(start, start + step)
        is_match = query_codes[rows, None] == gallery_codes
        # A matrix product may round equal rows differently.
        similarity = (queries[rows] @ items[first].T)[:, inverse]
        if exclude_self:
            # An excluded row gets the last rank, which changes no other rank: no cosine is below
            # -1.
            i = np.arange(len(similarity))
            similarity[i, start + i], is_match[i, start + i] = -2, False
        found = np.flatnonzero(is_match.any(axis=1))
        n_found += len(found)
        total += sum(_average_precision(similarity[i], is_match[i]) for i in found)
    if not n_found:
        raise ValueError(
            f"None of the {len(queries)} queries has an item with its label in the gallery."
        )
    if n_found < len(queries):
        missed = f"{len(queries) - n_found} of {len(queries)} queries"
        warn_caller(f"{missed} have no item with their label in the gallery.")
    return float(total / n_found)


def _average_precision(similarity, is_match):
    """The average precision of one query. A match has the rank of the last item that is equally
    similar.
    """
    matches = np.sort(similarity[is_match])
    rank = len(similarity) - np.searchsorted(np.sort(similarity), matches)
    n_matches = len(matches) - np.searchsorted(matches, matches)
    return np.mean(n_matches / rank)


def _read_side(X, labels, name):
    X = to_numpy(X)
    refuse_masked(X, name)
    X = check_array(X, dtype=[np.float64, np.float32], order="C", input_name=name)
    labels = as_labels(labels, f"{name}_labels")
    check_consistent_length(X, labels)
    return X, labels
