"""Tags of images as a user gives them: an indicator matrix, a data frame or a list of sets."""

from dataclasses import dataclass
from numbers import Real

import numpy as np
from scipy import sparse
from sklearn.utils import assert_all_finite, check_consistent_length

from .array_api import to_numpy
from .validation import (
    as_labels,
    is_missing_value,
    listed,
    refuse_masked,
    rows_in_words,
    sorted_labels,
)

FORMS = (
    "Y must be an indicator matrix (n, K), where 1 is a tag that the image has, 0 one that it has"
    " not, and -1 or NaN one that nobody looked for, or a list of sets of tags"
)


@dataclass(frozen=True)
class TagTable:
    """Answers for `K` tags of `n` images."""

    classes: np.ndarray  # the tags `(K,)`
    values: np.ndarray  # `(n, K)`: 1, 0, or NaN without an answer
    is_sets: bool  # whether an image has none of the tags that its set lacks

    def for_classes(self, classes):
        """The values for other tags `(n, K)`."""
        place = {tag: k for k, tag in enumerate(self.classes.tolist())}
        values = np.full((len(self.values), len(classes)), 0.0 if self.is_sets else np.nan)
        for k, tag in enumerate(classes.tolist()):
            if tag in place:
                values[:, k] = self.values[:, place[tag]]
        return TagTable(classes, values, self.is_sets)


def read_tags(Y, n_rows):
    """The `TagTable` of `n_rows` images. Tags are the names of columns in their order, the numbers
    of columns without names, or the sorted tags of sets. If all sets are empty, there are no tags.
    """
    if Y is None:
        raise ValueError("This classifier requires y to be passed, but the target y is None.")
    refuse_masked(Y, "Y")
    if hasattr(Y, "columns"):
        table = _of_frame(Y)
    else:
        Y = Y.toarray() if sparse.issparse(Y) else to_numpy(Y)
        table = _of_sets(list(Y)) if _is_sets(Y) else _of_matrix(Y)
    check_consistent_length(np.empty(n_rows), table.values)
    return table


def _is_sets(Y):
    """Whether the rows are sets, or lists of text, which may all be empty."""
    if not isinstance(Y, (list, tuple)) and str(getattr(Y, "dtype", "")) != "object":
        return False
    lists = [row for row in Y if isinstance(row, (list, tuple))]
    has_text = any(isinstance(tag, str) for row in lists for tag in row)
    are_empty = 0 < len(lists) == len(Y) and not any(lists)
    return has_text or are_empty or any(isinstance(row, (set, frozenset)) for row in Y)


def as_tags(values, name):
    """A list of tags as an array, each once. Tags are text, numbers, or True and False."""
    kinds = {}
    for value in values:
        if not isinstance(value, (str, Real, np.bool_)):
            raise ValueError(f"Tags are text or numbers, but {name} has {value!r:.100} as one.")
        kinds.setdefault(isinstance(value, (bool, np.bool_)), value)
    if len(kinds) > 1:  # Python takes True for 1
        raise ValueError(
            f"The tags in {name} mix True or False with other values, such as"
            f" {kinds[False]!r:.100}. Use one kind."
        )
    return as_labels(list(dict.fromkeys(values)), name)


def _of_sets(rows):
    if not all(isinstance(row, (set, frozenset, list, tuple)) for row in rows):
        wrong = next(row for row in rows if not isinstance(row, (set, frozenset, list, tuple)))
        raise ValueError(f"Y is a list of sets of tags, but holds {wrong!r:.100}. Write {{...}}.")
    tags = [tag for row in rows for tag in row]
    is_bad = np.array([any(map(is_missing_value, row)) for row in rows])
    if is_bad.any():
        raise ValueError(f"Y has NaN or None as a tag in {rows_in_words(is_bad)}.")
    classes = sorted_labels([as_tags(tags, "Y")]) if tags else np.array([], dtype=object)
    place = {tag: k for k, tag in enumerate(classes.tolist())}
    values = np.zeros((len(rows), len(classes)))
    for i, row in enumerate(rows):
        values[i, [place[tag] for tag in row]] = 1
    return TagTable(classes, values, is_sets=True)


def _of_frame(Y):
    names = list(Y.columns)
    if not names or len(set(names)) < len(names):
        raise ValueError(
            "Y has no columns, or two with one name. Give a column for each tag, whose name is that"
            " of the tag."
        )
    columns = [np.asarray(Y[name].to_numpy()) for name in names]
    values = np.column_stack([_values(column) for column in columns])
    return TagTable(as_tags(names, "the columns of Y"), values, is_sets=False)


def _of_matrix(Y):
    try:
        array = np.asarray(Y)
    except ValueError as error:
        raise ValueError(f"{FORMS}; its rows have several lengths.") from error
    if array.ndim != 2 or not array.shape[1]:
        raise ValueError(
            f"Unknown label type: {FORMS}; got an array of shape {array.shape}. For one"
            " label of each image use FewShotClassifier."
        )
    return TagTable(np.arange(array.shape[1]), _values(array), is_sets=False)


def _is_number(value):
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _values(array):
    """The values 1, 0 and NaN of an array of a user."""
    if array.dtype.kind in "cmM":  # NumPy would convert such values without a word
        raise ValueError(f"Unknown label type: {FORMS}; it holds values of the type {array.dtype}.")
    if array.dtype.kind == "O":
        unknown = np.vectorize(is_missing_value, otypes=[bool])(array)
        array = np.where(unknown, np.nan, array)
    try:
        values = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        wrong = next(value for value in array.ravel().tolist() if not _is_number(value))
        raise ValueError(f"{FORMS}; it holds {wrong!r:.100}.") from error
    assert_all_finite(values, allow_nan=True, input_name="Y")
    values = np.where(values == -1, np.nan, values)
    wrong = np.unique(values[~np.isnan(values) & ~np.isin(values, [0, 1])])
    if len(wrong):
        raise ValueError(f"Unknown label type: {FORMS}; it holds {listed(wrong.tolist())}.")
    return values
