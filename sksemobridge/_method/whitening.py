"""The fourth affinity: closeness to class means in whitened coordinates (ours, not in the paper).

`z4_c(q) = u' P m_c - m_c' P m_c / 2` with `u = nrm(q)`, `m_c` the class means of the unit shots, `S` their
pooled within-class scatter, `n` the effective number of shots, `t = tr(S) / (n - 1)` and
`P = D * inv(S + t I)`. It is the discriminant of a Gaussian model with one covariance for all classes,
shrunk by `t`.
"""

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from .shots import effective_number, sum_rows


@dataclass(frozen=True)
class Whitening:
    """`z4 = u @ weights.T + offsets`.

    Attributes
    ----------
    weights : ndarray of shape (C, D)
        `P m_c`.
    offsets : ndarray of shape (C,)
        `-m_c' P m_c / 2`.
    """

    weights: np.ndarray
    offsets: np.ndarray

    def affinity(self, unit_queries):
        return unit_queries @ self.weights.T + self.offsets


class WhiteningFit:
    """Whitening of `(class, unit)` means, and what it would be without one of them.

    Parameters
    ----------
    means : ndarray of shape (m, D)
        Mean of the unit shots of each unit (copies of one image) within a class, float64.
    codes : ndarray of shape (m,)
        Class indices.
    weight : ndarray of shape (m,)
        Summed weights.
    n_classes : int
    """

    def __init__(self, means, codes, weight, n_classes):
        self._codes, self._dimension = codes, means.shape[1]
        # Weights sum to the effective number: a common factor changes nothing.
        self._weight = weight * (effective_number(weight) / weight.sum())
        self._class_weight = np.bincount(codes, weights=self._weight, minlength=n_classes)
        sums = np.zeros((n_classes, self._dimension))
        np.add.at(sums, codes, means * self._weight[:, None])
        self._means = sums / np.where(self._class_weight > 0, self._class_weight, np.nan)[:, None]
        self._deviations = means - self._means[codes]
        scatter_rows = np.sqrt(self._weight)[:, None] * self._deviations
        self._trace = float(np.square(scatter_rows).sum())
        rounding = len(means) * np.finfo(np.float64).eps
        # `has_variation`: without it there is no covariance to whiten by.
        self.has_variation = self._trace > rounding * self._weight.sum() and effective_number(weight) > 1
        if self.has_variation:
            self._eigenvalues, self._basis = _scatter_eigenvectors(scatter_rows)
            self._means_in_basis = self._means @ self._basis

    def _ridge(self):
        return self._trace / (effective_number(self._weight) - 1)

    def fitted(self):
        """The whitening of all units: a `Whitening`."""
        t = self._ridge()
        inverse = 1 / (self._eigenvalues + t) - 1 / t  # inv(S + t I) = I / t + V diag(inverse) V'
        weights = self._dimension * (self._means / t + (self._means_in_basis * inverse) @ self._basis.T)
        return Whitening(weights, -0.5 * np.einsum("cd,cd->c", weights, self._means))

    def held_out(self, unit_shots, position):
        """`z4` of shots under the whitening fitted without their own unit.

        Removing one unit takes a rank-one term from `S`, so that nothing is fitted again (Sherman-Morrison).
        Two classes or more must stay populated; the classes of the removed units must keep a unit.

        Parameters
        ----------
        unit_shots : ndarray of shape (n, D)
        position : ndarray of shape (n,)
            Index of the `(class, unit)` mean that each shot belongs to.

        Returns
        -------
        ndarray of shape (n, C)
        """
        own = self._codes[position]
        w, total = self._weight[position], self._class_weight[own]
        deviation = self._deviations[position]
        shrink = w * total / (total - w)  # S' = S - shrink * deviation deviation'
        rest = self._weight.sum() - w
        n_rest = np.square(rest) / (np.square(self._weight).sum() - np.square(w))
        left = np.maximum(self._trace - shrink * np.square(deviation).sum(axis=1), 0)
        # Where nothing varies once the unit is gone, a trace within rounding keeps the inverse finite.
        t = np.maximum(left / np.maximum(n_rest - 1, 0.5), 1e-6 * self._ridge())[:, None]
        inverse = 1 / (self._eigenvalues + t) - 1 / t
        shots_in_basis, deviation_in_basis = unit_shots @ self._basis, deviation @ self._basis

        def product(a, a_in_basis, b, b_in_basis):
            return (a @ b.T) / t + (a_in_basis * inverse) @ b_in_basis.T

        def paired(a, a_in_basis, b, b_in_basis):
            return (
                np.einsum("nd,nd->n", a, b)[:, None] / t
                + np.einsum("nr,nr,nr->n", a_in_basis, inverse, b_in_basis)[:, None]
            )

        shot_mean = product(unit_shots, shots_in_basis, self._means, self._means_in_basis)
        dev_mean = product(deviation, deviation_in_basis, self._means, self._means_in_basis)
        mean_mean = np.square(self._means).sum(axis=1) / t + inverse @ np.square(self._means_in_basis).T
        shot_dev = paired(unit_shots, shots_in_basis, deviation, deviation_in_basis)
        dev_dev = paired(deviation, deviation_in_basis, deviation, deviation_in_basis)
        # The own class mean without the unit: m' = m - back * deviation.
        rows, back = np.arange(len(own)), w / (total - w)
        own_dev_mean = dev_mean[rows, own]
        shot_mean[rows, own] -= back * shot_dev[:, 0]
        mean_mean[rows, own] += back**2 * dev_dev[:, 0] - 2 * back * own_dev_mean
        dev_mean[rows, own] -= back * dev_dev[:, 0]
        gain = shrink[:, None] / np.maximum(1 - shrink[:, None] * dev_dev, np.finfo(np.float64).eps)
        shot_mean += gain * shot_dev * dev_mean
        mean_mean += gain * np.square(dev_mean)
        # The weights that stay sum to their own effective number.
        return (self._dimension * rest / n_rest)[:, None] * (shot_mean - 0.5 * mean_mean)


def fit_whitening(shots, unit_shots, n_classes):
    """`WhiteningFit` of the mean unit shot of each image; None where nothing varies within classes."""
    index, codes, _ = shots.images
    weight = np.bincount(index, weights=shots.weight)
    means = sum_rows(unit_shots * shots.weight[:, None], index, len(codes)) / weight[:, None]
    fit = WhiteningFit(means, codes, weight, n_classes)
    return fit if fit.has_variation else None


def _scatter_eigenvectors(rows):
    """Eigenvalues `(r,)` and eigenvectors `(D, r)` of `rows' rows`, through the smaller Gram matrix."""
    if rows.shape[0] < rows.shape[1]:
        values, left = linalg.eigh(rows @ rows.T)
        keep = values > values[-1] * len(values) * np.finfo(rows.dtype).eps
        return values[keep], (rows.T @ left[:, keep]) / np.sqrt(values[keep])
    values, vectors = linalg.eigh(rows.T @ rows)
    return np.maximum(values, 0), vectors
