"""Learning from unlabelled images after the fit (not the method of the paper; formulas in
docs/method.md).

With names and a few shots, the model may predict some classes too often, and its class means are
uncertain. Unlabelled images show both. `f_ic` are the logits of image `i` of `N`, and `v = u - m`
its unit embedding minus the mean of the images. The new logits `f_ic + o_c + s g_c(v_i)` are linear
in `u`.

- `g` is the discriminant of a mixture of normal distributions with one diagonal variance
  (`mixture`). `s` is less than one, because features are not independent and `f` knows much of what
  `g` says.
- `agree` is the share of images whose best class by `g`, from the soft labels of `f` alone, is
  their best class by `f`. If images form other groups than the classes, `agree` is low, and so is
  `s`.
- Classes that are predicted too often are either frequent, or the model prefers them. Uneven
  predicted shares are believed. Otherwise offsets `o` make predictions more even.
- Images of none of the classes would teach the nearest class. Such images are left out: with shots
  by their p-values, with names alone by `typical_of_names`. Near copies count as one image, and
  each image of a group (a burst) as `1 / size` of it.
- Half of the images should look less typical than the median held-out shot. If far more look less
  typical, the shots of a class may be of one session, and look alike.
- Unlabelled images do not show how certain predictions should be. One factor therefore keeps the
  mean entropy, nearly.
"""

from dataclasses import replace

import numpy as np
from scipy.optimize import brentq
from scipy.special import logsumexp
from sklearn.base import clone
from sklearn.mixture import GaussianMixture

from .._utils.array_api import astype, l2_normalize, softmax
from .._utils.rows import evenly_spaced
from .class_means import KAPPA_IN_SPAN, WORTH_OF_GUESS
from .discriminant import LEAST_SPREAD
from .fit import MOST_VALUES, SHOTS_SCALE, SHOTS_SCALE_OF_ONE
from .linear import Linear, total
from .mixture import Mixture
from .pool import sorted_sample, weight_in_groups, without_copies

# `python benchmarks/folder.py` prints the accuracies with these constants.

# Divergence of the predicted shares from even shares (in nats) for which the predicted shares are
# believed by half. With 0.12 the accuracy differs by less than 0.2 points on any kind of folder.
UNEVEN_SHARES = 0.15
# Part of an even share that is added to each class, so that a class that is predicted nowhere stays
# possible.
PART_OF_SHARE = 0.4
# Factor of the offsets that make predictions more even. With one, 150 classes lose 0.4 points, and
# with two, the emoji lose 0.2.
OFFSETS = 1.5
# Divergence of the predicted shares from even shares (in nats) for which OFFSETS is halved. With
# 0.2 here and for UNEVEN_SHARES, uncertain answers on fashion lead astray: 30 % more answers are
# needed.
UNEVEN = 0.3
# Images with at most this p-value are left out, with one shot of each class. With n shots, the
# limit is divided by the root of n.
LEAST_P_VALUE = 0.1
# Largest share of images that are less typical than the median shot, without two standard errors.
# Of eleven tasks with random shots and a tenth of strangers, the largest share is 0.59, and the
# second largest 0.53.
MOST_UNTYPICAL = 0.6
# With names alone, the largest share of images that may be left out.
MOST_STRANGERS = 0.75
# Least number of images for which the offsets and `s` are halved, however few classes there are.
# One to five images of two or five classes would otherwise cost 0.3 points in the mean, and up to
# 22. 20 is as good for so few images, but costs more with 20 and 30 images. 64 gains less with 30
# and 50 images.
FEW_IMAGES = 40


def with_unlabeled(model, X, groups, prior, is_even):
    """A `LinearModel` after learning from images that are no shots, and the `untypical_share` of
    these images. These images replace earlier ones. `is_even` is false if a class is "everything
    else", and with `priors`.
    """
    model = without_unlabeled(model)
    pool = sorted_sample(X, len(prior.has_text), groups)
    p_values = None if model.typicality is None else model.p_values(pool.X)
    pool = pool.take(is_typical(model, pool.X, p_values, prior))
    terms, factor = model.terms_with(None), 1.0
    if len(pool.X):
        terms, factor = terms_with_unlabeled(terms, pool, prior, is_even)
    correction = terms.get("correction")
    model = replace(model, factor=factor, correction=correction and astype(correction, model.dtype))
    # A class without shots is compared with other classes, which says less.
    is_judged = p_values is not None and not model.has_only_name.any()
    share = untypical_share(p_values, len(model.typicality.codes)) if is_judged else 0.0
    return model, share


def untypical_share(p_values, n_held_out):
    """The share of images `(N,)` that are less typical than half of `n_held_out` shots, or zero if
    the share is not far above a half.
    """
    if not len(p_values) or not n_held_out:
        return 0.0
    share = float(np.mean(p_values <= 0.5))
    # Both the share and the median are uncertain. The standard deviation of one image is a half.
    two_errors = np.sqrt(1 / len(p_values) + 1 / n_held_out)
    return share if share > MOST_UNTYPICAL + two_errors else 0.0


def without_unlabeled(model):
    """The `LinearModel` before it has learnt from unlabelled images."""
    return replace(model, factor=1.0, correction=None)


def is_typical(model, X, p_values, prior):
    """Whether each image is of the classes `(n,)`, by its p-value, if there are shots. Other images
    would count for the nearest class.
    """
    if p_values is None:
        return typical_of_names(logsumexp(model.decision(None)(X), axis=1))
    # With more shots, fewer images of the classes look unusual.
    n_shots = max(prior.n_shots / len(prior.has_text), 1.0)
    return p_values > LEAST_P_VALUE / np.sqrt(n_shots)


def terms_with_unlabeled(terms, pool, prior, is_even):
    """The terms of a linear classifier after it has learnt from the images of a `Pool`, and the
    factor of all terms.
    """
    linear = total(terms.values())
    u = l2_normalize(pool.X)
    logits = logits_of(u, linear)
    joined, index = without_copies(u, logits)
    weight = weight_in_groups(index[pool.image], pool.group)
    # The weight that the limit of a class cuts off from shots counts as unlabelled images.
    counts = prior.rest > 0
    if counts.any():
        shots = l2_normalize(prior.u[counts]).astype(joined.dtype)
        joined, weight = np.concatenate([joined, shots]), np.append(weight, prior.rest[counts])
    # Unit rows have the mean squared distance `1 - |mean|^2` to their mean.
    if 1 - np.square(joined.mean(axis=0, dtype=np.float64)).sum() < LEAST_SPREAD:
        joined, weight = l2_normalize(joined.mean(axis=0, keepdims=True)), np.ones(1)
    if joined is not u:
        u, logits = joined, logits_of(joined, linear)
    factor, change = learn_unlabeled(logits, u, prior, is_even, weight)
    scaled = {name: factor * term for name, term in terms.items()}
    if "correction" in scaled:
        change = scaled["correction"] + change
    return scaled | {"correction": change}, factor


def logits_of(u, linear):
    """The logits `(N, C)` of unit embeddings `u (N, D)` in single precision, up to a term that all
    classes share.
    """
    # Single precision takes half of the time. The part that all images and all classes share would
    # hide digits of their differences.
    centre, weights = u.mean(axis=0, dtype=np.float64), linear.weights - linear.weights.mean(axis=0)
    logits = np.subtract(u, centre, dtype=np.float32) @ weights.T.astype(np.float32)
    offsets = linear.offsets - linear.offsets.mean() + weights @ centre
    logits += offsets.astype(np.float32)
    return logits


def typical_of_names(levels):
    """Whether each image is typical of names `(N,)`, by how well the names fit, `levels (N,)`: the
    logarithm of the sum of `exp` of its logits.
    """
    x = levels.astype(np.float64)[:, None]
    everything = np.ones(len(x), dtype=bool)
    if len(x) < 3 or np.ptp(x) == 0:
        return everything
    one = GaussianMixture(1, covariance_type="tied", init_params="random", random_state=0)
    two = clone(one).set_params(
        n_components=2, tol=1e-4, max_iter=1000, precisions_init=[[1 / x.var()]]
    )
    two.set_params(means_init=np.quantile(x, [[0.2], [0.8]]))
    if two.fit(x).bic(x) >= one.fit(x).bic(x) or two.weights_[two.means_.argmin()] > MOST_STRANGERS:
        return everything
    return two.predict(x) == two.means_.argmax()


