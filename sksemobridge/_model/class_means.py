"""Class means, estimated from shots and texts together (steps 2 and 3 of docs/method.md).

`u` are unit embeddings of images, and `T_c` unit embeddings of class texts. The model is Gaussian
and has two levels:

    u = m + mu_c + noise                  images vary around the mean of their class
    mu_c = mhat_c + deviation             class means vary around predictions from names,
    mhat_c = slope (T_c - mean T)

The `n_c` images of a class have the mean `r_c`, and move the estimate of `mu_c` from the prediction
towards this mean: `mu_c = mhat_c + n_c / (n_c + kappa) (r_c - m - mhat_c)`. A name thus counts as
`kappa = var(noise) / var(deviation)` images. The method of moments estimates two values of `kappa`:
for the span of the class texts (or of words, without texts), and for the rest of the space. In the
code, `mu_c` is the shrunken mean.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import linalg

from .._utils.rows import blocks, sum_rows, weight_in_class
from .._utils.same_image import SAME_EMBEDDING
from .._utils.threads import in_parallel

# Guesses of `kappa / NAME_FACTOR` in images, for the time before any class has two images. Chosen
# by `python benchmarks/few_shot.py --tasks FILE.npz ...`, on the mean log loss of our rows.
KAPPA = 4.0  # without texts and words, for texts that do not help, and outside the span of texts
KAPPA_IN_SPAN = 2.0  # in the span of texts that help, or of words
KAPPA_BEYOND_WORDS = 12.0  # outside the span of words
# Guess of the slope. Random shots give 0.2 to 0.5 on ten tasks of five models. But uncertain images
# lie between two names. Uncertain images alone give hardly any slope, as if names said nothing.
SLOPE = 0.35
# Number of images as which a guess counts. A guess of `kappa` is too small by at most this factor.
WORTH_OF_GUESS = 10.0
# If a share `f0` of the classes has only a name, each class counts as at most this number divided
# by `f0`. Ten images of one class say less of the others than of their own class. With 3, right
# answers for few classes cost 0.2 points more.
MOST_IMAGES = 2.0
# Least weight of a neighbour, as a share of the largest weight in its class.
LEAST_NEIGHBOUR = 1e-3
NAME_FACTOR = 1.5  # embeddings have heavier tails than a Gaussian, so a name counts as more images


@dataclass(frozen=True, eq=False)
class ClassMeans:
    """Means of the classes, with each image and without it. All means except `image_means` are
    relative to `centre`.
    """

    u: np.ndarray  # unit embeddings of images `(n, D)`
    codes: np.ndarray  # classes of the images `(n,)`; each class has an image
    share: np.ndarray  # weight of each image `(n,)`, which sums to one in a class
    counts: np.ndarray  # effective number `n_c (C,)` of images
    # effective number of the class of each image without the image `(n,)`
    counts_without: np.ndarray
    alone: np.ndarray  # how far each image is the only one of its class `(n,)`
    image_means: np.ndarray  # `r_c (C, D)`, the weighted means of the classes
    centre: np.ndarray  # `m (D,)`, the mean of the class means
    predicted: np.ndarray  # `mhat_c (C, D)`
    # Orthonormal directions `(D, r)` with their own `kappa`, none without texts and words
    span: np.ndarray
    kappa: np.ndarray  # values for the span and for the rest of the space `(2,)`
    slope: float  # factor of the predictions from names

    @cached_property
    def lost(self):
        """The weight of each image, as a share of the rest of its class `(n,)`. An only image has
        no residual that could be lost, and has zero.
        """
        left = 1 - self.share
        return np.where(left > 0, self.share / np.where(left > 0, left, 1.0), 0.0)

    @property
    def mean_count(self):
        """Mean number of images of a class. The mean is at least one, also if labels are doubtful
        and count less.
        """
        return max(float(self.counts.mean()), 1.0)

    @cached_property
    def shrunken_means(self):
        """`mu_c`, shape (C, D)."""
        deviations = self.image_means - self.centre - self.predicted
        return self.predicted + self.pulled(deviations, self.counts, self.kappa)

    @cached_property
    def gaps(self):
        """Difference between the mean of each class and `mu_c`, shape (C, D)."""
        return self.image_means - self.centre - self.shrunken_means

    def residuals(self, rows):
        """Images minus the mean of their class, shape (k, D)."""
        return self.u[rows] - self.image_means[self.codes[rows]]

    def means_without(self, rows):
        """For each image at `rows`, the mean of its class without the image, shape (k, D): the
        prediction from the name, as far as the image is the only one of its class.
        """
        codes = self.codes[rows]
        means = self.image_means[codes] - self.lost[rows, None] * self.residuals(rows) - self.centre
        return means - self.alone[rows, None] * (means - self.predicted[codes])

    def beyond_text(self, rows):
        """The deviation of the classes at `rows` from the predictions of their texts, as far as
        their images tell, shape (k, D). Names of classes differ about as much as their images do,
        so a class without a text has the mean text plus this deviation.
        """
        deviations = (self.image_means - self.centre - self.predicted)[rows]
        # Texts do not have the heavy tails of images.
        return self.pulled(deviations, self.counts[rows], self.kappa / NAME_FACTOR)

    def beyond_text_without(self, rows):
        """`beyond_text` of the class of each image at `rows`, without the image, shape (k, D)."""
        deviations = self.means_without(rows) - self.predicted[self.codes[rows]]
        return self.pulled(deviations, self.counts_without[rows], self.kappa / NAME_FACTOR)

    def pulled(self, deviations, counts, kappa):
        """The part of deviations `(k, D)` of means from predictions that `counts (k,)` images tell,
        shape (k, D).
        """
        pull = counts[:, None] / (counts[:, None] + kappa)
        inside = (pull[:, :1] - pull[:, 1:]) * (deviations @ self.span)
        return pull[:, 1:] * deviations + inside @ self.span.T


def fit_class_means(images, texts=None, trust=0.0, words=None, label_weight=1.0, most=np.inf):
    """`ClassMeans` of `Images`, with at least one image in each class. Texts help with the
    probability `trust`. The part `label_weight (n,)` of each image counts, and at most `most`
    images of a class.
    """
    u, codes, weight = images.u, images.codes, images.weight
    n_classes = int(codes.max()) + 1
    share = weight_in_class(codes, weight * label_weight)
    counts, counts_without = effective_numbers(codes, weight, label_weight, most)
    alone = 1 - np.minimum(number_of_others(codes, images.relative), 1)
    counts_without = counts_without * (1 - alone)
    image_means = sum_rows(u, share, codes, n_classes)
    centre = image_means.mean(axis=0)
    slope, predicted = 0.0, np.zeros_like(image_means)
    span = np.zeros((u.shape[1], 0)) if words is None else words
    guesses = [KAPPA_IN_SPAN, KAPPA if words is None else KAPPA_BEYOND_WORDS]
    if texts is not None:
        n = counts.sum()
        measured = n * fit_slope(texts, image_means - centre) + WORTH_OF_GUESS * SLOPE
        slope = trust * measured / (n + WORTH_OF_GUESS)
        predicted, span = slope * (texts - texts.mean(axis=0)), directions(texts)
        guesses = [KAPPA_IN_SPAN**trust * KAPPA ** (1 - trust), KAPPA]

    def squares(rows, weight):
        """Weighted sums of squares in the span and in the rest of the space."""
        whole = weight @ np.square(rows).sum(axis=1)
        inside = weight @ np.square(rows @ span).sum(axis=1)
        return np.array([inside, max(whole - inside, 0.0)])

    def squares_of_residuals(rows):
        omega = counts[codes[rows]] * share[rows]
        return squares(u[rows] - image_means[codes[rows]], omega)

    within = sum(in_parallel(squares_of_residuals, blocks(len(u))))
    between = squares(
        image_means - centre - predicted, np.full(n_classes, 1 / max(n_classes - 1, 1))
    )
    if (within + between)[-1] <= SAME_EMBEDDING**2 * (within + between).sum():
        # All differences lie in the span. Outside the span there is only rounding.
        within[-1] = between[-1] = 0.0
    kappa = NAME_FACTOR * np.array(
        [_kappa(*sums, counts) for sums in zip(within, between, guesses)]
    )
    return ClassMeans(
        u,
        codes,
        share,
        counts,
        counts_without,
        alone,
        image_means,
        centre,
        predicted,
        span,
        kappa,
        slope,
    )


def effective_numbers(codes, weight, label_weight=1.0, most=np.inf):
    """Effective number of images of each class `(C,)`, at most `most`, and for each image the
    effective number of its class without the image `(n,)`.
    """
    # `(sum w)^2 / sum w^2`, times the share of the weights that counts.
    parts = np.stack([weight, weight * label_weight, weight**2])
    sums = np.stack([np.bincount(codes, weights=part) for part in parts])
    counts = sums[0] * sums[1] / sums[2]
    kept = np.minimum(1, most / counts)
    others = sums[:, codes] - parts
    # The weights beside a heavy image may be only rounding. The effective number is at least one,
    # and at most the number of the other images.
    n_others = np.maximum(np.bincount(codes)[codes] - 1, 1)
    squares = np.clip(others[2], others[0] ** 2 / n_others, others[0] ** 2)
    without = others[0] * others[1] / np.where(squares > 0, squares, 1.0)
    return counts * kept, without * kept[codes]


def relative_weight(codes, weight):
    """Weights `(n,)` as shares of the largest weight of each class. The sum of the shares is a
    number of images that does not jump if a weight goes to zero.
    """
    largest = np.zeros(codes.max(initial=-1) + 1)
    np.maximum.at(largest, codes, weight)
    return weight / largest[codes]


def number_of_others(codes, relative):
    """For each image the number of other images of its class `(n,)`, if each image counts as
    `relative (n,)` images.
    """
    return np.bincount(codes, weights=relative)[codes] - relative


def fit_slope(texts, means, weight=None):
    """`slope = <T_c - mean T, mean_c> / ||T - mean T||^2`. The slope is zero if all texts are the
    same.

    The slope is never negative: names may not help, but images are never like the names of other
    classes.
    """
    weight = np.ones(len(texts)) if weight is None else weight
    centred = texts - texts.mean(axis=0)
    square = weight @ np.square(centred).sum(axis=1)
    differ = square > weight.sum() * SAME_EMBEDDING**2
    slope = weight @ np.einsum("cd,cd->c", centred, means) / square if differ else 0.0
    return max(float(slope), 0.0)


def directions(texts):
    """Orthonormal directions in which class texts differ, shape (D, C - 1) at most."""
    _, deviations, rows = linalg.svd(texts - texts.mean(axis=0), full_matrices=False)
    return rows[deviations > SAME_EMBEDDING * np.sqrt(len(texts))].T


def _kappa(within, between, guess, counts):
    """`var(noise) / var(deviation)` by the method of moments. The result is `guess` if no class has
    two images.

    `within` is the sum of squares of the noise, and
    `between = var(deviation) + var(noise) mean(1 / n)`.
    """
    # If the labels of a class are doubtful, it may count as less than one image.
    counts = np.maximum(counts, 1.0)
    inverse = np.mean(1 / counts)
    # The noise if `kappa` were the guess: between = noise / guess + noise mean(1 / n).
    guessed_noise = between * guess / (1 + guess * inverse)
    noise = (within + WORTH_OF_GUESS * guessed_noise) / ((counts - 1).sum() + WORTH_OF_GUESS)
    if not noise > 0:
        return guess
    # If class means differ no more than noise explains, shots still count.
    return noise / max(between - noise * inverse, noise / (WORTH_OF_GUESS * guess))
