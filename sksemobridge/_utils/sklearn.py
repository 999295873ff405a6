"""The private parts of scikit-learn that this package needs, and decorators that keep types."""

from collections.abc import Callable
from numbers import Integral
from typing import Any, TypeVar

from sklearn.base import _fit_context
from sklearn.utils._optional_dependencies import (
    check_matplotlib_support as check_matplotlib_support,
)
from sklearn.utils._param_validation import Interval as Interval
from sklearn.utils._param_validation import StrOptions as StrOptions
from sklearn.utils._set_output import _wrap_data_with_container
from sklearn.utils.metaestimators import available_if

Method = TypeVar("Method", bound=Callable[..., Any])
# Lets scikit-learn check the parameters of an estimator before a method fits it.
checks_parameters: Callable[[Method], Method] = _fit_context(prefer_skip_nested_validation=True)
# Offers a method only if a condition holds for the estimator.
offered_if: Callable[[Callable[[Any], Any]], Callable[[Method], Method]] = available_if


class LinkedToDocs:
    """An estimator whose diagram in HTML, as of notebooks, links to its page of the API reference.
    scikit-learn reads these attributes.
    """

    _doc_link_module = "sksemobridge"
    _doc_link_template = (
        "https://sksemobridge.github.io/sksemobridge/generated/sksemobridge.{estimator_name}.html"
    )


class Count(Interval):
    """A whole number from one on. True, which Python takes for one, is none."""

    def __init__(self):
        super().__init__(Integral, 1, None, closed="left")

    def is_satisfied_by(self, val):
        return not isinstance(val, bool) and super().is_satisfied_by(val)


def in_output_container(X, original, estimator):
    """A result as `transform` of an estimator gives it for this input: perhaps a data frame."""
    return _wrap_data_with_container("transform", X, original, estimator)


def best_of(estimator):
    """The best estimator of a fitted search, or any other estimator itself."""
    return getattr(estimator, "best_estimator_", estimator)
