"""The share of predicted labels that is right, by their probabilities and by answers of persons."""

from collections import Counter
from typing import Any, NamedTuple

import numpy as np
from scipy.special import logsumexp
from scipy.stats import beta

from .._utils.array_api import softmax
from .._utils.rows import evenly_spaced

# Probability that the interval of a share holds the share: nine of ten cases.
CONFIDENCE = 0.9
# Standard deviation of the log odds of the share, around the log odds of the mean probability. From
# names alone to three labels a class, with answers, pages and random shots, this spread is the
# same: 0.5 to 0.8 in 88 folders of eleven real sets. With 0.6, 84 to 97 % of the intervals hold the
# share (`python benchmarks/clicks.py` prints it for whole sets).
SPREAD_OF_SHARES = 0.6
# The spread above the mean probability. After answers, shots are hard images, so that the share is
# more often above the mean probability. With the answers of the live page, the interval holds the
# share in eight folders 75 and 81 % of the time with 0.6 (questions, pages), and 96 % with 0.8
# (`python benchmarks/estimates.py --kinds all --tasks FILE.npz ...`).
SPREAD_ABOVE = 0.8
# Logarithms of the factors of log probabilities that are tried.
TRIED_LOG_FACTORS = np.linspace(-4, 1, 51)
# Width of the prior of this logarithm, a Cauchy distribution. The width is less than a step, so
# about 80 % of the prior is on the factor one, which changes nothing. Most folders need no change,
# since the model has learnt from the answers. A few folders need a large change, such as folders
# whose names mean something else to the model. With a normal prior (of 0.35), the mean error after
# half a label a class was 4.5 points instead of 4.1 in 88 folders, and 43 instead of 36 in folders
# whose names mean something else.
WIDTH_OF_FACTOR = 0.03
# Share of answers that are slips, or unforeseeable, so that one wrong click moves little.
SLIPS = 0.05
# A round of answers counts half of the next one, because the model has learnt since.
DECAY = 0.5
# Most images of the estimate, evenly spaced. Taking all of 10,000 images moves the estimate by
# 0.006.
MOST_ESTIMATED = 2000
# Bound of rounding errors.
SMALL = 1e-9
# Least probability, since zero has no logarithm.
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
    columns share the rest of each row. `codes (k,)` are the columns of the labels, and
    `weights (k,)` come from `weights_of_answers`.
    """

    proba: Any
    codes: Any
    weights: Any
    n_others: int = 0


def weights_of_answers(rounds, predicted):
    """The weight of each answer `(k,)`, by the round (the latest is the largest) and by the
    predicted class.

    The model has learnt since earlier rounds. Images of one page that are predicted alike are right
    or wrong together, so n of them count as the root of n.
    """
    different, codes = np.unique(rounds, return_inverse=True)
    ages, kinds = len(different) - 1 - codes, [*zip(rounds, predicted)]
    n_alike = Counter(kinds)
    return DECAY**ages / np.sqrt([n_alike[kind] for kind in kinds])


def share_right(proba, answers=(), *, codes=None, n=None, n_checked=0, n_right=0):
    """`ShareRight` of the predictions with these probabilities `(n, C)`. The predictions may be a
    sample of `n`.

    The predictions are the columns `codes (n,)`, by default the columns of the largest
    probabilities. The estimate is the mean of these probabilities. Images that were chosen because
    they are uncertain say little of other images. But if far more answers differ from the
    predictions than the probabilities said, all probabilities are too high. One factor of the log
    probabilities is therefore fitted to `answers`, a list of `Answered`. `n_checked` images were
    drawn at random, and `n_right` of their predictions were right.
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
    # The log odds of the share vary by a spread, so the variance of the share is about
    # (spread p (1 - p))^2. A beta distribution of `worth` images has this variance. p stays half an
    # image away from 0 and 1.
    p = np.clip(right, 0.5 / n, 1 - 0.5 / n)
    spreads = np.array([SPREAD_OF_SHARES, SPREAD_ABOVE])
    worth = 1 / (spreads**2 * p * (1 - p)) - 1
    counts = np.outer([p, 1 - p], worth) + [[n_right], [n_checked - n_right]]
    if n_checked:
        right = counts[0, 0] / counts[:, 0].sum()
    low, high = beta.ppf([(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], *counts)
    # The number of right images is a whole number.
    low, high = np.floor(n * low + SMALL) / n, np.ceil(n * high - SMALL) / n
    return ShareRight(float(right), float(min(low, right)), float(max(high, right)))


def _factor(answers):
    """The factor of log probabilities by the answers: the posterior mean of its logarithm."""
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
