"""A mixture of normal distributions, one for each class, of unlabelled images, shots and names
("Means" in docs/method.md).
"""

from typing import NamedTuple

import numpy as np

from .._utils.array_api import softmax
from .._utils.rows import blocks, sum_rows
from .class_means import fit_slope
from .discriminant import LEAST_SPREAD
from .label_noise import MOST_ROUNDS

# A negligible part of an image, or of the mean variance of the features. The rounds end when labels
# move by less in the mean. A class has at least this number of images, and a feature at least this
# variance.
NEGLIGIBLE = 1e-3


class Prior(NamedTuple):
    """Texts and shots: what is known of the class means before unlabelled images."""

    texts: np.ndarray | None  # `T_c (C, D)`
    has_text: np.ndarray  # whether each class has a text of its own `(C,)`
    trust: float  # probability that the texts help
    u: np.ndarray  # unit embeddings of the images of the shots `(k, D)`
    codes: np.ndarray  # classes of the images `(k,)`
    weight: np.ndarray  # weight of each, in images `(k,)`
    rest: np.ndarray  # weight of each as an unlabelled image, too `(k,)`
    n_shots: float = 0.0  # number of shots by `relative_weight`


class Mixture:
    """Normal distributions of the classes with one diagonal variance, among images `u (N, D)` that
    count as `weight (N,)`, with a `Prior` from texts and shots.

    A name counts as `worth_of_name` images.
    """

    def __init__(self, u, weight, prior, worth_of_name):
        self.weight, self.weight_column = weight, weight[:, None].astype(np.float32)
        self.centre = np.einsum("n,nd->d", weight, u) / weight.sum()
        # Single precision takes half of the time, and changes probabilities by about 1e-5.
        self.v = np.subtract(u, self.centre, dtype=np.float32)
        self.texts, self.worth_of_name = prior.texts, worth_of_name * prior.has_text
        n_classes, shots = len(prior.has_text), prior.u - self.centre
        self.sums_of_shots = sum_rows(shots, prior.weight, prior.codes, n_classes)
        self.counts_of_shots = np.bincount(prior.codes, prior.weight, n_classes)
        self.total_weight = weight.sum() + prior.weight.sum()
        self.sum_of_squares = prior.weight @ np.square(shots)
        for block in blocks(len(u)):
            self.sum_of_squares += weight[block] @ np.square(self.v[block])

    def agreement(self, logits):
        """`agree` of the logits `(N, C)` of a model."""
        labels, best = self._labels(logits), logits.argmax(axis=1)
        counts = np.maximum(labels.sum(axis=0), NEGLIGIBLE)
        self._update(labels.sum(axis=0), labels.T @ self.v, 0.0, counts)
        values = self._values()
        own, best_values = np.take_along_axis(labels, best[:, None], axis=1), np.empty(len(best))
        for block in blocks(len(best)):
            v, count = self.v[block], counts[best[block], None]
            others = count * self.means[best[block]] - own[block] * v
            others /= np.maximum(count - own[block], NEGLIGIBLE)
            best_values[block] = np.einsum("nd,nd->n", v - others / 2, others / self.variance)
        np.put_along_axis(values, best[:, None], -np.inf, axis=1)
        is_best = best_values > values.max(axis=1)
        return np.average(is_best, weights=self.weight)

    def fit(self, logits, sharpness):
        """Expectation maximisation from the `logits (N, C)`."""
        labels = self._labels(logits)
        numbers, products = labels.sum(axis=0, dtype=np.float64), labels.T @ self.v
        sums, counts = self.sums_of_shots, np.maximum(self.counts_of_shots, NEGLIGIBLE)
        if np.any(self.worth_of_name):
            # The slope of the names is fitted to class means by these labels.
            means = products / np.maximum(numbers, NEGLIGIBLE)[:, None]
            slope = fit_slope(self.texts, means, numbers)
            predicted = slope * (self.texts - self.texts.mean(axis=0))
            sums = sums + self.worth_of_name[:, None] * predicted
            counts = counts + self.worth_of_name
        self._update(numbers, products, sums, counts + numbers)
        for _ in range(MOST_ROUNDS):
            before = labels
            values = self._values()
            values *= np.float32(sharpness)
            values += logits
            labels = self._labels(values)
            numbers = labels.sum(axis=0, dtype=np.float64)
            self._update(numbers, labels.T @ self.v, sums, counts + numbers)
            before -= labels
            if np.mean(np.abs(before, out=before).max(axis=1)) < NEGLIGIBLE:
                break

    def discriminant(self):
        """Weights `(C, D)` and constants `(C,)` of `g`."""
        weights = (self.means / self.variance).astype(np.float64)
        return weights, -0.5 * np.einsum("cd,cd->c", weights, self.means)

    def _labels(self, logits):
        """Soft labels `(N, C)`. The labels of an image sum to its weight."""
        labels = softmax(logits)
        labels *= self.weight_column
        return labels

    def _values(self):
        """`g (N, C)` of the images."""
        weights, constants = self.discriminant()
        values = self.v @ weights.T.astype(np.float32)
        values += constants.astype(np.float32)
        return values

    def _update(self, numbers, products, sums, counts):
        """Means and variance from the sums of soft labels `(C,)` and of images times labels (C, D),
        and from other evidence: `sums (C, D)` of images. `counts (C,)` are the numbers of all
        images together.
        """
        self.means = ((sums + products) / counts[:, None]).astype(np.float32)
        numbers, products = numbers + self.counts_of_shots, products + self.sums_of_shots
        change = self.means * (self.means * numbers[:, None] - 2 * products)
        variance = (self.sum_of_squares + change.sum(axis=0)) / self.total_weight
        least = NEGLIGIBLE * max(variance.mean(), LEAST_SPREAD / len(variance))
        self.variance = np.maximum(variance, least)
