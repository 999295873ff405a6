"""The temperature of the paper's score, which calibrates its probabilities."""

import numpy as np
from scipy.optimize import minimize_scalar

from .._model.shots import sum_rows
from .._utils.array_api import l2_normalize, log_softmax

# Largest number of scores for an estimate of the temperature. More do not change it.
MOST_SCORES = 2**22
# The log of the temperature has a prior around its default with this standard deviation, and this largest distance.
WIDTH, FARTHEST = 0.5, 4.0
# Step of a numerical derivative of the log score.
STEP = 1e-3


def fit_temperature(model, shots, weight_in_class, eos, logit_scale):
    """Estimate the temperature of the model's scores.

    The default temperature gives a cosine the same scale as CLIP does. A trained bridge keeps the default, because it has seen
    the shots, and the best temperature for test images is close to the default.

    In closed form, each shot is held out of its class mean, and the temperature minimises the log loss. A class of one image
    has no mean without this image. If all classes have one image, predictions from their names replace the means. Names say
    less than images, so the result is then the geometric mean of the estimate and the default.

    `model` has a temperature of 1. `eos (n, d)` is the result of `Bridge.eos` for the shots.
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
        """For each row, the mean of its class without its image."""
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
