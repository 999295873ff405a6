"""Progress of training through scikit-learn's callbacks, where it has them (from 1.9)."""

from contextlib import contextmanager

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:

    class CallbackSupportMixin:
        """Stands in where scikit-learn has no callbacks: `verbose` still shows a progress bar."""


# What scikit-learn keeps on the estimator until callbacks are torn down, also after an error.
CONTEXT_ATTRIBUTES = ("_callback_fit_ctx", "_skl_callbacks_to_teardown")


@contextmanager
def fit_task(estimator, X, y, max_iter):
    """Tell the callbacks of `estimator` of a fit of at most `max_iter` iterations.

    Yields a function for `train_bridge(callback=...)`, or None without callbacks.
    """
    if not getattr(estimator, "_skl_callbacks", None):
        yield None
        return
    context = estimator._init_callback_context(max_subtasks=max_iter)
    context.call_on_fit_task_begin(estimator=estimator, X=X, y=y)

    def iteration(step, loss):
        task = context.subcontext(task_name="iteration")
        task.call_on_fit_task_begin(estimator=estimator, X=X, y=y, metadata={"loss": loss})
        return task.call_on_fit_task_end(estimator=estimator, X=X, y=y, metadata={"loss": loss})

    yield iteration
    context.call_on_fit_task_end(estimator=estimator, X=X, y=y)
