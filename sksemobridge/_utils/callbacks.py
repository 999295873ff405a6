"""scikit-learn's callbacks, which show the progress of training and embedding (from scikit-learn 1.9)."""

import threading
from contextlib import contextmanager
from weakref import WeakKeyDictionary

try:
    from sklearn.callback import CallbackSupportMixin as _CallbackSupportMixin
except ImportError:  # `verbose` and `progress` still show a progress bar
    _CallbackSupportMixin = object


class OfThisThread(threading.local):
    """An attribute that belongs to one call. Each thread that uses the estimator has its own value."""

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
    """scikit-learn's support of callbacks, for estimators that several threads may use."""

    # scikit-learn keeps the state of one call in these attributes.
    _parent_callback_ctx = OfThisThread()
    _callback_fit_ctx = OfThisThread()
    _skl_callbacks_to_teardown = OfThisThread()


@contextmanager
def fit_task(estimator, X, y, max_iter, task_name="iteration"):
    """Report a fit of at most `max_iter` iterations to the callbacks of `estimator`.

    Yields None if there are no callbacks. Otherwise it yields a function to call after each iteration. The function
    passes its keywords to the callbacks, and returns whether to stop.
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
