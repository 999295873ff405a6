"""Learning from unlabelled images after the fit (not the method of the paper).

With a few shots, the model may predict some classes too often, and its class means are uncertain. Unlabelled images show
both. The logits `f_ic` of image `i` get an offset and a slope for each class `c`.

**Offsets.** `rho_c` is the mean probability of class `c` times the number of classes `C`. It is one for all classes if they are
predicted equally often. If it is not one, either the images are distributed like that, or the model prefers some classes. The
second case needs ambiguous images: a class without ambiguous images is as frequent as it looks. The ambiguity of a class is
`a_c = sum_i p_ic (1 - p_ic) / sum_i p_ic`. The offsets `b` solve `b_c = -eta_c log rho_c(b)`, with
`eta_c = min(READINESS a_c / (1 - a_c), MOST_READINESS)`. They are the minimum of a convex function,

    mean_i log sum_c exp(f_ic + b_c) + mean_c eta_c exp(-b_c / eta_c).

All `eta_c` become smaller in two cases. If the frequencies are very uneven, a preference of the model does not explain it (some
classes may have no image at all): `eta_c` is multiplied by `1 / (1 + (uneven / UNEVEN)^2)`, and
`uneven = mean_c rho_c log rho_c`. If there are few images, chance alone makes them uneven: `eta_c` is multiplied by
`N^2 / (N^2 + (FEW_OF_CLASS C + FEW_IMAGES)^2)` for `N` images.

Images whose p-value (`typicality`) is at most LEAST_P_VALUE are left out. Near copies among the images count as one image
(`near_copies`): the mean of their unit embeddings.

**Means.** Shots and names give the means `m_c`, which count as `k_c` images. The model is Gaussian, with one covariance for all
classes and soft labels (as in TransCLIP and StatA). The means `mu_c` maximise

    w sum_i log sum_c exp(f_ic + b_c + s g_c(u_i)) - s / 2 sum_c k_c (mu_c - m_c)' P (mu_c - m_c),
    g_c(u) = (mu_c - m_c)' P u - (mu_c' P mu_c - m_c' P m_c) / 2.

Expectation maximisation finds them. No step of it lowers this value. An unlabelled image counts as `w < 1` shots, because
a soft label would otherwise confirm itself. `w = min(WORTH_OF_IMAGE, MOST_WORTH C / N)`, because thousands of images between
two classes would move both means to one place (here `C` is the number of classes that are predicted). `s = SHARPNESS` is less
than one, because features are not independent.

**Temperature.** Unlabelled images do not show how certain predictions should be. One factor of the logits would keep their mean
entropy. The logits are multiplied by this factor to the power `N / (N + FEW_FOR_FACTOR)`.

References: Zanella, Gérin, Ben Ayed: "Boosting Vision-Language Models with Transduction" (TransCLIP), NeurIPS 2024;
Zanella et al.: "Realistic Test-Time Adaptation of Vision-Language Models" (StatA), CVPR 2025.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq, minimize
from scipy.special import log_softmax, logsumexp, softmax

from .._utils.array_api import l2_normalize
from .class_means import fit_class_means, fit_slope
from .linear import Linear, total
from .near_copies import MOST_COMPARED, NEAR, near_copies
from .shots import evenly_spaced, sum_rows

# `python benchmarks/unlabeled.py` prints the accuracies with these constants.
# `s`, `w`, and the largest number of shots that the images of a class count as, on average.
SHARPNESS, WORTH_OF_IMAGE, MOST_WORTH = 0.06, 0.1, 20.0
# Factor and largest value of `eta`. UNEVEN is a divergence of `rho / C` from equal frequencies, in nats, that halves `eta`.
READINESS, MOST_READINESS, UNEVEN = 4.0, 2.5, 0.3
# With this many images of each class, and this many more, offsets count half (`benchmarks/unlabeled.py --pools`).
FEW_OF_CLASS, FEW_IMAGES = 3.0, 20.0
# Without shots, a name counts as this many images, and the unit embeddings of a class have this mean squared distance to
# their mean.
WORTH_OF_NAME, SPREAD = 50.0, 0.2
# Largest number of rounds of soft labels, and the relative gain that ends them.
MEANS_ROUNDS, TOL_OF_MEANS = 20, 1e-5
# Largest number of values in an array (128 MB). If there are more, at least LEAST_SAMPLE evenly spaced images are used.
MOST_SAMPLE_VALUES, LEAST_SAMPLE = 2**24, 1000
# Images with at most this p-value are left out.
LEAST_P_VALUE = 0.1
# With this many images, the temperature counts half.
FEW_FOR_FACTOR = 64
# Bounds of `log rho_c`. Bounds and tolerance of the logarithm of the factor for the temperature.
LOG_RHOS, LOG_FACTORS, TOL_OF_FACTOR = (-10, 10), (-2.0, 2.0), 1e-4


class Anchors(NamedTuple):
    """The class means before unlabelled images."""

    centre: np.ndarray  # `m (D,)`, which is subtracted from all unit embeddings
    means: np.ndarray  # `m_c (C, D)`, relative to `m`
    counts: np.ndarray  # `k_c (C,)`, the number of images that each mean counts as
    residuals: np.ndarray  # labelled images `(n, D)`, each minus the mean of its class without the image


def sorted_sample(X, n_classes):
    """The embeddings `X (n, D)`, or those of evenly spaced images, in float64 and ordered by content.

    Equal rows become one row, because a repeated image is no new information.
    """
    most = max(MOST_SAMPLE_VALUES // max(X.shape[1], n_classes), LEAST_SAMPLE)
    return np.unique(X[evenly_spaced(len(X), most)], axis=0).astype(np.float64)


def anchors_of_shots(shots, counted, model, texts):
    """`Anchors` from the shots and names of a `Model`. `texts (C, D)` are the `T_c`, or None.

    `counted (n,)` says how much each shot counts.
    """
    n_classes = len(model.image_means)
    u, codes, weight, _, image_of_shot = shots.images()
    counted_of_image = np.ones(len(codes))
    counted_of_image[image_of_shot] = counted
    seen, codes = np.unique(codes, return_inverse=True)
    of_seen = None if texts is None else texts[seen].astype(np.float64)
    # Without the span of words: with it, unlabelled images help less at one shot.
    classes = fit_class_means(u, codes, weight, of_seen, model.trust, counted=counted_of_image)
    means, counts = np.zeros((n_classes, u.shape[1])), np.full(n_classes, classes.kappa[-1])
    if texts is not None:
        means += classes.slope * (texts - of_seen.mean(axis=0))
    means[seen] = classes.leaning_means
    counts[seen] += classes.counts
    leaning, _, _ = classes.without(np.arange(len(u)))
    return Anchors(classes.centre, means, counts, residuals=u - classes.centre - leaning)


def anchors_of_names(logits, u, texts):
    """`Anchors` without shots. The slope of the predictions from names is fitted to class means from soft labels."""
    labels = softmax(logits, axis=1)
    counts = labels.sum(axis=0)
    means = (labels.T @ u) / np.maximum(counts, np.finfo(float).tiny)[:, None]
    centre = counts @ means / counts.sum()
    means = fit_slope(texts, means - centre, counts) * (texts - texts.mean(axis=0))
    return Anchors(centre, means, np.full(len(texts), WORTH_OF_NAME), np.zeros((0, u.shape[1])))


def terms_with_unlabeled(terms, X, anchors=None, texts=None, with_offsets=True):
    """The terms of a linear classifier after it has learnt from unlabelled images `X (N, D)`, and the factor of all terms.

    `"correction"` gets the change, too. Without `Anchors` of shots, `texts (C, D)` and the images give them.
    """
    linear = total(terms.values())
    u = without_copies(l2_normalize(X), linear(X))
    # Mean squared distance of the images of a class to their mean.
    spread = SPREAD if anchors is None else np.square(anchors.residuals).sum() / len(anchors.residuals)
    if np.square(u - u.mean(axis=0)).sum() < NEAR * len(u) * spread:
        # Compared with the images of a class, these images are all copies of one image.
        u = l2_normalize(u.mean(axis=0, keepdims=True))
    logits = linear(u)
    if anchors is None:
        anchors = anchors_of_names(logits, u, texts)
    factor, change = learn_unlabeled(logits, u, anchors, with_offsets)
    scaled = {name: factor * term for name, term in terms.items()}
    if "correction" in scaled:
        change = scaled["correction"] + change
    return scaled | {"correction": change}, factor


def without_copies(u, logits):
    """Unit embeddings `u (N, D)`, in which near copies are replaced by their mean. `logits` have the shape `(N, C)`."""
    # If there are very many images, only those with one predicted class are compared.
    codes = np.zeros(len(u), dtype=int) if len(u) <= MOST_COMPARED else logits.argmax(axis=1)
    order = np.argsort(codes, kind="stable")
    group = near_copies(u[order], codes[order], logits.shape[1], of_classes=False)
    first, index, counts = np.unique(group, return_inverse=True, return_counts=True)
    if len(first) == len(u):
        return u
    return l2_normalize(sum_rows(u[order], 1 / counts[index], index, len(first)))


def learn_unlabeled(logits, u, anchors, with_offsets=True):
    """The logits become `factor * logits + change`. Returns the factor, and the change as a `Linear`.

    Logits `f (N, C)` and unit embeddings `u (N, D)` are those of the images. The top of this module explains the symbols.
    `with_offsets` is False if one class is "everything else". Then the frequencies of predicted classes say nothing.
    """
    offsets = fit_offsets(logits) if with_offsets else np.zeros(logits.shape[1])
    v = u - anchors.centre
    weights, of_means, _ = fit_means(logits + offsets, v, anchors)
    offsets = offsets + of_means
    changed = logits + v @ weights.T + offsets
    factor = match_entropy(changed, logits)
    return factor, Linear(factor * weights, factor * (offsets - weights @ anchors.centre))


def fit_offsets(logits):
    """`b (C,)`, with mean zero."""
    n_classes = logits.shape[1]
    p = softmax(logits, axis=1)
    first_rho = n_classes * p.mean(axis=0)
    tiny, eps = np.finfo(float).tiny, np.finfo(float).eps
    ambiguous = 1 - np.square(p).sum(axis=0) / np.maximum(p.sum(axis=0), tiny)
    uneven = np.mean(first_rho * np.log(np.maximum(first_rho, tiny)))
    eta = np.minimum(READINESS * ambiguous / np.maximum(1 - ambiguous, eps), MOST_READINESS)
    eta /= 1 + (uneven / UNEVEN) ** 2
    eta /= 1 + ((FEW_OF_CLASS * n_classes + FEW_IMAGES) / len(logits)) ** 2

    def objective(log_rho):
        shifted = logits - eta * log_rho
        top = logsumexp(shifted, axis=1)
        rho, predicted_rho = np.exp(log_rho), n_classes * np.exp(shifted - top[:, None]).mean(axis=0)
        return n_classes * top.mean() + eta @ rho, eta * (rho - predicted_rho)

    bounds = [LOG_RHOS] * n_classes
    best = minimize(objective, np.zeros(n_classes), jac=True, method="L-BFGS-B", bounds=bounds)
    offsets = -eta * best.x
    return offsets - offsets.mean()


def fit_means(logits, v, anchors):
    """Slopes `(C, D)` and offsets `(C,)` of `s g_c` in `v = u - m`, and the maximised value after each round."""
    means = anchors.means
    counts = anchors.counts[:, None]
    labels = softmax(logits, axis=1)
    # The effective number of predicted classes.
    n_predicted = 1 / np.square(labels.mean(axis=0)).sum()
    worth = min(WORTH_OF_IMAGE, MOST_WORTH * n_predicted / len(v))
    moved = _means_with(labels, v, anchors, worth)
    precision = _precision(labels, v, moved, anchors.residuals)
    values = []
    for _ in range(MEANS_ROUNDS):
        step = moved - means
        slopes = SHARPNESS * step @ precision
        offsets = -0.5 * np.einsum("cd,cd->c", slopes, moved + means)
        changed = logits + v @ slopes.T + offsets
        values.append(float(worth * logsumexp(changed, axis=1).sum() - 0.5 * np.vdot(counts * slopes, step)))
        if len(values) > 1 and values[-1] - values[-2] <= TOL_OF_MEANS * abs(values[-1]):
            break
        moved = _means_with(softmax(changed, axis=1), v, anchors, worth)
    return slopes, offsets, values


def _means_with(labels, v, anchors, worth):
    """The class means with soft labels `(N, C)`."""
    counts = anchors.counts[:, None]
    return (counts * anchors.means + worth * (labels.T @ v)) / (counts + worth * labels.sum(axis=0)[:, None])


def _precision(labels, v, means, residuals):
    """`P = inv((1 - lambda) S + lambda t I)` as in `discriminant`, from labelled images and images with soft labels."""
    cross = (labels.T @ v).T @ means
    scatter = v.T @ v - cross - cross.T + (means.T * labels.sum(axis=0)) @ means + residuals.T @ residuals
    n, width = len(v) + len(residuals), len(scatter)
    kept = n / (n + width)
    ridge = (1 - kept) * max(np.trace(scatter) / n / width, np.finfo(float).eps)
    return np.linalg.inv(kept * scatter / n + ridge * np.eye(width))


def match_entropy(changed, logits):
    """The factor of the `changed` logits that gives them the mean entropy of `logits`."""

    def entropy(values):
        logs = log_softmax(values, axis=1)
        return -np.mean(np.sum(np.exp(logs) * logs, axis=1))

    wanted = entropy(logits)

    def excess(log_factor):
        return entropy(np.exp(log_factor) * changed) - wanted

    # If all predictions are certain, or there is one class, no factor gives this entropy.
    if excess(LOG_FACTORS[0]) * excess(LOG_FACTORS[1]) >= 0:
        return 1.0
    log_factor = brentq(excess, *LOG_FACTORS, xtol=TOL_OF_FACTOR)
    return float(np.exp(len(logits) / (len(logits) + FEW_FOR_FACTOR) * log_factor))
