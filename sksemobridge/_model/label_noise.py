"""Labels may be wrong: how likely each is right, from names and the other shots (ours).

A wrong label is taken to be any class with the same probability. With `p_i` the probability of an image's label by a model
that was fitted without the image, and `e` the share of wrong labels, a label is right with the probability

    right_i = (1 - e) p_i / ((1 - e) p_i + e / C),      e = (sum_i (1 - right_i) + WORTH * SHARE) / (n + WORTH).

So much of an image counts in the next fit, which gives new `p_i`. It starts with the probabilities by texts alone, where
there are texts. Of a class's only image the texts alone tell, and they may be of no use: `right_i` is then mixed with one,
by the probability that they are.
"""

import numpy as np

from .._utils.array_api import softmax

# Share of wrong labels that is expected, and the number of images that this counts as; the first share; and rounds
# (`python benchmarks/label_noise.py`).
SHARE, WORTH, FIRST_SHARE, ROUNDS = 0.03, 20.0, 0.05, 3
# Least part of an image that counts.
LEAST = 1e-3


def right_labels(hold_out, codes, logit_scale, share="auto"):
    """The probability of each label `(n,)` that it is right.

    Parameters
    ----------
    hold_out : callable
        `hold_out(right)` gives `Evidence`.
    codes : ndarray of shape (n,)
    logit_scale : float or None
        Of the texts' model; None without texts.
    share : "auto" or float
        Of wrong labels; `"auto"` estimates it.
    """
    right, alone = np.ones(len(codes)), np.bincount(codes)[codes] == 1
    e = FIRST_SHARE if share == "auto" else share
    for k in range(ROUNDS + 1):
        evidence = hold_out(right)
        rows = evidence.rows
        if k == 0 and logit_scale is not None:
            # A scale that is fitted to wrong labels would find them likely.
            logits = logit_scale * evidence.held_out["text"]
        else:
            rows, none = rows[evidence.fitted], np.ones((len(evidence.weight), 1))
            logits = evidence.fit_weights(none, np.ones(1)).logits
        if not len(rows):
            break
        p = softmax(logits)[np.arange(len(rows)), codes[rows]]
        of_rows = (1 - e) * p / ((1 - e) * p + e / logits.shape[1])
        believed = np.where(alone[rows] | (k == 0), evidence.trust, 1.0)
        if share == "auto":
            believed[alone[rows]] = 0.0
        right[rows] = np.maximum(believed * of_rows + 1 - believed, LEAST)
        if share == "auto":
            e = (np.sum(1 - right[rows]) + WORTH * SHARE) / (len(rows) + WORTH)
    return right
