"""What the classifiers share: going from scores to labels and probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from ._saving import SavedEstimator
from ._utils.array_api import log_softmax, namespace, softmax, to_numpy
from ._utils.validation import validate_embeddings


class EmbeddingClassifier(ClassifierMixin, SavedEstimator):
    """A classifier of embeddings whose `_fitted` offers `classes` and `scores(X, finish)`.

    Under scikit-learn's `array_api_dispatch=True` results are arrays of the library and on the device of `X`;
    labels are always NumPy. Memory for the work does not grow with the number of rows.
    """

    classes_: NDArray[Any]

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Most probable label of each row.

        Parameters
        ----------
        X : array-like of shape (n, D)

        Returns
        -------
        ndarray of shape (n,)
        """

        def labels(scores):
            return self.classes_[np.asarray(to_numpy(namespace(scores).argmax(scores, axis=1)))]

        return self._finished_scores(X, labels)

    def predict_proba(self, X: ArrayLike) -> NDArray[Any]:
        """Probability of each class, in the order of `classes_`: the softmax of the logits.

        Parameters
        ----------
        X : array-like of shape (n, D)

        Returns
        -------
        array of shape (n, C)
            float64 where `X` is a NumPy array or made one, else in the precision of `X`.
        """
        return self._finished_scores(X, softmax)

    def predict_log_proba(self, X: ArrayLike) -> NDArray[Any]:
        """Logarithm of `predict_proba`.

        Parameters
        ----------
        X : array-like of shape (n, D)

        Returns
        -------
        array of shape (n, C)
            In the precision of `predict_proba`.
        """
        return self._finished_scores(X, log_softmax)

    def decision_function(self, X: ArrayLike) -> NDArray[Any]:
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
        return self._fitted.scores(validate_embeddings(self, X, reset=False), finish)


def _log_odds(scores):
    return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores
