"""Mean average precision: what it measures; blocks, ties and missing matches."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score
from sklearn.preprocessing import normalize

from sksemobridge import mean_average_precision

from ..made_up import peak_memory


def average_precisions(query, gallery, query_labels, gallery_labels, exclude_self):
    """By scikit-learn, one query after the other; equal rows are equally similar up to the last
    digits.
    """
    similarity = np.round(normalize(query) @ normalize(gallery).T, 12)
    for i, (row, label) in enumerate(zip(similarity, query_labels)):
        ranked = np.arange(len(gallery)) != (i if exclude_self else -1)
        is_match = gallery_labels[ranked] == label
        if is_match.any():
            yield average_precision_score(is_match, row[ranked])


@st.composite
def searches(draw):
    """Random embeddings, some of them repeated in the gallery, and few labels; one may be a query's
    alone.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, width = draw(st.integers(1, 12)), draw(st.integers(1, 6))
    exclude_self = draw(st.booleans())
    m = n if exclude_self else draw(st.integers(1, 25))
    gallery = rng.normal(size=(m, width))
    repeated = rng.integers(0, m, size=draw(st.integers(0, 2 * m)))
    gallery[rng.integers(0, m, size=len(repeated))] = gallery[repeated]
    query = rng.normal(size=(n, width))
    n_labels = draw(st.integers(1, 4))
    return (
        query,
        gallery,
        rng.integers(0, n_labels + 1, n),
        rng.integers(0, n_labels, m),
        exclude_self,
    )


@pytest.mark.filterwarnings("ignore:.* queries have no item with their label")
@settings(max_examples=100)
@given(searches(), st.integers(1, 13) | st.none())
def test_agrees_with_scikit_learn_also_where_rows_are_equal(search, batch_size):
    *arrays, exclude_self = search
    expected = list(average_precisions(*arrays, exclude_self))
    if expected:
        actual = mean_average_precision(*arrays, exclude_self=exclude_self, batch_size=batch_size)
        assert actual == pytest.approx(np.mean(expected), abs=1e-12)
    else:
        with pytest.raises(ValueError, match="None of the"):
            mean_average_precision(*arrays, exclude_self=exclude_self, batch_size=batch_size)


@pytest.mark.parametrize("batch_size", [3, None])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_copies_share_a_rank(batch_size, dtype):
    rng = np.random.default_rng(0)
    gallery = np.tile(rng.normal(size=(1, 129)), (101, 1)).astype(dtype)
    query = rng.normal(size=(7, 129)).astype(dtype)
    labels = np.zeros(101, dtype=int)
    labels[[9, 49]] = 1
    actual = mean_average_precision(query, gallery, np.ones(7), labels, batch_size=batch_size)
    assert actual == pytest.approx(2 / 101)


def test_queries_without_a_match_are_counted_and_left_out():
    X = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
    with pytest.warns(
        UserWarning, match="1 of 3 queries have no item with their label in the gallery"
    ):
        assert mean_average_precision(X, X[:2], ["cat", "cat", "dog"], ["cat", "cat"]) == 1.0
    with pytest.warns(UserWarning, match="1 of 3 queries have no item"):
        assert mean_average_precision(X, X, [0, 0, 1], [0, 0, 1], exclude_self=True) == 1.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"query": np.ones((2, 3))}, "query has 3 columns, gallery 2"),
        ({"query": [[np.nan, 1.0], [1.0, 1.0]]}, "query contains NaN"),
        ({"query_labels": [0]}, "inconsistent numbers of samples"),
        ({"gallery_labels": ["a", "b", "c"]}, "The labels mix kinds"),
        ({"query_labels": [7, 8]}, "None of the 2 queries has an item"),
        ({"batch_size": -1}, "batch_size == -1, must be >= 1"),
        ({"exclude_self": True}, "inconsistent numbers of samples"),
        ({"gallery": np.ones((0, 2)), "gallery_labels": []}, "0 sample"),
    ],
)
def test_what_does_not_fit_is_named(changes, message):
    search = {"query": np.eye(2), "gallery": np.eye(3)[:, :2], "query_labels": [0, 1]}
    with pytest.raises(ValueError, match=message):
        mean_average_precision(**(search | {"gallery_labels": [0, 1, 1]} | changes))


def test_memory_does_not_grow_with_the_similarities():
    rng = np.random.default_rng(0)
    query, gallery = rng.normal(size=(250, 4)), rng.normal(size=(50_000, 4))
    labels = np.arange(250) % 9, np.arange(50_000) % 9
    assert peak_memory(lambda: mean_average_precision(query, gallery, *labels)) < 150e6
