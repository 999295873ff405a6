"""The thread that learns from annotations, while persons go on."""

import threading
import traceback

from .._answers.event_kinds import ANSWERS_OF_A_ROUND
from .._photos.labelled_images import is_taught
from .view import first_view_of, view_of

# Seconds to wait for the first model. After this time, the page is shown without a model.
FIRST_MODEL_PATIENCE = 30


def is_due(before, annotations):
    """Whether to learn again, after learning from the annotations `before`. `before` is None if
    nothing was learnt yet.
    """
    if before is None:
        return True
    new = {
        real: answer
        for real, answer in annotations.answers.items()
        if _is_new(before, annotations, real)
    }
    # The model must not keep what it learnt from an undone answer.
    is_taken_back = any(real not in annotations.answers for real in before.answers)
    is_changed = any(real in before.answers for real in new)
    is_first_none = any(not answer.label for answer in new.values())
    has_other_classes = before.names.current != annotations.names.current
    is_at_once = is_taken_back or is_changed or is_first_none or has_other_classes
    # A burst is one answer.
    return is_at_once or sum(not answer.by_burst for answer in new.values()) >= ANSWERS_OF_A_ROUND


def _is_new(before, annotations, real):
    earlier, label = before.answers.get(real), annotations.answers[real].label
    is_same = earlier is not None and earlier.label == label
    return not is_same or is_taught(before, real) != is_taught(annotations, real)


class Learner:
    """A thread that learns again when `is_due`. Methods may be called from several threads. With
    `begins_at_once`, the first view may be by the names alone.

    Attributes
    ----------
    view : ModelView
        The current predictions of the model.
    is_learning : bool
    problem : str
        The reason why the model could not learn, or empty.
    """

    def __init__(self, job, annotations, begins_at_once=False):
        if begins_at_once:
            # A model that takes long is learnt by the thread, while the page is open.
            self.view, self._tried = first_view_of(job, annotations)
        else:
            self.view, self._tried = view_of(job, annotations), annotations
        self.job, self.is_learning, self.problem = job, self._tried is None, ""
        self._annotations = annotations
        self._ended, self._changed = False, threading.Condition()
        # Held while a model is learnt: one model at a time.
        self._fits = threading.Lock()
        self._thread = threading.Thread(target=self._learn, daemon=True)

    def start(self):
        self._thread.start()

    def end(self):
        """End the thread, after the model that it is learning now."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    def tell(self, annotations):
        """Take the current annotations."""
        with self._changed:
            self._annotations = annotations
            self._changed.notify_all()

    def _learn(self):
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._ended or is_due(self._tried, self._annotations)
                )
                if self._ended:
                    return
                annotations = self._tried = self._annotations
                self.is_learning = True
            try:
                # The page does not wait for the new model.
                with self._fits:
                    view, problem = view_of(self.job, annotations, self.view.learnt + 1), ""
            # The page goes on with the last model.
            except Exception as error:
                traceback.print_exc()
                view, problem = None, f"The model could not learn from the last answers: {error}"
            with self._changed:
                self.is_learning, self.problem = False, problem
                self.view = view or self.view
                self._changed.notify_all()

    def wait(self):
        """Wait until the model has learnt from all annotations, for half a minute at most."""
        if self._thread.is_alive():
            with self._changed:
                self._changed.wait_for(self._is_settled, FIRST_MODEL_PATIENCE)

    def _is_settled(self):
        return self._ended or not (self.is_learning or is_due(self._tried, self._annotations))

    def learn_all(self, annotations):
        """Learn from all annotations for the files: `FolderLabels`."""
        with self._fits:
            return self.job.fit(annotations, evaluate=True)
