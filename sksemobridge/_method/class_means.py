"""Class means that lean on names: shots and texts together tell where a class lies (ours).

With `u` unit embeddings of images and `T_c` of class texts, one Gaussian model of two levels:

    u = mu_c + noise                                         (between images of a class)
    mu_c = m + slope (T_c - mean_c T_c) + deviation          (between a class and what its name predicts)

so that the mean of `n_c` images is shrunk towards its name,

    mu_c = (n_c mean_c u + kappa mhat_c) / (n_c + kappa),     kappa = var(noise) / var(deviation).

`kappa` is a ratio of variances, found by the method of moments. The span of the class texts, that of words and the rest
of the space have a `kappa` each: where texts live, classes differ more. Without text `mhat_c = m`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import linalg

from .._utils.lru import LRUCache, content_key
from .shots import blocks, sum_rows, weight_in_class

# `python studies/blend.py` varies the constants of this block, but for the two of words (`python benchmarks/bridge.py`
# prints accuracies with words): beside the span of words classes differ little.
# `kappa` in each span before any class has two images, and the degrees of freedom that this guess counts as.
KAPPA_OF_TEXTS, KAPPA_OF_WORDS, KAPPA_BESIDE_WORDS, KAPPA_OF_REST, KAPPA_WORTH = 1.5, 2.0, 12.0, 4.0, 8.0
# Factor of `kappa` as moments give it: embeddings have heavier tails than a Gaussian.
LEANING = 1.5

# Class texts that differ by less in a direction, relative to their length, are the same in it, and so are images outside
# of all spans; a direction of a span of which less lies outside of another span lies in that one.
LEAST_DIFFERENCE, LEAST_PART = 1e-6, 1e-3
# Bound of `kappa`, before `LEANING`, where the scatter of class means is all noise: shots count all the same.
LARGEST_KAPPA = 60.0

_bases = LRUCache(max_items=32)


@dataclass(frozen=True)
class ClassMeans:
    """Shrunk class means, with each image and without it. All relative to `centre`.

    Attributes
    ----------
    centre : ndarray of shape (D,)
        `m`, the class-balanced mean of the unit embeddings.
    means : ndarray of shape (C, D)
        `mu_c - m`.
    counts : ndarray of shape (C,)
        Effective number `n_c` of images.
    left : ndarray of shape (n,)
        Effective number of each image's class without the image.
    own_share : ndarray of shape (C,)
        `n_c / (n_c + kappa)`, with `kappa` of the rest of the space: the weight of a class's own shots in `z2` and
        `z3`.
    own_share_without : ndarray of shape (n,)
        The own share of each image's class without the image.
    others : Others
    shrink : callable
        `shrink(raw, codes, n)` shrinks raw means of `n` images each of the classes `codes`.
    """

    centre: np.ndarray
    means: np.ndarray
    counts: np.ndarray
    left: np.ndarray
    own_share: np.ndarray
    own_share_without: np.ndarray
    others: "Others"
    shrink: Callable

    def without(self, rows):
        """`mu_c - m` of the class of each image at `rows`, without the image, shape (k, D).

        A class without its only image lies where its name predicts.
        """
        return self.shrink(self.others.means(rows) - self.centre, self.others.codes[rows], self.left[rows])


def fit_class_means(u, codes, weight, texts=None, text_trust=0.0, words=None):
    """Shrink class means towards their names.

    Parameters
    ----------
    u : ndarray of shape (n, D)
        Unit embeddings of images, or means of those of their copies.
    codes : ndarray of shape (n,)
        Class indices; each class has an image.
    weight : ndarray of shape (n,)
        Positive.
    texts : ndarray of shape (C, D) or None
        `T_c`.
    text_trust : float
        Probability that the text is of use.
    words : ndarray of shape (D, r) or None
        Directions of a vocabulary.

    Returns
    -------
    ClassMeans
    """
    n_classes = int(codes.max()) + 1
    others = Others(u, codes, weight, n_classes)
    raw, counts = others.class_means, others.counts
    centre = raw.mean(axis=0)
    width = raw.shape[1]
    predicted, bases, guesses = np.zeros_like(raw), [np.zeros((width, 0))], []
    if texts is not None and n_classes > 1:
        predicted = names_predict(texts, texts, raw - centre, np.ones(n_classes))
        bases.append(text_basis(texts))
        guesses.append(KAPPA_OF_TEXTS**text_trust * KAPPA_OF_REST ** (1 - text_trust))
    if words is not None:
        bases.append(_outside_of(words, bases[-1]))
        guesses.append(KAPPA_OF_WORDS)
    guesses.append(KAPPA_OF_REST if words is None else KAPPA_BESIDE_WORDS)
    basis, span = np.hstack(bases), np.repeat(np.arange(len(bases) - 1), [b.shape[1] for b in bases[1:]])

    def squares(rows, weight):
        """Weighted sums of the squares of rows in each span, and of the rest."""
        inside = np.bincount(span, weight @ np.square(rows @ basis), minlength=len(bases) - 1)
        rest = weight @ np.square(rows).sum(axis=1) - inside.sum()
        return np.maximum([*inside, rest], 0.0)

    within = np.zeros(len(guesses))
    for rows in blocks(len(u)):
        within += squares(u[rows] - raw[codes[rows]], counts[codes[rows]] * others.share[rows])
    between = squares(raw - centre - predicted, np.full(n_classes, 1 / max(n_classes - 1, 1)))
    if (within + between)[-1] <= LEAST_DIFFERENCE**2 * (within + between).sum():
        # The spans hold all that differs, and what is left is rounding.
        within[-1] = between[-1] = 0
    kappas = np.array([LEANING * _kappa(*of_span, counts) for of_span in zip(within, between, guesses)])

    def shrink(means, of, n):
        means, of_rest = means - predicted[of], (n / (n + kappas[-1]))[:, None]
        more = n[:, None] / (n[:, None] + kappas[span]) - of_rest
        return predicted[of] + of_rest * means + (more * (means @ basis)) @ basis.T

    left = others.counts_without()
    return ClassMeans(
        centre=centre,
        means=shrink(raw - centre, np.arange(n_classes), counts),
        counts=counts,
        left=left,
        own_share=counts / (counts + kappas[-1]),
        own_share_without=left / (left + kappas[-1]),
        others=others,
        shrink=shrink,
    )


def names_predict(texts, of_classes, means, weight):
    """Means `(C, D)` that names predict, `slope (T_c - mean T)`; the slope is fitted to the `means` `of_classes`.

    Texts `of_classes` that are all the same predict nothing.
    """
    names = of_classes - of_classes.mean(axis=0)
    square = weight @ np.square(names).sum(axis=1)
    if square <= weight.sum() * LEAST_DIFFERENCE**2:
        return np.zeros_like(texts)
    slope = weight @ np.einsum("cd,cd->c", names, means) / square
    return slope * (texts - of_classes.mean(axis=0))


def text_basis(texts):
    """Orthonormal directions in which class texts differ, shape (D, C - 1) at most; computed once per process."""

    def compute():
        _, deviations, right = linalg.svd(texts - texts.mean(axis=0), full_matrices=False)
        return right[deviations > LEAST_DIFFERENCE * np.sqrt(len(texts))].T

    return _bases.get(content_key(texts), compute)


def _outside_of(basis, other):
    """An orthonormal basis of the part of a span that lies outside of another; computed once per process."""

    def compute():
        left, values, _ = linalg.svd(basis - other @ (other.T @ basis), full_matrices=False)
        return left[:, values > LEAST_PART]

    return _bases.get(content_key(basis, other), compute)


class Others:
    """Weighted means and effective numbers of classes, and of the other images of an image's class.

    Parameters
    ----------
    u, codes, weight
        See `fit_class_means`.
    n_classes : int
    """

    def __init__(self, u, codes, weight, n_classes):
        self._u, self.codes = u, codes
        self.share = weight_in_class(codes, weight)
        self.counts = 1 / np.bincount(codes, weights=self.share**2)
        # Where one image is nearly all of a class, the others are summed by themselves: a difference would be rounding.
        self._main = self.share > 0.5
        self._rest = np.where(self._main, 0.0, self.share)
        self._vectors = sum_rows(u, self._rest, codes, n_classes)
        self._main_vectors = np.zeros((n_classes, u.shape[1]))
        self._main_vectors[codes[self._main]] = self.share[self._main, None] * u[self._main]
        self.class_means = self._vectors + self._main_vectors
        self._alone = np.bincount(codes)[codes] == 1

    def _total(self, power):
        """Sum of the others' shares, raised to a power."""
        n_classes = len(self.counts)
        rest = np.bincount(self.codes, weights=self._rest**power, minlength=n_classes)[self.codes]
        main = np.bincount(
            self.codes, weights=np.where(self._main, self.share**power, 0), minlength=n_classes
        )
        return np.where(self._main, rest, rest - self._rest**power + main[self.codes])

    def counts_without(self):
        """Effective number of the other images of each image's class, shape (n,)."""
        squares = np.where(self._alone, 1.0, self._total(2))
        return np.where(self._alone, 0.0, self._total(1) ** 2 / squares)

    def means(self, rows):
        """Mean of the other images of the class of each image at `rows`, shape (k, D); an only image is its own."""
        codes, main = self.codes[rows], self._main[rows, None]
        vectors = self._vectors[codes]
        vectors += np.where(main, 0.0, self._main_vectors[codes] - self._rest[rows, None] * self._u[rows])
        alone = self._alone[rows]
        total = np.where(self._alone, 1.0, self._total(1))[rows, None]
        return np.where(alone[:, None], self._u[rows], vectors / total)


def _kappa(within, between, guess, counts):
    """`var(noise) / var(deviation)` by the method of moments; `guess` before a class has two images.

    `within` is the sum of squares of the noise, `between = var(deviation) + var(noise) mean(1 / n)`.
    """
    inverse = np.mean(1 / counts)
    guessed = between * guess / (1 + guess * inverse)
    variance = (within + KAPPA_WORTH * guessed) / ((counts - 1).sum() + KAPPA_WORTH)
    if not variance > 0:
        return guess
    return variance / max(between - variance * inverse, variance / LARGEST_KAPPA)
