"""Labels may be wrong: how likely each is right, from names and the other shots (ours).

A wrong label is taken to be any class with the same probability. With `p_i` the probability of an image's label by a model
that was fitted without the image, and `e` the share of wrong labels, a label is right with the probability

    right_i = (1 - e) p_i / ((1 - e) p_i + e / C),      e = (sum_i (1 - right_i) + WORTH * SHARE) / (n + WORTH).

So much of an image counts in the next fit, which gives new `p_i`. The first are those of the texts alone, where there are
texts.

What an image is compared with may tell nothing: a name that means nothing, or the only other image of the class. Then
`p_i = 1 / C`. For names, the images of a class tell together how likely that is. A label is not doubted for the sake of
another class whose own images do not confirm its name: where names are swapped, neither class confirms its own.

Hard images look like wrong labels. If few images look so, nothing tells the two apart, and all count. So `1 - right_i` is
multiplied by `doubt = min(max(e / HARD - 1, 0), 1)`. In a class of three or more images that all look wrong, `doubt = 1`.
"""

import numpy as np
from scipy.special import expit, logit

from .._utils.array_api import softmax

# Share of wrong labels that is expected, and the number of images that this counts as; the first share; most rounds, and
# the change of `right` that ends them (`python benchmarks/label_noise.py`).
SHARE, WORTH, FIRST_SHARE, ROUNDS, SETTLED = 0.05, 20.0, 0.1, 5, 0.1
# Probabilities that a name tells what a class is, where names are of use, and that one image does.
NAME_TELLS, IMAGE_TELLS = 0.9, 0.5
# Share of the labels that hard images make look wrong.
HARD = 0.05
# Least part of an image that counts, and the smallest sum of probabilities.
LEAST, TINY = 1e-3, 1e-300


def right_labels(hold_out, codes, first=None, share="auto"):
    """The probability of each label that it is right, and how much of each image counts, both `(n,)`.

    Parameters
    ----------
    hold_out : callable
        `hold_out(right)` gives `Evidence`.
    codes : ndarray of shape (n,)
    first : tuple of (rows, logits, trust) or None
        Images that are held out, their logits by texts alone at the scale of the texts' model, and the probability that
        texts are of use. None without texts.
    share : "auto" or float
        Of wrong labels; `"auto"` estimates it.
    """
    right, n_of_class, e = np.ones(len(codes)), np.bincount(codes), FIRST_SHARE if share == "auto" else share
    # How far the classes that an image looks like, other than that of its label, confirm their names.
    confirmed = np.ones(len(codes))

    def estimated():
        return (np.sum(1 - right[rows]) + WORTH * SHARE) / (len(rows) + WORTH) if share == "auto" else share

    if first is not None:
        rows, logits, trust = first
        n, c, p = len(n_of_class), codes[rows], softmax(logits)
        of_label = p[np.arange(len(c)), c]
        # Log Bayes factor of each class: that its name tells, against that it does not and each label has 1 / n.
        ratio = np.bincount(c, np.log((1 - e) * of_label * n + e), n)
        # Squared: half of all names may be swapped, and what is left of the doubt would still cost a point.
        p[np.arange(len(c)), c] = 0
        of_others = p @ expit(logit(NAME_TELLS * trust) + ratio) / np.maximum(p.sum(axis=1), TINY)
        confirmed[rows] = of_others**2
        name_tells = expit(logit(NAME_TELLS * trust * confirmed[rows]) + ratio[c])
        right[rows] = np.maximum(name_tells * _right(of_label, e, n) + (1 - name_tells) * (1 - e), LEAST)
        e = estimated()
    for _ in range(ROUNDS):
        evidence = hold_out(right)
        rows, before = evidence.rows[evidence.fitted], right.copy()
        # Scales and offsets without a correction, which takes most of the time of a fit.
        logits = evidence.fit_weights(np.ones((len(rows), 1)), np.ones(1)).held_out()
        if first is not None:
            alone = n_of_class[codes[rows]] == 1
            rest_tells = np.where(alone, NAME_TELLS * evidence.trust * confirmed[rows], 1.0)
        else:
            rest_tells = np.where(n_of_class[codes[rows]] == 2, IMAGE_TELLS, 1.0)
        of_label = softmax(logits)[np.arange(len(rows)), codes[rows]]
        of_label = rest_tells * of_label + (1 - rest_tells) / logits.shape[1]
        right[rows] = np.maximum(_right(of_label, e, logits.shape[1]), LEAST)
        e = estimated()
        if np.abs(right - before).max() < SETTLED:
            break
    doubt = min(max(e / HARD - 1, 0.0), 1.0) if share == "auto" else 1.0
    all_wrong = (np.bincount(codes, right < 0.5) == n_of_class) & (n_of_class > 2)
    return right, 1 - np.where(all_wrong[codes], 1.0, doubt) * (1 - right)


def _right(p, e, n_classes):
    """`right_i` of labels with the probabilities `p` by the model, if a share `e` is wrong."""
    return (1 - e) * p / ((1 - e) * p + e / n_classes)
