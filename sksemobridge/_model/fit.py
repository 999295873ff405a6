"""The default classifier, from shots and texts to one linear model, step by step.

`u` are unit embeddings of images, `T_c` unit embeddings of class texts, and

    decision(q) = s_text u . T_c + s_shots z_c(u) + b_c + A_c . (u - m),

where `z` is the discriminant of a Gaussian whose class means start where the names say. Each step has a module.
"""

from dataclasses import dataclass, replace

import numpy as np

from .._utils.array_api import l2_normalize
from .class_means import directions, fit_class_means
from .discriminant import Precision, discriminant_of, fit_discriminant
from .linear import Linear, total
from .logistic import CORRECTION, CORRECTION_WITHOUT_TEXT, features_of, fit_text, fit_weights
from .typicality import Typicality

# `python studies/blend.py` varies the constants of this block.
# Default scale of the cosines to texts, as a share of that which fits the texts alone.
TEXT_SHARE = 0.7
# Default scale of the discriminant: a share of a log-likelihood ratio, as features are not independent. Without text,
# and where classes have one image, no shot can be held out to correct it.
SHOTS_SCALE, SHOTS_SCALE_WITHOUT_TEXT, SHOTS_SCALE_OF_ONE = 0.05, 0.08, 0.3
# Least probability that texts are of use.
LEAST_TRUST = 1e-6
# Most held-out values, twelve megabytes. Of more images an even sample is held out, of at least so many.
MOST_VALUES, LEAST_HELD_OUT = 3 * 2**19, 100


@dataclass(frozen=True, eq=False)
class Model:
    """The fitted classifier.

    Attributes
    ----------
    terms : dict of Linear
        `"text"` where there is text, `"shots"` and `"correction"`: their sum is the decision. `"prior"` where classes are
        not equally frequent.
    blend : dict of float
        `"text"` and `"shots"`: the scales, and `"trust"`, the probability that the texts are of use.
    precision : Precision
        `P`.
    centre : ndarray of shape (D,)
        `m`.
    slope : float
        Of names, see `class_means`.
    text_mean : ndarray of shape (D,) or None
        Mean of the texts of the classes with shots.
    class_means : ndarray of shape (C, D)
        Directions of the means of the images of the classes.
    counts : ndarray of shape (C,)
        Effective numbers of images.
    typicality : Typicality
    """

    terms: dict[str, Linear]
    blend: dict[str, float]
    precision: Precision
    centre: np.ndarray
    slope: float
    text_mean: np.ndarray | None
    class_means: np.ndarray
    counts: np.ndarray
    typicality: Typicality | None

    def views(self):
        """What tells how typical an image is: the decision without the correction, and cosines, each a `Linear`."""
        terms = {name: term for name, term in self.terms.items() if name in ("text", "shots")}
        views = {"decision": total(terms.values())}
        if "text" in terms:
            views["text"] = terms["text"]
        return views | {"images": Linear(self.class_means, np.zeros(len(self.class_means)))}

    def over(self, rows, texts=None):
        """The model over other classes: those at `rows (K,)`, where -1 is a class without shots.

        Such a class lies where its name predicts, and is not corrected. Classes without shots need `texts (K, D)`, the
        `T_c` of all these classes.
        """
        terms = {name: term.take(rows) for name, term in self.terms.items()}
        means, new = self.class_means[rows], rows < 0
        if new.any():
            names = texts[new].astype(np.float64)
            predicted = self.slope * (names - self.text_mean)
            of_names = {
                "text": Linear(names, np.zeros(len(names))),
                "shots": discriminant_of(predicted, self.centre, self.precision),
            }
            for name, term in of_names.items():
                terms[name].weights[new] = self.blend[name] * term.weights
                terms[name].offsets[new] = self.blend[name] * term.offsets
            means[new] = l2_normalize(self.centre + predicted)
        counts = np.where(new, 0.0, self.counts[rows])
        return replace(self, terms=terms, class_means=means, counts=counts)


