"""Checks of the input, with errors that name the offender."""

import math
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from os import PathLike
from typing import Any, TypeVar

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils import check_array
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, column_or_1d, validate_data

from .array_api import is_foreign, namespace, to_numpy


def warn_caller(message, category=UserWarning):
    """Warn at the line of the user's code that called this package, through scikit-learn or not."""
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in _OURS:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


_OURS = ("sksemobridge", "sklearn")

# Bounds of weights whose squares and sums neither overflow nor vanish.
LEAST_WEIGHT, MOST_WEIGHT = 1e-100, 1e100
# Training with a class bias gives the same results for embeddings of these lengths as for those of CLIP.
LEAST_LENGTH, MOST_LENGTH = 1e-3, 1e3


Method = TypeVar("Method", bound=Callable[..., Any])


# Methods keep their types in these two, which type checkers lose in scikit-learn's own decorators.


def checks_parameters(fit: Method) -> Method:
    """Let scikit-learn check the estimator's parameters before a method fits it."""
    return _fit_context(prefer_skip_nested_validation=True)(fit)


def offered_if(condition: Callable[[Any], Any]) -> Callable[[Method], Method]:
    """Offer a method only where the condition holds of the estimator; see `available_if` of scikit-learn."""
    return available_if(condition)


def validate_embeddings(estimator, X, *, reset):
    """Embeddings as a float32 or float64 array of shape (n, D); half precision is widened to float32.

    An array of another library stays one under scikit-learn's `array_api_dispatch=True`. The estimator is not
    changed: with `reset=True` the width of `X` is free, and `record_features` keeps it once the fit succeeded.

    Raises
    ------
    ValueError
        If a value is NaN, infinite or masked (names the rows), the width differs from the one seen in `fit`, or `X` has
        images in place of embeddings.
    """
    X = X if is_foreign(X) else to_numpy(X)
    xp = namespace(X) if is_foreign(X) else np
    refuse_masked(X, "X")
    if "float16" in str(getattr(X, "dtype", None)):
        X = np.asarray(X, dtype=np.float32) if xp is np else xp.astype(X, xp.float32)
    options = {"dtype": [xp.float64, xp.float32], "order": "C", "ensure_all_finite": False}
    try:
        if reset:
            X = check_array(X, estimator=estimator, input_name="X", **options)
        else:
            X = validate_data(estimator, X, reset=False, **options)
    except (TypeError, ValueError) as error:
        if _are_images(X):
            raise ValueError(
                f"{type(estimator).__name__} expects embeddings, an array of shape (n_samples, n_features), but X holds "
                "images or their paths. Embed them with CLIPImageEncoder first, or use make_semobridge_pipeline, "
                "which does both."
            ) from error
        raise
    with np.errstate(over="ignore", invalid="ignore"):
        # One pass without a mask of the size of X; a sum may also leave the range of floats.
        looks_finite = math.isfinite(float(xp.sum(X)))
    if not looks_finite:
        finite = xp.all(xp.isfinite(X), axis=1)
        if not bool(xp.all(finite)):
            rows = np.flatnonzero(~to_numpy(finite))
            kind = "NaN" if bool(xp.any(xp.isnan(X))) else "infinity"
            shown = ", ".join(map(str, rows[:10])) + (f" and {len(rows) - 10} more" if len(rows) > 10 else "")
            raise ValueError(
                f"Input X contains {kind} in {len(rows)} of {X.shape[0]} rows: {shown}. Drop these rows from X and "
                "y together, for example with mask = np.isfinite(X).all(axis=1)."
            )
    return X


def record_features(estimator, X):
    """Keep the number and the names of the features of `X`, as handed in, on the estimator."""
    validate_data(estimator, X, skip_check_array=True)


def require_width(width, of_texts):
    """Refuse images of `width` features beside text embeddings of another width."""
    if of_texts != width:
        raise ValueError(
            f"X has {width} features, but the text encoder's embeddings have {of_texts}. Embed the images with the "
            "model of the text encoder."
        )


def validate_labels(y, n_rows):
    """Labels as a one-dimensional array of `n_rows` values of a classification target.

    Raises
    ------
    ValueError
        If `y` is None, continuous, of another length, mixes text and other values, or has missing values.
    """
    if y is None:
        raise ValueError("This classifier requires y to be passed, but the target y is None.")
    y = column_or_1d(as_array(y, "y"), warn=True)
    refuse_missing(y, "y")
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise ValueError("Input y contains NaN or infinity.")
    refuse_bytes(y, "y")
    refuse_mixed(y, "y")
    with warnings.catch_warnings():
        # This package is made for one shot of each class.
        warnings.filterwarnings("ignore", "The number of unique classes is greater than 50%", UserWarning)
        check_classification_targets(y)
    if len(y) != n_rows:
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: X has {n_rows} rows, y {len(y)}."
        )
    return y


def validate_weights(sample_weight, n_rows):
    """Sample weights as float64 of shape (n_rows,): none negative, not all zero, with room for sums and squares."""
    if sample_weight is None:
        return np.ones(n_rows)
    weight = as_array(sample_weight, "sample_weight")
    try:
        weight = weight.astype(np.float64, casting="unsafe" if weight.dtype.kind == "O" else "same_kind")
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"sample_weight must be one real number for each row: {error}") from error
    if weight.ndim == 0:
        weight = np.full(n_rows, float(weight))
    if weight.shape != (n_rows,):
        raise ValueError(f"sample_weight.shape == {weight.shape}, expected {(n_rows,)}!")
    if not np.isfinite(weight).all():
        raise ValueError("Input sample_weight contains NaN or infinity.")
    if (weight < 0).any():
        raise ValueError(
            f"Negative values in sample_weight at rows {np.flatnonzero(weight < 0)[:10].tolist()}; weights must be >= 0."
        )
    if not (weight > 0).any():
        raise ValueError("Every value of sample_weight is zero: there is no shot to learn from.")
    least, most = weight[weight > 0].min(), weight.max()
    if least < LEAST_WEIGHT or most > MOST_WEIGHT:
        raise ValueError(
            f"sample_weight has values from {least:.3g} to {most:.3g}; those that are not zero must lie between "
            f"{LEAST_WEIGHT:g} and {MOST_WEIGHT:g}. Only their ratios matter: divide all by one factor."
        )
    return weight


def validate_priors(priors, n_classes):
    """Logarithms of prior probabilities `(n_classes,)`, scaled to sum to one."""
    priors = np.asarray(to_numpy(priors), dtype=np.float64)
    if priors.shape != (n_classes,):
        raise ValueError(
            f"priors has the shape {priors.shape}; give one probability for each of the {n_classes} classes, in the order of "
            "classes_."
        )
    if not (np.isfinite(priors).all() and (priors > 0).all()):
        raise ValueError(
            f"priors must be positive and finite; got {priors.tolist()}. with_classes leaves out a class that never comes."
        )
    return np.log(priors / priors.sum())


def validate_groups(groups, n_rows):
    """Groups as an array of shape (n_rows,), or None."""
    if groups is None:
        return None
    groups = as_array(groups, "groups")
    if groups.ndim != 1:
        raise ValueError(f"groups must have one value for each row; got an array of shape {groups.shape}.")
    refuse_missing(groups, "groups")
    try:
        np.unique(groups)
    except TypeError:
        raise ValueError("groups mixes kinds of values that cannot be compared; use one kind.") from None
    check_consistent_length(groups, np.empty(n_rows))
    return groups


def validate_classes(classes, *known):
    """Sorted labels: those of `classes` (or None) together with all that are `known` (arrays or None).

    Raises
    ------
    ValueError
        If there are none, one is missing (None or NaN), or text and numbers are mixed.
    """
    parts = [part for part in known if part is not None]
    if classes is not None:
        if isinstance(classes, (str, bytes)) or not np.iterable(classes):
            raise ValueError(f"classes must be a sequence of labels; got {classes!r}.")
        classes = column_or_1d(as_array(classes if hasattr(classes, "dtype") else list(classes), "classes"))
        refuse_missing(classes, "classes")
        refuse_bytes(classes, "classes")
        refuse_mixed(classes, "classes")
        parts.append(classes)
    parts = [part for part in parts if len(part)]
    if not parts:
        raise ValueError("classes is empty; give at least one label.")
    if len({is_text(part) for part in parts}) > 1:
        raise ValueError("The labels mix text and numbers; use one kind for all classes, in every call.")
    return np.unique(join_labels(parts))


def join_labels(parts):
    """Arrays of labels as one that changes no label."""
    dtype, kinds = None, {part.dtype.kind for part in parts}
    if kinds == {"i", "u"}:
        # NumPy joins uint64 and int64 to floats, which hold no integers of more than 53 bits.
        if max(map(np.max, parts)) <= np.iinfo(np.int64).max:
            dtype = np.int64
        elif min(map(np.min, parts)) >= 0:
            dtype = np.uint64
    try:
        joined = np.concatenate(parts, dtype=dtype, casting="unsafe")
        with np.errstate(all="ignore"):
            kept = [part.astype(joined.dtype).astype(part.dtype) for part in parts]
        # Beside a duration NumPy takes numbers for durations, and beside a date durations for dates.
        if all(map(np.array_equal, kept, parts)) and not (len(kinds) > 1 and "m" in kinds):
            return joined
    except TypeError:
        pass
    raise ValueError(
        f"The labels are of the kinds {', '.join(sorted(str(part.dtype) for part in parts))}, which cannot be "
        "compared without loss; use one kind for all classes, in every call."
    )


