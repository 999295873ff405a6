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

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy import linalg

from .._utils.array_api import astype
from .._utils.rows import BLOCK, ROUNDING, blocks
from .._utils.threads import in_parallel
from .class_means import WORTH_OF_GUESS, ClassMeans
from .linear import Linear

# With so many values in the embeddings, the terms of held-out images are computed in single
# precision, which takes half of the time. Probabilities change by about 2e-6.
MANY_VALUES = 2**17
# Least mean squared distance of the images of a class to their mean. One image alone, or copies of
# one, have none, and every prediction would be certain. Real shots of many encoders have 0.09 to
# 0.4.
LEAST_SPREAD = 0.06


@dataclass(frozen=True, eq=False)
class Precision:
    """`P = R (1 / ridge - S) R` with `R = diag(1 / root)`. `S` is `B' B` of `B (r, D)` from few
    rows, and else `S (D, D)` itself.
    """

    root: np.ndarray  # `(D,)`
    ridge: float
    removed: np.ndarray  # `B`, or `S`
    is_from_few: bool  # whether it is `B`

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
        """It with its table in another precision."""
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
        All else stays: the `m` of the class means, `kappa`, the slope, the degrees of freedom, `R`,
        `a` and the widths. The scatter gains `U' K U`. `U` has three rows for each image: its
        residual, the gap with it, and the gap without it. The Woodbury identity gives the new `P`.
        """
        classes = self.classes
        dtype = np.float32 if classes.u.size >= MANY_VALUES else np.float64
        precision = astype(self.gaussian.precision, dtype)

        def by_p(x):
            return RowsWithProducts.of(x.astype(dtype, copy=False), precision)

        leaning_means = by_p(classes.leaning_means)
        fixed = Fixed(
            precision=precision,
            leaning_means=leaning_means,
            class_means=by_p(classes.image_means - classes.centre),
            predicted=by_p(classes.predicted),
            span=by_p(classes.span.T).with_means(leaning_means.x),
        )
        result = np.empty((len(rows), len(classes.counts)))

        def compute(part):
            result[part] = self._held_out(rows[part], fixed)

        # Half a block, as each image has several rows. A larger one takes more memory and as long.
        in_parallel(compute, blocks(len(rows), BLOCK // 2))
        return self.gaussian.widened(result, classes.counts)

    def _held_out(self, rows, fixed):
        """`held_out` before the widths, for one block of rows.

        What changes is a sum of the image and of means of its class. So its products with `P` and
        with the class means are sums, too, and only images and classes of the block are multiplied.
        """
        classes, codes = self.classes, self.classes.codes[rows]
        means, dtype = fixed.leaning_means.x, fixed.leaning_means.x.dtype
        seen, index = np.unique(codes, return_inverse=True)
        class_mean, prediction, leaning_mean = (
            part.take(seen).with_means(means).take(index)
            for part in (fixed.class_means, fixed.predicted, fixed.leaning_means)
        )
        u = (classes.u[rows] - classes.centre).astype(dtype, copy=False)
        image = RowsWithProducts.of(u, fixed.precision).with_means(means)
        count, lost = classes.counts_without[rows], classes.lost[rows]
        residual = image - class_mean
        # The mean without the image, minus the prediction from the name
        deviation = class_mean - residual * lost[:, None].astype(dtype) - prediction
        deviation *= (1 - classes.alone[rows, None]).astype(dtype)
        pull = (count[:, None] / (count[:, None] + classes.kappa)).astype(dtype)
        inside = (pull[:, :1] - pull[:, 1:]) * (deviation.x @ fixed.span.x.T)
        leaning = prediction + deviation * pull[:, 1:] + fixed.span.combined(inside)
        gap = prediction + deviation - leaning
        # The mean that is subtracted from the image must not contain the image.
        query = image - (prediction + deviation - class_mean) / len(means)

        changed = residual, class_mean - leaning_mean, gap  # `U (3, k, D)`
        weight, count_with = self.gap_weight[codes], classes.counts[codes]
        factor = np.stack([-lost * count_with, -weight * count_with, weight * count], axis=1)
        factor *= self.scatter_factor  # `K (k, 3)`
        z = query.by_means - 0.5 * _products(fixed.leaning_means, fixed.leaning_means)
        at_own = np.arange(len(rows)), codes
        z[at_own] = _products(query - leaning * 0.5, leaning)
        return z + _change(changed, factor, query, leaning, at_own)


@dataclass(frozen=True, eq=False)
class RowsWithProducts:
    """Rows with their products. A sum of rows has the sum of their products."""

    x: np.ndarray  # `(k, D)`
    by_p: np.ndarray  # `x P (k, D)`
    by_means: np.ndarray | None = None  # `x P mu_c (k, C)`, or None if nobody needs them

    @classmethod
    def of(cls, x, precision):
        """Without the products with the means."""
        return cls(x, precision.times(x))

    def with_means(self, means):
        """The same with the products with the `means (C, D)`."""
        return RowsWithProducts(self.x, self.by_p, self.by_p @ means.T)

    def take(self, index):
        """The rows at `index`."""
        return self._each(lambda part: part[index])

    def combined(self, weights):
        """Weighted sums of the rows, by `weights (m, k)`."""
        return self._each(lambda part: weights @ part)

    def __add__(self, other):
        return self._each(np.add, other)

    def __sub__(self, other):
        return self._each(np.subtract, other)

    def __mul__(self, factor):
        return self._each(lambda part: part * factor)

    def __truediv__(self, divisor):
        return self._each(lambda part: part / divisor)

    def _each(self, function, *others):
        """A function of rows, and of their products."""
        parts = zip(*((rows.x, rows.by_p, rows.by_means) for rows in (self, *others)))
        return RowsWithProducts(*(None if part[0] is None else function(*part) for part in parts))


class Fixed(NamedTuple):
    """What all blocks of held-out images share."""

    precision: Precision
    # `mu_c`, `r_c - m` and `mhat_c (C, D)`, without a table `(C, C)` of products with the means
    leaning_means: RowsWithProducts
    class_means: RowsWithProducts
    predicted: RowsWithProducts
    span: RowsWithProducts  # `(r, D)`


def _change(changed, factor, query, leaning, at_own):
    """By how much the values change with the scatter, shape (k, C): by
    `-mu' P U' middle U P (v - mu / 2)`, where `middle` is `(I + K U P U')^-1 K`.

    `changed` are the three rows of `U` of each image, and `factor (k, 3)` is `K`. `query` is `v`,
    and `leaning` the `mu` of the image's own class, which is at `at_own` of the values.
    """
    inner = np.empty((len(factor), 3, 3))
    for a in range(3):
        for b in range(a, 3):
            inner[:, a, b] = inner[:, b, a] = _products(changed[a], changed[b])
    factor = factor[:, :, None]
    middle = np.linalg.solve(np.eye(3) + factor * inner, np.eye(3) * factor)
    middle = middle.astype(query.x.dtype)[..., None]  # it is symmetric
    with_query = np.stack([_products(part, query) for part in changed])
    pulled = np.einsum("kabo,bk->ako", middle, with_query)
    for part in changed:
        part.by_means[at_own] = _products(part, leaning)
    first, second, third = (part.by_means for part in changed)
    half = 0.5 * middle
    result = first * (
        half[:, 0, 0] * first + middle[:, 0, 1] * second + middle[:, 0, 2] * third - pulled[0]
    )
    result += second * (half[:, 1, 1] * second + middle[:, 1, 2] * third - pulled[1])
    result += third * (half[:, 2, 2] * third - pulled[2])
    return result


def _products(one, other):
    """`x P y'` of two `RowsWithProducts`, shape (k,)."""
    return _paired(one.by_p, other.x)


def fit_discriminant(classes, trust, has_words):
    """`Discriminant` of `ClassMeans`. Texts help with the probability `trust`. With `has_words`,
    the span is that of words.
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

    # The inverse of the covariance, or from few rows that of the smaller of their Gram matrices
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
    means, kappa = classes.leaning_means, float(classes.kappa[-1])
    typical = 0.5 * float(_paired(precision.times(means), means).mean())
    mean_width = float(np.mean(1 + 1 / (counts + kappa)))
    gaussian = Gaussian(precision, classes.centre, kappa, mean_width, typical)
    return Discriminant(classes, gaussian, gap_weight, kept / degrees)


def _paired(a, b):
    """Inner products of the rows of two arrays."""
    return np.einsum("kd,kd->k", a, b)
