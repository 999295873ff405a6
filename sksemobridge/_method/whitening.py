"""`z4`: closeness to class means in whitened coordinates (ours, not in the paper).

`z4_c(q) = v' P mu_c - mu_c' P mu_c / 2` with `v = nrm(q) - m`, `mu_c` the class means shrunk towards their names
(`class_means`, also relative to `m`) and `P = inv((1 - lambda) S + lambda t I)`, where `S (D, D)` is the covariance of
residuals `e_i` of the images, `t = tr(S) / D`, and `lambda = D / (f + D)` for `f` degrees of freedom. It is the
discriminant of a Gaussian model with one covariance for all classes.

- Beside text `e_i` is an image less `mu_c` without that image, and `f` the number of images: the name predicts where a
  class's only image lies.
- Without text `e_i` is an image less the mean of its class, `f` the number of images less that of classes, and `S` is
  shrunk towards its diagonal. A class's only image is taken around `m`.

Where the probability that the text is of use is above one half, residuals are those beside text, else those without.

Where classes have unequal numbers of images, the mean of a class with few is less certain, and its images lie farther
from it. Its covariance is then `r_c S`, with `r_c` proportional to `1 + 1 / (n_c + kappa)` and one in the mean, and

    z4_c = (v' P mu_c - mu_c' P mu_c / 2) / r_c + (a (1 - 1 / r_c) - d log(r_c)) / 2

is the log density of that Gaussian with `v' P v` replaced by its mean `a`, so that it stays linear. `d` is the mean of
`e' P e`; both are means over images that are left out of `P`.
"""

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from .shots import blocks

# These three guard divisions.
# Smallest variance of a feature, relative to the mean variance.
LEAST_VARIANCE = 1e-3
# Smallest value of `1 - e' P e / N`, the divisor where an image with a large residual is left out.
LEAST_SHARE = 0.05
# Variance of a feature that rounding of single precision explains.
ROUNDING = 1e-14
# Differences of `r_c` that rounding explains.
SAME_WIDTH = 1e-9
# Images that `a` and `d` are means over, at most: squares in some hundred dimensions vary little.
SAMPLE = 256


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

    def added_to(self, other, factor=1.0):
        """`factor * other + self`."""
        return Affine(factor * other.weights + self.weights, factor * other.offsets + self.offsets)

    def take(self, rows):
        """Those of the classes at `rows`; zero at -1."""
        keep = rows >= 0
        return Affine(self.weights[rows] * keep[:, None], self.offsets[rows] * keep)


