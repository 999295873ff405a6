"""The probability that each label is right, from names and the other shots (not from a paper).

The share `e` of the labels is wrong. `p_i` is the probability of the label of image `i`, by a model that was fitted without
this image. `w_i` is its probability if the label is wrong. Then the label is right with the probability

    right_i = (1 - e) p_i / ((1 - e) p_i + e w_i),
    e = (sum_i (1 - right_i) + WORTH_OF_GUESS * SHARE) / (n + WORTH_OF_GUESS).

A wrong label may be any class, or a class that looks alike:

    w_i = (1 - a) / C + a sum_k p_ik q_k(label of i),
    a = (1 - 2 (1 - trust) / nbar) (mean p_i)^(4 / (2 + trust (nbar - 2))).

`q_k` are the mean probabilities of the other classes for the images of class `k`. They sum to one. For a class without held-out images
all `q` are `1 / C`. They count more the more certain the model is: if a task is hard, classes are confused although the labels
are right. They also count more if classes have more images, on average `nbar` (at least 2).

In the next fit, each image counts with this probability. The fit gives new `p_i`. With texts, the first `p_i` are those of
the texts alone, with `w_i = 1 / C`.

A name may mean nothing, and where names do not help, the only other image of a class may say nothing about it. In these
cases `p_i = 1 / C`. For a name, all images of the class together tell how probable this case is. If the images of another
class do not confirm its name, they are no reason to doubt a label: if two names are swapped, neither class confirms its name.

A wrong label shows an image of another class. An unusual image of its own class, such as one of a few of another kind, does
not: others with its label are near. So the doubt `1 - right_i` is multiplied by a number that depends on the ratio of two
distances: to the second nearest image with the same label, and to the second nearest one with other labels. It is 0 for a ratio
of 1 or less, and 1 from `FAR` on, or if there are less than two others with this label.

Hard images look like wrong labels. If only a few images look wrong, the two cases cannot be told apart, and all images count.
So the doubt `1 - right_i` is multiplied by `min(max(e / SHARE - 1, 0), 1)`.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit

from .._utils.array_api import softmax
from .._utils.threads import in_parallel
from .class_means import WORTH_OF_GUESS
from .logistic import TEXT_ODDS
from .shots import ROUNDING, blocks, sum_rows

# `python benchmarks/robustness.py labels` measures what wrong labels cost, and `minorities` what doubt costs.
SHARE = 0.05  # expected share of wrong labels. As many look wrong only because their images are hard
LABEL_ROUNDS = 5  # largest number of rounds
SETTLED = 0.1  # the change of `right` that ends them
NAME_TELLS = TEXT_ODDS / (1 + TEXT_ODDS)  # probability that a name says what its class is, if any do
FAR = 1.15  # nine in ten wrong labels are farther, by this factor, from their images than from others
LEAST = 1e-3  # an image counts at least this much


class ByTexts(NamedTuple):
    """What the texts alone say of the held-out images."""

    held_rows: np.ndarray  # indices of the images `(k,)`
    logits: np.ndarray  # at the logit scale of the model `(k, C)`
    trust: float  # probability that the texts help


def right_labels(evidence_if, u, codes, by_texts, label_noise):
    """For each image: the probability that its label is right, and how much the image counts, both `(n,)`.

    Parameters
    ----------
    evidence_if : callable
        `evidence_if(belief)` gives the `Evidence` if this part of each image counts.
    u : ndarray of shape (n, D)
        Unit embeddings.
    codes : ndarray of shape (n,)
    by_texts : ByTexts or None
        None without texts.
    label_noise : "auto" or float
        Share of wrong labels. `"auto"` estimates it.
    """
    is_auto = label_noise == "auto"
    e = 2 * SHARE if is_auto else label_noise
    n_of_class = np.bincount(codes)
    # `confirmed` says how well names are confirmed in the classes that an image looks like, apart from that of its label.
    right, confirmed = np.ones((2, len(codes)))

    def estimated(held):
        if not is_auto:
            return label_noise
        return (np.sum(1 - right[held]) + WORTH_OF_GUESS * SHARE) / (len(held) + WORTH_OF_GUESS)

    # First by the names alone.
    doubtful = None
    if by_texts is not None:
        held, logits, trust = by_texts
        doubtful = _doubtful(u, codes, held)
        judged, confirmed[held] = _judged_by_names(softmax(logits), codes[held], trust, e)
        right[held] = 1 - doubtful * (1 - judged)
        e = estimated(held)
    # Then by models without the image.
    for _ in range(LABEL_ROUNDS):
        evidence = evidence_if(right)
        held = evidence.regression_rows
        doubtful = _doubtful(u, codes, held) if doubtful is None else doubtful
        p, n_others = softmax(evidence.logits_without_correction()), n_of_class[codes[held]] - 1
        before = right.copy()
        judged = _judged_by_others(p, codes[held], right[held], n_others, confirmed[held], evidence.trust, e)
        right[held] = 1 - doubtful * (1 - judged)
        e = estimated(held)
        if np.abs(right - before).max() < SETTLED:
            break
    doubt = min(max(e / SHARE - 1, 0.0), 1.0) if is_auto else 1.0
    return right, 1 - doubt * (1 - right)


def _doubtful(u, codes, rows):
    """What the doubt in the label of each image at `rows` is multiplied by. It is less if images of this label are near."""
    u = u.astype(np.float32)  # half of the time
    second = np.full((2, len(rows)), 2.0)  # the largest distance of unit embeddings

    def compare(part):
        each = rows[part]
        distance, is_same = 1 - u[each] @ u.T, codes[each][:, None] == codes
        distance[np.arange(len(each)), each] = 2.0
        for result, is_other in zip(second, (~is_same, is_same)):
            among = np.where(is_other, np.float32(2.0), distance)
            among[np.arange(len(each)), among.argmin(axis=1)] = 2.0  # the nearest one
            result[part] = among.min(axis=1)

    in_parallel(compare, blocks(len(rows)))
    same, other = second
    return np.where(same < 2, np.clip((same / np.maximum(other, ROUNDING) - 1) / (FAR - 1), 0, 1), 1.0)


def _judged_by_names(p, codes, trust, e):
    """The first `right_i` of images `(k,)`, by the probabilities `p (k, C)` of the texts alone.

    Also returns how well the names of the classes that an image looks like are confirmed `(k,)`.
    """
    each = np.arange(len(codes))
    n_classes = p.shape[1]
    # Log Bayes factor of each name: it says what its class is, against all classes are equally probable.
    ratio = np.bincount(codes, np.log((1 - e) * p[each, codes] * n_classes + e), n_classes)
    others = p.copy()
    others[each, codes] = 0
    # Squared: if half of the names are swapped, the plain value leaves enough doubt to cost a point of accuracy.
    of_others = (
        others
        @ expit(logit(NAME_TELLS * trust) + ratio)
        / np.maximum(others.sum(axis=1), np.finfo(float).tiny)
    )
    confirmed = of_others**2
    name_tells = expit(logit(NAME_TELLS * trust * confirmed) + ratio[codes])
    right = name_tells * _right(p[each, codes], e, 1 / n_classes) + (1 - name_tells) * (1 - e)
    return np.maximum(right, LEAST), confirmed


def _judged_by_others(p, codes, right, n_others, confirmed, trust, e):
    """The next `right_i` of images `(k,)`, by the probabilities `p (k, C)` of a model without the image.

    `n_others (k,)` is the number of other images with this label.
    """
    alone = 1 - NAME_TELLS * trust * confirmed
    in_pair = 0.5 * (1 - trust)
    unknown = np.select([n_others == 0, n_others == 1], [alone, in_pair], 0.0)
    of_label = (1 - unknown) * p[np.arange(len(codes)), codes] + unknown / p.shape[1]
    return np.maximum(_right(of_label, e, _if_wrong(p, codes, right, trust)), LEAST)


def _right(p, e, if_wrong):
    """`right_i` of labels that have the probabilities `p` by the model, if the share `e` of the labels is wrong."""
    return (1 - e) * p / ((1 - e) * p + e * if_wrong)


def _if_wrong(p, codes, right, trust):
    """`w_i (k,)`, the probability of each label if it is wrong, by the probabilities `p (k, C)` of classes."""
    n_classes = p.shape[1]
    held, index = np.unique(codes, return_inverse=True)
    of_held = p[:, held]
    taken_for = sum_rows(of_held, right, index, len(held))
    certain = np.trace(taken_for) / max(right.sum(), np.finfo(float).tiny)
    np.fill_diagonal(taken_for, 0)
    taken_for /= np.maximum(taken_for.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    # Without names, the other image of a pair says too little.
    of_class = max(len(codes) / max(len(held), 1), 2)
    alike = (1 - (1 - trust) * 2 / of_class) * certain ** (4 / (2 + trust * (of_class - 2)))
    among_held = np.einsum("ik,ki->i", of_held, taken_for[:, index])
    # For a class without held-out images, all `q` are `1 / C`.
    return alike * among_held + (1 - alike * of_held.sum(axis=1)) / n_classes