def learn_unlabeled(logits, u, prior, is_even, weight):
    """The factor of the logits `(N, C)` of images that count as `weight (N,)`, and the change that
    is added, a `Linear`. Without `is_even` there are no offsets.
    """
    logits = logits.astype(np.float32, copy=False)
    n_classes = logits.shape[1]
    n_images = weight.sum()
    trust = prior.trust if is_even else 0.0
    n = prior.weight.sum() / n_classes
    mixture = Mixture(u, weight, prior, WORTH_OF_GUESS * prior.trust * (1 + n / 2))
    sharpness = SHOTS_SCALE * prior.trust + SHOTS_SCALE_OF_ONE * (1 - prior.trust)
    sharpness *= (
        mixture.agreement(logits) ** 2
        / (1 + n / 2)
        / (1 + (max(n_classes, FEW_IMAGES) / n_images) ** 2)
    )

    offsets = trust * class_offsets(logits, weight)
    mixture.fit(logits + offsets.astype(np.float32), sharpness)
    weights, constants = mixture.discriminant()
    weights, offsets = sharpness * weights, offsets + sharpness * constants
    # All images of 1,000 classes would take longer than the rounds.
    some = evenly_spaced(len(u), max(MOST_VALUES // n_classes, 1))
    before = logits[some].astype(np.float64)
    changed = before + mixture.v[some] @ weights.T.astype(np.float32) + offsets
    factor = match_entropy(changed, before, weight[some], n_images)
    return factor, Linear(factor * weights, factor * (offsets - weights @ mixture.centre))


def class_offsets(logits, weight):
    """Offsets `(C,)`, by `logits (N, C)` of images that count as `weight (N,)`: uneven shares of
    the predictions are believed, and other shares become more even.
    """
    # The share of a class that is predicted nowhere may be too small for single precision.
    p = softmax(logits.astype(np.float64))
    n_classes = p.shape[1]
    n_images = weight.sum()
    shares = np.maximum(np.average(p, axis=0, weights=weight), np.finfo(float).tiny)
    divergence = np.log(n_classes) + shares @ np.log(shares)
    mean_square = np.average(np.einsum("nc,nc->n", p, p), weights=weight)
    chance = n_classes / (2 * n_images) * (mean_square - np.square(shares).sum())
    uneven = (max(divergence - chance, 0.0) / UNEVEN_SHARES) ** 4
    believed = shares + PART_OF_SHARE / n_classes
    eta = OFFSETS / (1 + (divergence / UNEVEN) ** 2)
    offsets = (uneven * np.log(believed / believed.mean()) - eta * np.log(n_classes * shares)) / (
        1 + uneven
    )
    # Shares of few images say little, and less than names, which count as images, too.
    return offsets / (1 + (max(KAPPA_IN_SPAN * n_classes, FEW_IMAGES) / n_images) ** 2)


def match_entropy(changed, logits, weight, n_images):
    """The factor of the `changed` logits `(n, C)` that gives them the mean entropy of `logits`, of
    images that count as `weight (n,)`. These are some of `n_images` images.
    """

    def entropy(values):
        shifted = values - values.max(axis=1, keepdims=True)
        p = np.exp(shifted)
        sums = p.sum(axis=1)
        # the entropy with one exponential: the mean of -log p
        entropies = np.log(sums) - np.einsum("nc,nc->n", p, shifted) / sums
        return np.average(entropies, weights=weight)

    wanted = entropy(logits)

    def excess(log_factor):
        return entropy(np.exp(log_factor) * changed) - wanted

    # The logits are at most halved or doubled. The entropy decreases with the factor, but the
    # entropy of one class is always zero.
    most = np.log(2)
    largest, least = excess(-most), excess(most)
    if largest <= least:
        log_factor = 0.0
    elif largest > 0 > least:
        log_factor = brentq(excess, -most, most)
    else:
        log_factor = most if least >= 0 else -most
    return float(np.exp(n_images / (n_images + FEW_IMAGES) * log_factor))
