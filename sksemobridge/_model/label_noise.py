"""The probability that each label is right, from names and the other shots ("Wrong labels" in
docs/method.md; not from a paper).

The share `e` of the labels is wrong. `p_i` is the probability of the label of image `i`, by a model
that was fitted without this image, and `v_i` its probability if the label is wrong. Then the label
is right with the probability `(1 - e) p_i / ((1 - e) p_i + e v_i)`. In the next fit, each image
counts with this probability, and the fit gives new `p_i`.

Four things look like wrong labels:

- A name that means nothing. All images of the class together tell how probable this is. Images of
  another class that do not confirm its name are no reason to doubt a label: if two names are
  swapped, neither class confirms its name.
- An image of a pair, if names do not help: the other image may say nothing of it.
- An unusual image of its own class, such as one of a few of another kind. But other images with its
  label are near.
- Hard images. If only a few images look wrong, the cases cannot be told apart, and all images
  count.
"""

import numpy as np
from scipy.special import expit, logit

from .._utils.array_api import softmax
from .._utils.rows import LEAST_SHARE, blocks, sum_rows
from .._utils.threads import in_parallel
from .class_means import WORTH_OF_GUESS, number_of_others
from .texts_alone import TEXT_ODDS

# Constants are chosen by `python benchmarks/robustness.py labels`, which measures the cost of wrong
# labels, and `minorities`, which measures the cost of doubt.

# Expected share of wrong labels. About as many look wrong only because their images are hard.
SHARE = 0.05
# Most rounds in which labels and a model change in turn. Four of five fits need three at most.
MOST_ROUNDS = 10
SMALL_CHANGE = 0.1  # the rounds end if `right` changes by less
# An image is one of a few of another kind if an image with its label is nearer than this part of
# the distance to other images (`_is_unusual`). With 0.6, more images of small kinds are doubted
# (12.0 instead of 11.3 %). With 0.8, fewer wrong labels of look-alike classes are (46 instead of 50
# %).
NEAR = 0.7
MOST_DISTANCE = 2.0  # 1 - cosine of opposite directions


def right_labels(images, evidence_if, by_texts, has_text, label_noise):
    """The probability that each label is right, and the part of the image that counts, both `(n,)`.
    `evidence_if(label_weight)` gives the `Evidence`, and `by_texts` comes from `judge_by_texts`.
    """
    u, codes, relative = images.u, images.codes, images.relative
    is_auto = label_noise == "auto"
    e = 2 * SHARE if is_auto else label_noise
    n_others = number_of_others(codes, relative)
    # Nothing judges the only image of a class without a text.
    judges = 1 - np.maximum(1 - n_others, 0) * ~has_text[codes]
    # `confirmed` says how well names are confirmed in the classes that an image looks like, except
    # the class of its label.
    right, confirmed = np.ones((2, len(codes)))

    def judge(held, judged):
        """The next `right`, and the next `e`."""
        after = right.copy()
        is_unusual = _is_unusual(u, codes, relative, held, judged)
        judged = np.where(is_unusual, 1.0, judged)
        after[held] = 1 - judges[held] * (1 - judged)
        n_images = np.sum(relative[held] * judges[held])
        n_wrong = np.sum(relative[held] * (1 - after[held]))
        return after, wrong_share(n_wrong, n_images) if is_auto else label_noise

    # First, names alone judge. The label of a class without a text is no name.
    without_shots = np.zeros((len(codes), 1))
    if by_texts is not None:
        held, p, trust = by_texts
        judged, confirmed[held] = _judged_by_names(p, codes[held], relative[held], trust, e)
        right, e = judge(held, judged)
        without_shots[held] = trust * p[:, len(has_text) :].sum(axis=1, keepdims=True)
    # Then models without the image judge. These models have only classes with shots.
    regression = None
    for _ in range(MOST_ROUNDS):
        evidence, before = evidence_if(right), right
        held = evidence.regression_rows
        logits, regression = evidence.logits_without_correction(regression)
        p = (1 - without_shots[held]) * softmax(logits)
        trusts = evidence.trust, evidence.trust * has_text[codes[held]]
        judged = _judged_by_others(
            p,
            codes[held],
            relative[held] * judges[held],
            right[held],
            n_others[held],
            confirmed[held],
            *trusts,
            e,
        )
        right, e = judge(held, judged)
        del evidence  # free memory before the next evidence
        if (relative * np.abs(right - before)).max() < SMALL_CHANGE:
            break
    return right, 1 - (doubt(e) if is_auto else 1.0) * (1 - right)


def wrong_share(n_wrong, n_images):
    """The share of wrong labels, if `n_wrong` were found among `n_images`."""
    return (n_wrong + WORTH_OF_GUESS * SHARE) / (n_images + WORTH_OF_GUESS)


