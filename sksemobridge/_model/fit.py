"""The default classifier, from shots and texts to one linear model, step by step.

`u` are unit embeddings of images, `T_c` unit embeddings of class texts, and

    decision(q) = s_text u . T_c + s_shots z_c(u) + b_c + A_c . (u - m),

where `z` is the discriminant of a Gaussian whose class means start where the names say. Each step has a module.
"""

from dataclasses import dataclass, replace

import numpy as np

from .._utils.array_api import l2_normalize
from .class_means import ClassMeans, directions, effective_numbers, fit_class_means
from .discriminant import Discriminant, fit_discriminant
from .label_noise import right_labels
from .linear import Linear
from .logistic import CORRECTION, features_of, fit_text, fit_weights
from .model import Model
from .typicality import Typicality

# `python studies/blend.py` varies the constants of this block.
# Default scale of the cosines to texts, as a share of that which fits the texts alone, and the number of images of a class
# at which it is half of that.
TEXT_SHARE, WORTH_OF_TEXT = 0.7, 16.0
# Default scale of the discriminant: a share of a log-likelihood ratio, as features are not independent. Without text,
# and where classes have one image, no shot can be held out to correct it; with words its features are not divided.
SHOTS_SCALE, SHOTS_SCALE_OF_ONE, SHOTS_SCALE_OF_ONE_WITH_WORDS = 0.04, 0.15, 0.11
# Least probability that texts are of use.
LEAST_TRUST = 1e-6
# Most held-out values, twelve megabytes. Of more images an even sample is held out, of at least so many.
MOST_VALUES, LEAST_HELD_OUT = 3 * 2**19, 100


def fit_model(shots, texts=None, logit_scale=100.0, words=None, label_noise=0.0):
    """Fit the classifier to shots of all classes.

    Parameters
    ----------
    shots : Shots
        Each class has one.
    texts : ndarray of shape (C, D) or None
        `T_c`.
    logit_scale : float
        Of the texts' model.
    words : ndarray of shape (D, r) or None
        Directions in which words differ: used where there are no texts.
    label_noise : "auto" or float
        Share of wrong labels; `"auto"` estimates it, and 0 trusts all labels.

    Returns
    -------
    model : Model
    held_out : tuple of (rows, logits)
        Indices of the images that were held out, and what gives their logits `(k, C)`, each by a model without the image.
    right, counted : ndarray of shape (m,)
        Probability of the label of each image that it is right, and how much of the image counts.
    """
    # Copies of one image are one image, the mean of their unit embeddings.
    u, codes, weight, group, _ = shots.images()
    rows = held_out_images(codes, group)

    def hold_out(right):
        return fit_terms(u, codes, weight, right, rows, texts, logit_scale, words)

    # How likely each label is right: by texts alone, and then by rounds of steps 1 to 5.
    right = counted = np.ones(len(codes))
    if label_noise != 0:
        first = None  # rows, logits and trust of the texts alone
        if texts is not None:
            cosines = u[rows] @ texts.T
            of_images = weights_of_images(codes, weight)[rows]
            trust = distinctness(texts) * fit_text(cosines, codes[rows], of_images, logit_scale)[1]
            first = rows, logit_scale * cosines, trust
        right, counted = right_labels(hold_out, codes, first, label_noise)
    evidence = hold_out(counted)
    classes, discriminant, trust = evidence.classes, evidence.discriminant, evidence.trust

    # 6. Scales, offsets and correction, fitted to the held-out images. Spans are pairs `V_S, q_S` of `logistic`: the whole
    # space, and that of the class texts.
    spans = [(None, 1.0)]
    if texts is not None:
        spans.append((directions(texts), trust * (1 + 1 / max(classes.counts.mean(), 1.0))))
    features, back = features_of(u[evidence.rows[evidence.fitted]] - classes.centre, spans)
    # Prior deviations: of the offset, which is the first feature, and of the correction.
    deviations = np.concatenate([[1.0], np.full(features.shape[1] - 1, CORRECTION)])
    weights = evidence.fit_weights(features, deviations)

    # 7. All terms are linear in `u`, and so is their sum. A class of `n` images is better known than without one of them.
    sharper = 1 + (1 - trust) / max(classes.counts.mean(), 1.0) ** 2
    scales = {name: sharper * scale for name, scale in weights.scales.items()}
    offsets, correction = sharper * weights.coefficients[0], sharper * (back @ weights.coefficients[1:]).T
    linear = {"shots": scales["shots"] * discriminant.linear()}
    if texts is not None:
        linear = {"text": scales["text"] * Linear(texts, np.zeros(len(texts))), **linear}
    linear["correction"] = Linear(correction, offsets - correction @ classes.centre)
    model = Model(
        terms=linear,
        blend=scales | {"trust": trust},
        gaussian=discriminant.gaussian,
        slope=classes.slope,
        text_mean=None if texts is None else texts.mean(axis=0),
        class_means=classes.raw,
        leaning_means=classes.centre + classes.means,
        typicality=None,
    )

    # How typical the images are that were held out: as `model.views()`, so the decision is the one without the correction.
    held_out = {name: scales[name] * z for name, z in evidence.held_out.items()}
    held_out["decision"] = sum(held_out.values())
    held_out["images"] = cosines_without(classes, rows, of_leaning=False)
    held_out["centred"] = cosines_without(classes, rows, of_leaning=True)
    of_views = {name: held_out[name] for name in model.views()}
    typicality = Typicality.of(of_views, codes[rows], weight[rows])
    return replace(model, typicality=typicality), (rows[evidence.fitted], weights.held_out), right, counted


@dataclass(frozen=True, eq=False)
class Evidence:
    """What steps 1 to 5 tell of the images that are held out.

    Attributes
    ----------
    classes : ClassMeans
    discriminant : Discriminant
    trust : float
        Probability that the texts are of use.
    rows : ndarray of shape (k,)
        Indices of the images that are held out.
    held_out : dict of ndarray of shape (k, C)
        The terms `z_k`, of each image by a model without the image.
    defaults : dict of float
        Of the scales.
    fitted : ndarray of shape (k,)
        Whether scales and correction are fitted to an image.
    weight : ndarray of shape (f,)
        `omega_i` of these: in a class they sum to its effective number of images.
    """

    classes: ClassMeans
    discriminant: Discriminant
    trust: float
    rows: np.ndarray
    held_out: dict
    defaults: dict
    fitted: np.ndarray
    weight: np.ndarray

    def fit_weights(self, features, deviations):
        """`Weights` of the terms and of features `(f, r)`."""
        terms = {name: z[self.fitted] for name, z in self.held_out.items()}
        codes = self.classes.codes[self.rows[self.fitted]]
        return fit_weights(terms, codes, self.weight, self.defaults, features, deviations)


def fit_terms(u, codes, weight, right, rows, texts, logit_scale, words):
    """Steps 1 to 5: `Evidence` of unit embeddings `u (n, D)`, whose labels are right with the probability `right (n,)`."""
    # Without text a class has to keep another image.
    fitted = np.full(len(rows), True) if texts is not None else np.bincount(codes)[codes[rows]] > 1
    of_images = weights_of_images(codes, weight, right)[rows]

    # 1. Texts alone: the scale of their cosines, and the probability that they are of use.
    trust, text_scale, held_out = 0.0, 0.0, {}
    if texts is not None:
        held_out["text"] = u[rows] @ texts.T
        text_scale, trust = fit_text(held_out["text"], codes[rows], of_images, logit_scale)
        trust *= distinctness(texts)

    # 2. and 3. Names predict where images lie, and class means lean on them.
    classes = fit_class_means(u, codes, weight, texts, trust, None if texts is not None else words, right)

    # 4. One covariance, and 5. the discriminant, of queries and of images that are held out.
    discriminant = fit_discriminant(classes, trust, has_words=texts is None and words is not None)
    held_out["shots"] = discriminant.held_out(rows)
    defaults = default_scales(classes.counts, trust, text_scale, words is not None)
    return Evidence(classes, discriminant, trust, rows, held_out, defaults, fitted, of_images[fitted])


def default_scales(counts, trust, text_scale, has_words):
    """`s0_k` of the terms, for classes with `counts (C,)` images."""
    # Of a class whose labels are in doubt less than one image may count.
    counts = np.maximum(counts, 1.0)
    n, fewest = counts.mean(), 1 / np.mean(1 / counts)  # the harmonic mean is near that of small classes
    of_text = TEXT_SHARE / (1 + fewest / WORTH_OF_TEXT)
    # Beside many images of other classes a class with few images is found by its name.
    beside_text = SHOTS_SCALE * np.sqrt(fewest / n)
    of_one = SHOTS_SCALE_OF_ONE_WITH_WORDS if has_words else SHOTS_SCALE_OF_ONE
    alone = max(of_one / n**2, SHOTS_SCALE)
    return {
        "text": max(trust, LEAST_TRUST) * of_text * text_scale,
        "shots": trust * beside_text + (1 - trust) * alone,
    }


def cosines_without(classes, rows, of_leaning):
    """`cosines` of images to the means, or the leaning means, of classes without the image, shape (k, C)."""
    mean, gap, _ = classes.without(rows)
    without, means, v = classes.centre + mean + gap, classes.raw, classes.u[rows]
    if of_leaning:
        without, means, v = mean, classes.means, v - classes.centre
    result = v @ l2_normalize(means).T
    result[np.arange(len(rows)), classes.codes[rows]] = np.einsum("kd,kd->k", v, l2_normalize(without))
    return result


def weights_of_images(codes, weight, right=1.0):
    """`omega_i`: in a class they sum to its effective number of images."""
    believed = weight * right
    counts, _ = effective_numbers(codes, weight, right)
    return believed * (counts / np.bincount(codes, weights=believed))[codes]


def held_out_images(codes, group):
    """Indices of the images that are held out; of very many an even sample.

    Copies of one image must have one label.
    """
    # Copies with one label are one image by now: a group with two images is one with two labels.
    rows = np.flatnonzero(np.bincount(group)[group] == 1)
    most = max(MOST_VALUES // (int(codes.max()) + 1), LEAST_HELD_OUT)
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(np.intp)]


def distinctness(texts):
    """From one where all class texts differ to zero where all are the same: `1 - mean log(classes alike) / log C`."""
    if len(texts) < 2:
        return 1.0
    _, same, counts = np.unique(texts.round(6), axis=0, return_inverse=True, return_counts=True)
    return float(1 - np.mean(np.log(counts[same])) / np.log(len(texts)))
