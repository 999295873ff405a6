"""One temperature of the paper's score, so that its probabilities are honest."""

import numpy as np
from scipy.optimize import minimize_scalar

from .._model.shots import sum_rows
from .._utils.array_api import l2_normalize, log_softmax

# Largest number of scores from which a temperature is estimated: more do not change it.
MOST_SCORES = 2**22
# Standard deviation of the prior of the log of a temperature around its default, and how far it may go.
WIDTH, FARTHEST = 0.5, 4.0
# Step of a numerical derivative of the log of the score.
STEP = 1e-3


def fit_temperature(model, shots, weight_in_class, eos, logit_scale):
    """The temperature of the model's scores.

    The default gives a cosine the scale that CLIP gives it. It is kept beside a trained bridge: that has seen the shots,
    and test images would not choose another. In closed form each shot is held out of its class mean, and the log loss
    is minimised. A class of one image has nothing left without it. If all are such, their names stand in, which say
    less than an image would: the mean with the default is then taken, in logarithms.

    `model` has a temperature of 1, and `eos (n, d)` are the shots as `Bridge.eos` gives them.
    """
    images, image = np.unique(np.stack([shots.codes, shots.group]), axis=1, return_inverse=True)
    n_images = np.bincount(images[0])[shots.codes]
    is_single = n_images.max() == 1
    rows = np.flatnonzero((n_images > 1) | is_single)
    rows = rows[:: -(-len(rows) * len(model.prototypes) // MOST_SCORES)]
    codes, X = shots.codes[rows], np.asarray(shots.X, dtype=np.float64)
    own, weight = (np.arange(len(rows)), codes), (weight_in_class * n_images)[rows]
    affinities = model.affinities_of_block(X[rows])

    def without(values):
        """Means of the class of each row, without its image."""
        of_classes = sum_rows(values, weight_in_class, shots.codes, len(model.prototypes))
        of_images = sum_rows(values, weight_in_class, image, images.shape[1])
        share = np.bincount(image, weights=weight_in_class)[image[rows], None]
        return (of_classes[codes] - of_images[image[rows]]) / (1 - share)

    is_trained = model.loss_curve is not None
    if not is_trained:
        if not is_single:
            prototypes, image_means = l2_normalize(model.bridge.joint(without(eos))), l2_normalize(without(X))
        elif model.text_embeddings is not None:
            prototypes, image_means = model.guesses(model.text_embeddings[codes])
        else:
            prototypes, image_means = (rows.mean(axis=0) for rows in (model.prototypes, model.image_means))
        affinities["z2"][own] = np.vecdot(l2_normalize(X[rows]), prototypes)
        affinities["z3"][own] = np.vecdot(model.bridge.apply(X[rows]), image_means)
    scores = model.decision(affinities)
    shifted = model.decision({name: z + STEP for name, z in affinities.items()})
    slope = np.average((shifted - scores)[own], weights=weight) / STEP
    default = logit_scale / slope if slope > STEP else 1.0
    if is_trained:
        return default

    def loss(log_ratio):
        of_label = log_softmax(default * np.exp(log_ratio) * scores)[own]
        return 0.5 * (log_ratio / WIDTH) ** 2 - weight @ of_label

    log_ratio = minimize_scalar(loss, bounds=(-FARTHEST, FARTHEST), method="bounded").x
    return default * np.exp(log_ratio / 2 if is_single else log_ratio)
