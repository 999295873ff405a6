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

from .._utils.array_api import astype
from .._utils.threads import in_parallel
from .class_means import WORTH_OF_GUESS, ClassMeans
from .linear import Linear
from .shots import ROUNDING, blocks

# With so many values in the embeddings, the terms of held-out images are computed in single
# precision, which takes half of the time. Probabilities change by about 2e-6.
MANY_VALUES = 2**17
# Rows of a block of held-out images. A larger one takes more memory and as long.
BLOCK_OF_HELD_OUT = 2**7


@dataclass(frozen=True, eq=False)
class Precision:
    """`P = R (1 / ridge + F G) R` with `R = diag(1 / root)`."""

    root: np.ndarray  # `(D,)`
    ridge: float
    left: np.ndarray  # `F (D, r)`
    right: np.ndarray | None  # `G (r, D)`, or None for the identity

    def times(self, rows):
        """`rows @ P`."""
        rows = rows / self.root
        result = rows @ self.left
        if self.right is not None:
            result = result @ self.right
        rows /= self.ridge
        result += rows
        result /= self.root
        return result


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
        dtype = np.float32 if classes.u.size >= MANY_VALUES else np.float64
        precision = astype(self.gaussian.precision, dtype)
        leaning_means, span = classes.leaning_means.astype(dtype), classes.span.T.astype(dtype)

        def with_precision(part):
            """Rows `x (k, D)` beside `x P`, shape (k, D + D)."""
            part = part.astype(dtype, copy=False)
            return np.hstack([part, precision.times(part)])

        def extended(part):
            """Rows beside their products with `P` and the class means, shape (k, D + D + C)."""
            return np.hstack([part, part[:, part.shape[1] // 2 :] @ leaning_means.T])

        # All but the product with the class means, of which there would be a table `(C, C)`
        means, centred, predicted = map(
            with_precision,
            (leaning_means, classes.image_means - classes.centre, classes.predicted),
        )
        span = extended(with_precision(span))
        parts = with_precision, extended, span, means, centred, predicted
        result = np.empty((len(rows), len(classes.counts)))

        def compute(part):
            result[part] = self._held_out(rows[part], *parts)

        in_parallel(compute, blocks(len(rows), BLOCK_OF_HELD_OUT))
        return self.gaussian.widened(result, classes.counts)

    def _held_out(self, rows, with_precision, extended, span, means, centred, predicted):
        """`held_out` before the widths, for one block of rows.

        What changes is a sum of the image and of means of its class. So its products with `P` and
        with the class means are sums, too, and only images and classes of the block are multiplied.
        """
        classes, own = self.classes, self.classes.codes[rows]
        seen, index = np.unique(own, return_inverse=True)
        n_features, dtype = classes.u.shape[1], means.dtype
        alone, count = classes.is_only_image[rows], classes.counts_without[rows]
        weight = self.gap_weight[own]
        # What the class loses, as a share of what is left. A single image loses nothing.
        share = np.where(alone, 0.0, classes.share[rows])
        lost = share / (1 - share)
        image = extended(with_precision(classes.u[rows] - classes.centre))
        mean, prediction, leaning_with = (
            extended(part[seen])[index] for part in (centred, predicted, means)
        )
        residual = image - mean
        # The mean without the image, minus the prediction from the name
        deviation = mean - lost[:, None].astype(dtype) * residual - prediction
        deviation[alone] = 0.0
        pull = (count[:, None] / (count[:, None] + classes.kappa)).astype(dtype)
        inside = (pull[:, :1] - pull[:, 1:]) * (deviation[:, :n_features] @ span[:, :n_features].T)
        leaning = prediction + pull[:, 1:] * deviation + inside @ span
        gap = prediction + deviation - leaning
        # The mean that is subtracted from the image must not contain the image.
        query = image - (prediction + deviation - mean) / dtype.type(len(means))

        changed = residual, mean - leaning_with, gap  # `U (3, k, D)`
        count_with = classes.counts[own]
        factor = np.stack([-lost * count_with, -weight * count_with, weight * count], axis=1)
        half_norms = 0.5 * _paired(means[:, n_features:], means[:, :n_features])
        z = query[:, 2 * n_features :] - half_norms
        own_class = np.arange(len(rows)), own
        z[own_class] = _products(query - 0.5 * leaning, leaning, n_features)
        factor *= self.scatter_factor  # `K (k, 3)`
        return z + _change(changed, factor, query, leaning, own_class, n_features)


def _change(changed, factor, query, leaning, own_class, n_features):
    """By how much the values change with the scatter, shape (k, C): by
    `-mu' P U' middle U P (v - mu / 2)`, where `middle` is `(I + K U P U')^-1 K`.

    `changed` are the three rows of `U` of each image, and `factor (k, 3)` is `K`. `query` is `v`,
    and `leaning` the `mu` of the image's own class. All have their products beside them.
    """
    inner = np.empty((len(query), 3, 3))
    for a in range(3):
        for b in range(a, 3):
            inner[:, a, b] = inner[:, b, a] = _products(changed[a], changed[b], n_features)
    factor = factor[:, :, None]
    middle = np.linalg.solve(np.eye(3) + factor * inner, np.eye(3) * factor)
    middle = middle.astype(query.dtype)[..., None]  # it is symmetric
    with_query = np.stack([_products(part, query, n_features) for part in changed])
    pulled = np.einsum("kabo,bk->ako", middle, with_query)
    for part in changed:
        part[:, 2 * n_features :][own_class] = _products(part, leaning, n_features)
    first, second, third = (part[:, 2 * n_features :] for part in changed)
    half = 0.5 * middle
    result = first * (
        half[:, 0, 0] * first + middle[:, 0, 1] * second + middle[:, 0, 2] * third - pulled[0]
    )
    result += second * (half[:, 1, 1] * second + middle[:, 1, 2] * third - pulled[1])
    result += third * (half[:, 2, 2] * third - pulled[2])
    return result


def _products(one, other, n_features):
    """`x P y'` of the rows of two arrays that have `x P` beside `x`, shape (k,)."""
    return _paired(one[:, n_features : 2 * n_features], other[:, :n_features])


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
    known = 0.0 if has_words and single.all() else degrees / (degrees + WORTH_OF_GUESS)
    root = np.sqrt(known * squares / max(squares.mean(), ROUNDING) + 1 - known)
    kept = degrees / (degrees + n_features)
    ridge = (1 - kept) * max(float((squares / root**2).mean()), ROUNDING)
    if are_few:
        rows /= root
        # (ridge + kept rows' rows)^-1 = (1 - kept rows' (ridge + kept rows rows')^-1 rows) / ridge
        gram = kept * (rows @ rows.T)
        gram[np.diag_indices_from(gram)] += ridge
        left, right = linalg.solve(gram, -kept / ridge * rows, assume_a="pos").T, rows
    else:
        covariance = kept * scatter / np.outer(root, root)
        covariance[np.diag_indices_from(covariance)] += ridge
        left, right = linalg.inv(covariance), None
        left[np.diag_indices_from(left)] -= 1 / ridge
    precision = Precision(root, ridge, left, right)
    means, kappa = classes.leaning_means, float(classes.kappa[-1])
    typical = 0.5 * float(_paired(precision.times(means), means).mean())
    mean_width = float(np.mean(1 + 1 / (counts + kappa)))
    gaussian = Gaussian(precision, classes.centre, kappa, mean_width, typical)
    return Discriminant(classes, gaussian, gap_weight, kept / degrees)


def _paired(a, b):
    """Inner products of the rows of two arrays."""
    return np.einsum("kd,kd->k", a, b)