class WhiteningFit:
    """Whitening by the residuals of images, and by those of all images but one.

    Parameters
    ----------
    class_means : ClassMeans
    u : ndarray of shape (n, D)
        Unit embeddings of the images.
    codes : ndarray of shape (n,)
    weight : ndarray of shape (n,)
        Weights of the images; they sum to the effective number of images.
    text_trust : float
        Probability that the text is of use.
    has_words : bool
        Whether class means have a span of words.
    """

    def __init__(self, class_means, u, codes, weight, text_trust=0.0, has_words=False):
        self._classes, self._u, self._codes, self._weight = class_means, u, codes, weight
        width = u.shape[1]
        counts = class_means.counts[codes]
        # Where the text is more likely of use than not, all images are compared with predictions made without them.
        self._around_predicted = (class_means.left == 0) | (text_trust > 0.5)
        n = max(float(np.where(self._around_predicted, weight, weight * (1 - 1 / counts)).sum()), ROUNDING)
        self._degrees, self._kept = n, n / (n + width)  # f, 1 - lambda
        # `gone_i e_i e_i'` leaves the scatter with an image: it is more than `e_i e_i'`, as the class mean moves.
        self._gone = weight * np.where(self._around_predicted, 1, counts / np.maximum(counts - 1, ROUNDING))
        # Few images are taken in one piece, many in blocks, twice.
        pieces = [slice(None)] if len(u) < width else blocks(len(u))
        squares = np.zeros(width)
        for rows in pieces:
            residuals = self._residuals(rows)
            squares += (weight[rows] / n) @ np.square(residuals)
        typical = max(squares.mean(), ROUNDING)
        # Where all classes have one image, words show better than variances which directions matter.
        diagonal = 0.0 if has_words and not class_means.left.any() else 1 - text_trust
        self._root = np.maximum(squares / typical, LEAST_VARIANCE) ** (diagonal / 2)
        if len(u) < width:
            values, basis = _eigenvectors(residuals * np.sqrt(weight / n)[:, None] / self._root)
        else:
            scatter = np.zeros((width, width))
            for rows in pieces:
                residuals = self._residuals(rows) / self._root
                scatter += (residuals * (weight[rows, None] / n)).T @ residuals
            values, basis = linalg.eigh(scatter)
            values = np.maximum(values, 0)
        self._ridge = (1 - self._kept) * max(values.sum() / width, ROUNDING)
        self._basis = basis
        self._inverse = 1 / (self._kept * values + self._ridge) - 1 / self._ridge
        self._wider, self._shift = self._widths()
        self.fitted = self._fitted()

    def _residuals(self, rows, without=None):
        """Images less the mean of their class, or less its prediction without them: `e_i`.

        `without` are these predictions, where the caller has them.
        """
        means = self._classes.others.class_means[self._codes[rows]]
        predicted = self._classes.centre + (self._classes.without(rows) if without is None else without)
        return self._u[rows] - np.where(self._around_predicted[rows, None], predicted, means)

    def _times_p(self, rows):
        """`rows @ P`."""
        rows = rows / self._root
        return (rows / self._ridge + ((rows @ self._basis) * self._inverse) @ self._basis.T) / self._root

    def _widths(self):
        """`r_c`, and its additive part of `z4`, each of shape (C,), from a sample of the images."""
        classes = self._classes
        wider = 1 + classes.own_share / classes.counts
        wider /= wider.mean()
        if np.ptp(wider) < SAME_WIDTH:
            return np.ones_like(wider), np.zeros_like(wider)
        # In an order that does not depend on what the labels are called.
        rows = np.argsort(self._u[:, 0], kind="stable")
        rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), SAMPLE)).astype(np.intp)]
        v, residual = self._u[rows] - classes.centre, self._residuals(rows)
        v_p, residual_p = self._times_p(v), self._times_p(residual)
        total, left = self._left(rows, _paired(residual_p, residual))
        of_images = _paired(v_p, v) + _paired(residual_p, v) ** 2 / left
        of_residuals = _paired(residual_p, residual) * total / left
        a, d = np.average([of_images, of_residuals], axis=1, weights=self._weight[rows])
        return wider, 0.5 * (a * (1 - 1 / wider) - d * np.log(wider))

    def _left(self, rows, squares):
        """For images with `e' P e = squares`: the divisors with which `P` without each follows, before and after."""
        # An image without weight changes nothing.
        total = self._degrees / np.maximum(self._kept * self._gone[rows], ROUNDING)
        return total, np.maximum(total - squares, LEAST_SHARE * total)

    def _fitted(self):
        means = self._classes.means
        weights = self._times_p(means)
        # v = u - m: the part of m goes into the offsets.
        offsets = -0.5 * _paired(weights, means) - weights @ self._classes.centre
        return Affine(weights / self._wider[:, None], offsets / self._wider + self._shift)

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
        mean = classes.without(position)
        residual = self._residuals(position, mean)
        v_p, residual_p, mean_p = self._times_p(v), self._times_p(residual), self._times_p(mean)

        scores = v_p @ means.T - 0.5 * self._wider * _paired(self.fitted.weights, means)
        scores[rows, own] = _paired(v_p, mean) - 0.5 * _paired(mean_p, mean)
        through = residual_p @ means.T
        through[rows, own] = _paired(residual_p, mean)
        _, left = self._left(position, _paired(residual_p, residual))
        through *= (_paired(residual_p, v)[:, None] - 0.5 * through) / left[:, None]
        scores += through
        scores /= self._wider
        scores += self._shift
        return scores


def _paired(a, b):
    """Products of the rows of two arrays."""
    return np.einsum("kd,kd->k", a, b)


def _eigenvectors(rows):
    """Eigenvalues `(r,)` and eigenvectors `(D, r)` of `rows' rows`, for fewer rows than columns."""
    values, left = linalg.eigh(rows @ rows.T)
    keep = values > values[-1] * len(values) * np.finfo(rows.dtype).eps
    return values[keep], (rows.T @ left[:, keep]) / np.sqrt(values[keep])
