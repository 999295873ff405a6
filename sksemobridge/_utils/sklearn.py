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
from sklearn.utils._pprint import _EstimatorPrettyPrinter
from sklearn.utils._set_output import _wrap_data_with_container
from sklearn.utils.metaestimators import available_if

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:  # before scikit-learn 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """An estimator without `set_callbacks`, which this scikit-learn does not have."""


Method = TypeVar("Method", bound=Callable[..., Any])
Kind = TypeVar("Kind", bound=type)
# Decorator with which scikit-learn checks the parameters of an estimator before a method fits it.
checks_parameters: Callable[[Method], Method] = _fit_context(prefer_skip_nested_validation=True)
# Decorator that offers a method only if a condition holds for the estimator.
offered_if: Callable[[Callable[[Any], Any]], Callable[[Method], Method]] = available_if


def prints_itself(kind: Kind) -> Kind:
    """Let scikit-learn print estimators of this class, also within others, by their `__repr__`."""

    def write(printer, estimator, stream, *_):
        stream.write(repr(estimator))

    _EstimatorPrettyPrinter._dispatch[kind.__repr__] = write
    return kind


class LinkedToDocs:
    """An estimator whose diagram in HTML, as of notebooks, links to its page of the API reference.
    scikit-learn reads the attributes below.
    """

    _doc_link_module = "sksemobridge"
    _doc_link_template = (
        "https://sksemobridge.github.io/sksemobridge/generated/sksemobridge.{estimator_name}.html"
    )


class TrainedEstimator(CallbackSupportMixin):
    """An estimator whose training tells the callbacks of scikit-learn of each step. `fit` calls the
    methods of this class at its beginning and end.
    """

    def _begin_callbacks(self, X, y):
        if hasattr(self, "set_callbacks"):
            # The number of training steps is not known before.
            context = self._init_callback_context(max_subtasks=None)
            context.call_on_fit_task_begin(estimator=self, X=X, y=y)

    def _end_callbacks(self, X, y):
        if hasattr(self, "set_callbacks"):
            self._callback_fit_ctx.call_on_fit_task_end(
                estimator=self, X=X, y=y, reconstruction_attributes={}
            )

    def _step_listener(self):
        """A function that is called after each step of a training, or None without callbacks."""
        context = getattr(self, "_callback_fit_ctx", None)
        if context is None or not getattr(self, "_skl_callbacks", None):
            return None

        def listener():
            step = context.subcontext(task_name="step")
            step.call_on_fit_task_begin(estimator=self)
            step.call_on_fit_task_end(estimator=self)

        return listener


class Count(Interval):
    """A whole number from one on. True, which equals 1 in Python, is not allowed."""

    def __init__(self):
        super().__init__(Integral, 1, None, closed="left")

    def is_satisfied_by(self, val):
        return not isinstance(val, bool) and super().is_satisfied_by(val)


def in_output_container(X, original, estimator):
    """A result in the container that `transform` of an estimator gives for this input, such as a
    data frame.
    """
    return _wrap_data_with_container("transform", X, original, estimator)


def best_of(estimator):
    """The best estimator of a fitted search, or any other estimator itself."""
    return getattr(estimator, "best_estimator_", estimator)
