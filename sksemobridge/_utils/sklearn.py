"""The private parts of scikit-learn that this package needs, and decorators that keep types."""

from collections.abc import Callable
from typing import Any, TypeVar

from sklearn.base import _fit_context
from sklearn.utils._optional_dependencies import (
    check_matplotlib_support as check_matplotlib_support,
)
from sklearn.utils._param_validation import Interval as Interval
from sklearn.utils._param_validation import StrOptions as StrOptions
from sklearn.utils._set_output import _wrap_data_with_container
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _check_sample_weight as check_sample_weight  # noqa: F401

Method = TypeVar("Method", bound=Callable[..., Any])
# Lets scikit-learn check the parameters of an estimator before a method fits it.
checks_parameters: Callable[[Method], Method] = _fit_context(prefer_skip_nested_validation=True)
# Offers a method only if a condition holds for the estimator.
offered_if: Callable[[Callable[[Any], Any]], Callable[[Method], Method]] = available_if


def in_output_container(X, original, estimator):
    """A result as `transform` of an estimator gives it for this input: perhaps a data frame."""
    return _wrap_data_with_container("transform", X, original, estimator)


def best_of(estimator):
    """The best estimator of a fitted search, or any other estimator itself."""
    return getattr(estimator, "best_estimator_", estimator)
