"""From embeddings to labels and probabilities, for every classifier that scores its classes."""

from contextlib import contextmanager

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from ._saving import SavedEstimator
from ._utils.array_api import log_softmax, namespace, softmax, to_numpy
from ._utils.callbacks import CONTEXT_ATTRIBUTES
from ._utils.validation import validate_embeddings


class EmbeddingClassifier(ClassifierMixin, SavedEstimator):
    """A classifier of embeddings whose fitted `_model` offers `scores(X, finish)`.

    Under scikit-learn's `array_api_dispatch=True` results are arrays of the library and on the device of `X`;
    labels are always NumPy. Memory for the work does not grow with the number of rows.
    """

    @contextmanager
    def _restored_on_error(self):
        """Leave the estimator as it was if fitting fails or is interrupted."""
        before = self.__dict__.copy()
        try:
            yield
        except BaseException:
            before |= {name: self.__dict__[name] for name in CONTEXT_ATTRIBUTES if name in self.__dict__}
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def predict(self, X):
        """Most probable label of each row.

        Parameters
        ----------
        X : array-like of shape (n, D)

        Returns
        -------
        ndarray of shape (n,)
        """
        best = self._finished_scores(X, lambda scores: namespace(scores).argmax(scores, axis=1))
        return self.classes_[np.asarray(to_numpy(best))]

    def predict_proba(self, X):
        """Probability of each class, in the order of `classes_`: the softmax of the logits.

        Parameters
        ----------
        X : array-like of shape (n, D)

        Returns
        -------
        array of shape (n, C)
        """
        return self._finished_scores(X, softmax)

    def predict_log_proba(self, X):
        """Logarithm of `predict_proba`.

        Parameters
        ----------
        X : array-like of shape (n, D)

        Returns
        -------
        array of shape (n, C)
        """
        return self._finished_scores(X, log_softmax)

    def decision_function(self, X):
        """Logits of the classes; see the notes of the class.

        Parameters
        ----------
        X : array-like of shape (n, D)

        Returns
        -------
        array of shape (n, C), or (n,) for two classes: log-odds of the second
        """
        return self._finished_scores(X, _log_odds)

    def _finished_scores(self, X, finish):
        check_is_fitted(self)
        return self._model.scores(validate_embeddings(self, X, reset=False), finish)


def _log_odds(scores):
    return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores
