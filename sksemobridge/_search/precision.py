"""How good a search by cosine similarity is."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import label_ranking_average_precision_score
from sklearn.utils import check_array
from sklearn.utils.validation import check_consistent_length, column_or_1d

from .._utils.array_api import l2_normalize, rows_as_bytes, to_numpy
from .._utils.sklearn import Interval, validate_params
from .._utils.validation import as_labels, is_text, refuse_masked, sorted_labels, warn_caller

# Number of similarities that are computed at once. Each takes up to 25 bytes.
BLOCK_SIZE = 2**22


@validate_params(
    {
        "query": ["array-like"],
        "gallery": ["array-like"],
        "query_labels": ["array-like"],
        "gallery_labels": ["array-like"],
        "exclude_self": ["boolean"],
        "batch_size": [Interval(Integral, 1, None, closed="left"), None],
    },
    prefer_skip_nested_validation=True,
)
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

    A match is a gallery row with the label of the query. The average precision of a query is the mean over its matches of
    the share of matches among the rows that rank as high or higher. It is 1 if all matches come first. For one query, it
    is scikit-learn's `average_precision_score`.

    Parameters
    ----------
    query, gallery : array-likes of shape (n, D) and (m, D)
        Embeddings. Rows may have any length. Gallery rows with the same similarity all get the rank of the last of them.
    query_labels, gallery_labels : array-likes of shape (n,) and (m,)
        Labels, text on both sides or on none.
    exclude_self : bool, default=False
        Whether query `i` and gallery row `i` are the same item. Query `i` then does not rank row `i`.
    batch_size : int or None, default=None
        Number of queries that are ranked at once. None limits the memory to about 100 MB, besides copies of the embeddings.

    Returns
    -------
    float
        Mean over the queries that have a match, between 0 and 1. A warning says how many have none.

    Raises
    ------
    ValueError
        If shapes do not fit together, values are NaN or infinite, labels are text on one side only, or no query has a
        match.

    References
    ----------
    Manning, Raghavan, Schütze: "Introduction to Information Retrieval", Cambridge University Press, 2008, section 8.4.

    Examples
    --------
    The first query finds its matches at ranks 1 and 3, the second one at rank 1:

    >>> from sksemobridge import mean_average_precision
    >>> gallery = [[1.0, 0.0], [0.9, 0.4], [0.5, 0.9]]
    >>> query = [[2.0, 0.0], [0.9, 0.5]]
    >>> mean_average_precision(query, gallery, ["cat", "dog"], ["cat", "dog", "cat"])
    0.916...
    """
    queries, y_queries = _read_side(query, query_labels, "query")
    items, y_items = _read_side(gallery, gallery_labels, "gallery")
    if queries.shape[1] != items.shape[1]:
        raise ValueError(f"query has {queries.shape[1]} columns, gallery {items.shape[1]}; both must agree.")
    if exclude_self and len(queries) != len(items):
        raise ValueError(
            f"With exclude_self=True query i is gallery row i, but there are {len(queries)} queries and "
            f"{len(items)} gallery rows."
        )
    if is_text(y_queries) != is_text(y_items):
        raise ValueError(
            f"query_labels are of type {y_queries.dtype}, gallery_labels of type {y_items.dtype}: "
            "no label could match. Use text or numbers on both sides."
        )
    _, codes = sorted_labels([y_queries, y_items], "labels of query and gallery", return_inverse=True)
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
            # The last rank of all changes no other rank, and no cosine is below -1.
            i = np.arange(len(similarity))
            similarity[i, start + i], is_match[i, start + i] = -2, False
        found = is_match.any(axis=1)
        if found.any():
            n_found += found.sum()
            total += found.sum() * label_ranking_average_precision_score(is_match[found], similarity[found])
    n_missed, others = len(queries) - int(n_found), " other than themselves" * exclude_self
    if not n_found:
        raise ValueError(
            f"None of the {n_missed} queries has an item with its label in the gallery{others}. Check that both sides use "
            "the same labels."
        )
    if n_missed:
        warn_caller(
            f"{n_missed} of {len(queries)} queries have no item with their label in the gallery{others} and are left "
            "out of the mean."
        )
    return float(total / n_found)


def _read_side(X, labels, name):
    """The embeddings and labels of the queries or of the gallery, as arrays of equal length."""
    X = to_numpy(X)
    refuse_masked(X, name)
    X = check_array(X, dtype=[np.float64, np.float32], order="C", input_name=name)
    labels = column_or_1d(as_labels(labels, f"{name}_labels"))
    check_consistent_length(X, labels)
    return X, labels
