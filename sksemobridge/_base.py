"""What the estimators share: saving their fitted state, and going from scores to labels and probabilities."""

from typing import Any

import numpy as np
import sklearn
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils.validation import check_is_fitted

from ._utils import __version__
from ._utils.array_api import log_softmax, namespace, softmax, to_numpy
from ._utils.validation import validate_embeddings, warn_caller

# Fitted attributes that are kept by themselves; all others that end in "_" are read off `_fitted`.
_KEPT = ("n_features_in_", "feature_names_in_")


def package_versions():
    """Versions that a saved estimator depends on; major and minor of NumPy and scikit-learn."""
    others = {"numpy": np.__version__, "scikit-learn": sklearn.__version__}
    minor = {name: ".".join(number.split(".")[:2]) for name, number in others.items()}
    return {"sksemobridge": __version__, **minor}


class SavedEstimator(BaseEstimator):
    """An estimator whose fitted state is one object, `_fitted`, with its arrays under public names as well.

    `_set_fitted(fitted)` assigns both. Only `_fitted` is saved, since joblib would store an array as often as it
    meets it.
    """

    n_features_in_: int
    feature_names_in_: NDArray[Any]

    def __sklearn_is_fitted__(self):
        return getattr(self, "_fitted", None) is not None

    def __getstate__(self):
        state = super().__getstate__()
        if self.__sklearn_is_fitted__():
            state = {name: value for name, value in state.items() if name in _KEPT or not name.endswith("_")}
        return state | {"_versions": package_versions()}

    def __setstate__(self, state):
        state = dict(state)
        now, saved = package_versions(), state.pop("_versions", None)
        if saved is None:
            raise ValueError(
                f"This {type(self).__name__} was saved with version 0.1.0.dev0 of sksemobridge, whose files this "
                "version cannot read. Fit it anew, or load it with that version."
            )
        changed = [name for name in now if saved.get(name) != now[name]]
        if changed:
            warn_caller(
                f"This {type(self).__name__} was saved with "
                f"{', '.join(f'{name} {saved.get(name)}' for name in changed)} and is loaded with "
                f"{', '.join(f'{name} {now[name]}' for name in changed)}. Its results may differ or be wrong; fit "
                "it anew, or load it with the versions that saved it."
            )
        super().__setstate__(state)
        if self.__sklearn_is_fitted__():
            self._set_fitted(self._fitted)

    def _clone_with(self, fitted, **params):
        """An estimator of the same features, and of the same parameters but for `params`, in another fitted state."""
        result = clone(self).set_params(**params)
        for name in _KEPT:
            if hasattr(self, name):
                setattr(result, name, getattr(self, name))
        result._set_fitted(fitted)
        return result


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
