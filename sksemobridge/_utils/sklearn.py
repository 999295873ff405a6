"""The private parts of scikit-learn that this package needs, and decorators that keep types.

Callbacks are private too. They are in `callbacks.py`. No other module imports private modules of scikit-learn.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils._optional_dependencies import check_matplotlib_support
from sklearn.utils._param_validation import Interval, StrOptions, validate_params
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _check_sample_weight

__all__ = [
    "Interval",
    "StrOptions",
    "best_of",
    "check_matplotlib_support",
    "check_sample_weight",
    "checks_parameters",
    "offered_if",
    "validate_params",
]

Method = TypeVar("Method", bound=Callable[..., Any])


def checks_parameters(fit: Method) -> Method:
    """Let scikit-learn check the parameters of an estimator before a method fits it."""
    return _fit_context(prefer_skip_nested_validation=True)(fit)


def offered_if(condition: Callable[[Any], Any]) -> Callable[[Method], Method]:
    """Offer a method only if the condition holds for the estimator; see `available_if` of scikit-learn."""
    return available_if(condition)


def best_of(estimator):
    """The best estimator of a fitted search, or any other estimator itself."""
    return getattr(estimator, "best_estimator_", estimator)


def check_sample_weight(weight, n_rows):
    """Weights as float64 of shape (n_rows,). A ValueError or TypeError if they are not, or if one is negative."""
    return _check_sample_weight(weight, np.empty(n_rows), dtype=np.float64, ensure_non_negative=True)
