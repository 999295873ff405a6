"""The discriminant of a Gaussian model with one covariance for all classes, for queries and for
held-out images.

`z_c(q) = v' P mu_c - mu_c' P mu_c / 2`, with `v = nrm(q) - m` and the class means `mu_c` of
`class_means`. It is linear in `nrm(q)`. `P` is the inverse of the covariance after shrinkage, and
features are divided by their standard deviation as far as residuals tell them. Steps 4 and 5 of
docs/method.md have the formulas.

The scatter has the residuals of the images, and the gaps `r_c - m - mu_c`, which show how far
images lie from the prediction of a name. A gap counts as far as the texts help, and wholly for a
class of one image, which has no residuals. The mean of a class with few images is less certain, so
its covariance is wider by `width_c`, and `z_c` becomes `a + (z_c - a) / width_c`. Here
`a = mean_c mu_c' P mu_c / 2` is the mean `z_c` of images for their own class. Up to a term that all
classes share, this is the log density of the class to first order in `width_c - 1`.
"""

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from .._utils.threads import in_parallel
from .class_means import WORTH_OF_GUESS, ClassMeans
from .linear import Linear
from .shots import ROUNDING, blocks


@dataclass(frozen=True, eq=False)
class Precision:
    """`P = R (1 / ridge + B diag(extra) B') R` with `R = diag(1 / root)`."""

    root: np.ndarray  # `(D,)`
    basis: np.ndarray  # `B (D, r)`
    extra: np.ndarray  # `(r,)`
    ridge: float

    def times(self, rows):
        """`rows @ P`."""
        rows = rows / self.root
        return (rows / self.ridge + ((rows @ self.basis) * self.extra) @ self.basis.T) / self.root


@dataclass(frozen=True, eq=False)
class Gaussian:
    """The parts of the discriminant that all classes share."""

    precision: Precision
    centre: np.ndarray  # `m (D,)`
    kappa: float
    mean_width: float  # `width_c = (1 + 1 / (n_c + kappa)) / mean_width`
    typical: float  # `a`

    def widened(self, z, counts):
        """`a + (z_c - a) / width_c` of values `z (k, C)`, for classes with `counts (C,)` images."""
        return self.typical + (z - self.typical) * self._narrowness(counts)

    def _narrowness(self, counts):
        """`1 / width_c`."""
        return self.mean_width / (1 + 1 / (counts + self.kappa))

    def discriminant(self, means, counts):
        """`z_c` as a `Linear`, for class means `(C, D)` relative to the centre, each of
        `counts (C,)` images.
        """
        weights = self.precision.times(means)
        # v = u - m: the part with m belongs to the offsets.
        offsets = -0.5 * _paired(weights, means) - weights @ self.centre
        return Linear(weights * self._narrowness(counts)[:, None], self.widened(offsets, counts))


