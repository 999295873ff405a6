"""Checks of the input, for errors that scikit-learn does not explain."""

import os
import re
import sys
import warnings
from collections.abc import Set
from numbers import Real
from unicodedata import normalize

import numpy as np
from sklearn.utils import assert_all_finite, check_array, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from .array_api import is_foreign, namespace, to_numpy

# Largest factor of cosines, logits or losses that a user may give. With larger factors, values
# leave the range that single precision resolves.
LARGEST_FACTOR = 1e6
# Advice for numbers in place of names.
NUMBERED = (
    "If a tool has numbered your labels, let them be text, and pass class_names as a mapping from"
    " them to names, or as their sorted list: both name the numbers too."
)

# Advice for images with several labels.
SEVERAL_LABELS = "If images have several labels, use MultilabelFewShotClassifier."


def warn_caller(message, category=UserWarning, *, advice=""):
    """Warn at the line of the user's code that called this package, directly or through
    scikit-learn.

    `advice` names parameters. The command has no such parameters, and does not show the advice.
    """
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_globals.get("__name__", "").split(".")[0] in (
        "sksemobridge",
        "sklearn",
    ):
        frame, level = frame.f_back, level + 1
    warning = category(f"{message} {advice}".rstrip())
    warning.without_advice = message
    warnings.warn(warning, stacklevel=level)


def is_whole(label):
    """Whether a label is a whole number, and no boolean."""
    return isinstance(label, Real) and not isinstance(label, bool) and float(label).is_integer()


def labels_of_numbers(labels, keys, name):
    """The labels of a user, if a tool has numbered them: number k is the k-th of the sorted keys,
    if all keys are text. Other labels stay. `name` is the parameter with these keys.
    """
    if not all(isinstance(key, str) for key in keys) or not all(map(is_whole, labels)):
        return labels
    keys = sorted(keys)
    at_place = [keys[int(label)] if 0 <= label < len(keys) else None for label in labels]
    _refuse_two_readings(labels, at_place, keys, name)
    return [label if key is None else key for label, key in zip(labels, at_place)]


def _refuse_two_readings(labels, at_place, keys, name):
    """Refuse numbered `labels` that have two readings: as the text of a key, as in a JSON file, and
    as the place of another key. `at_place` is the key at the place of each label, or None.
    """
    found = [re.fullmatch(r"\s*([+-]?\d+)(\.0+)?\s*", key) for key in keys]
    of_number = {int(match[1]): match[0] for match in found if match}
    if not all(label in of_number for label in labels):
        return
    differ = [
        f"{int(label)} may be {of_number[label]!r}, or"
        f" {'nothing' if key is None else repr(str(key))}"
        for label, key in zip(labels, at_place)
        if key != of_number[label]
    ]
    if differ:
        raise ValueError(
            f"The labels are numbers, but the keys of {name} are text, so a label may be its key as"
            f" a number, or its place among the keys sorted as text: {listed(differ, 3)}. If the"
            f" labels are yours, make the keys numbers: {{int(key): value for key, value in"
            f" {name}.items()}}. If a tool has numbered labels that are text, let these and the"
            " keys have equal length, such as '00' and '10'."
        )


def listed(items, limit=5):
    """The first items of a list for a message, and how many more there are."""
    items = list(map(str, items))
    more = f" and {len(items) - limit} more" if len(items) > limit else ""
    return f"{', '.join(items[:limit])}{more}"


def plural(n, noun):
    """The form of a noun for `n` things."""
    ending = "" if n == 1 else "es" if noun.endswith("s") else "s"
    return f"{noun}{ending}"


