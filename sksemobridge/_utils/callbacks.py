"""Progress of training and embedding through scikit-learn's callbacks, where it has them (from 1.9)."""

from contextlib import contextmanager

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:

    class CallbackSupportMixin:
        """Stands in where scikit-learn has no callbacks: `verbose` and `progress` still show a bar."""


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
