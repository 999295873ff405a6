"""Several labels (tags) of an image: for each tag a logistic regression whose weights are drawn to
the text of the tag (docs/several_labels_method.md, "Method, with formulas").

For a unit embedding `u`, with `z = u - m` around the mean `m` of the images, the logit of tag k is

    f_k = c_k + b_k + a z'd_k + z'v_k

`c_k` are the log odds of the tag among the images, and `d_k` is the direction of its text. `b_k`
and `v_k` are a posterior mode: the mode minimises, in nats,

    -sum_i (yes_ik log p_ik + no_ik log(1 - p_ik)) + b_k^2 / (2 * 25) + |v_k|^2 / (2 C)

where `p = expit(f)`, and yes and no are weights of answers. An image without an answer for the tag
has neither. `a` (nats for a cosine of one) and `C` (the variance of a weight, in nats^2) are the
same for all tags. `a` and `C` minimise the log loss of each image by the model without the image.
In the end, `c_k + b_k` of a tag with few answers are drawn to the mean of all tags.
"""

from dataclasses import dataclass

import numpy as np
from scipy import linalg
from scipy.optimize import minimize
from scipy.special import expit

from .._utils.array_api import l2_normalize
from .._utils.rows import ROUNDING, evenly_spaced, images_per_weight, sum_rows
from .linear import Linear
from .shots import pool_shots

# Constants chosen by `python benchmarks/several_labels.py`, on pairs of images of eight tasks.
TEXT_PART = 0.8  # `a` is about this part of the logit scale of the model
C = 100.0
BIAS_VARIANCE = 25.0
# Number of answers with which a tag has half of the mean offset, if other tags have many more
# answers. Of 2, 5, 10 and 20, with 1 to 50 answers beside 200 on two tasks, 10 and 20 are level,
# and 2 is worse.
FEW_ANSWERS = 10.0
# Steps of the search for `a` and `C`.
TEXT_STEP, C_STEP = 2.0, 3.0
# Most images of the search, and most products images^2 x tags, which limit the tags, to no less
# than eight. More images or tags would gain nothing, and take longer than the rest of the fit.
MOST_SEARCHED, MOST_PAIRS = 256, 2**19
MOST_HELD_OUT = 2**8  # images of each tag
# The optimisation ends if the loss decreases by less than this part. The search needs less
# precision.
MODE_TOL, SEARCH_TOL = 1e-8, 1e-5


@dataclass(frozen=True, eq=False)
class TaggedImages:
    """`n` distinct images, and for each of `K` tags the weights of the answers."""

    X: np.ndarray  # embeddings `(n, D)`
    weight: np.ndarray  # `(n,)`
    yes: np.ndarray  # weight of the rows that have the tag `(n, K)`
    looked_at: np.ndarray  # weight of the rows with an answer for the tag `(n, K)`

    def pooled(self):
        """The images in an order that does not depend on the order of the rows. Embeddings that are
        equal up to rounding are one image.
        """
        shots, image_of_row = pool_shots(self.X, np.zeros(len(self.X), dtype=np.intp), self.weight)
        parts = (
            sum_rows(part, np.ones(len(part)), image_of_row, len(shots.X))
            for part in (self.yes, self.looked_at)
        )
        return TaggedImages(shots.X, shots.weight, *parts)

    def joined(self, other):
        """Join these images and others with the same tags. Images without any answer count only if
        no image has an answer.
        """
        parts = [part for part in (self, other) if part.looked_at.any()] or [self, other]
        return TaggedImages(
            *(
                np.concatenate([getattr(part, name) for part in parts])
                for name in ("X", "weight", "yes", "looked_at")
            )
        ).pooled()


@dataclass(frozen=True, eq=False)
class TagProblem:
    """The input of the regressions: `n` images and `K` tags."""

    features: np.ndarray  # `z` in orthogonal axes `(n, r)`, where r is at most n and D
    by_text: np.ndarray  # `z'd_k (n, K)`
    log_odds: np.ndarray  # `c_k (K,)`
    yes: np.ndarray  # `(n, K)`
    looked_at: np.ndarray  # `(n, K)`

    def part(self, rows, tags):
        """The problem of some images and tags."""
        features, _ = axes_of(self.features[rows])
        cells = np.ix_(rows, tags)
        return TagProblem(
            features,
            self.by_text[cells],
            self.log_odds[tags],
            self.yes[cells],
            self.looked_at[cells],
        )

    def prior(self, text_scale):
        """The logits `(n, K)` before any image has taught."""
        return self.log_odds + text_scale * self.by_text

    def columns(self, C):
        """The features, with the root of their prior variance, and a last column for `b`."""
        return np.hstack(
            [
                np.sqrt(C) * self.features,
                np.full((len(self.features), 1), np.sqrt(BIAS_VARIANCE)),
            ]
        )


