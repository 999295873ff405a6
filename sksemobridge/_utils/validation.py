"""Checks of the input. Errors say what is wrong, and what to do."""

import sys
import warnings
from collections.abc import Mapping
from os import PathLike

import numpy as np
from sklearn.utils import assert_all_finite, check_array, check_consistent_length, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from .array_api import is_foreign, namespace, to_numpy
from .sklearn import check_sample_weight

# What to do where a number stands for a name.
NUMBERED = "If your labels are text and a tool of scikit-learn has numbered them, pass the sorted names as a list: class_names=[...]."
# Squares and sums of weights in this range neither overflow nor vanish.
LEAST_WEIGHT, MOST_WEIGHT = 1e-100, 1e100


def warn_caller(message, category=UserWarning, *, advice=""):
    """Warn at the line of the user's code that called this package, directly or through scikit-learn.

    `advice` is for programs: it names parameters, which the command does not have and does not show.
    """
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_globals.get("__name__", "").split(".")[0] in ("sksemobridge", "sklearn"):
        frame, level = frame.f_back, level + 1
    warning = category(f"{message} {advice}".rstrip())
    warning.without_advice = message
    warnings.warn(warning, stacklevel=level)


def listed(items, limit=5):
    """The first items of a list for a message, and how many more there are."""
    items = list(map(str, items))
    more = f" and {len(items) - limit} more" if len(items) > limit else ""
    return f"{', '.join(items[:limit])}{more}"


# Embeddings


def validate_embeddings(estimator, X, *, reset):
    """Embeddings as a float32 or float64 array of shape (n, D). Half precision becomes float32.

    With `array_api_dispatch=True` of scikit-learn, an array keeps its library. The estimator does not change. With
    `reset=True`, any width is accepted, and the estimator records it after the fit.
    """
    X = X if is_foreign(X) else to_numpy(X)
    xp = namespace(X) if is_foreign(X) else np
    refuse_masked(X, "X")
    is_half = "float16" in str(getattr(X, "dtype", None))
    dtype = xp.float32 if is_half else [xp.float64, xp.float32]
    options = {"dtype": dtype, "order": "C", "ensure_all_finite": False}
    try:
        if reset:
            X = check_array(X, estimator=estimator, input_name="X", **options)
        else:
            X = validate_data(estimator, X, reset=False, **options)
    except (TypeError, ValueError) as error:
        if not _are_images(X):
            raise
        raise ValueError(
            f"{type(estimator).__name__} expects embeddings, an array of shape (n_samples, n_features), but X holds images "
            f"or their paths. Embed them first, for example in make_pipeline(CLIPImageEncoder(...), {type(estimator).__name__}(...))."
        ) from error
    try:
        assert_all_finite(X, input_name="X")
    except ValueError as error:
        kind = "NaN" if "NaN" in str(error) else "infinity"
        is_bad = ~to_numpy(xp.all(xp.isfinite(X), axis=1))
        raise ValueError(
            f"Input X contains {kind} in {_rows_in_words(is_bad)}. Drop these rows from X and y together, for example with mask = "
            "np.isfinite(X).all(axis=1)."
        ) from error
    return X


def validate_training_embeddings(estimator, X, *, reset):
    """`validate_embeddings` of what is learnt from, as a NumPy array, with a warning of rows of zeros."""
    X = to_numpy(validate_embeddings(estimator, X, reset=reset))
    is_zero = ~X.any(axis=1)
    if is_zero.any():
        # No error: scikit-learn's own checks fit such rows.
        warn_caller(
            f"X has nothing but zeros in {_rows_in_words(is_zero)}. They have no direction; most likely these images were not embedded. "
            "Drop these rows from X and y together, for example with mask = X.any(axis=1)."
        )
    return X


def require_width(width, text_width):
    """Refuse images with `width` features if text embeddings have another width."""
    if text_width != width:
        raise ValueError(
            f"X has {width} features, but the text encoder's embeddings have {text_width}. Embed the images with the "
            "model of the text encoder."
        )


def refuse_masked(values, name):
    """Refuse masked rows. NumPy would drop the mask."""
    if np.ma.isMaskedArray(values) and values.ndim:
        masked = np.ma.getmaskarray(values).reshape(len(values), -1).any(axis=1)
        _refuse_rows(masked, name, "is masked")


def _rows_in_words(is_bad):
    """How many rows are bad, and which come first."""
    rows = np.flatnonzero(is_bad)
    return f"{len(rows)} of {len(is_bad)} rows: {listed(rows, 10)}"


