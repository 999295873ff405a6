"""The probability that each label is right, from names and the other shots (not from a paper).

The share `e` of the labels is wrong. `p_i` is the probability of the label of image `i`, by a model that was fitted without
this image. `w_i` is its probability if the label is wrong. Then the label is right with the probability

    right_i = (1 - e) p_i / ((1 - e) p_i + e w_i),
    e = (sum_i (1 - right_i) + WORTH_OF_SHARE * SHARE) / (n + WORTH_OF_SHARE).

A wrong label may be any class, or a class that looks alike:

    w_i = (1 - a) / C + a sum_k p_ik q_k(label of i),
    a = (1 - 2 (1 - trust) / nbar) (mean p_i)^(4 / (2 + trust (nbar - 2))).

`q_k` are the mean probabilities of the other classes for the images of class `k`. They sum to one. For a class without shots
all `q` are `1 / C`. They count more the more certain the model is: if a task is hard, classes are confused although the labels
are right. They also count more if classes have more images, on average `nbar` (at least 2).

In the next fit, each image counts with this probability. The fit gives new `p_i`. With texts, the first `p_i` are those of
the texts alone, with `w_i = 1 / C`.

A name may mean nothing, and where names do not help, the only other image of a class may say nothing about it. In these
cases `p_i = 1 / C`. For a name, all images of the class together tell how probable this case is. If the images of another
class do not confirm its name, they are no reason to doubt a label: if two names are swapped, neither class confirms its name.

A class may have a name and no shots, because all its images have the label of another class. Images that look most like this
name are tried as shots of this class: the model that gives their `p_i` takes the other such images for this class.

All images of one class may show another class that has shots too. Then they fit the name of that class better, its own images
confirm that name, and the model cannot tell the two classes apart. If several classes are like this, they only look alike,
and none is doubted.

Hard images look like wrong labels. If only a few images look wrong, the two cases cannot be told apart, and all images count.
So the doubt `1 - right_i` is multiplied by `doubt = min(max(e / HARD - 1, 0), 1)`. If all images of a class with three or
more images look wrong, `doubt = 1` for this class. The same holds for two or more images that look like one class without
shots.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import expit, log_softmax, logit

from .._utils.array_api import softmax
from .shots import sum_rows

# `python benchmarks/label_noise.py` measures what wrong labels cost.
SHARE = 0.05  # expected share of wrong labels
WORTH_OF_SHARE = 10.0  # the number of images that this expectation counts as
FIRST_SHARE = 0.1  # first value of `e`
LABEL_ROUNDS = 5  # largest number of rounds
SETTLED = 0.1  # the change of `right` that ends them
NAME_TELLS = 0.9  # probability that a name says what its class is, if names help at all
IMAGE_TELLS = 0.5  # probability that one image does
HARD = 0.05  # share of the labels that look wrong only because the images are hard
# All images of one class may show another class if all of this holds. Losses are in nats per image. Guessing has 0.69.
MANY = 8  # both classes have at least this many images
FITS = 1.0  # the images fit the other name better by this log Bayes factor, in nats per image
LARGE_LOSS = 0.75  # telling the two classes apart has at least this log loss, its mean over both classes
LARGE_MEDIAN = 0.1  # its median in each class is at least this
LEAST = 1e-3  # an image counts at least this much
LEAST_SUM = 1e-300  # smallest sum of probabilities


class ByTexts(NamedTuple):
    """What the texts alone say of the held-out images."""

    held_rows: np.ndarray  # indices of the images `(k,)`
    logits: np.ndarray  # at the logit scale of the model `(k, C)`. The last columns are classes without shots
    trust: float  # probability that the texts help


def right_labels(evidence_if, codes, by_texts, label_noise):
    """For each image: the probability that its label is right, how much the image counts, and its likely class, all `(n,)`.

    The likely class is that of the label, or a class without shots that the image looks like.

    Parameters
    ----------
    evidence_if : callable
        `evidence_if(counted, labels)` gives the `Evidence` if this part of each image counts, and if it has this label.
    codes : ndarray of shape (n,)
    by_texts : ByTexts or None
        None without texts.
    label_noise : "auto" or float
        Share of wrong labels. `"auto"` estimates it.
    """
    is_auto = label_noise == "auto"
    e = FIRST_SHARE if is_auto else label_noise
    n_of_class = np.bincount(codes)
    likely = codes
    # `confirmed` says how well names are confirmed in the classes that an image looks like, apart from that of its label.
    right, confirmed = np.ones((2, len(codes)))

    def estimated(held):
        if not is_auto:
            return label_noise
        return (np.sum(1 - right[held]) + WORTH_OF_SHARE * SHARE) / (len(held) + WORTH_OF_SHARE)

    # First by the names alone.
    if by_texts is not None:
        held, logits, trust = by_texts
        judged = _judged_by_names(softmax(logits), codes[held], trust, e)
        right[held], confirmed[held], name_log_factors = judged
        e = estimated(held)
        # If most names have no shots, one of them often looks most like an image by chance.
        n_classes, n_shown = logits.shape[1], len(n_of_class)
        by_chance = np.where(np.arange(n_classes) < n_shown, 0.0, np.log(max(n_classes / n_shown - 1, 1)))
        likely = _likely(codes, right, held, (logits - by_chance).argmax(axis=1))
    # Then by models without the image.
    for _ in range(LABEL_ROUNDS):
        moved = likely != codes
        evidence = evidence_if(np.where(moved, 1.0, right), likely)
        # With texts, these are all held-out images, so `name_log_factors` still has a row for each.
        held = evidence.regression_rows
        round_logits = evidence.logits_without_correction()
        # Other images with this label. An image that moved away is not in the count.
        n_others = (np.bincount(likely)[codes] + moved)[held] - 1
        classes = np.unique(likely)
        index = np.searchsorted(classes, codes[held])
        before = right.copy()
        p = softmax(round_logits)
        right[held] = _judged_by_others(p, index, right[held], n_others, confirmed[held], evidence.trust, e)
        e = estimated(held)
        best = np.where(right[held] < 0.5, classes[round_logits.argmax(axis=1)], codes[held])
        likely = _likely(codes, right, held, best)
        if np.abs(right - before).max() < SETTLED:
            break
    if by_texts is not None and by_texts.trust > 0.5:
        # `_likely` leaves an image in every class, so the first columns are the classes with shots.
        of_another = _of_another(codes[held], name_log_factors, round_logits, len(n_of_class))
        right[np.isin(codes, of_another)] = LEAST
    # How much each image counts.
    doubt = min(max(e / HARD - 1, 0.0), 1.0) if is_auto else 1.0
    all_wrong = (np.bincount(codes, right < 0.5) == n_of_class) & (n_of_class > 2)
    together = (likely != codes) & (np.bincount(likely)[likely] > 1)
    return right, 1 - np.where(all_wrong[codes] | together, 1.0, doubt) * (1 - right), likely


def _judged_by_names(p, codes, trust, e):
    """The first `right_i` of images `(k,)`, by the probabilities `p (k, C)` of the texts alone.

    Also returns how well the names of the classes that an image looks like are confirmed `(k,)`, and the log Bayes factor of
    each name for each image `(k, C)`: the name says what its class is, against all classes are equally probable.
    """
    each = np.arange(len(codes))
    n_classes = p.shape[1]
    log_factors = np.log((1 - e) * p * n_classes + e)
    ratio = np.bincount(codes, log_factors[each, codes], n_classes)
    others = p.copy()
    others[each, codes] = 0
    # Squared: if half of the names are swapped, the plain value leaves enough doubt to cost a point of accuracy.
    of_others = others @ expit(logit(NAME_TELLS * trust) + ratio) / np.maximum(others.sum(axis=1), LEAST_SUM)
    confirmed = of_others**2
    name_tells = expit(logit(NAME_TELLS * trust * confirmed) + ratio[codes])
    right = name_tells * _right(p[each, codes], e, 1 / n_classes) + (1 - name_tells) * (1 - e)
    return np.maximum(right, LEAST), confirmed, log_factors


def _judged_by_others(p, codes, right, n_others, confirmed, trust, e):
    """The next `right_i` of images `(k,)`, by the probabilities `p (k, C)` of a model without the image.

    `n_others (k,)` is the number of other images with this label.
    """
    alone = 1 - NAME_TELLS * trust * confirmed
    in_pair = (1 - IMAGE_TELLS) * (1 - trust)
    unknown = np.select([n_others == 0, n_others == 1], [alone, in_pair], 0.0)
    of_label = (1 - unknown) * p[np.arange(len(codes)), codes] + unknown / p.shape[1]
    return np.maximum(_right(of_label, e, _if_wrong(p, codes, right, trust)), LEAST)


def _likely(codes, right, held, best):
    """`codes (n,)`. Images at `held` get their `best` class if it has no shots. Each class keeps at least one image."""
    likely = codes.copy()
    # Classes without shots have the last numbers.
    likely[held] = np.where(best > codes.max(), best, codes[held])
    for c in np.setdiff1d(codes, likely):
        of_class = np.flatnonzero(codes == c)
        likely[of_class[right[of_class].argmax()]] = c
    return likely


def _right(p, e, if_wrong):
    """`right_i` of labels that have the probabilities `p` by the model, if the share `e` of the labels is wrong."""
    return (1 - e) * p / ((1 - e) * p + e * if_wrong)


def _if_wrong(p, codes, right, trust):
    """`w_i (k,)`, the probability of each label if it is wrong, by the probabilities `p (k, C)` of classes."""
    shown, index = np.unique(codes, return_inverse=True)
    of_shown = p[:, shown]
    taken_for = sum_rows(of_shown, right, index, len(shown))
    certain = np.trace(taken_for) / max(right.sum(), LEAST_SUM)
    np.fill_diagonal(taken_for, 0)
    taken_for /= np.maximum(taken_for.sum(axis=1, keepdims=True), LEAST_SUM)
    # Without names, the other image of a pair says too little.
    of_class = max(len(codes) / max(len(shown), 1), 2)
    alike = (1 - (1 - trust) * 2 / of_class) * certain ** (4 / (2 + trust * (of_class - 2)))
    among_shown = np.einsum("ik,ki->i", of_shown, taken_for[:, index])
    # For a class without shots, all `q` are `1 / C`.
    return alike * among_shown + (1 - alike * of_shown.sum(axis=1)) / p.shape[1]


def _of_another(codes, name_log_factors, logits, n_classes):
    """The class whose images all show another class, as a list. It is empty if there is none, or more than one.

    `codes (k,)` are the labels, `name_log_factors` those of `_judged_by_names`, and `logits` those of held-out images. The
    first `n_classes` columns are those of classes with shots.
    """
    count = np.bincount(codes, minlength=n_classes)
    fit = sum_rows(name_log_factors[:, :n_classes], 1 / count[codes], codes, n_classes)
    of_own_name, best = np.diag(fit), fit.argmax(axis=1)
    clear = (fit.max(axis=1) > of_own_name + FITS) & (of_own_name[best] > FITS)
    clear &= np.minimum(count, count[best]) >= MANY
    found = []
    for pair in zip(np.flatnonzero(clear), best[clear]):
        losses = [-log_softmax(logits[codes == c][:, pair], axis=1)[:, i] for i, c in enumerate(pair)]
        # A few wrong labels make the mean large. If all are wrong, most images cannot be told apart.
        if np.mean([*map(np.mean, losses)]) > LARGE_LOSS and min(map(np.median, losses)) > LARGE_MEDIAN:
            found.append(pair[0])
    return found if len(found) == 1 else []