def validate_embeddings(estimator, X, *, reset, name="X"):
    """Embeddings as a float32 or float64 array of shape (n, D). Half precision becomes float32.

    With scikit-learn's `array_api_dispatch`, an array keeps its library. With `reset=True`, any
    width is accepted.
    """
    X = X if is_foreign(X) else to_numpy(X)
    xp = namespace(X) if is_foreign(X) else np
    refuse_masked(X, name)
    refuse_dates(X, name)
    is_half = "float16" in str(getattr(X, "dtype", None))
    dtype = xp.float32 if is_half else [xp.float64, xp.float32]
    options = {"dtype": dtype, "order": "C", "ensure_all_finite": False}
    try:
        if reset:
            X = check_array(X, estimator=estimator, input_name=name, **options)
        else:
            X = validate_data(estimator, X, reset=False, **options)
    except (TypeError, ValueError) as error:
        is_table = hasattr(X, "columns") and len(X) > 0
        if _holds_text(X) and not (is_table and len(X.columns) > 1):
            raise ValueError(
                f"{name} holds paths or other text instead of embeddings; embed them first:"
                " make_semobridge_pipeline and make_few_shot_pipeline do it before the classifier,"
                " and CLIPImageEncoder does it alone."
            ) from error
        if is_table and (columns := columns_without_numbers(X)):
            raise ValueError(
                f"{name} has columns that cannot be numbers: {listed(columns, 3)}. Leave them out,"
                " or give them to a classifier of their own, and combine both with"
                " VotingClassifier."
            ) from error
        error.add_note(f"If {name} holds images, embed them first, with CLIPImageEncoder.")
        raise
    try:
        assert_all_finite(X, input_name=name)
    except ValueError as error:
        is_bad = ~to_numpy(xp.all(xp.isfinite(X), axis=1))
        raise ValueError(f"{error} It is in {rows_in_words(is_bad)}.") from error
    return X


def refuse_dates(X, name):
    """Refuse dates and times, which scikit-learn would take as numbers of nanoseconds or days."""
    is_table = hasattr(X, "columns")
    columns = zip(X.columns, X.dtypes) if is_table else [("", getattr(X, "dtype", None))]
    for column, dtype in columns:
        if str(dtype).lower().startswith(("date", "time", "duration")):
            where = f" in the column {column!r}" if is_table else ""
            raise ValueError(f"{name} has dates or times ({dtype}){where}, and no numbers.")


def columns_without_numbers(table):
    """The columns of a data frame that cannot be numbers, each with its first value."""
    columns = {column: np.asarray(table[column]) for column in table.columns}
    return [
        f"{column!r} (such as {values.ravel().tolist()[0]!r:.40})"
        for column, values in columns.items()
        if not can_be_numbers(values)
    ]


def can_be_numbers(values):
    if values.dtype.kind == "c":
        return False
    try:
        values.astype(np.float64)
    except (TypeError, ValueError):
        return False
    return True


def _holds_text(X):
    """Whether the first item of X is text, bytes or a path."""
    items = np.asarray(X, dtype=object).ravel()
    return len(items) > 0 and isinstance(items[0], (str, bytes, os.PathLike))


def validate_training_embeddings(estimator, X, *, reset, name="X"):
    """`validate_embeddings` for training, as a NumPy array, with a warning of rows of zeros."""
    X = to_numpy(validate_embeddings(estimator, X, reset=reset, name=name))
    is_zero = ~X.any(axis=1)
    if is_zero.any():
        # This is no error, since scikit-learn's own checks fit such rows.
        warn_caller(
            f"{name} has nothing but zeros in {rows_in_words(is_zero)}. Perhaps these images were"
            " not embedded."
        )
    return X


def require_width(width, text_width):
    """Refuse images with `width` features if text embeddings have another width."""
    if text_width == width:
        return
    if width > text_width:
        remedy = (
            "If X has other columns beside the embeddings, give these to a classifier of their own,"
            " and combine both with VotingClassifier or StackingClassifier."
        )
    else:
        remedy = (
            "If a tool has left columns out, do without texts (text_encoder=None), which need all."
        )
    raise ValueError(
        f"X has {width} features, but the text encoder's embeddings have {text_width}. {remedy}"
        " Else embed images and texts with one model."
    )


def refuse_masked(values, name):
    """Refuse masked values. NumPy would drop the mask."""
    if np.ma.is_masked(values):
        raise ValueError(f"Input {name} has masked values; drop or fill them.")


def rows_in_words(is_bad):
    """The rows for which `is_bad (n,)` is true, for a message."""
    rows = np.flatnonzero(is_bad)
    return f"{len(rows)} of {len(is_bad)} rows: {listed(rows, 10)}"


def check_text_encoder(estimator, method="transform"):
    """Refuse a `text_encoder` without a method. Without a method, only a class is refused."""
    text_encoder = estimator.text_encoder
    if isinstance(text_encoder, type) or (method is not None and not hasattr(text_encoder, method)):
        raise ValueError(
            f"The 'text_encoder' parameter of {type(estimator).__name__} must be an object that"
            f" offers {method or 'projection_'} and logit_scale_, such as CLIPTextEncoder(...) or"
            f" PrecomputedTextEncoder.from_joint(...); got {text_encoder!r:.100}."
        )


