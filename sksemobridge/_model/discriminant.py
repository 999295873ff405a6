"""The discriminant of a Gaussian model with one covariance for all classes, for queries and for
held-out images.

`z_c(q) = v' P mu_c - mu_c' P mu_c / 2`, with `v = nrm(q) - m` and the class means `mu_c` of
`class_means`. The discriminant is linear in `nrm(q)`. `P` is the inverse of the covariance after
shrinkage, and features are divided by their standard deviation as far as residuals tell them. Steps
4 and 5 of docs/method.md have the formulas.

The scatter has the residuals of the images, and the gaps `r_c - m - mu_c`, which show how far
images lie from the prediction of a name. A gap counts as far as the texts help, and wholly for a
class of one image, which has no residuals. The mean of a class with few images is less certain, so
its covariance is wider by `width_c`, and `z_c` becomes `a + (z_c - a) / width_c`. Here
`a = mean_c mu_c' P mu_c / 2` is the mean `z_c` of images for their own class. Up to a term that all
classes share, this is the log density of the class to first order in `width_c - 1`.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import linalg

from .._utils.array_api import astype
from .._utils.rows import BLOCK, ROUNDING, blocks
from .._utils.threads import in_parallel
from .class_means import WORTH_OF_GUESS, ClassMeans
from .linear import Linear

# Number of values in the embeddings above which the terms of held-out images are computed in single
# precision, which takes half of the time. Probabilities change by about 2e-6.
MANY_VALUES = 2**17
# Least mean squared distance of the images of a class to their mean. One image alone, or copies of
# one image, have no distance, and every prediction would be certain. Real shots of many encoders
# have 0.09 to 0.4.
LEAST_SPREAD = 0.06


@dataclass(frozen=True, eq=False)
class Precision:
    """`P = R (1 / ridge - S) R` with `R = diag(1 / root)`. `S` is `B' B` of `B (r, D)` from few
    rows, and else `S (D, D)` itself.
    """

    root: np.ndarray  # `(D,)`
    ridge: float
    removed: np.ndarray  # `B`, or `S`
    is_from_few: bool  # whether `removed` is `B`

    def times(self, rows):
        """`rows @ P`."""
        rows = rows / self.root
        result = rows @ self.removed.T
        if self.is_from_few:
            result = result @ self.removed
        rows /= self.ridge
        rows -= result
        rows /= self.root
        return rows


@dataclass(frozen=True, eq=False)
class Gaussian:
    """The parts of the discriminant that all classes share."""

    precision: Precision
    centre: np.ndarray  # `m (D,)`
    kappa: float
    mean_width: float  # `width_c = (1 + 1 / (n_c + kappa)) / mean_width`
    typical: float  # `a`

    def rounded(self, dtype):
        """The discriminant with its table in another precision."""
        removed = self.precision.removed.astype(dtype)
        return replace(self, precision=replace(self.precision, removed=removed))

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
        All other parts stay: the `m` of the class means, `kappa`, the slope, the degrees of
        freedom, `R`, `a` and the widths.
        """
        classes, result = self.classes, np.empty((len(rows), len(self.classes.counts)))
        dtype = np.float32 if classes.u.size >= MANY_VALUES else np.float64
        precision = astype(self.gaussian.precision, dtype)
        own = (classes.image_means - classes.centre).astype(dtype)
        own_by_p, gaps_by_p = precision.times(own), precision.times(classes.gaps.astype(dtype))
        fixed = own, own_by_p, gaps_by_p

        def compute(part):
            result[part] = self._held_out(rows[part], precision, *fixed)

        # Half a block, as each image has several rows. A larger block takes more memory, and as
        # much time.
        in_parallel(compute, blocks(len(rows), BLOCK // 2))
        return self.gaussian.widened(result, classes.counts)

    def _held_out(self, rows, precision, own_means, own_means_by_p, gaps_by_p):
        """`held_out` before the widths. `own_means (C, D)` are the `r_c - m`.

        The scatter gains `U' K U`, where `U` has three rows: the residual of the image, the gap of
        its class with the image, and the gap without the image. Thus `v P mu' - mu P mu' / 2`
        changes by `-mu P U' M U P (v - mu / 2)'` with `M = (I + K U P U')^-1 K` (the Woodbury
        identity).
        """
        classes, codes, dtype = self.classes, self.classes.codes[rows], own_means.dtype
        count, prediction = classes.counts_without[rows], classes.predicted[codes]
        mean = classes.means_without(rows)
        gap = mean - prediction
        gap -= classes.pulled(gap, count, classes.kappa)
        residual, mean, gap = (
            part.astype(dtype, copy=False) for part in (classes.residuals(rows), mean, gap)
        )
        U = np.stack([residual, classes.gaps[codes].astype(dtype), gap])
        weight, count_with = self.gap_weight[codes], classes.counts[codes]
        K = np.stack([-classes.lost[rows] * count_with, -weight * count_with, weight * count])
        K = self.scatter_factor * K.T[:, :, None]  # `(k, 3, 1)`

        own, own_by_p, n_classes = own_means[codes], own_means_by_p[codes], len(own_means)
        mean_by_p = precision.times(mean)
        U_by_p = np.stack([precision.times(residual), gaps_by_p[codes], precision.times(gap)])
        # The mean that is subtracted from the image must not contain the image.
        query = residual + own - (mean - own) / n_classes
        query_by_p = U_by_p[0] + own_by_p - (mean_by_p - own_by_p) / n_classes
        shrunken, shrunken_by_p = mean - gap, mean_by_p - U_by_p[2]

        means = own_means - classes.gaps.astype(dtype)
        means_by_p = own_means_by_p - gaps_by_p
        each = np.arange(len(rows)), codes
        z = query_by_p @ means.T - 0.5 * _paired(means_by_p, means)
        z[each] = _paired(query - shrunken / 2, shrunken_by_p)
        U_by_means = U_by_p @ means.T
        U_by_means[:, *each] = np.einsum("akd,kd->ak", U_by_p, shrunken)
        M = np.linalg.solve(
            np.eye(3) + K * np.einsum("akd,bkd->kab", U_by_p, U), K * np.eye(3)
        ).astype(dtype)
        rest = np.einsum("akd,kd->ak", U_by_p, query)[..., None] - U_by_means / 2
        return z - np.sum(U_by_means * np.einsum("kab,bkc->akc", M, rest), axis=0)


def fit_discriminant(classes, trust, has_words):
    """`Discriminant` of `ClassMeans`. Texts help with the probability `trust`. With `has_words`,
    the span is the span of words.
    """
    counts, n_features = classes.counts, classes.u.shape[1]
    alone = np.zeros(len(counts))
    np.maximum.at(alone, classes.codes, classes.alone)
    gap_weight = alone + (1 - alone) * trust
    pull = counts / (counts + classes.kappa[-1])
    # If the labels of a class are doubtful, it may count as less than one image.
    degrees = np.maximum(counts, 1) - 1 + gap_weight * (1 - pull)
    degrees = max(float(np.sum(degrees)), ROUNDING)
    factors = np.sqrt(counts[classes.codes] * classes.share / degrees)
    gaps = np.sqrt(gap_weight * counts / degrees)[:, None] * classes.gaps

    def residuals(rows):
        return factors[rows, None] * classes.residuals(rows)

    # The inverse of the covariance, or for few rows of their smaller Gram matrix
    pieces, are_few = blocks(len(factors)), len(factors) + len(gaps) < n_features
    if are_few:
        rows = np.vstack([gaps, *map(residuals, pieces)])
        squares = np.square(rows).sum(axis=0)
    else:
        scatter = gaps.T @ gaps
        for piece in map(residuals, pieces):
            scatter += piece.T @ piece
        squares = np.diag(scatter)
    known = degrees / (degrees + WORTH_OF_GUESS)
    if has_words:
        known *= 1 - alone.min()  # words say more of variances than single images do
    root = np.sqrt(known * squares / max(squares.mean(), ROUNDING) + 1 - known)
    kept = degrees / (degrees + n_features)
    ridge = (1 - kept) * max(float((squares / root**2).mean()), LEAST_SPREAD / n_features)
    if are_few:
        rows /= root
        # (ridge + kept rows' rows)^-1 = (1 - kept rows' (ridge + kept rows rows')^-1 rows) / ridge
        gram = kept * (rows @ rows.T)
        gram[np.diag_indices_from(gram)] += ridge
        half = linalg.cholesky(gram, lower=True, overwrite_a=True)
        rows *= np.sqrt(kept / ridge)
        removed = linalg.solve_triangular(half, rows, lower=True)
    else:
        covariance = kept * scatter / np.outer(root, root)
        covariance[np.diag_indices_from(covariance)] += ridge
        removed = -linalg.inv(covariance)
        removed[np.diag_indices_from(removed)] += 1 / ridge
    precision = Precision(root, ridge, removed, are_few)
    means, kappa = classes.shrunken_means, float(classes.kappa[-1])
    typical = 0.5 * float(_paired(precision.times(means), means).mean())
    mean_width = float(np.mean(1 + 1 / (counts + kappa)))
    gaussian = Gaussian(precision, classes.centre, kappa, mean_width, typical)
    return Discriminant(classes, gaussian, gap_weight, kept / degrees)


def _paired(a, b):
    """Inner products of the rows of two arrays."""
    return np.einsum("kd,kd->k", a, b)
