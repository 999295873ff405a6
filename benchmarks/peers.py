"""Compact versions of published few-shot methods, as classifiers on unit embeddings and class texts.

`f` unit query, `F` unit shots, `Y` one-hot labels, `T` unit class texts, `N` shots in all, `m` class means.
"""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin


class _WithTexts(ClassifierMixin, BaseEstimator):
    """`texts (C, D)` in the order of the sorted classes."""

    def __init__(self, texts, scale=100.0):
        self.texts = texts
        self.scale = scale

    def predict(self, X):
        return self.classes_[self.decision_function(X).argmax(axis=1)]

    def _one_hot(self, y):
        self.classes_, codes = np.unique(y, return_inverse=True)
        return np.eye(len(self.classes_))[codes]


class ZeroShot(_WithTexts):
    """`scale f T'`."""

    def fit(self, X, y):
        self._one_hot(y)
        return self

    def decision_function(self, X):
        return self.scale * X @ self.texts.T


class TipAdapter(_WithTexts):
    """`scale f T' + a exp(-b (1 - f F')) Y` with the common defaults `a = 1`, `b = 5.5`."""

    a, b = 1.0, 5.5

    def fit(self, X, y):
        self.shots_, self.labels_ = X, self._one_hot(y)
        return self

    def decision_function(self, X):
        return (
            self.scale * X @ self.texts.T + self.a * np.exp(-self.b * (1 - X @ self.shots_.T)) @ self.labels_
        )


class GDA(_WithTexts):
    """`scale f T' + a (f P m' + c)`, `P = D pinv((N - 1) S + tr(S) I)`, `c_k = -m_k P m_k' / 2`.

    `S` is the pooled within-class covariance. `a = 1`; `texts=None` leaves the text out.
    """

    a = 1.0

    def fit(self, X, y):
        labels = self._one_hot(y)
        means = (labels.T @ X) / labels.sum(axis=0)[:, None]
        centred = X - labels @ means
        covariance = centred.T @ centred / max(len(X) - 1, 1)
        n_features = X.shape[1]
        ridge = (len(X) - 1) * covariance + np.trace(covariance) * np.eye(n_features)
        self.coef_ = means @ (n_features * np.linalg.pinv(ridge, hermitian=True))
        self.intercept_ = -0.5 * np.einsum("cd,cd->c", self.coef_, means)
        return self

    def decision_function(self, X):
        gaussian = X @ self.coef_.T + self.intercept_
        return gaussian if self.texts is None else self.scale * X @ self.texts.T + self.a * gaussian
