"""The probability that each label is right, from names and the other shots (not from a paper).

The share `e` of the labels is wrong. A wrong label is any class with the same probability. `p_i` is the probability of the
label of image `i`, by a model that was fitted without this image. Then the label is right with the probability

    right_i = (1 - e) p_i / ((1 - e) p_i + e / C),      e = (sum_i (1 - right_i) + WORTH * SHARE) / (n + WORTH).

In the next fit, each image counts with this probability. The fit gives new `p_i`. With texts, the first `p_i` are those of
the texts alone.

A name may mean nothing, and the only other image of a class may say nothing about it. In these cases `p_i = 1 / C`. For a
name, all images of the class together tell how probable this case is. If the images of another class do not confirm its
name, they are no reason to doubt a label: if two names are swapped, neither class confirms its name.

Hard images look like wrong labels. If only a few images look wrong, the two cases cannot be told apart, and all images count.
So the doubt `1 - right_i` is multiplied by `doubt = min(max(e / HARD - 1, 0), 1)`. If all images of a class with three or
more images look wrong, `doubt = 1` for this class.
"""

import numpy as np
from scipy.special import expit, logit

from .._utils.array_api import softmax

# Expected share of wrong labels, and the number of images that this prior counts as. First value of `e`. Largest number of
# rounds, and the change of `right` that ends them (`python benchmarks/label_noise.py`).
SHARE, WORTH, FIRST_SHARE, ROUNDS, SETTLED = 0.05, 20.0, 0.1, 5, 0.1
# Probability that a name says what its class is, if names help at all. Probability that one image does.
NAME_TELLS, IMAGE_TELLS = 0.9, 0.5
# Share of the labels that look wrong only because the images are hard.
HARD = 0.05
# An image counts at least this much. Smallest sum of probabilities.
LEAST, TINY = 1e-3, 1e-300


def right_labels(hold_out, codes, first=None, share="auto"):
    """For each image: the probability that its label is right, and how much the image counts, both `(n,)`.

    Parameters
    ----------
    hold_out : callable
        `hold_out(right)` gives `Evidence`.
    codes : ndarray of shape (n,)
    first : tuple of (rows, logits, trust) or None
        Held-out images, their logits by the texts alone (at the logit scale of the model), and the probability that texts
        help. None without texts.
    share : "auto" or float
        Share of wrong labels. `"auto"` estimates it.
    """
    right, n_of_class, e = np.ones(len(codes)), np.bincount(codes), FIRST_SHARE if share == "auto" else share
    # How well names are confirmed in the classes that an image looks like, apart from the class of its label.
    confirmed = np.ones(len(codes))

    def estimated():
        return (np.sum(1 - right[rows]) + WORTH * SHARE) / (len(rows) + WORTH) if share == "auto" else share

    if first is not None:
        rows, logits, trust = first
        n, c, p = len(n_of_class), codes[rows], softmax(logits)
        of_label = p[np.arange(len(c)), c]
        # Log Bayes factor of each class: its name says what it is, against each label has the probability 1 / n.
        ratio = np.bincount(c, np.log((1 - e) * of_label * n + e), n)
        # Squared, because half of all names may be swapped. The rest of the doubt would still cost a point of accuracy.
        p[np.arange(len(c)), c] = 0
        of_others = p @ expit(logit(NAME_TELLS * trust) + ratio) / np.maximum(p.sum(axis=1), TINY)
        confirmed[rows] = of_others**2
        name_tells = expit(logit(NAME_TELLS * trust * confirmed[rows]) + ratio[c])
        right[rows] = np.maximum(name_tells * _right(of_label, e, n) + (1 - name_tells) * (1 - e), LEAST)
        e = estimated()
    for _ in range(ROUNDS):
        evidence = hold_out(right)
        rows, before = evidence.rows[evidence.fitted], right.copy()
        # No correction here, because it takes most of the time of a fit.
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
    """`right_i` of labels that have the probabilities `p` by the model, if the share `e` of the labels is wrong."""
    return (1 - e) * p / ((1 - e) * p + e / n_classes)