def doubt(share):
    """The degree to which doubt acts, 0 to 1, by a share of wrong labels: a few may be right labels
    of hard images.
    """
    return min(max(share / SHARE - 1, 0.0), 1.0)


def _is_unusual(u, codes, relative, rows, right):
    """Whether each image at `rows (k,)` only looks wrong as it is one of a few of another kind: an
    image with its label is much nearer than the second image with another label (the first may have
    a wrong label).
    """
    doubtful = np.flatnonzero(right < 0.5)
    is_unusual, second = np.zeros(len(rows), dtype=bool), min(1, len(u) - 1)

    def compare(part):
        each = rows[doubtful[part]]
        distance, is_same = 1 - u[each] @ u.T, codes[each][:, None] == codes
        # An image of almost no weight is nobody's neighbour, not even of an equal image.
        distance = np.minimum(np.maximum(distance, LEAST_SHARE) / relative, MOST_DISTANCE)
        distance[np.arange(len(each)), each] = MOST_DISTANCE
        same = np.where(is_same, distance, MOST_DISTANCE).min(axis=1)
        other = np.partition(np.where(is_same, MOST_DISTANCE, distance), second, axis=1)[:, second]
        is_unusual[doubtful[part]] = same < NEAR * other

    in_parallel(compare, blocks(len(doubtful)))
    return is_unusual


def _name_tells(trust):
    """Prior probability that a name says what its class is, if texts help with the probability
    `trust`.
    """
    return trust * TEXT_ODDS / (1 + TEXT_ODDS)


def _judged_by_names(p, codes, weight, trust, e):
    """The first `right_i (k,)`, by the probabilities `p (k, C)` of the texts alone, and how well
    names of classes that an image looks like are confirmed `(k,)`.
    """
    each, n_classes = np.arange(len(codes)), p.shape[1]
    # Log Bayes factor of each name: of the hypothesis that the name says what its class is, against
    # equal probabilities of all classes.
    ratio = weight * np.log((1 - e) * p[each, codes] * n_classes + e)
    ratio = np.bincount(codes, ratio, n_classes)
    others = p * (codes[:, None] != np.arange(n_classes))
    others /= np.maximum(others.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    confirmed = others @ expit(logit(_name_tells(trust)) + ratio)
    tells = expit(logit(_name_tells(trust * confirmed)) + ratio[codes])
    return tells * _right(p[each, codes], e, 1 / n_classes) + (1 - tells) * (1 - e), confirmed


def _judged_by_others(p, codes, weight, right, n_others, confirmed, trust, trust_in_name, e):
    """The next `right_i (k,)`, by the probabilities `p (k, C)` of a model without the image.
    `trust_in_name (k,)` is zero for a label without a text.
    """
    # An only image is judged by its name. Without names, the other image of a pair is evidence or
    # not, with equal probability.
    by_name = 1 - _name_tells(trust_in_name * confirmed)
    of_pair = (1 - trust_in_name) / 2
    no_other, one_other = (np.maximum(1 - np.abs(n_others - n), 0) for n in (0, 1))
    unknown = no_other * by_name + one_other * of_pair
    label_proba = (1 - unknown) * p[np.arange(len(codes)), codes] + unknown / p.shape[1]
    return _right(label_proba, e, _if_wrong(p, codes, weight, right, trust))


def _right(p, e, if_wrong):
    """`right_i` of labels that have the probabilities `p` by the model, if the share `e` of the
    labels is wrong.
    """
    return np.maximum((1 - e) * p / ((1 - e) * p + e * if_wrong), LEAST_SHARE)


def _if_wrong(p, codes, weight, right, trust):
    """`v_i (k,)`, the probability of each label if it is wrong, by the probabilities `p (k, C)` of
    classes.
    """
    tiny, n_classes = np.finfo(float).tiny, p.shape[1]
    held, index = np.unique(codes, return_inverse=True)
    # The degree to which each class has a held-out image, 0 to 1. An image of little weight hardly
    # counts.
    part = np.zeros(len(held))
    np.maximum.at(part, index, weight)
    held_proba = p[:, held]
    taken_for = sum_rows(held_proba, weight * right, index, len(held))
    certain = np.trace(taken_for) / max(weight @ right, tiny)
    held_proba *= part
    taken_for *= part
    np.fill_diagonal(taken_for, 0)
    taken_for /= np.maximum(taken_for.sum(axis=1, keepdims=True), tiny)
    # Without names, the other image of a pair says too little.
    class_size = max(weight.sum() / max(part.sum(), tiny), 2)
    alike = (1 - (1 - trust) * 2 / class_size) * certain ** (4 / (2 + trust * (class_size - 2)))
    among_held = np.einsum("ik,ki->i", held_proba, taken_for[:, index])
    # A wrong label is any class, or a class that is taken for the right one. For classes without
    # held-out images, confusions are unknown.
    return alike * among_held + (1 - alike * held_proba.sum(axis=1)) / n_classes