def as_words(text):
    """The words of a label. In labels and names of folders, `_` is a space."""
    return text.replace("_", " ")


def comparable(name):
    """The comparable form of a name. Names with one form are one class. Case, `_`, spaces and the
    Unicode form make no difference.
    """
    text = normalize("NFC", name.encode(errors="backslashreplace").decode())
    # `casefold` would join "Maße" and "Masse". words.js has the same rule.
    return normalize("NFC", " ".join(as_words(text).split()).lower())


def as_labels(values, name):
    """Labels or groups as a flat array. Missing values, and text together with other values, are
    errors.
    """
    array, is_missing = _flat_with_missing(values, name)
    if is_missing.any():
        raise ValueError(
            f"Input {name} contains NaN or None in {rows_in_words(is_missing)}. Drop or fill them."
        )
    return array


def _flat_with_missing(values, name):
    """Labels or groups as a flat array, and which are missing `(n,)`."""
    given = values
    values = to_numpy(values)
    refuse_masked(values, name)
    # In a list with text, NumPy would turn numbers into text.
    is_mixed = (
        isinstance(values, (list, tuple)) and len({isinstance(value, str) for value in values}) > 1
    )
    try:
        array = np.asarray(values, dtype=object if is_mixed else None)
    except ValueError:  # lists of several lengths
        array = np.empty((len(values), 0))
    if array.dtype.kind == "T":  # NumPy's StringDType, which scikit-learn does not know
        array = array.astype(object)
    if array.ndim == 0 or array.size != len(array):
        several = f" {SEVERAL_LABELS}" if name == "y" and array.ndim else ""
        raise ValueError(f"{name} must be a flat list of labels; got {given!r:.200}.{several}")
    array = column_or_1d(array, warn=True)
    is_object = array.dtype.kind == "O"
    is_missing = (
        np.array([*map(is_missing_value, array)], dtype=bool) if is_object else array != array
    )
    first_of_kind = {}
    for value in array[~is_missing].tolist() if is_object else ():
        first_of_kind.setdefault(isinstance(value, str), value)
    if len(first_of_kind) > 1:
        raise ValueError(
            f"The values in {name} mix text and other values, such as {first_of_kind[True]!r:.100}"
            f" and {first_of_kind[False]!r:.100}; use one kind."
        )
    return array, is_missing


def is_missing_value(value):
    try:
        return value is None or bool(value != value)
    except (TypeError, ValueError):  # pandas.NA is neither true nor false
        return True


def sorted_labels(parts, **options):
    """`np.unique` of all parts, which must be of one kind, and not empty. NumPy would take 1 for
    `"1"` and for True.
    """
    if len({(isinstance(part[0], str), part.dtype.kind == "b") for part in parts}) > 1:
        raise ValueError(
            "The labels mix kinds (text, booleans, others). Use one kind in every call."
        )
    labels = np.concatenate(parts)
    if labels.dtype.kind == "f" and all(part.dtype.kind in "iu" for part in parts):
        raise ValueError(
            "Labels are integers with and without sign, which NumPy would round. Use one type in"
            " every call."
        )
    return np.unique(labels, **options)


def _require_one_for_each(values, n_rows, name):
    """Refuse values whose number differs from the number of rows of embeddings."""
    if values.shape != (n_rows,):
        # The wording of scikit-learn, which users know.
        found = "Found input variables with inconsistent numbers of samples: "
        raise ValueError(
            f"{found if values.shape[:1] != (n_rows,) else ''}{name} has the shape {values.shape};"
            f" give ({n_rows},), a value for each image."
        )


def validate_labels(y, n_rows, name="y"):
    """Labels as an array of shape (n_rows,). Continuous, missing or mixed labels are errors."""
    if y is None:
        raise ValueError("This classifier requires y to be passed, but the target y is None.")
    y = as_labels(y, name)
    if y.dtype.kind == "f":
        assert_all_finite(y, input_name=name)
    with warnings.catch_warnings():
        # One shot of each class is a usual case for this package.
        warnings.filterwarnings(
            "ignore", "The number of unique classes is greater than 50%", UserWarning
        )
        try:
            check_classification_targets(y)
        except ValueError as error:
            if isinstance(y[0], (Set, list, tuple)):
                error.add_note(SEVERAL_LABELS)
            elif y.dtype.kind == "O":
                error.add_note(
                    f"{name} holds Python objects, such as {y[0]!r:.100}; give text, or numbers of"
                    " one type of NumPy."
                )
            raise
    _require_one_for_each(y, n_rows, name)
    return y


