"""Accuracy of a classifier on its own held-out shots, and doubtful labels among them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp
from scipy.stats import beta
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import column_or_1d

from ._few_shot_classifier import FewShotClassifier
from ._model.shots import evenly_spaced
from ._utils.array_api import l2_normalize, softmax, to_numpy
from ._utils.sklearn import best_of
from ._utils.validation import listed, plural, validate_embeddings

# Unit embeddings of the same picture have the same digits.
SAME_DIGITS = 5
# Below this probability, a label is more likely wrong than right.
DOUBTFUL = 0.5
# With fewer shots of a class, a left-out shot takes much of what is known of the class, but nothing
# from its name.
FEWEST_COMPARED = 4
# The interval of a share holds it in nine of ten cases.
CONFIDENCE = 0.9
# Standard deviation of the logarithm of the odds of the share, about those of the mean probability.
# It is the same from the names alone to three labels a class, with answers, pages and random shots:
# 0.5 to 0.8 in 88 folders of eleven real sets. With 0.6, 84 to 97 % of the intervals hold the share
# (`python benchmarks/clicks.py` prints it for whole sets).
SPREAD_OF_SHARES = 0.6
# Width of the prior of the logarithm of the temperature, a Cauchy distribution. Most folders need
# none: the model has learnt from the answers. A few need much, such as those whose names mean
# something else to the model. With a normal prior (of 0.35) the mean error after half a label a
# class was 4.5 points for 4.1 in 88 folders, and 43 for 36 where names mean something else.
WIDTH_OF_TEMPERATURE = 0.03
# Logarithms of the factors of the logarithms of probabilities among which the temperature is.
LOG_FACTORS = np.linspace(-4, 1, 51)
# Share of answers that are a slip, or that nobody could foresee. One wrong click moves little.
SLIPS = 0.05
# A round of answers counts half of the next one, because the model has learnt since.
DECAY = 0.5
# The estimate is of at most so many evenly spaced images: all of 10,000 move it by 0.006.
MOST_ESTIMATED = 2000
# Rounding errors are smaller.
SMALL = 1e-9
# Probabilities of zero would have no logarithm.
LEAST_PROBABILITY = 1e-12


@dataclass(frozen=True, eq=False)
class ShotEvaluation:
    """The result of `evaluate_shots`. `str()` of it is a short summary.

    Attributes
    ----------
    classes, n_shots : ndarrays of shape (C,)
        Sorted labels, and number of shots of each class.
    accuracy, names_accuracy : float
        Share of held-out shots with the right prediction, by the classifier and by the names alone.
        NaN if it cannot be measured.
    held_out_proba, label_proba : ndarrays of shape (n, C) and (n,)
        See `FewShotClassifier`.
    doubtful : ndarray of int
        Rows of the shots whose label is more likely wrong than right. The most doubtful come first.
    duplicates : ndarray of shape (k, 2), int
        Rows of shots that are the same picture as an earlier shot, and the first row of that
        picture.
    """

    classes: NDArray[Any]
    n_shots: NDArray[np.int64]
    accuracy: float
    names_accuracy: float
    held_out_proba: NDArray[Any]
    label_proba: NDArray[Any]
    doubtful: NDArray[np.intp]
    duplicates: NDArray[np.intp]

    def __str__(self) -> str:
        counts = listed([f"{label} {n}" for label, n in zip(self.classes, self.n_shots)], 10)
        n, n_classes, n_doubtful = self.n_shots.sum(), len(self.classes), len(self.doubtful)
        lines = [f"{n} {plural(n, 'shot')} of {n_classes} {plural(n_classes, 'class')}: {counts}"]
        if not math.isnan(self.accuracy):
            n_held_out = np.isfinite(self.held_out_proba).all(axis=1).sum()
            n_right = round(self.accuracy * n_held_out)
            line = f"Held-out shots predicted right: {n_right} of {n_held_out}, {self.accuracy:.1%}"
            if not math.isnan(self.names_accuracy) and np.median(self.n_shots) >= FEWEST_COMPARED:
                line += f" (names alone {self.names_accuracy:.1%})"
            lines.append(line)
        lines.append(f"{n_doubtful} {plural(n_doubtful, 'shot')} with a doubtful label")
        return "\n".join(lines)


def evaluate_shots(
    estimator: Any, X: ArrayLike, y: ArrayLike, *, groups: ArrayLike | None = None
) -> ShotEvaluation:
    """Measure the accuracy of a classifier on its own held-out shots, and find doubtful labels.

    Parameters
    ----------
    estimator : FewShotClassifier, Pipeline that ends in one, or a search over one
        A copy of it is fitted.
    X, y, groups
        Shots and labels, as for `fit` of the estimator.

    Returns
    -------
    ShotEvaluation
        `print` of it is a short summary.

    Raises
    ------
    TypeError
        If the estimator is none of these.

    Examples
    --------
    >>> from sksemobridge import evaluate_shots, make_few_shot_pipeline
    >>> from sksemobridge.datasets import load_emoji
    >>> emoji = load_emoji()
    >>> images, labels = emoji.images[:60:3], emoji.target_names[emoji.target[:60:3]]
    >>> print(evaluate_shots(make_few_shot_pipeline("mini", "bundled"), images, labels))
    20 shots of 3 classes: arrow 7, bird 8, building 5
    Held-out shots predicted right: 20 of 20, 100.0% (names alone 100.0%)
    0 shots with a doubtful label
    """
    estimator = best_of(estimator)
    classifier = estimator[-1] if isinstance(estimator, Pipeline) else estimator
    if not isinstance(classifier, FewShotClassifier):
        raise TypeError(
            "evaluate_shots needs a FewShotClassifier, a pipeline that ends in one, or a fitted"
            f" search over one; got {estimator!r:.200}. For others use"
            " sklearn.model_selection.cross_val_predict."
        )
    if isinstance(estimator, Pipeline) and len(estimator) > 1:
        X = clone(estimator[:-1]).fit_transform(X, y)
    fitted = clone(classifier).set_params(store_held_out=True).fit(X, y, groups=groups)
    return evaluate_fitted(fitted, X, y, groups)


def evaluate_fitted(fitted, X, y, groups=None):
    """The evaluation of a classifier that was fitted to these shots, with `store_held_out=True`."""
    label_proba = fitted.label_proba_
    if fitted.label_noise == 0:
        label_proba = (
            clone(fitted).set_params(label_noise="auto").fit(X, y, groups=groups).label_proba_
        )
    classes, held_out = fitted.classes_, fitted.held_out_proba_
    codes = np.searchsorted(classes, column_or_1d(np.asarray(y)).astype(classes.dtype))
    unit = l2_normalize(to_numpy(validate_embeddings(fitted, X, reset=False)))
    known = np.isfinite(held_out).all(axis=1)
    truth = codes[known]
    names_accuracy = np.nan
    if fitted.text_embeddings_ is not None:
        names_accuracy = _mean((unit[known] @ fitted.text_embeddings_.T).argmax(axis=1) == truth)
    order = np.argsort(label_proba, kind="stable")
    _, first, index = np.unique(
        unit.round(SAME_DIGITS), axis=0, return_index=True, return_inverse=True
    )
    pairs = np.column_stack([np.arange(len(unit)), first[index]])
    return ShotEvaluation(
        classes=classes,
        n_shots=np.bincount(codes, minlength=len(classes)),
        accuracy=_mean(held_out[known].argmax(axis=1) == truth),
        names_accuracy=names_accuracy,
        held_out_proba=held_out,
        label_proba=label_proba,
        doubtful=order[label_proba[order] < DOUBTFUL],
        duplicates=pairs[pairs[:, 0] != pairs[:, 1]],
    )


class ShareRight(NamedTuple):
    """The share of some predictions that is right: an estimate, and an interval that holds it nine
    times of ten.
    """

    estimate: float
    low: float
    high: float


class Answered(NamedTuple):
    """Answers to images that the model chose.

    `proba (k, m)` are the probabilities of m columns when the images were asked. `n_others` further
    columns share the rest of each row. `codes (k,)` are the columns of the labels, and `weights
    (k,)` are those of `weights_of_answers`.
    """

    proba: Any
    codes: Any
    weights: Any
    n_others: int = 0


def weights_of_answers(rounds, predicted):
    """What each answer counts `(k,)`, by its round (the latest is the largest), and by the class
    that was predicted.

    The model has learnt since earlier rounds. Images of one page that are predicted alike are right
    or wrong together, so that n of them count as the root of n.
    """
    if not len(rounds):
        return np.zeros(0)
    ages = len(np.unique(rounds)) - 1 - np.unique(rounds, return_inverse=True)[1]
    kinds = np.column_stack([ages, np.unique(predicted, return_inverse=True)[1]])
    _, kind, counts = np.unique(kinds, axis=0, return_inverse=True, return_counts=True)
    return DECAY**ages / np.sqrt(counts[kind.ravel()])


def share_right(proba, answers=(), *, n_checked=0, n_right=0):
    """`ShareRight` of the predictions with these probabilities `(n, C)`.

    The estimate is the mean of the largest probabilities. Images that were chosen because they are
    uncertain say little of the others. But if they were answered far more often otherwise than
    their probabilities said, all probabilities are too high. So one temperature is fitted to
    `answers`, some `Answered`. `n_checked` images were drawn at random, and `n_right` of their
    predictions were right.
    """
    factor, n = _factor(answers), len(proba)
    some = proba[evenly_spaced(n, MOST_ESTIMATED)]
    if factor != 1:
        some = np.log(np.maximum(some, LEAST_PROBABILITY))
        some *= some.dtype.type(factor)
        some = softmax(some)
    right = some.max(axis=1).mean(dtype=np.float64)
    # The variance of the share is that of a beta distribution of so many images. Of n images, a
    # share is certain to half of one.
    usual = np.clip(right, 0.5 / n, 1 - 0.5 / n)
    worth = 1 / (SPREAD_OF_SHARES**2 * usual * (1 - usual)) - 1
    counts = worth * np.array([usual, 1 - usual]) + [n_right, n_checked - n_right]
    if n_checked:
        right = counts[0] / counts.sum()
    low, high = beta.ppf([(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], *counts)
    # Whole images are right.
    low, high = np.floor(n * low + SMALL) / n, np.ceil(n * high - SMALL) / n
    return ShareRight(float(right), float(min(low, right)), float(max(high, right)))


def _factor(answers):
    """The factor of the logarithms of probabilities by the answers: the mean of its logarithm."""
    if not answers:
        return 1.0
    loss = np.log1p((LOG_FACTORS / WIDTH_OF_TEMPERATURE) ** 2)
    for proba, codes, weights, n_others in answers:
        logs, count = np.log(np.maximum(proba, LEAST_PROBABILITY)), np.zeros(proba.shape[1])
        if n_others:
            rest = np.maximum(1 - proba.sum(axis=1), LEAST_PROBABILITY) / n_others
            logs, count = np.column_stack([logs, np.log(rest)]), np.append(count, np.log(n_others))
        scaled = np.exp(LOG_FACTORS)[:, None, None] * logs
        all_columns = logsumexp(scaled + count, axis=2)
        p = np.exp(scaled[:, np.arange(len(codes)), codes] - all_columns)
        loss -= np.log((1 - SLIPS) * p + SLIPS / (proba.shape[1] + n_others)) @ weights
    return np.exp(softmax(-loss[None])[0] @ LOG_FACTORS)


def _mean(right):
    return float(np.mean(right)) if len(right) else np.nan
