"""Which share of predicted labels is right, by their probabilities and what persons answered."""

from collections import Counter
from typing import Any, NamedTuple

import numpy as np
from scipy.special import logsumexp
from scipy.stats import beta

from .._utils.array_api import softmax
from .._utils.rows import evenly_spaced

# The interval of a share holds it in nine of ten cases.
CONFIDENCE = 0.9
# Standard deviation of the logarithm of the odds of the share, about those of the mean probability.
# It is the same from the names alone to three labels a class, with answers, pages and random shots:
# 0.5 to 0.8 in 88 folders of eleven real sets. With 0.6, 84 to 97 % of the intervals hold the share
# (`python benchmarks/clicks.py` prints it for whole sets).
SPREAD_OF_SHARES = 0.6
# The same above the mean probability. After answers, the shots are the hard images, so that the
# share is more often above it. Driven as the live page drives it, eight folders hold it 75 and 81 %
# of the time with 0.6 here (questions, pages), and 96 % with 0.8
# (`python benchmarks/estimates.py --kinds all --tasks FILE.npz ...`).
SPREAD_ABOVE = 0.8
# The factors of log probabilities that are tried, as logarithms.
TRIED_LOG_FACTORS = np.linspace(-4, 1, 51)
# Width of the prior of this logarithm, a Cauchy distribution. It is less than a step, so about 80 %
# of the prior is on one: no change. Most folders need none: the model has learnt from the answers.
# A few need much, such as those whose names mean something else to the model. With a normal prior
# (of 0.35) the mean error after half a label a class was 4.5 points instead of 4.1 in 88 folders,
# and 43 instead of 36 where names mean something else.
WIDTH_OF_FACTOR = 0.03
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


class ShareRight(NamedTuple):
    """The share of some predictions that is right: an estimate, and an interval that holds it nine
    times out of ten.
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
    different, codes = np.unique(rounds, return_inverse=True)
    ages, kinds = len(different) - 1 - codes, [*zip(rounds, predicted)]
    n_alike = Counter(kinds)
    return DECAY**ages / np.sqrt([n_alike[kind] for kind in kinds])


def share_right(proba, answers=(), *, codes=None, n=None, n_checked=0, n_right=0):
    """`ShareRight` of the predictions with these probabilities `(n, C)`. These may be some of `n`.

    The predictions are the columns `codes (n,)`, by default those of the largest probabilities, of
    which the estimate is the mean. Images that were chosen because they are
    uncertain say little of the others. But if far more answers differ from the predictions than the
    probabilities said, all probabilities are too high. So one factor of their logarithms is fitted
    to `answers`, some `Answered`. `n_checked` images were drawn at random, and `n_right` of their
    predictions were right.
    """
    factor, n = _factor(answers), n or len(proba)
    sample = evenly_spaced(len(proba), MOST_ESTIMATED)
    some, codes = proba[sample], None if codes is None else codes[sample]
    if factor != 1:
        some = np.log(np.maximum(some, LEAST_PROBABILITY))
        some *= some.dtype.type(factor)
        some = softmax(some)
    p = some.max(axis=1) if codes is None else some[np.arange(len(some)), codes]
    right = p.mean(dtype=np.float64)
    # On the scale of log odds the share varies by a spread, so its variance is about
    # (spread p (1 - p))^2: that of a beta distribution of `worth` images. p stays half an
    # image away from 0 and 1.
    p = np.clip(right, 0.5 / n, 1 - 0.5 / n)
    spreads = np.array([SPREAD_OF_SHARES, SPREAD_ABOVE])
    worth = 1 / (spreads**2 * p * (1 - p)) - 1
    counts = np.outer([p, 1 - p], worth) + [[n_right], [n_checked - n_right]]
    if n_checked:
        right = counts[0, 0] / counts[:, 0].sum()
    low, high = beta.ppf([(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], *counts)
    # Whole images are right.
    low, high = np.floor(n * low + SMALL) / n, np.ceil(n * high - SMALL) / n
    return ShareRight(float(right), float(min(low, right)), float(max(high, right)))


def _factor(answers):
    """The factor of the logarithms of probabilities by the answers: the mean of its logarithm."""
    if not answers:
        return 1.0
    loss = np.log1p((TRIED_LOG_FACTORS / WIDTH_OF_FACTOR) ** 2)
    for proba, codes, weights, n_others in answers:
        logs, log_count = np.log(np.maximum(proba, LEAST_PROBABILITY)), np.zeros(proba.shape[1])
        if n_others:
            rest = np.maximum(1 - proba.sum(axis=1), LEAST_PROBABILITY) / n_others
            logs = np.column_stack([logs, np.log(rest)])
            log_count = np.append(log_count, np.log(n_others))
        scaled = np.exp(TRIED_LOG_FACTORS)[:, None, None] * logs
        all_columns = logsumexp(scaled + log_count, axis=2)
        p = np.exp(scaled[:, np.arange(len(codes)), codes] - all_columns)
        loss -= np.log((1 - SLIPS) * p + SLIPS / (proba.shape[1] + n_others)) @ weights
    return np.exp(softmax(-loss[None])[0] @ TRIED_LOG_FACTORS)
