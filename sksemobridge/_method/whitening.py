"""The fourth affinity: closeness to class means in whitened coordinates (ours, not in the paper).

`z4_c(q) = v' P mu_c - mu_c' P mu_c / 2` with `v = nrm(q) - m`, `mu_c` the class means shrunk towards their names
(`class_means`, also relative to `m`) and `P = inv((1 - lambda) S + lambda t I)`, where `S (D, D)` is the covariance of
`e_i = v_i - mu_c^(-i)`, images less the means of their classes without them, `t = tr(S) / D`, and
`lambda = D / (N - 1 + D)` for `N` images. It is the discriminant of a Gaussian model with one covariance for all
classes. Residuals are of held-out images: there are some where each class has a single one, too.
"""

from dataclasses import dataclass

import numpy as np
from scipy import linalg

# What stays of `1 - e' P e / N` at least when an image with a large residual is left out.
LEAST_SHARE = 0.05
# Variance of a feature that rounding of single precision can account for.
ROUNDING = 1e-14


@dataclass(frozen=True)
class Affine:
    """`nrm(q) @ weights.T + offsets`: an affinity, or a correction of the logits.

    Attributes
    ----------
    weights : ndarray of shape (C, D)
    offsets : ndarray of shape (C,)
    """

    weights: np.ndarray
    offsets: np.ndarray

    def affinity(self, unit_queries):
        return unit_queries @ self.weights.T + self.offsets

    def take(self, rows):
        """Those of the classes at `rows`; zero at -1."""
        keep = rows >= 0
        return Affine(self.weights[rows] * keep[:, None], self.offsets[rows] * keep)


class WhiteningFit:
    """Whitening by the residuals of images, and what it would be without one of them.

    Parameters
    ----------
    class_means : ClassMeans
    u : ndarray of shape (n, D)
        Unit embeddings of the images.
    codes : ndarray of shape (n,)
    weight : ndarray of shape (n,)
        Weights of the images; they sum to the effective number of images.
    whiten : bool
        Without it `P = I / t`.
    """

    def __init__(self, class_means, u, codes, weight, whiten=True):
        self._classes, self._codes, self._weight = class_means, codes, weight
        self._residuals = u - class_means.centre - class_means.without
        n, width = float(weight.sum()), u.shape[1]
        rows = self._residuals * np.sqrt(weight / n)[:, None]
        scale = max(float(np.square(rows).sum()) / width, ROUNDING)
        self._kept = max(n - 1, 0) / (max(n - 1, 0) + width) if whiten else 0.0  # 1 - lambda
        self._ridge = (1 - self._kept) * scale
        self._basis = np.zeros((width, 0))
        self._inverse = np.zeros(0)
        if self._kept:
            values, self._basis = _eigenvectors(rows)
            self._inverse = 1 / (self._kept * values + self._ridge) - 1 / self._ridge
        self.fitted = self._fitted()

    def _times_p(self, rows):
        """`rows @ P`."""
        return rows / self._ridge + ((rows @ self._basis) * self._inverse) @ self._basis.T

    def _fitted(self):
        means = self._classes.means
        weights = self._times_p(means)
        # v = u - m: the part of m goes into the offsets.
        offsets = -0.5 * np.einsum("cd,cd->c", weights, means) - weights @ self._classes.centre
        return Affine(weights, offsets)

    def held_out(self, unit_shots, position):
        """`z4` of shots under the model without their own image; a rank-one term leaves `S` (Sherman-Morrison).

        Parameters
        ----------
        unit_shots : ndarray of shape (k, D)
        position : ndarray of shape (k,)
            Index of each shot's image.

        Returns
        -------
        ndarray of shape (k, C)
        """
        classes, rows, own = self._classes, np.arange(len(position)), self._codes[position]
        v, means = unit_shots - classes.centre, classes.means
        residual, mean = self._residuals[position], classes.without[position]
        v_p, residual_p, mean_p = self._times_p(v), self._times_p(residual), self._times_p(mean)

        def paired(a, b):
            return np.einsum("kd,kd->k", a, b)

        scores = v_p @ means.T - 0.5 * np.einsum("cd,cd->c", self.fitted.weights, means)
        scores[rows, own] = paired(v_p, mean) - 0.5 * paired(mean_p, mean)
        if self._kept:
            through = residual_p @ means.T
            through[rows, own] = paired(residual_p, mean)
            total = self._weight.sum() / (self._kept * self._weight[position])
            left = np.maximum(total - paired(residual_p, residual), LEAST_SHARE * total)[:, None]
            scores += (paired(residual_p, v)[:, None] * through - 0.5 * through**2) / left
        return scores


def _eigenvectors(rows):
    """Eigenvalues `(r,)` and eigenvectors `(D, r)` of `rows' rows`, through the smaller Gram matrix."""
    if rows.shape[0] < rows.shape[1]:
        values, left = linalg.eigh(rows @ rows.T)
        keep = values > values[-1] * len(values) * np.finfo(rows.dtype).eps
        return values[keep], (rows.T @ left[:, keep]) / np.sqrt(values[keep])
    values, vectors = linalg.eigh(rows.T @ rows)
    return np.maximum(values, 0), vectors
