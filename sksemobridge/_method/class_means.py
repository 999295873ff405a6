"""Class means that lean on names: what shots and texts say together of where a class lies (ours).

With `u` unit embeddings of images and `T_c` of class texts, one Gaussian model of two levels:

    u = mu_c + noise                                         (between images of a class)
    mu_c = m + slope (T_c - mean_c T_c) + deviation          (between a class and what its name predicts)

so that the mean of `n_c` images is shrunk towards its name,

    mu_c = (n_c mean_c u + kappa mhat_c) / (n_c + kappa),     kappa = var(noise) / var(deviation).

`kappa` is a ratio of variances, found by the method of moments, and another one in the span of the class texts, in that
of words and in the rest of the space: where texts live, classes differ more. Without text `mhat_c = m`.
"""

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from .shots import sum_rows

# `kappa` before anything is known of the noise, in each span, and how many degrees of freedom of noise that
# knowledge is worth.
KAPPA_OF_TEXTS, KAPPA_OF_WORDS, KAPPA_BESIDE_WORDS, KAPPA_OF_REST, KAPPA_WORTH = 1.5, 2.0, 12.0, 4.0, 8.0
# Classes lean on their names this much more than moments say: tails of embeddings are heavier than those of a Gaussian.
LEANING = 1.5
# `kappa` where classes do not differ from what names predict.
LARGEST_KAPPA = 60.0


@dataclass(frozen=True)
class ClassMeans:
    """Shrunk class means, and what they are without each image. All relative to `centre`.

    Attributes
    ----------
    centre : ndarray of shape (D,)
        `m`, the class-balanced mean of the unit embeddings.
    means : ndarray of shape (C, D)
        `mu_c - m`.
    without : ndarray of shape (n, D)
        `mu_c - m` of each image's class if the image is left out. Of a class's only image: what the name predicts.
    left : ndarray of shape (n,)
        Effective number of images that the class of each image has without it.
    share : ndarray of shape (C,)
        `n_c / (n_c + kappa)`.
    share_without : ndarray of shape (n,)
        The same of each image's class without the image.
    counts : ndarray of shape (C,)
        `n_c`.
    """

    centre: np.ndarray
    means: np.ndarray
    without: np.ndarray
    left: np.ndarray
    share: np.ndarray
    share_without: np.ndarray
    counts: np.ndarray


def fit_class_means(u, codes, weight, texts=None, text_odds=1.0, words=None):
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
    text_odds : float
        Probability that the text is of use.
    words : ndarray of shape (D, r) or None
        Directions of a vocabulary.

    Returns
    -------
    ClassMeans
    """
    n_classes = int(codes.max()) + 1
    share = weight / np.bincount(codes, weights=weight)[codes]
    counts = 1 / np.bincount(codes, weights=share**2)
    raw = sum_rows(share[:, None] * u, codes, n_classes)
    centre = raw.mean(axis=0)
    raw = raw - centre
    left, raw_without = _leave_out(u - centre, codes, share, n_classes)

    predicted, spans = np.zeros_like(raw), []
    if texts is not None and n_classes > 1:
        names = texts - texts.mean(axis=0)
        predicted = (np.vdot(names, raw) / max(np.vdot(names, names), np.finfo(float).tiny)) * names
        spans.append((text_basis(texts), KAPPA_OF_TEXTS**text_odds * KAPPA_OF_REST ** (1 - text_odds)))
    if words is not None:
        spans.append((_outside_of(words, spans), KAPPA_OF_WORDS))
    noise, deviation, deviation_without = (
        _split(rows, [basis for basis, _ in spans])
        for rows in (u - centre - raw[codes], raw - predicted, raw_without - predicted[codes])
    )
    guesses = [guess for _, guess in spans] + [KAPPA_OF_REST if words is None else KAPPA_BESIDE_WORDS]
    kappas = [
        _kappa(*of_span, share, codes, counts, guess) for *of_span, guess in zip(noise, deviation, guesses)
    ]

    def shrunk(predicted, parts, n):
        whole = predicted + (n / (n + kappas[-1]))[:, None] * parts[-1]
        for (basis, _), kappa, part in zip(spans, kappas, parts):
            whole += ((n / (n + kappa))[:, None] * part) @ basis.T
        return whole

    return ClassMeans(
        centre=centre,
        means=shrunk(predicted, deviation, counts),
        without=shrunk(predicted[codes], deviation_without, left),
        left=left,
        share=counts / (counts + kappas[-1]),
        share_without=left / (left + kappas[-1]),
        counts=counts,
    )


def text_basis(texts):
    """Orthonormal directions in which class texts differ, shape (D, C - 1) at most."""
    _, deviations, right = linalg.svd(texts - texts.mean(axis=0), full_matrices=False)
    return right[deviations > 1e-6 * np.sqrt(len(texts))].T


def _outside_of(basis, spans):
    """An orthonormal basis of what a span adds to others."""
    for other, _ in spans:
        left, values, _ = linalg.svd(basis - other @ (other.T @ basis), full_matrices=False)
        basis = left[:, values > 1e-3]
    return basis


def _split(rows, bases):
    """Coordinates of rows in each of several spans, and what is left, shape (n, D)."""
    parts = [rows @ basis for basis in bases]
    for part, basis in zip(parts, bases):
        rows = rows - part @ basis.T
    return [*parts, rows]


def _leave_out(u, codes, share, n_classes):
    """Effective number and mean of the other images of each image's class; the mean of none is zero."""
    # The rest of a class that is nearly all one image is summed up without it: a difference would be rounding.
    main = share > 0.5
    rest = np.where(main, 0.0, share)
    sums = [np.bincount(codes, weights=of, minlength=n_classes)[codes] for of in (rest, rest**2)]
    vectors = sum_rows(rest[:, None] * u, codes, n_classes)[codes]
    others = np.zeros(n_classes), np.zeros(n_classes), np.zeros((n_classes, u.shape[1]))
    others[0][codes[main]], others[1][codes[main]] = share[main], share[main] ** 2
    others[2][codes[main]] = share[main, None] * u[main]
    total = sums[0] + np.where(main, 0.0, others[0][codes] - rest)
    squares = sums[1] + np.where(main, 0.0, others[1][codes] - rest**2)
    vectors += np.where(main[:, None], 0.0, others[2][codes] - rest[:, None] * u)
    alone = np.bincount(codes, minlength=n_classes)[codes] == 1
    total[alone] = squares[alone] = 1.0
    vectors[alone] = 0.0
    return np.where(alone, 0.0, total**2 / squares), vectors / total[:, None]


def _kappa(noise, deviation, share, codes, counts, guess):
    """`var(noise) / var(deviation)` by the method of moments; `guess` before there are two images of a class."""
    between = np.square(deviation).sum() / max(len(counts) - 1, 1)  # var(deviation) + var(noise) mean(1 / n)
    inverse = np.mean(1 / counts)
    within = (counts[codes] * share) @ np.square(noise).sum(axis=1)
    guessed = between * guess / (1 + guess * inverse)
    variance = (within + KAPPA_WORTH * guessed) / ((counts - 1).sum() + KAPPA_WORTH)
    if not variance > 0:
        return guess
    return LEANING * variance / max(between - variance * inverse, variance / LARGEST_KAPPA)
