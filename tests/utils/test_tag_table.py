"""Tags are read from every form in which a user may have them."""

from datetime import date

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse

from sksemobridge._utils.tag_table import read_tags

Y = np.array([[1, 0, 1], [0, 0, 0], [0, 1, 0]])
NAMES = ["dog", "cat", "indoors"]
MATRICES = {
    "integers": Y,
    "booleans": Y.astype(bool),
    "floats": Y.astype(float),
    "lists": Y.tolist(),
    "objects": Y.astype(object),
    "sparse": sparse.csr_array(Y),
    "pandas": pd.DataFrame(Y, columns=NAMES),
    "pandas, nullable": pd.DataFrame(Y, columns=NAMES).astype("boolean"),
    "polars": pl.DataFrame(Y, schema=NAMES),
    "polars, booleans": pl.DataFrame(Y.astype(bool), schema=NAMES),
}
SETS = [{"dog", "indoors"}, set(), {"cat"}]


@pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES)
def test_a_matrix(matrix):
    table = read_tags(matrix, 3)
    np.testing.assert_array_equal(table.values, Y)
    expected = NAMES if hasattr(matrix, "columns") else [0, 1, 2]
    assert table.classes.tolist() == expected


@pytest.mark.parametrize(
    "form",
    [list, tuple, pd.Series, lambda rows: [list(row) for row in rows]],
    ids=["list", "tuple", "Series", "lists of text"],
)
def test_sets_have_sorted_tags(form):
    table = read_tags(form(SETS), 3)
    assert table.classes.tolist() == ["cat", "dog", "indoors"]
    np.testing.assert_array_equal(table.values, Y[:, [1, 0, 2]])


UNKNOWN = {
    "-1": np.array([[1, -1], [-1, 0]]),
    "NaN": np.array([[1, np.nan], [np.nan, 0]]),
    "None": [[True, None], [None, False]],
    "pandas.NA": pd.DataFrame({"a": [True, None], "b": [None, False]}, dtype="boolean"),
    "pandas, objects": pd.DataFrame({"a": [True, None], "b": [None, False]}),
    "polars": pl.DataFrame({"a": [1, None], "b": [None, 0]}),
    "polars, booleans": pl.DataFrame({"a": [True, None], "b": [None, False]}),
}


@pytest.mark.parametrize("matrix", UNKNOWN.values(), ids=UNKNOWN)
def test_answers_that_nobody_gave(matrix):
    expected = [[1, np.nan], [np.nan, 0]]
    np.testing.assert_array_equal(read_tags(matrix, 2).values, expected)


def test_other_tags_are_unknown_in_matrices_and_absent_in_sets():
    tags = np.array(["bird", "dog"])
    by_columns = read_tags(MATRICES["pandas"], 3).for_classes(tags)
    np.testing.assert_array_equal(by_columns.values, [[np.nan, 1], [np.nan, 0], [np.nan, 0]])
    by_sets = read_tags(SETS, 3).for_classes(tags)
    np.testing.assert_array_equal(by_sets.values, [[0, 1], [0, 0], [0, 0]])


@pytest.mark.parametrize("Y", [[set(), set()], [[], []], ((), ())], ids=str)
def test_sets_may_all_be_empty(Y):
    table = read_tags(Y, 2)
    assert table.classes.tolist() == []
    assert table.values.shape == (2, 0)


@pytest.mark.parametrize(
    ("Y", "message"),
    [
        (None, "requires y to be passed"),
        ([1, 0, 1], r"shape \(3,\). For one label of each image use FewShotClassifier"),
        (["cat", "dog", "cat"], r"shape \(3,\)"),
        ([["a"], "cat", {"dog"}], "holds 'cat'"),
        (Y + 1, r"it holds 2.0"),
        (np.where(Y, np.inf, 0), "Y contains infinity"),
        (np.array([["yes", "no"]] * 3), "it holds 'yes'"),
        ([[1, 0], [1], [0]], "several lengths"),
        (Y[:2], "inconsistent numbers of samples"),
        ([{"a", 1}, {"b"}, set()], "mix text and other values, such as '[ab]' and 1;"),
        ([{"a"}, {"b"}, {"a", None}], "NaN or None as a tag in 1 of 3 rows: 2"),
        (pd.DataFrame(Y, columns=["a", "a", "b"]), "two with one name"),
        (pd.DataFrame(index=range(3)), "no columns"),
        (np.ma.masked_equal(Y, 0), "masked"),
        ([[], [1, 0], [0, 1]], "several lengths"),
        (np.array([[np.datetime64("2026")]] * 3, dtype=object), "it holds"),
        (Y * 1j, "values of the type complex128"),
        (Y.astype("datetime64[s]"), r"values of the type datetime64\[s\]"),
        (Y.astype("timedelta64[s]"), r"values of the type timedelta64\[s\]"),
        (pd.DataFrame({"a": pd.to_datetime([0, 1, 0])}), "values of the type datetime64"),
        ([[1, 0], [1j, 0], [0, 0]], "type complex128"),
        (np.array([[date(2026, 1, 1)]] * 3, dtype=object), r"it holds datetime.date\(2026, 1, 1\)"),
        ([{True, 2}, {3}, set()], "in Y mix True or False with other values, such as [23]"),
        ([{True}, {1}, set()], "in Y mix True or False with other values, such as 1"),
        ([{date(2026, 1, 1)}, {date(2026, 1, 2)}, set()], r"Y has datetime.date\(.*\) as one"),
        ([{np.datetime64("2026")}, set(), set()], "Y has np.datetime64"),
        ([{b"cat"}, {b"dog"}, set()], "Y has b'(cat|dog)' as one"),
        ([{1j}, {2j}, set()], "Y has [12]j as one"),
        (pd.DataFrame(Y, columns=[True, 2, 3]), "the columns of Y mix True or False"),
    ],
)
def test_what_is_wrong_is_named(Y, message):
    with pytest.raises(ValueError, match=message):
        read_tags(Y, 3)