def _are_images(X):
    """True if `X` holds paths, encoded bytes, images of Pillow or arrays of pixels."""
    if isinstance(X, Mapping) or getattr(X, "ndim", 1) == 2 or not np.iterable(X):
        return False
    first = X if isinstance(X, (str, bytes)) else next(iter(X), None)
    return isinstance(first, (str, bytes, PathLike)) or np.ndim(first) > 1


# Text encoders


def check_text_encoder(estimator, method="transform"):
    """Refuse a `text_encoder` without a method (None: any object will do), and say what to write instead."""
    text_encoder, kind = estimator.text_encoder, type(estimator.text_encoder).__name__
    if isinstance(text_encoder, type):
        name = text_encoder.__name__
        raise ValueError(f"text_encoder is the class {name}, not an object of it: write {name}(...).")
    if isinstance(text_encoder, (Mapping, list, tuple)) or hasattr(text_encoder, "__array__"):
        raise ValueError(
            f"text_encoder is a {kind}. Text embeddings of your own go into "
            "PrecomputedTextEncoder.from_joint(dict(zip(class_names, embeddings)))."
        )
    if method is not None and not hasattr(text_encoder, method):
        raise ValueError(
            f"The 'text_encoder' parameter of {type(estimator).__name__} must be an object that offers {method} and "
            f"logit_scale_, such as CLIPTextEncoder(...); got a {kind}."
        )


# Labels


def as_words(text):
    """The words of a label. In labels and names of folders, `_` is a space."""
    return text.replace("_", " ")


def as_labels(values, name):
    """Labels or groups as an array. Missing values, and text together with other values, are errors."""
    values = to_numpy(values)
    refuse_masked(values, name)
    # In a list with text, NumPy would turn numbers into text. scikit-learn does not know NumPy's StringDType.
    is_list = isinstance(values, (list, tuple))
    is_mixed = is_list and len({isinstance(value, str) for value in values}) > 1
    array = np.asarray(values, dtype=object if is_mixed else None)
    if array.dtype.kind == "T":
        array = array.astype(object)
    is_object = array.dtype.kind == "O"
    is_missing = np.array([*map(_is_missing, array.ravel())], dtype=bool) if is_object else array != array
    _refuse_rows(is_missing, name, "contains NaN or None")
    if is_list and array.dtype.kind == "f":
        _refuse_rounded(np.asarray(values, dtype=object), array)
    examples = {isinstance(value, str): value for value in array.ravel()[::-1]} if is_object else {}
    if len(examples) > 1:
        both = f"{str(examples[True])!r}, {examples[False]!r}"
        raise ValueError(f"The values in {name} mix text and other values ({both}); use one kind.")
    return array


def is_text(labels):
    """True if labels are text."""
    return labels.dtype.kind == "U" or (len(labels) > 0 and isinstance(labels[0], str))


def sorted_labels(parts, what, **options):
    """`np.unique` of all parts together. Refuses values that cannot be ordered, such as dates and numbers."""
    try:
        return np.unique(np.concatenate(parts), **options)
    except TypeError as error:
        kinds = sorted({type(value).__name__ for part in parts for value in part.tolist()})
        raise ValueError(f"The {what} cannot be compared ({', '.join(kinds)}); use one kind.") from error


def validate_labels(y, n_rows):
    """Labels as an array of shape (n_rows,). Continuous, missing or mixed ones are errors."""
    if y is None:
        raise ValueError("This classifier requires y to be passed, but the target y is None.")
    y = column_or_1d(as_labels(y, "y"), warn=True)
    if y.dtype.kind == "f":
        assert_all_finite(y, input_name="y")
    if y.dtype.kind == "O" and not is_text(y):
        raise ValueError(
            f"Unknown label type: y holds objects ({type(y[0]).__name__}). Use integers, text or dates of NumPy, "
            "for example [str(label) for label in y]."
        )
    with warnings.catch_warnings():
        # One shot of each class is a usual case for this package.
        warnings.filterwarnings("ignore", "The number of unique classes is greater than 50%", UserWarning)
        check_classification_targets(y)
    check_consistent_length(np.empty(n_rows), y)
    return y


def warn_about_unlabeled(y, class_names):
    """Warn of labels -1, which mean "unlabelled" in scikit-learn's semi-supervised models, unless -1 has a name."""
    is_named = hasattr(class_names, "keys") and -1 in class_names
    if y.dtype.kind in "if" and y.min(initial=0) == -1 and len(np.unique(y)) > 2 and not is_named:
        warn_caller(
            "The label -1 is a class like any other. If it marks images without a label, leave them out of fit, and give "
            "them to with_unlabeled afterwards."
        )


