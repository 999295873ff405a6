"""One temperature of the paper's score, so that its probabilities are honest."""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.sparse import csr_array

from .._utils.array_api import l2_normalize, log_softmax

# Largest number of scores from which a temperature is estimated: more do not change it.
MOST_SCORES = 2**22
# Standard deviation of the prior of the log of a temperature around its default, and how far it may go.
WIDTH, MOST_WIDTHS = 0.5, 8


def default_temperature(model, logit_scale):
    """The temperature that gives the term of the text the scale of CLIP by itself; without text, the sharpest term.

    Beside a trained bridge it is as good as what test images would choose.
    """
    numbers = model.numbers
    if model.text_embeddings is not None and numbers["lambda1"] and numbers["alpha"]:
        return logit_scale / numbers["alpha"]
    sharpest = max(bool(numbers["lambda2"]) * numbers["beta"], bool(numbers["lambda3"]) * numbers["gamma"])
    return logit_scale / sharpest if sharpest else 1.0


def fit_temperature(model, shots, weight_in_class, projected, guesses, default):
    """The temperature with the least log loss on the shots, each held out of its class mean. In closed form only.

    A class of one image has nothing left without it. If all are such, their names stand in, which say less than an
    image would: the mean with the default is then taken, in logarithms.

    Parameters
    ----------
    model : PaperModel
        `for_scores`, with a temperature of 1.
    shots : object
        See `fit_paper`.
    weight_in_class : ndarray of shape (n,)
    projected : ndarray of shape (n, D)
        `eos @ W` of the shots.
    guesses : list of two ndarrays of shape (C, D)
        What names say about prototypes and image means.
    default : float
    """
    images, image = np.unique(np.stack([shots.codes, shots.group]), axis=1, return_inverse=True)
    share, n_images = np.bincount(image, weights=weight_in_class)[image], np.bincount(images[0])[shots.codes]
    is_single = n_images.max() == 1
    rows = np.flatnonzero((n_images > 1) | is_single)
    rows = rows[:: -(-len(rows) * len(model.prototypes) // MOST_SCORES)]
    codes, X = shots.codes[rows], np.asarray(shots.X, dtype=np.float64)

    def without(values):
        """Means of the class of each row, without its image."""
        size = len(image)
        of_classes, of_images = (
            csr_array((weight_in_class, (index, np.arange(size)))) @ values for index in (shots.codes, image)
        )
        return (of_classes[codes] - of_images[image[rows]]) / (1 - share[rows, None])

    if is_single:
        prototypes, image_means = (guess[codes] for guess in guesses)
    else:
        prototypes, image_means = model.bridge.prototypes(without(projected)), l2_normalize(without(X))
    X, own = X[rows], (np.arange(len(rows)), codes)
    affinities = model.affinities_of_block(X)
    affinities["z2"][own] = np.vecdot(l2_normalize(X), prototypes)
    affinities["z3"][own] = np.vecdot(model.bridge.apply(X), image_means)
    scores, weight = model.scores(affinities), (weight_in_class * n_images)[rows]

    def loss(log_ratio):
        of_label = log_softmax(default * np.exp(log_ratio) * scores)[own]
        return 0.5 * (log_ratio / WIDTH) ** 2 - weight @ of_label

    bound = MOST_WIDTHS * WIDTH
    log_ratio = minimize_scalar(loss, bounds=(-bound, bound), method="bounded").x
    return default * np.exp(log_ratio / 2 if is_single else log_ratio)