def fit_model(shots, texts=None, logit_scale=100.0, words=None):
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

    Returns
    -------
    model : Model
    held_out : tuple of (rows, logits)
        Indices of the images that were held out, and their logits `(k, C)`, each by a model without the image.
    """
    # Copies of one image are one image, the mean of their unit embeddings.
    u, codes, weight, group, _ = shots.images()
    n_classes = int(codes.max()) + 1
    rows = held_out_images(codes, group)
    # Without text a class has to keep another image.
    fitted = np.full(len(rows), True) if texts is not None else np.bincount(codes)[codes[rows]] > 1
    of_images = weights_of_images(codes, weight)[rows]

    # 1. Texts alone: the scale of their cosines, and the probability that they are of use.
    trust, held_out, defaults = 0.0, {}, {}
    if texts is not None:
        held_out["text"] = u[rows] @ texts.T
        scale, trust = fit_text(held_out["text"], codes[rows], of_images, logit_scale)
        trust *= distinctness(texts)
        defaults["text"] = max(trust, LEAST_TRUST) * TEXT_SHARE * scale

    # 2. and 3. Names predict where images lie, and class means lean on them.
    classes = fit_class_means(u, codes, weight, texts, trust, None if texts is not None else words)
    per_class = classes.counts.mean()

    # 4. One covariance, and 5. the discriminant, of queries and of images that are held out.
    discriminant = fit_discriminant(classes, trust, has_words=texts is None and words is not None)
    held_out["shots"] = discriminant.held_out(rows)
    alone = max(SHOTS_SCALE_OF_ONE / max(per_class, 1.0), SHOTS_SCALE_WITHOUT_TEXT)
    defaults["shots"] = trust * SHOTS_SCALE + (1 - trust) * alone

    # 6. Scales, offsets and correction, fitted to the held-out images.
    spans = [(None, 1.0)]
    if texts is not None:
        spans.append((directions(texts), trust * (1 + 1 / per_class)))
    features, back = features_of(u[rows[fitted]] - classes.centre, spans)
    deviations = np.full(features.shape[1], trust * CORRECTION + (1 - trust) * CORRECTION_WITHOUT_TEXT)
    deviations[0] = 1.0
    terms = {name: z[fitted] for name, z in held_out.items()}
    weights = fit_weights(terms, codes[rows[fitted]], of_images[fitted], defaults, features, deviations)

    # 7. All terms are linear in `u`, and so is their sum.
    correction = (back @ weights.coefficients[1:]).T
    linear = {"shots": weights.scales["shots"] * discriminant.linear()}
    if texts is not None:
        linear = {"text": weights.scales["text"] * Linear(texts, np.zeros(n_classes)), **linear}
    linear["correction"] = Linear(correction, weights.coefficients[0] - correction @ classes.centre)
    model = Model(
        terms=linear,
        blend=weights.scales | {"trust": trust},
        precision=discriminant.precision,
        centre=classes.centre,
        slope=classes.slope,
        text_mean=None if texts is None else texts.mean(axis=0),
        class_means=l2_normalize(classes.raw),
        counts=classes.counts,
        typicality=None,
    )

    # How typical the images are that were held out.
    held_out = {name: weights.scales[name] * z for name, z in held_out.items()}
    held_out = {"decision": sum(held_out.values()), **held_out, "images": cosines_without(classes, rows)}
    typicality = Typicality.of({name: held_out[name] for name in model.views()}, codes[rows], weight[rows])
    return replace(model, typicality=typicality), (rows[fitted], weights.logits)


def cosines_without(classes, rows):
    """Cosines of images to the class means, each mean without the image, shape (k, C)."""
    cosines = classes.u[rows] @ l2_normalize(classes.raw).T
    mean, gap, _ = classes.without(rows)
    without = l2_normalize(mean + gap + classes.centre)
    cosines[np.arange(len(rows)), classes.codes[rows]] = np.einsum("kd,kd->k", classes.u[rows], without)
    return cosines


def weights_of_images(codes, weight):
    """`omega_i`: in a class they sum to its effective number of images."""
    sums, squares = np.bincount(codes, weights=weight), np.bincount(codes, weights=weight**2)
    return weight * (sums / squares)[codes]


def held_out_images(codes, group):
    """Indices of the images that are held out; of very many an even sample.

    Copies of one image must have one label.
    """
    rows = np.flatnonzero(np.bincount(group)[group] == 1)
    most = max(MOST_VALUES // (int(codes.max()) + 1), LEAST_HELD_OUT)
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(np.intp)]


def distinctness(texts):
    """From one where all class texts differ to zero where all are the same: `1 - mean log(classes alike) / log C`."""
    if len(texts) < 2:
        return 1.0
    _, same, counts = np.unique(texts.round(6), axis=0, return_inverse=True, return_counts=True)
    return float(1 - np.mean(np.log(counts[same])) / np.log(len(texts)))
