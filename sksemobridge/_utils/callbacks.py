"""Progress of training and embedding through scikit-learn's callbacks, where it has them (from 1.9)."""

import threading
from contextlib import contextmanager
from weakref import WeakKeyDictionary

try:
    from sklearn.callback import CallbackSupportMixin as _CallbackSupportMixin
except ImportError:

    class _CallbackSupportMixin:
        """Stands in where scikit-learn has no callbacks: `verbose` and `progress` still show a bar."""


class OfThisThread(threading.local):
    """An attribute of estimators of which each thread sees its own value.

    It keeps what belongs to one call of `fit`: threads that share an estimator do not take it from each other.
    """

    def __init__(self):
        self._values = WeakKeyDictionary()

    def __get__(self, estimator, owner=None):
        if estimator is None:
            return self
        if estimator not in self._values:
            raise AttributeError("not set in this thread")
        return self._values[estimator]

    def __set__(self, estimator, value):
        self._values[estimator] = value

    def __delete__(self, estimator):
        self._values.pop(estimator, None)


class CallbackSupportMixin(_CallbackSupportMixin):
    """scikit-learn's support of callbacks, for estimators that threads may share."""

    # Where scikit-learn keeps what belongs to one call.
    _parent_callback_ctx = OfThisThread()
    _callback_fit_ctx = OfThisThread()
    _skl_callbacks_to_teardown = OfThisThread()


@contextmanager
def fit_task(estimator, X, y, max_iter, task_name="iteration"):
    """Tell the callbacks of `estimator` of a fit of at most `max_iter` iterations, or other tasks.

    Yields a function to call after each, whose keywords go to the callbacks; None without callbacks. It returns
    whether to stop.
    """
    if not getattr(estimator, "_skl_callbacks", None):
        yield None
        return
    context = estimator._init_callback_context(max_subtasks=max_iter)
    context.call_on_fit_task_begin(estimator=estimator, X=X, y=y)

    def done(**metadata):
        task = context.subcontext(task_name=task_name)
        task.call_on_fit_task_begin(estimator=estimator, X=X, y=y, metadata=metadata)
        return task.call_on_fit_task_end(estimator=estimator, X=X, y=y, metadata=metadata)

    yield done
    context.call_on_fit_task_end(estimator=estimator, X=X, y=y)
