"""Compact versions of published few-shot methods, as classifiers on embeddings and unit class
texts.

`f` unit query, `F` unit shots, `Y` one-hot labels, `T` unit class texts, `N` shots in all, `C`
classes, `K = N / C`, `m` class means. All scale rows to unit length themselves; probabilities are
the softmax of `decision_function`. None needs validation data: a default that the authors choose by
the number of shots is chosen so; others are chosen on other tasks (`settings.py`).
"""

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.preprocessing import normalize


class _WithTexts(ClassifierMixin, BaseEstimator):
    """`texts (C, D)` in the order of the sorted classes, `scale` the model's logit scale."""

    def predict(self, X):
        return self.classes_[self.decision_function(X).argmax(axis=1)]

    def predict_proba(self, X):
        return softmax(self.decision_function(X), axis=1)

    def _one_hot(self, y, classes=None):
        """Labels `(N, C)`. Some `classes`, sorted, may have no shots."""
        self.classes_ = np.unique(y if classes is None else classes)
        return np.eye(len(self.classes_))[np.searchsorted(self.classes_, y)]

    def _trust(self, X, labels):
        """Mean zero-shot probability `(C,)` that the shots of a class give it, at least 0.01."""
        right = (softmax(self.scale * X @ self.texts.T, axis=1) * labels).sum(axis=1)
        return np.maximum(labels.T @ right / labels.sum(axis=0), 0.01)


class ZeroShot(_WithTexts):
    """`scale f T'`."""

    def __init__(self, texts, scale=100.0):
        self.texts = texts
        self.scale = scale

    def fit(self, X, y):
        self._one_hot(y)
        return self

    def decision_function(self, X):
        return self.scale * normalize(X) @ self.texts.T


class TipAdapter(_WithTexts):
    """`scale f T' + a exp(-b (1 - f F')) Y` (Zhang et al., ECCV 2022)."""

    def __init__(self, texts, scale=100.0, a=1.0, b=5.5):
        self.texts = texts
        self.scale = scale
        self.a = a
        self.b = b

    def fit(self, X, y):
        self.shots_, self.labels_ = normalize(X), self._one_hot(y)
        return self

    def decision_function(self, X):
        queries = normalize(X)
        closeness = np.exp(-self.b * (1 - queries @ self.shots_.T))
        return self.scale * queries @ self.texts.T + self.a * closeness @ self.labels_


class GDA(_WithTexts):
    """`scale f T' + a (f P m' + c)`: a linear discriminant beside the texts (Wang et al., "A
    Hard-to-Beat Baseline for Training-free CLIP-based Adaptation", ICLR 2024).

    `P = D pinv((N - 1) S + tr(S) I)`, with `S (D, D)` the covariance within classes, and
    `c = -m P m' / 2`. With one shot of each class, `S` and `P` are zero: the texts alone are left.
    """

    def __init__(self, texts, scale=100.0, a=1.0):
        self.texts = texts
        self.scale = scale
        self.a = a

    def fit(self, X, y):
        X, labels = normalize(X), self._one_hot(y)
        means = labels.T @ X / labels.sum(axis=0)[:, None]
        within = X - labels @ means
        scatter, n = within.T @ within, len(X)
        precision = X.shape[1] * np.linalg.pinv(
            scatter + np.trace(scatter) / max(n - 1, 1) * np.eye(X.shape[1]), hermitian=True
        )
        self.coef_ = means @ precision
        self.intercept_ = -(self.coef_ * means).sum(axis=1) / 2
        return self

    def decision_function(self, X):
        X = normalize(X)
        return self.scale * X @ self.texts.T + self.a * (X @ self.coef_.T + self.intercept_)


class NearestClassMean(_WithTexts):
    """`scale f m'` with `m` the class means, scaled to unit length. Uses no texts."""

    def __init__(self, texts=None, scale=100.0):
        self.texts = texts
        self.scale = scale

    def fit(self, X, y):
        self.coef_ = normalize(self._one_hot(y).T @ normalize(X))
        return self

    def decision_function(self, X):
        return self.scale * normalize(X) @ self.coef_.T


class CLAPProbe(_WithTexts):
    """Logistic regression that starts from the class texts and is pulled towards them.

    The weights `W (C, D)` minimise `sum_i CE(f_i W') + 1 / (2 C) sum_c r_c ||W_c - scale T_c||^2`
    with `r_c` the mean zero-shot probability that the shots of class `c` give it, at least 0.01:
    where the text is right, it is kept. After CLAP (Silva-Rodriguez et al., CVPR 2024), whose pull
    is adapted in the same way.
    """

    def __init__(self, texts, scale=100.0, C=1.0):
        self.texts = texts
        self.scale = scale
        self.C = C

    def fit(self, X, y, classes=None):
        X, labels = normalize(X), self._one_hot(y, classes)
        start = self.scale * self.texts
        pull = self._trust(X, labels)[:, None] / self.C

        def loss(flat):
            weights = flat.reshape(start.shape)
            log_probability = log_softmax(X @ weights.T, axis=1)
            moved = weights - start
            gradient = (np.exp(log_probability) - labels).T @ X + pull * moved
            return 0.5 * (pull * moved**2).sum() - (
                labels * log_probability
            ).sum(), gradient.ravel()

        self.coef_ = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B").x.reshape(
            start.shape
        )
        return self

    def decision_function(self, X):
        return normalize(X) @ self.coef_.T


