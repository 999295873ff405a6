"""Learning from unlabelled images after the fit (not the method of the paper; formulas in
docs/method.md).

With names and a few shots, the model may predict some classes too often, and its class means are
uncertain. Unlabelled images show both. `f_ic` are the logits of image `i` of `N`, and `v = u - m`
its unit embedding minus the mean of the images. The new logits `f_ic + o_c + s g_c(v_i)` are linear
in `u`.

- `g` is the discriminant of a mixture of normal distributions with one diagonal variance
  (`Mixture`). `s` is less than one, because features are not independent and `f` knows much of what
  `g` says.
- `agree` is the share of images whose best class by `g`, from the soft labels of `f` alone, is that
  of `f`. If images form other groups than the classes, it is low, and so is `s`.
- Classes that are predicted too often are either frequent, or the model prefers them. If the
  predicted shares are uneven, they are believed. Otherwise offsets `o` make predictions more even.
- Images of none of the classes would teach the nearest class. They are left out: with shots by
  their p-values, with names alone by `typical_of_names`. Near copies count as one image, and
  each image of a group (a burst) as `1 / size` of it.
- Unlabelled images do not show how certain predictions should be. So one factor keeps the mean
  entropy, nearly. But if the shots are harder than the images, because somebody labelled uncertain
  images first, the model was too uncertain.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import logsumexp
from sklearn.base import clone
from sklearn.mixture import GaussianMixture

from .._utils.array_api import l2_normalize, margins, softmax
from .class_means import fit_slope
from .linear import Linear, total
from .near_copies import near_copies
from .shots import evenly_spaced, sum_rows

# `python benchmarks/folder.py` prints the accuracies with these constants.
# `s` with text. It is below one, because features are not independent.
SHARPNESS = 0.04
# `s` without text, where the logits know less of what the mixture says.
SHARPNESS_WITHOUT_TEXT = 0.07
# A name counts as this many images in the mean of its class.
WORTH_OF_NAME = 10.0
# Most rounds of expectation maximisation. They end when labels hardly move.
ROUNDS = 20
# A label that moves by less hardly moves. With names, three to eight rounds take the place of 20.
SETTLED = 0.01
# The share of the images with a label that may still move. Few of them need many more rounds.
STILL_MOVING = 1e-3
# Divergence of the predicted shares from even ones (in nats) for which half of them is believed.
# 0.12 or 0.15: less than 0.2 points on any kind of folder.
UNEVEN_SHARES = 0.15
# Part of an even share that each class gets more, so that a class that is predicted nowhere stays
# possible.
PART_OF_SHARE = 0.4
# Factor of the offsets that make predictions more even.
OFFSETS = 1.5
# Divergence of the predicted shares from even ones (in nats) for which this factor is halved.
UNEVEN = 0.3
# Images of each class for which the offsets are halved: shares of few images say little.
FEW_OF_CLASS = 2.0
# Least number of images for which the offsets and `s` are halved, however few classes there are.
# One to five images of two or five classes would cost 0.3 points in the mean, and up to 22. 20 is
# as good for them but costs more with 20 and 30 images, 64 gains less with 30 and 50.
FEW_IMAGES = 40
# With names alone, the largest share of images that may be left out.
MOST_STRANGERS = 0.75
# With one shot of each class, images with at most this p-value are left out. With n, it is divided
# by the root of n.
LEAST_P_VALUE = 0.1
# Images with a smaller mean squared distance to their mean are copies of one image (of a class, it
# is about 0.2).
SPREAD_OF_COPIES = 0.06
# Largest number of values in an array (64 MB). If there are more, evenly spaced images are used.
MOST_SAMPLE_VALUES = 2**23
# At least this many images are used.
LEAST_SAMPLE = 1000
# With this many images, factors of the logits count half.
FEW_FOR_FACTOR = 64
# Least factor of the logits that keeps their mean entropy.
LEAST_FACTOR = 0.5
# Largest factor of the logits for shots that are harder than the images. The images' mean margin by
# the names is 0.7 to 1.4 times that of random shots, and more than twice that of shots by margin.
MOST_FOR_HARD_SHOTS = 4 / 3
# Bounds of the logarithm of the factor that keeps the mean entropy.
LOG_FACTORS = (-2.0, 2.0)
# Largest number of logits of which the mean entropy is taken. If there are more, it is that of
# evenly spaced images. All images of 1,000 classes would take longer than the rounds.
MOST_FOR_ENTROPY = 2**20
# Tolerance of this logarithm.
TOL_OF_FACTOR = 1e-5
# Least variance of a feature, as a share of the mean variance.
LEAST_VARIANCE = 1e-3
# Least mean squared distance of images to their mean: equal images have a variance, too.
LEAST_SPREAD = 0.01
# Least number of images of a class, so that quotients by it exist.
LEAST_COUNT = 1e-3


class Known(NamedTuple):
    """What is known of the class means before unlabelled images."""

    texts: np.ndarray | None  # `T_c (C, D)`
    has_text: np.ndarray  # whether each class has a text of its own `(C,)`
    trust: float  # probability that the texts help
    u: np.ndarray  # unit embeddings of the images of the shots `(k, D)`
    codes: np.ndarray  # their classes `(k,)`
    weight: np.ndarray  # how much each counts, in images `(k,)`


class Pool(NamedTuple):
    """Unlabelled images, and in which groups they are. An image may be in several."""

    X: np.ndarray  # embeddings `(N, D)`, distinct and ordered by content
    image: np.ndarray  # the number of an image `(m,)`
    group: np.ndarray  # a group that it is in `(m,)`

    def take(self, is_kept):
        """Some of the images."""
        number = np.cumsum(is_kept) - 1
        rows = is_kept[self.image]
        return Pool(self.X[is_kept], number[self.image[rows]], self.group[rows])


def sorted_sample(X, n_classes, groups=None):
    """The `Pool` of the embeddings `X (n, D)`, or of those of evenly spaced images. They are in
    `groups (n,)`, or each by itself.

    Equal rows become one image, because a repeated image is no new information.
    """
    most = max(MOST_SAMPLE_VALUES // max(X.shape[1], n_classes), LEAST_SAMPLE)
    rows = evenly_spaced(len(X), most)
    distinct, image = distinct_rows(X[rows])
    return Pool(distinct, image, rows if groups is None else groups[rows])


def distinct_rows(X):
    """The distinct rows of `X (n, D)` in lexicographic order, and which of these each row is."""
    order = np.lexsort(X.T[2::-1])
    ordered = X[order]
    is_new = np.append(True, np.any(ordered[1:] != ordered[:-1], axis=1))
    # Three numbers seldom leave open which of two rows comes first. To compare all takes longer.
    is_open = np.append(False, np.all(ordered[1:, :3] == ordered[:-1, :3], axis=1))
    if np.any(is_new & is_open):
        return np.unique(X, axis=0, return_inverse=True)
    index = np.empty(len(X), dtype=np.intp)
    index[order] = np.cumsum(is_new) - 1
    return ordered[is_new], index


def terms_with_unlabeled(terms, pool, known, is_even):
    """The terms of a linear classifier after it has learnt from the images of a `Pool`, and the
    factor of all terms.

    Without `is_even` (a class is "everything else", or the user gave `priors`), there are no
    offsets and no factor of hard shots.
    """
    linear = total(terms.values())
    u = l2_normalize(pool.X)
    logits = logits_of(u, linear)
    joined, index = without_copies(u, logits)
    weight = weight_in_groups(index[pool.image], pool.group)
    if np.square(joined - joined.mean(axis=0)).sum() < SPREAD_OF_COPIES * len(joined):
        joined, weight = l2_normalize(joined.mean(axis=0, keepdims=True)), np.ones(1)
    if len(joined) < len(u):
        u, logits = joined, logits_of(joined, linear)
    factor, change = learn_unlabeled(logits, u, known, is_even, weight)
    scaled = {name: factor * term for name, term in terms.items()}
    if "correction" in scaled:
        change = scaled["correction"] + change
    return scaled | {"correction": change}, factor


def without_copies(u, logits):
    """Unit embeddings `u (N, D)`, in which near copies are replaced by their mean, and the row of
    each image in them. `logits` have the shape `(N, C)`.
    """
    group = near_copies(u, logits.argmax(axis=1))
    first, index, counts = np.unique(group, return_inverse=True, return_counts=True)
    if len(first) == len(u):
        return u, index
    return l2_normalize(sum_rows(u, 1 / counts[index], index, len(first))).astype(u.dtype), index


def logits_of(u, linear):
    """The logits `(N, C)` of unit embeddings `u (N, D)` in single precision, up to a term that all
    classes share.
    """
    # Single precision takes half of the time. What all images and all classes have in common would
    # hide digits of their differences.
    centre, weights = u.mean(axis=0, dtype=np.float64), linear.weights - linear.weights.mean(axis=0)
    logits = (u - centre).astype(np.float32) @ weights.T.astype(np.float32)
    offsets = linear.offsets - linear.offsets.mean() + weights @ centre
    logits += offsets.astype(np.float32)
    return logits


def weight_in_groups(image, group):
    """The weight of each image: one, divided by the number of images in its group. Of an image in
    several groups it is the largest. `image (m,)` and `group (m,)` say what is in which group.
    """
    _, group = np.unique(group, return_inverse=True)
    image, group = np.unique(np.stack([image, group]), axis=1)
    weight = np.zeros(image.max() + 1)
    np.maximum.at(weight, image, 1 / np.bincount(group)[group])
    return weight


def typical_of_names(logits):
    """Whether each image is typical of names `(N,)`, by its `logits (N, C)` of the names alone."""
    x = logsumexp(logits, axis=1, keepdims=True).astype(np.float64)
    everything = np.ones(len(x), dtype=bool)
    if len(x) < 3 or np.ptp(x) == 0:
        return everything
    one = GaussianMixture(1, covariance_type="tied", init_params="random", random_state=0)
    two = clone(one).set_params(
        n_components=2, tol=1e-4, max_iter=1000, precisions_init=[[1 / x.var()]]
    )
    two.set_params(means_init=np.quantile(x, [[0.2], [0.8]]))
    if two.fit(x).bic(x) >= one.fit(x).bic(x) or two.weights_[two.means_.argmin()] > MOST_STRANGERS:
        return everything
    return two.predict(x) == two.means_.argmax()


def learn_unlabeled(logits, u, known, is_even=True, weight=1.0):
    """The logits become `factor * logits + change`. Returns the factor, and the change as a
    `Linear`.

    Logits `f (N, C)` and unit embeddings `u (N, D)` are those of the images, which count as
    `weight (N,)`.
    """
    logits = logits.astype(np.float32, copy=False)
    n_classes = logits.shape[1]
    weight = np.broadcast_to(weight, len(u))
    n_images = weight.sum()
    trust = known.trust if is_even else 0.0
    n = known.weight.sum() / n_classes
    mixture = Mixture(u, weight, known, WORTH_OF_NAME * known.trust * (1 + n / 2))
    sharpness = SHARPNESS * known.trust + SHARPNESS_WITHOUT_TEXT * (1 - known.trust)
    sharpness *= (
        mixture.agreement(logits) ** 2
        / (1 + n / 2)
        / (1 + (max(n_classes, FEW_IMAGES) / n_images) ** 2)
    )

    hard = hard_shot_factor(u, known, weight) if trust else 1.0
    logits = np.float32(hard) * logits
    offsets = trust * class_offsets(logits, weight)
    mixture.fit(logits + offsets.astype(np.float32), sharpness)
    weights, constants = mixture.discriminant()
    weights, offsets = sharpness * weights, offsets + sharpness * constants
    offsets = offsets - weights @ mixture.centre
    some = evenly_spaced(len(u), max(MOST_FOR_ENTROPY // n_classes, 1))
    before = logits[some].astype(np.float64)
    changed = before + u[some] @ weights.T + offsets
    factor = match_entropy(changed, before, weight[some], n_images)
    return hard * factor, Linear(factor * weights, factor * offsets)


class Mixture:
    """Normal distributions of the classes with one diagonal variance, among images `u (N, D)` that
    count as `weight (N,)`, and what is `known`.

    A name counts as `worth_of_name` images.
    """

    def __init__(self, u, weight, known, worth_of_name):
        self.weight_of_image, self.column = weight, weight[:, None].astype(np.float32)
        self.centre = np.average(u, axis=0, weights=weight)
        # Single precision takes half of the time, and changes probabilities by about 1e-5.
        self.v = (u - self.centre).astype(np.float32)
        self.texts, self.worth_of_name = known.texts, worth_of_name * known.has_text
        n_classes, shots = len(known.has_text), known.u - self.centre
        self.sums_of_shots = sum_rows(shots, known.weight, known.codes, n_classes)
        self.counts_of_shots = np.bincount(known.codes, known.weight, n_classes)
        self.n_images = weight.sum() + known.weight.sum()
        squares = self.column * np.square(self.v)
        self.sum_of_squares = squares.sum(axis=0, dtype=np.float64)
        self.sum_of_squares += known.weight @ np.square(shots)

    def agreement(self, logits):
        """`agree` of the logits `(N, C)` of a model."""
        labels, best = self._labels(logits), logits.argmax(axis=1)
        counts = np.maximum(labels.sum(axis=0), LEAST_COUNT)
        self._update(labels.sum(axis=0), labels.T @ self.v, 0.0, counts)
        values = self._values()
        own = np.take_along_axis(labels, best[:, None], axis=1)
        others = counts[best, None] * self.means[best] - own * self.v
        others /= np.maximum(counts[best, None] - own, LEAST_COUNT)
        best_values = np.einsum("nd,nd,d->n", self.v - others / 2, others, 1 / self.variance)
        np.put_along_axis(values, best[:, None], -np.inf, axis=1)
        is_best = best_values > values.max(axis=1)
        return np.average(is_best, weights=self.weight_of_image)

    def fit(self, logits, sharpness):
        """Expectation maximisation from the `logits (N, C)`."""
        labels = self._labels(logits)
        numbers, products = labels.sum(axis=0, dtype=np.float64), labels.T @ self.v
        sums, counts = self.sums_of_shots, np.maximum(self.counts_of_shots, LEAST_COUNT)
        if np.any(self.worth_of_name):
            # The slope of the names is that of means by these labels.
            means = products / np.maximum(numbers, LEAST_COUNT)[:, None]
            slope = fit_slope(self.texts, means, numbers)
            predicted = slope * (self.texts - self.texts.mean(axis=0))
            sums = sums + self.worth_of_name[:, None] * predicted
            counts = counts + self.worth_of_name
        self._update(numbers, products, sums, counts + numbers)
        for _ in range(ROUNDS):
            before = labels
            values = self._values()
            values *= np.float32(sharpness)
            values += logits
            labels = self._labels(values)
            numbers = labels.sum(axis=0, dtype=np.float64)
            self._update(numbers, labels.T @ self.v, sums, counts + numbers)
            before -= labels
            is_moving = np.abs(before, out=before).max(axis=1) >= SETTLED
            if np.mean(is_moving) <= STILL_MOVING:
                break

    def discriminant(self):
        """Weights `(C, D)` and constants `(C,)` of `g`."""
        weights = (self.means / self.variance).astype(np.float64)
        return weights, -0.5 * np.einsum("cd,cd->c", weights, self.means)

    def _labels(self, logits):
        """Soft labels `(N, C)`. Those of an image sum to its weight."""
        labels = softmax(logits)
        labels *= self.column
        return labels

    def _values(self):
        """`g (N, C)` of the images."""
        weights, constants = self.discriminant()
        values = self.v @ weights.T.astype(np.float32)
        values += constants.astype(np.float32)
        return values

    def _update(self, numbers, products, sums, counts):
        """Means and variances from soft labels, of which `numbers (C,)` are the sums, and
        `products (C, D)` those of the images. `sums` and `counts (C,)` have what else is known of
        the means, and the counts these labels, too.
        """
        self.means = ((sums + products) / counts[:, None]).astype(np.float32)
        numbers, products = numbers + self.counts_of_shots, products + self.sums_of_shots
        change = self.means * (self.means * numbers[:, None] - 2 * products)
        variance = (self.sum_of_squares + change.sum(axis=0)) / self.n_images
        least = LEAST_VARIANCE * max(variance.mean(), LEAST_SPREAD / len(variance))
        self.variance = np.maximum(variance, least)


def hard_shot_factor(u, known, weight=1.0):
    """The factor of logits that are too small, because the shots are harder for the names than the
    images `u (N, D)`, which count as `weight (N,)`.
    """
    if len(known.texts) < 2 or not len(known.u):
        return 1.0

    weight = np.broadcast_to(weight, len(u))
    n_images = weight.sum()

    def margin(images, weight):
        return np.average(margins(images @ known.texts.T.astype(images.dtype)), weights=weight)

    ratio = margin(u, weight) / max(margin(known.u, known.weight), np.finfo(float).tiny)
    return float(
        np.clip(ratio ** (0.5 * n_images / (n_images + FEW_FOR_FACTOR)), 1, MOST_FOR_HARD_SHOTS)
    )


def class_offsets(logits, weight=1.0):
    """Offsets `(C,)`, by `logits (N, C)` of images that count as `weight (N,)`: uneven shares of
    the predictions are believed, others become more even.
    """
    # The share of a class that is predicted nowhere may be too small for single precision.
    p = softmax(logits.astype(np.float64))
    n_classes = p.shape[1]
    weight = np.broadcast_to(weight, len(p))
    n_images = weight.sum()
    shares = np.maximum(np.average(p, axis=0, weights=weight), np.finfo(float).tiny)
    divergence = np.log(n_classes) + shares @ np.log(shares)
    mean_square = np.average(np.einsum("nc,nc->n", p, p), weights=weight)
    chance = n_classes / (2 * n_images) * (mean_square - np.square(shares).sum())
    uneven = (max(divergence - chance, 0.0) / UNEVEN_SHARES) ** 4
    believed = shares + PART_OF_SHARE / n_classes
    eta = OFFSETS / (1 + (divergence / UNEVEN) ** 2)
    offsets = (uneven * np.log(believed / believed.mean()) - eta * np.log(n_classes * shares)) / (
        1 + uneven
    )
    return offsets / (1 + (max(FEW_OF_CLASS * n_classes, FEW_IMAGES) / n_images) ** 2)


def match_entropy(changed, logits, weight, n_images):
    """The factor of the `changed` logits `(n, C)` that gives them the mean entropy of `logits`, of
    images that count as `weight (n,)`. They are some of `n_images`.
    """

    def entropy(values):
        shifted = values - values.max(axis=1, keepdims=True)
        p = np.exp(shifted)
        sums = p.sum(axis=1)
        # of one exponential: the mean of -log p
        entropies = np.log(sums) - np.einsum("nc,nc->n", p, shifted) / sums
        return np.average(entropies, weights=weight)

    wanted = entropy(logits)

    def excess(log_factor):
        return entropy(np.exp(log_factor) * changed) - wanted

    # If all predictions are certain, or there is one class, no factor gives this entropy.
    if excess(LOG_FACTORS[0]) * excess(LOG_FACTORS[1]) >= 0:
        return 1.0
    log_factor = max(brentq(excess, *LOG_FACTORS, xtol=TOL_OF_FACTOR), np.log(LEAST_FACTOR))
    return float(np.exp(n_images / (n_images + FEW_FOR_FACTOR) * log_factor))