@dataclass(frozen=True, eq=False)
class TagModel:
    """The fitted model of `K` tags."""

    linear: Linear  # the logits
    thresholds: np.ndarray  # of probabilities `(K,)`
    text_scale: float  # `a`
    C: float


def softplus(logits):
    """`log(1 + exp(logits))`. `exp(logits - softplus(logits))` is the probability."""
    # Five times as fast as `np.logaddexp`.
    return np.log1p(np.exp(-np.abs(logits))) + np.maximum(logits, 0)


def log_loss(yes, looked_at, logits, log_sum):
    """The log loss of the answers, in nats. `log_sum` is `softplus(logits)`."""
    of_rows = np.einsum("ij,ij->i", looked_at, log_sum) - np.einsum("ij,ij->i", yes, logits)
    return of_rows.sum(dtype=np.float64)


def fit_tags(images, texts, logit_scale):
    """The `TagModel` of `TaggedImages`. `texts (K, D)` are unit texts, with a row of zeros for a
    tag without a text.
    """
    u = l2_normalize(images.X.astype(np.float64))
    factor = images_per_weight(images.weight)  # the same for all tags
    mean = np.average(u, axis=0, weights=images.weight)
    directions = text_directions(texts)
    features, axes = axes_of(u - mean)
    yes, looked_at = factor * images.yes, factor * images.looked_at
    problem = TagProblem(
        features, (u - mean) @ directions.T, log_odds(yes, looked_at), yes, looked_at
    )
    text_scale, C = search_scales(problem, logit_scale)
    coefficients, logits = fit_modes(problem, text_scale, C, MODE_TOL, images.X.dtype)
    own_offsets = problem.log_odds + np.sqrt(BIAS_VARIANCE) * coefficients[-1]
    offsets = shared_offsets(own_offsets, looked_at.sum(axis=0))
    weights = text_scale * directions + np.sqrt(C) * (axes @ coefficients[:-1]).T
    held_out = expit(held_out_logits(problem, C, logits) + offsets - own_offsets)
    thresholds = best_expected_f1(held_out, images.weight) / 2
    return TagModel(Linear(weights, offsets - weights @ mean), thresholds, text_scale, C)


def text_directions(texts):
    """`d_k (K, D)`: the part of the text of each tag that other texts do not have. The direction is
    zero for a tag without a text, whose row is zero.

    The common part is the mean of all texts and of a further text of zeros: the fewer tags, the
    less is known of the common part.
    """
    has_text = texts.any(axis=1)
    return np.where(has_text[:, None], texts - texts.sum(axis=0) / (has_text.sum() + 1), 0.0)


def log_odds(yes, looked_at):
    """`c_k (K,)` of the answers `(n, K)`, by Jeffreys' prior."""
    n_yes, n_looked_at = yes.sum(axis=0), looked_at.sum(axis=0)
    return np.log((n_yes + 0.5) / (n_looked_at - n_yes + 0.5))


def shared_offsets(own, n_answers):
    """The offsets `c_k + b_k (K,)` of tags with few answers, drawn to the mean of all.

    Few answers hardly say how frequent a tag is, nor how far the spread of `a z'd` moves it. A tag
    without answers has the mean, and a tag with as many answers as any other tag has its `own`.
    """
    if not n_answers.any():
        return own
    part = (1 - n_answers / n_answers.max()) * FEW_ANSWERS / (n_answers + FEW_ANSWERS)
    return own + part * (np.average(own, weights=n_answers) - own)


def axes_of(z):
    """Rows `z (n, D)` in their principal axes: coordinates `(n, r)`, and the axes `(D, r)`."""
    is_wide = z.shape[1] > len(z)
    squares, vectors = linalg.eigh(z @ z.T if is_wide else z.T @ z)
    # Equal rows have no axes, and no largest square.
    kept = squares > ROUNDING**0.5 * squares.max(initial=ROUNDING)
    if not is_wide:
        return z @ vectors[:, kept], vectors[:, kept]
    lengths = np.sqrt(squares[kept])
    return vectors[:, kept] * lengths, z.T @ (vectors[:, kept] / lengths)