class AnchoredProbe(CLAPProbe):
    """Logistic regression whose weights are drawn to the class texts, all alike: the CLAP-style
    probe with `r_c = 1`. Some classes may have no shots.
    """

    def __init__(self, texts, scale=100.0, C=100.0):
        super().__init__(texts, scale, C)

    def _trust(self, X, labels):
        return np.ones(labels.shape[1])


class LPPlusPlus(_WithTexts):
    """`f (W_c + a_c T_c)'`, by gradient descent on the mean cross-entropy (Huang et al., "LP++",
    CVPR 2024).

    From `W = Y' F` and `a_c = 250 / C sum_c' mean_{i in c'} F_i T_c'`; `n_steps` steps of `W` with
    momentum 0.9 and rate `4 N / eig(F' F)`, `eig` the largest eigenvalue, every tenth with one of
    `a` of rate `N / (4 max_c sum_i (F_i T_c)^2)`: bounds of the curvature, as the authors take
    them.
    """

    MOMENTUM = 0.9

    def __init__(self, texts, n_steps=300):
        self.texts = texts
        self.n_steps = n_steps

    def fit(self, X, y):
        X, labels = normalize(X), self._one_hot(y)
        n, text_scores = len(X), X @ self.texts.T
        images = labels.T @ X
        own = (labels * text_scores).sum(axis=0) / labels.sum(axis=0)
        text_weights = np.full(labels.shape[1], 250 * own.mean())
        rate = 4 * n / np.linalg.norm(X, 2) ** 2
        text_rate = n / (4 * (text_scores**2).sum(axis=0).max())
        velocity = 0
        for step in range(1, self.n_steps + 1):
            residual = (softmax(X @ images.T + text_weights * text_scores, axis=1) - labels) / n
            velocity = self.MOMENTUM * velocity + residual.T @ X
            images = images - rate * velocity
            if step % 10 == 0:
                text_weights = text_weights - text_rate * (residual * text_scores).sum(axis=0)
        self.coef_ = images + text_weights[:, None] * self.texts
        return self

    def decision_function(self, X):
        return normalize(X) @ self.coef_.T


class TextCoord(_WithTexts):
    """`scale z R / ||(z, f - f Q Q')||` with `z = f Q + f A`: rows move within the span of the
    texts only.

    `Q (D, r)` is a basis of the centred texts, `R` holds their coordinates. `A (D, r)` starts from
    zero and minimises the mean cross-entropy `+ ||A||^2 / K`.
    """

    def __init__(self, texts, scale=100.0):
        self.texts = texts
        self.scale = scale

    def fit(self, X, y, classes=None):
        X, labels = normalize(X), self._one_hot(y, classes)
        centred = self.texts - self.texts.mean(axis=0)
        _, values, right = np.linalg.svd(centred, full_matrices=False)
        self.basis_ = right[values > 1e-6 * values[0]].T
        self.coordinates_ = self.basis_.T @ centred.T
        shape, per_class = self.basis_.shape, len(X) / labels.shape[1]

        def loss(flat):
            A = flat.reshape(shape)
            moved, length = self._move(X, A)
            scores = self.scale * moved @ self.coordinates_ / length
            log_probability = log_softmax(scores, axis=1)
            slope = (np.exp(log_probability) - labels) / len(X)
            # d score_c / d z = scale R_c / length - score_c z / length^2
            slope_moved = self.scale * slope @ self.coordinates_.T / length
            slope_moved -= (slope * scores).sum(axis=1, keepdims=True) * moved / length**2
            gradient = X.T @ slope_moved + 2 * A / per_class
            return (A**2).sum() / per_class - (labels * log_probability).sum() / len(
                X
            ), gradient.ravel()

        self.coef_ = minimize(
            loss, np.zeros(np.prod(shape)), jac=True, method="L-BFGS-B"
        ).x.reshape(shape)
        return self

    def decision_function(self, X):
        moved, length = self._move(normalize(X), self.coef_)
        return self.scale * moved @ self.coordinates_ / length

    def _move(self, rows, A):
        """Coordinates `z (n, r)` in the span of the texts, and the lengths `(n, 1)` of the moved
        rows.
        """
        before = rows @ self.basis_
        moved = before + rows @ A
        outside = 1 - (before**2).sum(axis=1)
        return moved, np.sqrt((moved**2).sum(axis=1) + outside)[:, None]
