"""The private parts of scikit-learn that this package needs, and its decorators with types kept.

Callbacks, which are private too, are in `callbacks.py`. Nothing else of the package imports private modules of scikit-learn.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from sklearn.base import _fit_context
from sklearn.utils._param_validation import Interval, StrOptions, validate_params
from sklearn.utils.metaestimators import available_if

__all__ = [
    "Interval",
    "StrOptions",
    "checks_parameters",
    "Method",
    "offered_if",
    "validate_params",
]

Method = TypeVar("Method", bound=Callable[..., Any])


def checks_parameters(fit: Method) -> Method:
    """Let scikit-learn check the estimator's parameters before a method fits it."""
    return _fit_context(prefer_skip_nested_validation=True)(fit)


def offered_if(condition: Callable[[Any], Any]) -> Callable[[Method], Method]:
    """Offer a method only where the condition holds of the estimator; see `available_if` of scikit-learn."""
    return available_if(condition)