def search_scales(problem, logit_scale):
    """`a` and `C`: from a usual value, in steps, as long as a step lowers the loss of held-out
    images.

    The logarithm of each has a prior of width one, so that few images change little.
    """
    rows = evenly_spaced(len(problem.yes), MOST_SEARCHED)
    yes, looked_at = problem.yes[rows].sum(axis=0), problem.looked_at[rows].sum(axis=0)
    tags = np.flatnonzero((yes > 0) & (looked_at > yes))
    if not len(tags):
        return TEXT_PART * logit_scale, C
    tags = tags[evenly_spaced(len(tags), max(8, MOST_PAIRS // len(rows) ** 2))]
    problem, found = problem.part(rows, tags), {}

    def scales(steps):
        return TEXT_PART * logit_scale * TEXT_STEP ** steps[0], C * C_STEP ** steps[1]

    def loss(steps):
        if steps not in found:
            text_scale, variance = scales(steps)
            _, logits = fit_modes(problem, text_scale, variance, SEARCH_TOL)
            prior = np.square(np.multiply(steps, np.log([TEXT_STEP, C_STEP]))).sum() / 2
            logits = held_out_logits(problem, variance, logits)
            found[steps] = prior + log_loss(
                problem.yes, problem.looked_at, logits, softplus(logits)
            )
        return found[steps]

    best = None, (0, 0)
    while best[0] != best[1]:
        x, y = best[1]
        best = best[1], min([(x, y), (x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1)], key=loss)
    return scales(best[1])


def fit_modes(problem, text_scale, C, tol, dtype=np.float64):
    """The coefficients of `columns` `(r + 1, K)`, in standard deviations of their priors, and the
    logits `(n, K)`. Single precision takes half of the time.
    """
    prior, columns, yes, looked_at = (
        part.astype(dtype, copy=False)
        for part in (problem.prior(text_scale), problem.columns(C), problem.yes, problem.looked_at)
    )
    shape = columns.shape[1], prior.shape[1]
    # Scale the coefficients by the approximate curvatures of the loss along the axes, so that the
    # optimisation is short.
    p = expit(problem.log_odds)
    curvature = p * (1 - p) * looked_at.mean(axis=0)
    units = 1 / np.sqrt(1 + np.sum(columns**2, axis=0)[:, None] * curvature)

    def objective(x):
        coefficients = units * x.reshape(shape)
        logits = prior + columns @ coefficients.astype(dtype, copy=False)
        log_sum = softplus(logits)
        loss = log_loss(yes, looked_at, logits, log_sum) + np.vdot(coefficients, coefficients) / 2
        pull = yes - looked_at * np.exp(logits - log_sum)
        return loss, (units * (coefficients - columns.T @ pull)).ravel()

    options = {"ftol": tol, "maxcor": 8, "maxfun": 10**5}
    best = minimize(
        objective, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B", options=options
    )
    coefficients = units * best.x.reshape(shape)
    return coefficients, prior + columns @ coefficients


def held_out_logits(problem, C, logits):
    """The approximate logits of the images by models without them: one step of Newton's method from
    the `logits (n, K)` of the mode (Rad and Maleki, 2020).

    Of many images, only the logits of the least certain images of each tag are changed. Others
    would hardly change.
    """
    columns, result = problem.columns(C), logits.copy()
    p = expit(logits)
    curvature = problem.looked_at * p * (1 - p)
    pull = problem.yes - problem.looked_at * p
    for k in range(logits.shape[1]):
        rows = np.argsort(-curvature[:, k], kind="stable")[:MOST_HELD_OUT]
        rows = rows[curvature[rows, k] > 0]
        if not len(rows):
            continue
        own = curvature[rows, k]
        # Scale the curvature of these images up to the curvature of all images.
        root = np.sqrt(own * (curvature[:, k].sum() / own.sum()))
        matrix = columns[rows] * root[:, None]
        matrix = matrix @ matrix.T
        matrix.flat[:: len(matrix) + 1] += 1
        matrix = linalg.cholesky(matrix, lower=True, overwrite_a=True, check_finite=False)
        inverse_root, _ = linalg.lapack.dtrtri(matrix, lower=1)
        variance = (1 - np.einsum("ij,ij->j", inverse_root, inverse_root)) / root**2
        # Remove the image from the variance of its own logit.
        variance /= np.maximum(1 - own * variance, ROUNDING)
        result[rows, k] -= variance * pull[rows, k]
    return result


def best_expected_f1(p, weight=None):
    """The largest expected F1 `(K,)`, for each tag, of images with probabilities `p (n, K)`.

    If the tag is given to the most probable images, F1 is the ratio of expected numbers,
    `2 sum_given p / (n_given + sum p)`. The tag is given to images whose probability is at least
    half of the largest F1 (Lipton, Elkan and Naryanaswamy, 2014).
    """
    order = np.argsort(-p, axis=0, kind="stable")
    p = np.take_along_axis(p, order, axis=0)
    weight = np.ones(len(p)) if weight is None else weight
    weight = weight[order]
    given, expected = np.cumsum(weight, axis=0), np.cumsum(weight * p, axis=0)
    return np.max(2 * expected / (given + expected[-1]), axis=0)


def tag_together(p):
    """Whether each image of a set has each of `K` tags `(n, K)`, by probabilities `p (n, K)`: the
    choice with the largest expected F1. No image has a tag if this is more probable.
    """
    best = best_expected_f1(p)
    with np.errstate(divide="ignore"):
        none = np.exp(np.log1p(-p).sum(axis=0))
    return (p >= best / 2) & (none <= best)
