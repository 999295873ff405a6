"""The weights of text and shots, and the correction: one penalised logistic regression (step 6 of
docs/method.md).

The decision is `sum_k s_k z_k,c + b_c + A_c . v` with `v = nrm(x) - m`. The scales `s_k > 0`, the
offsets `b (C,)` and the corrections `A (C, D)` are a posterior mode. The mode minimises the log
loss of images whose terms `z_k` come from a model without the image, and penalties. The loss sees
the log shares of the classes too, so that scales, offsets and corrections do not tell how frequent
the classes are.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import linalg
from scipy.optimize import minimize

from .._utils.array_api import softmax
from .._utils.rows import ROUNDING

# Width chosen by `python benchmarks/few_shot.py --tasks FILE.npz ...`, on the mean log loss of our
# rows.
WIDTH = 0.35  # a scale is right up to a factor of exp(0.35)
# Least share of the mean square length that the prior of the correction takes to be in the span.
# Random shots have 0.006 to 0.05 in the span. Uncertain images are alike in the span, and have 0 to
# 0.02: two uncertain images would cost more than a point, and one wrong label of three would cost
# much more.
LEAST_IN_SPAN = 0.1
TOL = 1e-8  # the optimisation ends if the loss decreases by less than this part


@dataclass(frozen=True, eq=False)
class Problem:
    """The input of the regression: `n` images."""

    terms: dict[str, np.ndarray]  # `z_k (n, C)`, held out
    codes: np.ndarray  # `(n,)`
    weight: np.ndarray  # `omega_i (n,)`
    defaults: dict[str, float]  # `s0_k`
    features: np.ndarray  # `(n, r)`. Coefficients of features are independent (`features_of`)
    deviations: np.ndarray  # standard deviations of the priors of the coefficients `(r,)`
    # Standard deviation of the prior of `log s`. With a width of one, a scale may be far off, like
    # the scale of CLIP for some other models.
    width: float = 1.0
    wrong: float = 0.0  # expected share of wrong labels; a wrong label is any class, by its share

    def at(self, rows):
        """The problem of some of the images."""
        terms = {name: z[rows] for name, z in self.terms.items()}
        parts = {name: getattr(self, name)[rows] for name in ("codes", "weight", "features")}
        return replace(self, terms=terms, **parts)

    def decision(self, scales, coefficients):
        """Decisions `(n, C)`."""
        result = self.features @ coefficients
        for name, z in self.terms.items():
            result += scales[name] * z
        return result


@dataclass(frozen=True)
class Regression:
    """The posterior mode."""

    scales: dict[str, float]  # `s_k`
    coefficients: np.ndarray  # coefficients of the features `(r, C)`
    loss: float  # value of the minimised function
    log_shares: np.ndarray  # `log pi (C,)`


def fit_regression(problem, start=None, tol=TOL):
    """`Regression` of a `Problem`. Scales `s` and coefficients `B (r, C)` minimise, in nats,

        -sum_i omega_i log((1 - wrong) softmax(f_i + log pi)_{y_i} + wrong pi_{y_i})
            + sum_k (log(s_k / s0_k) / width)^2 / 2 + sum_rc (B_rc / deviations_r)^2 / 2

    with `f_ic = sum_k s_k z_k,ic + sum_r features_ir B_rc` and the shares `pi_c` of the classes in
    `omega`. The optimisation may start at the `Regression` of a similar problem, and ends if the
    loss decreases by less than the part `tol`.
    """
    codes, weight, features, width = problem.codes, problem.weight, problem.features, problem.width
    names, values, k = list(problem.terms), list(problem.terms.values()), len(problem.terms)
    n, n_classes = values[0].shape
    counts = np.bincount(codes, weights=weight, minlength=n_classes)
    log_shares = np.log(np.maximum(counts, np.finfo(float).tiny) / max(counts.sum(), ROUNDING))
    each, deviations = np.arange(n), problem.deviations[:, None]
    log_defaults = np.log([problem.defaults[name] for name in names])
    log_wrong = np.log(problem.wrong) + log_shares[codes] if problem.wrong else -np.inf

    def unpack(x):
        return np.exp(log_defaults + width * x[:k]), deviations * x[k:].reshape(
            len(deviations), n_classes
        )

    def objective(x):
        scales, coefficients = unpack(x)
        logits = problem.decision(dict(zip(names, scales)), coefficients)
        logits += log_shares
        logits -= logits.max(axis=1, keepdims=True)
        true = logits[each, codes]
        np.exp(logits, out=logits)
        sums = logits.sum(axis=1)
        log_right = np.log1p(-problem.wrong) + true - np.log(sums)
        log_label = np.logaddexp(log_right, log_wrong)
        loss = -(weight @ log_label) + 0.5 * (x @ x)
        pull = weight * np.exp(log_right - log_label)  # a wrong label has no pull
        logits *= (pull / sums)[:, None]
        logits[each, codes] -= pull
        scale_gradient = width * scales * [np.vdot(logits, z) for z in values]
        coefficient_gradient = (deviations * (features.T @ logits)).ravel()
        return float(loss), x + np.concatenate([scale_gradient, coefficient_gradient])

    x, loss = np.zeros(k + features.shape[1] * n_classes), 0.0
    if start is not None:
        log_scales = np.log([start.scales[name] for name in names])
        # A coefficient without a deviation is zero.
        units = start.coefficients / np.where(deviations > 0, deviations, 1.0)
        x = np.append((log_scales - log_defaults) / width, units)
    if n:
        best = minimize(
            objective, x, jac=True, method="L-BFGS-B", options={"ftol": tol, "maxcor": 5}
        )
        x, loss = best.x, float(best.fun)
    scales, coefficients = unpack(x)
    return Regression(dict(zip(names, scales.tolist())), coefficients, loss, log_shares)


def cross_fitted_logits(problem, whole, order):
    """The decisions of the images `(n, C)`, each by a regression without every tenth image in the
    `order (n,)`. `whole` is the `Regression` of all images.
    """
    result = np.empty(next(iter(problem.terms.values())).shape)
    # The ten optimisations start at the regression of all images, and half of the digits are
    # enough. With 400 classes, this changes probabilities by 2e-5 in the mean, and the whole fit
    # takes twice as long as without the ten regressions, not four times.
    tol = np.sqrt(TOL)
    for k in range(10):
        fitted = fit_regression(problem.at(np.delete(order, np.s_[k::10])), whole, tol)
        left_out = order[k::10]
        result[left_out] = problem.at(left_out).decision(fitted.scales, fitted.coefficients)
    return result


def logits_without_own_offset(fitted, problem):
    """The decisions of the images `(n, C)` by a `Regression`, without the part of each image in the
    offsets, nearly.
    """
    # An image adds `omega_i ([y_i = c] - p_ic)` to its own logits, times the variance of the
    # offset, given the other images.
    logits, weight = problem.decision(fitted.scales, fitted.coefficients), problem.weight[:, None]
    p = softmax(logits + fitted.log_shares)
    information = weight * p * (1 - p)
    others_information = 1 + information.sum(axis=0) - information
    p[np.arange(len(p)), problem.codes] -= 1
    return logits + weight * p / others_information


def features_of(v, weight, span=None, extra=0.0):
    """Features `f (n, k)` of the rows `v (n, D)` with `f f' = v Q v'`, and `back (D, k)` with
    `v back = f`.

    The correction thus has independent coefficients, and is `A' = back @ coefficients`.
    `Q = I / l^2 + extra V V' / l_V^2`. `V (D, r)` is the span, and the mean square lengths are
    `l^2` of the rows, which count as `weight (n,)`, and `l_V^2` of their parts in the span, which
    is at least a part of `l^2`.
    """
    length = _mean_square(v, weight)
    whole = within = 1 / length
    if span is not None:
        within = whole + extra / max(_mean_square(v @ span, weight), LEAST_IN_SPAN * length)

    def times_root(rows):
        """`rows` times the square root of `Q`."""
        result = np.sqrt(whole) * rows
        if span is not None:
            result += (np.sqrt(within) - np.sqrt(whole)) * (rows @ span) @ span.T
        return result

    if len(v) >= v.shape[1]:
        return times_root(v), times_root(np.eye(v.shape[1]))
    # Coefficients are reduced to the span of the features.
    basis, coordinates = linalg.qr(times_root(v).T, mode="economic")
    return coordinates.T, times_root(basis.T).T


def _mean_square(rows, weight):
    """Weighted mean square length of rows, which is above zero."""
    rows = np.sqrt(weight)[:, None] * rows
    return max(float(np.vdot(rows, rows)), ROUNDING**2) / max(weight.sum(), ROUNDING)
