"""The weights of text and shots, and the correction: one penalised logistic regression.

The decision is `sum_k s_k z_k,c + b_c + A_c . v` with `v = nrm(x) - m`. The scales `s_k > 0`, the offsets `b (C,)` and the
corrections `A (C, D)` are a posterior mode. Together they minimise

    sum_i omega_i * -log softmax(decision(x_i) + log pi)[y_i]
    + sum_k t_k^2 / 2 + ||b||^2 / 2 + sum_c A_c' inv(Q) A_c / (2 sigma^2)

over the images `x_i`, whose terms `z_k` come from a model without the image. `s0_k` are default scales, and
`t_k = log(s_k / s0_k) / width`.
`pi_c` is the share of class `c` among the images. The decision does not contain it, because the number of labels of a class
does not tell how frequent the class is.

`Q = I / l^2 + extra V V' / l_V^2`. `V` are the directions in which class texts differ. `l^2` is the mean square length of the `v`,
and `l_V^2` that of their parts in the span of `V`. With `extra = trust (1 + 1 / nbar)`, the span counts more. `trust` is the
probability that the texts help, and `nbar` the mean number of images of a class. `sigma^2 = CORRECTION^2 (1 + (2 trust - 1) / nbar)`:
with few images, a correction is worth most with texts, and least without.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import linalg
from scipy.optimize import minimize
from scipy.special import expit

from .._utils.array_api import softmax
from .shots import ROUNDING

# `python studies/blend.py` varies the constants of this block.
# Width of the prior of `log s`, and its width for the texts alone. `sigma` for many images.
WIDTH, WIDTH_OF_TEXT, CORRECTION = 0.35, 0.8, 0.9
# Prior odds that texts help: CLIP knows most words that are names.
TEXT_ODDS = 10.0
# If texts help, the loss is below that of guessing by at least this part.
LEAST_GAIN = 0.15
# Largest `|log(s / s0)|`. The optimisation ends if the loss decreases by less than TOL of itself.
MOST_LOG_RATIO, TOL = 9.0, 1e-8
# Number of parts of the images. `cross_fitted_logits` leaves each part out of one fit.
FOLDS = 10


@dataclass(frozen=True, eq=False)
class Problem:
    """What the regression is fitted to: `n` images."""

    terms: dict[str, np.ndarray]  # `z_k (n, C)`, held out
    codes: np.ndarray  # `(n,)`
    weight: np.ndarray  # `omega_i (n,)`
    defaults: dict[str, float]  # `s0_k`
    features: np.ndarray  # `(n, r)`. Their coefficients are independent (`features_of`)
    deviations: np.ndarray  # standard deviations of the priors of the coefficients `(r,)`
    width: float = WIDTH  # of the prior of `log s`

    def at(self, rows):
        """The problem of some of the images."""
        terms = {name: z[rows] for name, z in self.terms.items()}
        parts = {name: getattr(self, name)[rows] for name in ("codes", "weight", "features")}
        return replace(self, terms=terms, **parts)

    def decision(self, scales, coefficients):
        """Decisions `(n, C)`."""
        return sum((scales[name] * z for name, z in self.terms.items()), self.features @ coefficients)


@dataclass(frozen=True)
class Regression:
    """The posterior mode."""

    scales: dict[str, float]  # `s_k`
    coefficients: np.ndarray  # of the features `(r, C)`
    loss: float  # value of the minimised function
    log_shares: np.ndarray  # `log pi (C,)`


def fit_regression(problem):
    """`Regression` of a `Problem`: a scale for each term, and coefficients of the features for each class."""
    codes, weight, features, width = problem.codes, problem.weight, problem.features, problem.width
    names, values, k = list(problem.terms), list(problem.terms.values()), len(problem.terms)
    n, n_classes = values[0].shape
    counts = np.bincount(codes, weights=weight, minlength=n_classes)
    log_shares = np.log(np.maximum(counts, np.finfo(float).tiny) / max(counts.sum(), ROUNDING))
    each, deviations = np.arange(n), problem.deviations[:, None]
    log_defaults = np.log([problem.defaults[name] for name in names])

    def unpack(x):
        bounded = np.clip(width * x[:k], -MOST_LOG_RATIO, MOST_LOG_RATIO)
        return np.exp(log_defaults + bounded), deviations * x[k:].reshape(-1, n_classes)

    def objective(x):
        scales, coefficients = unpack(x)
        logits = problem.decision(dict(zip(names, scales)), coefficients)
        logits += log_shares
        logits -= logits.max(axis=1, keepdims=True)
        true = logits[each, codes]
        np.exp(logits, out=logits)
        sums = logits.sum(axis=1)
        loss = weight @ (np.log(sums) - true) + 0.5 * (x @ x)
        logits *= (weight / sums)[:, None]
        logits[each, codes] -= weight
        of_scales = width * scales * [np.vdot(logits, z) for z in values]
        of_coefficients = (deviations * (features.T @ logits)).ravel()
        return float(loss), x + np.concatenate([of_scales, of_coefficients])

    x, loss = np.zeros(k + features.shape[1] * n_classes), 0.0
    if n:
        best = minimize(objective, x, jac=True, method="L-BFGS-B", options={"ftol": TOL, "maxcor": 5})
        x, loss = best.x, float(best.fun)
    scales, coefficients = unpack(x)
    return Regression(dict(zip(names, scales.tolist())), coefficients, loss, log_shares)


def cross_fitted_logits(problem, order):
    """The decisions of the images `(n, C)`, each by a regression without the image.

    Images that follow each other in the `order (n,)` are in different parts.
    """
    result = np.empty(next(iter(problem.terms.values())).shape)
    fold = np.empty(len(order), dtype=int)
    fold[order] = np.arange(len(order)) % FOLDS
    for left_out in (fold == k for k in np.unique(fold)):
        fitted = fit_regression(problem.at(~left_out))
        result[left_out] = problem.at(left_out).decision(fitted.scales, fitted.coefficients)
    return result


def logits_without_own_offset(fitted, problem):
    """The decisions of the images `(n, C)` by a `Regression`, without the part of each image in the offsets, nearly.

    An image adds `-k_ic omega_i (p_ic - [y_i = c])` to its own logits. `k_ic` is the variance of the offset, given the other
    images. The variance of its prior is 1.
    """
    logits, weight = problem.decision(fitted.scales, fitted.coefficients), problem.weight[:, None]
    p = softmax(logits + fitted.log_shares)
    information = weight * p * (1 - p)
    of_others = 1 + information.sum(axis=0) - information
    p[np.arange(len(p)), problem.codes] -= 1
    return logits + weight * p / of_others


def fit_text(cosines, codes, weight, logit_scale):
    """Fit the cosines `(n, C)` to the texts alone: their scale, and the probability that the texts help.

    The default scale is `logit_scale`.
    """
    nothing = np.zeros((len(codes), 0)), np.zeros(0)
    fitted = fit_regression(
        Problem({"text": cosines}, codes, weight, {"text": logit_scale}, *nothing, width=WIDTH_OF_TEXT)
    )
    loss_of_guessing = -weight @ fitted.log_shares[codes]
    trust = expit(np.log(TEXT_ODDS) + (1 - LEAST_GAIN) * loss_of_guessing - fitted.loss)
    return fitted.scales["text"], float(trust)


def features_of(v, span=None, extra=0.0):
    """Features of the images, in which the correction has independent coefficients, and the way back.

    Parameters
    ----------
    v : ndarray of shape (n, D)
    span : ndarray of shape (D, r) or None
        Orthonormal directions in which class texts differ.
    extra : float
        How much more the span counts.

    Returns
    -------
    features : ndarray of shape (n, k)
        `f` with `f @ f.T = v Q v'`.
    back : ndarray of shape (D, k)
        `A = back @ coefficients`, because `v @ back = f`.
    """
    n, width = v.shape
    of_whole = n / max(float(np.vdot(v, v)), ROUNDING**2)
    if span is not None:
        inside = v @ span
        of_span = extra * n / max(float(np.vdot(inside, inside)), ROUNDING**2)

    def times_root(rows):
        """`rows` times the square root of `Q`."""
        result = np.sqrt(of_whole) * rows
        if span is not None:
            result += (np.sqrt(of_whole + of_span) - np.sqrt(of_whole)) * (rows @ span) @ span.T
        return result

    features = times_root(v)
    if n >= width:
        return features, times_root(np.eye(width))
    # Fewer coefficients: along the principal directions of the features.
    squares, vectors = linalg.eigh(features @ features.T)
    keep = squares > ROUNDING * max(squares.max(initial=0.0), 1.0)
    lengths, vectors = np.sqrt(squares[keep]), vectors[:, keep]
    return vectors * lengths, times_root((vectors / lengths).T @ features).T