def validate_classes(classes, *labels):
    """Sorted labels: `classes` and all further `labels`. Each argument may be None."""
    parts = [part for part in labels if part is not None]
    if classes is not None:
        parts.append(as_labels(classes, "classes"))
    if not any(map(len, parts)):
        raise ValueError("classes is empty; give at least one label.")
    return sorted_labels([part for part in parts if len(part)])


def positions(classes, labels):
    """Index of the class of each of the `labels`, or -1 for a new label."""
    index = {label: i for i, label in enumerate(classes.tolist())}
    return np.array([index.get(label, -1) for label in labels.tolist()])


def validate_groups(groups, n_rows):
    """Groups as an array of shape (n_rows,), with None for missing groups; or None."""
    if groups is None:
        return None
    groups, is_missing = _flat_with_missing(groups, "groups")
    _require_one_for_each(groups, n_rows, "groups")
    if is_missing.any():
        groups = groups.astype(object)
        groups[is_missing] = None
    return groups


def group_codes(groups, n_rows):
    """The number of the group of each row `(n_rows,)`. A row whose group is missing (None or NaN)
    is a group by itself, and without `groups` every row is.
    """
    if groups is None:
        return np.arange(n_rows)
    values, is_missing = _flat_with_missing(groups, "groups")
    _require_one_for_each(values, n_rows, "groups")
    codes = np.empty(n_rows, dtype=np.intp)
    named, codes[~is_missing] = np.unique(values[~is_missing], return_inverse=True)
    codes[is_missing] = len(named) + np.arange(is_missing.sum())
    return codes


def validate_weights(sample_weight, n_rows, name="sample_weight"):
    """Sample weights as float64 of shape (n_rows,), not negative. A single number is the weight of
    each row.
    """
    if sample_weight is None:
        return np.ones(n_rows)
    refuse_masked(sample_weight, name)
    if isinstance(sample_weight, str):
        raise ValueError(
            f"{name} has a number for each image, and is not {sample_weight!r}; priors weigh"
            " classes."
        )
    weight = to_numpy(sample_weight)
    if isinstance(weight, Real):
        weight = np.full(n_rows, weight)
    weight = check_array(weight, ensure_2d=False, dtype=np.float64, input_name=name)
    _require_one_for_each(weight, n_rows, name)
    if (weight < 0).any():
        raise ValueError(f"{name} has negative values: the least is {weight.min():.3g}.")
    if not weight.any():
        raise ValueError(f"Every value of {name} is zero, so no image counts.")
    least, most = weight[weight > 0].min(), weight.max()
    if least < 1e-100 or most > 1e100:  # squares would overflow or vanish
        raise ValueError(
            f"{name} has values from {least:.3g} to {most:.3g}. Divide all by one factor."
        )
    return weight


def validate_priors(priors, classes):
    """Logarithms of the prior probabilities of the sorted labels `(C,)`, which are scaled to sum to
    one. `priors` have the order of the labels, or are a Series or a mapping by label, which may
    have more labels.
    """
    if hasattr(priors, "keys"):
        of_label, labels = dict(priors.items()), classes.tolist()
        if len(of_label) < len(priors):
            raise ValueError("priors have a label twice; give each class one, by its label.")
        named = labels_of_numbers(labels, of_label, "priors")
        if named != labels and len(of_label) > 2 and labels == [0, 1]:
            raise ValueError(
                f"priors have {len(of_label)} labels, but the labels are 0 and 1: the two sides of"
                " a tool that compares some classes with others. It needs priors=None."
            )
        if missing := [label for label in named if label not in of_label]:
            raise ValueError(
                f"priors are missing {listed(missing)}; give each class one, by its label."
            )
        priors = [of_label[label] for label in named]
    try:
        priors = np.asarray(to_numpy(priors), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"priors must be numbers; got {priors!r:.100}.") from error
    if priors.shape != classes.shape or not (np.isfinite(priors).all() and (priors > 0).all()):
        raise ValueError(
            f"priors must be {len(classes)} positive numbers, in the order of classes_; got"
            f" {priors.tolist()}. Where folds lack classes, give a mapping from labels."
        )
    priors = priors / priors.max()  # so that no sum leaves the range of floats
    return np.log(priors / priors.sum())