@dataclass(frozen=True, eq=False)
class Discriminant:
    """The parts of `z_c` that held-out images change."""

    classes: ClassMeans
    gaussian: Gaussian
    gap_weight: np.ndarray  # `gap_weight_c (C,)`
    scatter_factor: float  # `(1 - l) / f`, the factor of the scatter in `inv(P)`

    def held_out(self, rows):
        """`z_c` of the images at `rows`, each by a model without the image, shape (k, C).

        The class mean, the residual of the image, the gap of the class, and the `m` in `v` change.
        All else stays: the `m` of the class means, `kappa`, the slope, the degrees of freedom, `R`,
        `a` and the widths. The scatter gains `U' K U`. `U` has three rows for each image: its
        residual, the gap with it, and the gap without it. The Woodbury identity gives the new `P`.
        """
        classes = self.classes
        factors = classes.leaning_means, classes.image_means - classes.centre, classes.gaps
        products = [self.gaussian.precision.times(part) for part in factors]
        result = np.empty((len(rows), len(classes.counts)))

        def compute(part):
            result[part] = self._held_out(rows[part], *products)

        in_parallel(compute, blocks(len(rows)))
        return self.gaussian.widened(result, classes.counts)

    def _held_out(self, rows, means_p, centred_p, gaps_p):
        """`held_out` before the widths, for one block of rows. `_p` marks products with `P`."""
        classes, times = self.classes, self.gaussian.precision.times
        means = classes.leaning_means
        own_class, each = classes.codes[rows], np.arange(len(rows))
        share, weight = classes.share[rows], self.gap_weight[own_class]
        leaning, gap, count = classes.without(rows)
        v = classes.u[rows] - classes.centre
        residual_p = times(v) - centred_p[own_class]
        # The mean that is subtracted from the image must not contain the image.
        v -= (classes.centre + leaning + gap - classes.image_means[own_class]) / len(classes.counts)
        v_p, leaning_p = times(v), times(leaning)
        # Share of the class that is left. It is infinite for a single image, so that quotients by
        # it are zero.
        rest = np.where(classes.alone[rows], np.inf, 1 - share)
        z = v_p @ means.T - 0.5 * _paired(means_p, means)
        z[each, own_class] = _paired(v_p, leaning) - 0.5 * _paired(leaning_p, leaning)

        # U, shape (3, k, D)
        changed = np.stack([classes.residuals(rows), classes.gaps[own_class], gap])
        # P is linear, so only two products of it with images are needed.
        gap_p = centred_p[own_class] - (share / rest)[:, None] * residual_p - leaning_p
        gap_p[count == 0] = 0.0
        changed_p = np.stack([residual_p, gaps_p[own_class], gap_p])
        count_with = classes.counts[own_class]
        lost = count_with * share / rest
        factor = self.scatter_factor * np.stack([-lost, -weight * count_with, weight * count])  # K
        inner = np.einsum("akd,bkd->kab", changed_p, changed)
        # (I + K U P U')^-1 K
        middle = np.linalg.solve(
            np.eye(3) + factor.T[:, :, None] * inner, np.eye(3) * factor.T[:, :, None]
        )
        class_products = np.stack([part @ means.T for part in changed_p])
        class_products[:, each, own_class] = np.einsum("akd,kd->ak", changed_p, leaning)
        query_products = np.einsum("akd,kd->ak", changed_p, v)
        # z changes by -mu' P U' middle U P (v - mu / 2).
        half = 0.5 * class_products - query_products[:, :, None]
        for a in range(3):
            for b in range(3):
                z += middle[:, a, b, None] * class_products[a] * half[b]
        return z


def fit_discriminant(classes, trust, has_words):
    """`Discriminant` of `ClassMeans`. Texts help with the probability `trust`. With `has_words`,
    the span is that of words.
    """
    counts, n_features = classes.counts, classes.u.shape[1]
    single = np.bincount(classes.codes) == 1
    gap_weight = np.where(single, 1.0, trust)
    pull = counts / (counts + classes.kappa[-1])
    degrees = max(float(np.sum(counts - 1 + gap_weight * (1 - pull))), ROUNDING)
    factors = np.sqrt(counts[classes.codes] * classes.share / degrees)
    gaps = np.sqrt(gap_weight * counts / degrees)[:, None] * classes.gaps

    def residuals(rows):
        return factors[rows, None] * classes.residuals(rows)

    # Eigenvectors and eigenvalues of the scatter, from the smaller of its two Gram matrices.
    pieces, are_few = blocks(len(factors)), len(factors) + len(gaps) < n_features
    if are_few:
        rows = np.vstack([gaps, *map(residuals, pieces)])
        squares = np.square(rows).sum(axis=0)
    else:
        scatter = gaps.T @ gaps
        for piece in map(residuals, pieces):
            scatter += piece.T @ piece
        squares = np.diag(scatter)
    known = 0.0 if has_words and single.all() else degrees / (degrees + WORTH_OF_GUESS)
    root = np.sqrt(known * squares / max(squares.mean(), ROUNDING) + 1 - known)
    if are_few:
        rows /= root
        values, eigenvectors = linalg.eigh(rows @ rows.T)
        keep = values > values[-1] * len(values) * np.finfo(float).eps
        values = values[keep]
        basis = (rows.T @ eigenvectors[:, keep]) / np.sqrt(values)
    else:
        values, basis = linalg.eigh(scatter / np.outer(root, root))
        values = np.maximum(values, 0)
    kept = degrees / (degrees + n_features)
    ridge = (1 - kept) * max(values.sum() / n_features, ROUNDING)
    precision = Precision(root, basis, 1 / (kept * values + ridge) - 1 / ridge, float(ridge))
    means, kappa = classes.leaning_means, float(classes.kappa[-1])
    typical = 0.5 * float(_paired(precision.times(means), means).mean())
    mean_width = float(np.mean(1 + 1 / (counts + kappa)))
    gaussian = Gaussian(precision, classes.centre, kappa, mean_width, typical)
    return Discriminant(classes, gaussian, gap_weight, kept / degrees)


def _paired(a, b):
    """Inner products of the rows of two arrays."""
    return np.einsum("kd,kd->k", a, b)