def validate_classes(classes, *known):
    """Sorted labels: those of `classes` (or None), together with all `known` ones (arrays or None)."""
    if classes is not None:
        if np.iterable(classes) and not (isinstance(classes, (str, bytes)) or hasattr(classes, "dtype")):
            classes = list(classes)
        labels = as_labels(classes, "classes")
        if labels.ndim != 1:
            raise ValueError(f"classes must be a flat list of labels; got {classes!r:.200}.")
        known = (*known, labels)
    parts = [part for part in known if part is not None and len(part)]
    if not parts:
        raise ValueError("classes is empty; give at least one label.")
    if len(set(map(is_text, parts))) > 1:
        raise ValueError("The labels mix text and numbers; use one kind in every call.")
    if len({part.dtype.kind == "b" for part in parts}) > 1:
        # NumPy would take True for 1.
        raise ValueError("The labels mix booleans and other values; use one kind in every call.")
    together = sorted_labels(parts, "labels")
    if together.dtype.kind == "f":
        _refuse_rounded(np.concatenate([part.astype(object) for part in parts]), np.concatenate(parts))
    return together


def positions(known, labels):
    """Index of each of the `labels` among the `known` ones, or -1 for a new one."""
    index = {label: i for i, label in enumerate(known.tolist())}
    return np.array([index.get(label, -1) for label in labels.tolist()])


def validate_groups(groups, n_rows):
    """Groups as an array of shape (n_rows,), or None."""
    if groups is None:
        return None
    groups = as_labels(groups, "groups")
    if groups.ndim != 1:
        raise ValueError(f"groups must have one value for each row; got an array of shape {groups.shape}.")
    check_consistent_length(np.empty(n_rows), groups)
    sorted_labels([groups], "groups")
    return groups


def _refuse_rows(rows, name, what):
    if rows.any():
        rows = np.flatnonzero(rows)
        raise ValueError(f"Input {name} {what} in rows {rows[:10].tolist()}; drop or fill them.")


def _refuse_rounded(labels, floats):
    """Refuse integers that change as floats. NumPy turns int64 and uint64 together into floats of 53 bits."""
    rounded = labels[labels != floats]
    if len(rounded):
        raise ValueError(
            f"Labels are integers of several types, and NumPy would round {rounded[0]!r} to compare them. Use one type of "
            "integers in every call, or text: y.astype(str)."
        )


def _is_missing(value):
    try:
        return value is None or bool(value != value)
    except (TypeError, ValueError):  # pandas.NA compares to neither
        return True


# Weights and priors


def validate_weights(sample_weight, n_rows):
    """Sample weights as float64 of shape (n_rows,). None is negative, not all are zero, and squares do not overflow."""
    if sample_weight is None:
        return np.ones(n_rows)
    refuse_masked(sample_weight, "sample_weight")
    try:
        weight = check_sample_weight(
            to_numpy(sample_weight), np.empty(n_rows), dtype=np.float64, ensure_non_negative=True
        )
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"sample_weight must be one real number for each row, and none negative: {error}"
        ) from error
    if not weight.any():
        raise ValueError("Every value of sample_weight is zero: there is no shot to learn from.")
    least, most = weight[weight > 0].min(), weight.max()
    if least < LEAST_WEIGHT or most > MOST_WEIGHT:
        raise ValueError(
            f"sample_weight has values from {least:.3g} to {most:.3g}; those that are not zero must lie between "
            f"{LEAST_WEIGHT:g} and {MOST_WEIGHT:g}. Only their ratios matter: divide all by one factor."
        )
    return weight


def validate_priors(priors, n_classes):
    """Logarithms of the prior probabilities `(n_classes,)`, which are scaled to sum to one."""
    if hasattr(priors, "keys") and list(priors.keys()) != sorted(priors.keys()):
        raise ValueError("priors are labelled in another order than classes_, which is sorted; sort them.")
    try:
        priors = np.asarray(to_numpy(priors), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"priors must be one real number for each class: {error}") from error
    if priors.shape != (n_classes,) or not (np.isfinite(priors).all() and (priors > 0).all()):
        raise ValueError(
            f"priors must be {n_classes} positive, finite numbers, one for each class in the order of classes_; got "
            f"{priors.tolist()}. with_classes leaves out a class that never comes."
        )
    priors = priors / priors.max()  # so that no sum leaves the range of floats
    return np.log(priors / priors.sum())