def warn_about_numbers(labels):
    """Warn where labels that are to be their own names are numbers."""
    if not isinstance(labels[0], str):
        warn_caller(
            f"The labels are not text, so the text encoder reads '{labels[0]}' as a name. "
            "Pass class_names, a mapping from labels to names. If your labels are text and a tool of "
            "scikit-learn has numbered them, pass the sorted names as a list."
        )


def warn_about_length(embeddings):
    """Warn of embeddings so short or long that a class bias has all the effect, or none."""
    with np.errstate(over="ignore"):
        length = float(np.median(np.linalg.norm(embeddings.astype(np.float64), axis=1)))
    if not LEAST_LENGTH <= length <= MOST_LENGTH:
        warn_caller(
            f"The embeddings are {length:.3g} long, where those of CLIP are about 1 to 100. The class bias that "
            "trained solvers learn is added to them, so its training depends on their length. Scale X, or set "
            "class_bias=False."
        )


def _are_images(X):
    """Whether `X` is a sequence of paths, encoded bytes, Pillow images or arrays of pixels."""
    if isinstance(X, (str, bytes)):
        return True
    shape = np.shape(X[:1]) if isinstance(X, Sequence) else np.shape(X)
    first = next(iter(X), None) if len(shape) == 1 and not isinstance(X, Mapping) else None
    return len(shape) > 2 or isinstance(first, (str, bytes, PathLike)) or hasattr(first, "getpixel")


def is_text(labels):
    """Whether labels are text."""
    return labels.dtype.kind in "US" or (
        labels.dtype.kind == "O" and any(isinstance(label, str) for label in labels)
    )


def as_array(values, name):
    """Labels, groups or weights as an array; no value is masked, rounded or turned into text."""
    values = to_numpy(values)
    if np.ma.isMaskedArray(values):
        _refuse_rows(np.ma.getmaskarray(values), name, "is masked")
        return values.data
    if not isinstance(values, (list, tuple)):
        array = np.asarray(values)
        return array.astype(object) if array.dtype.kind == "T" else array
    if {isinstance(value, str) for value in values} == {True, False}:
        return np.asarray(values, dtype=object)
    array = np.asarray(values)
    # NumPy makes floats of large integers beside small ones.
    if array.dtype.kind == "f" and any(
        isinstance(value, Integral) and value != new for value, new in zip(values, array.tolist())
    ):
        if all(isinstance(value, Integral) and 0 <= value < 2**64 for value in values):
            return np.asarray(values, dtype=np.uint64)
        raise ValueError(f"The values in {name} are integers that no one type of NumPy holds.")
    return array


def refuse_missing(values, name):
    """Refuse NaN, None and other values that stand for missing ones."""
    if values.dtype.kind == "f":
        missing = np.isnan(values)
    elif values.dtype.kind in "mM":
        missing = np.isnat(values)
    elif values.dtype.kind == "O":
        missing = np.array([_is_missing(value) for value in values], dtype=bool)
    else:
        return
    _refuse_rows(missing, name, "contains NaN or None")


def refuse_masked(X, name):
    """Refuse masked rows."""
    if np.ma.isMaskedArray(X) and X.ndim:
        _refuse_rows(np.ma.getmaskarray(X).reshape(len(X), -1).any(axis=1), name, "is masked")


def _refuse_rows(rows, name, what):
    if rows.any():
        rows = np.flatnonzero(rows)
        raise ValueError(f"Input {name} {what} in rows {rows[:10].tolist()}; drop or fill them.")


def refuse_bytes(labels, name):
    """Refuse encoded text, which older versions of scikit-learn take for labels."""
    if labels.dtype.kind == "S" or any(isinstance(label, bytes) for label in labels):
        raise ValueError(f"The labels in {name} are bytes: {labels[:10].tolist()!r}. Decode them to text.")


def refuse_mixed(labels, name):
    """Refuse text beside other values."""
    if labels.dtype.kind != "O":
        return
    is_text = [isinstance(label, str) for label in labels]
    if len(set(is_text)) > 1:
        shown = f"{str(labels[is_text.index(True)])!r}, {labels[is_text.index(False)]!r}"
        raise ValueError(f"The labels in {name} mix text and other values ({shown}); use one kind.")


def _is_missing(value):
    try:
        return value is None or bool(value != value)
    except (TypeError, ValueError):  # pandas.NA compares to neither
        return True
