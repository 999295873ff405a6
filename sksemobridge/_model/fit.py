"""The default classifier, step by step from shots and texts to one linear model.

`u` are unit embeddings of images, and `T_c` unit embeddings of class texts. The decision is

    decision(q) = s_text u . T_c + s_shots z_c(u) + b_c + A_c . (u - m).

`z` is the discriminant of a Gaussian model, whose class means start at predictions from the names.
The steps of docs/method.md are

1. the text scale, and the probability that texts help (`logistic.fit_text`),
2. predictions of the class means from the names, and 3. class means that start there
   (`class_means`),
4. one covariance, and 5. the discriminant, also of images that are held out (`discriminant`),
6. scales, offsets and correction, fitted to the held-out images (`logistic.fit_regression`), and 7.
   their sum (`linear`).

The steps 1 to 5 are repeated in rounds to find labels that may be wrong (`label_noise`).
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np

from .._utils.array_api import l2_normalize, softmax
from .._utils.rows import blocks, evenly_spaced, weight_in_class
from .class_means import (
    KAPPA_IN_SPAN,
    MOST_IMAGES,
    ClassMeans,
    effective_numbers,
    fit_class_means,
    relative_weight,
)
from .decision import LinearModel
from .discriminant import Discriminant, fit_discriminant
from .label_noise import right_labels
from .linear import Linear
from .logistic import (
    WIDTH,
    Problem,
    cross_fitted_logits,
    features_of,
    fit_regression,
    fit_text,
    logits_without_own_offset,
)
from .shots import JudgedShots
from .typicality import Typicality

# Default scales of the discriminant, as shares of a log-likelihood ratio: they are below one,
# because features are not independent. Chosen by
# `python benchmarks/few_shot.py --tasks FILE.npz ...`, on the mean log loss of our rows.
SHOTS_SCALE = 0.04
# The same for classes of one image, where no held-out shot could correct it. It is multiplied by
# `sqrt(log C)`: the largest of `C` errors grows so.
SHOTS_SCALE_OF_ONE = 0.064
# Largest number of values of images times classes (12 MB), where evenly spaced images do: those
# that are held out, and those whose entropy is measured.
MOST_VALUES = 3 * 2**19


class FitResult(NamedTuple):
    """The model, and what it says of the `n` shots."""

    model: LinearModel
    judged: JudgedShots
    belief: np.ndarray  # how far the label of each shot is believed `(n,)`


def fit_model(shots, class_texts, words, label_noise, with_held_out=False):
    """`FitResult` of `Shots` of `C` classes, and the `ClassTexts` of these and of `M` classes
    without shots, which come last.

    `words (D, r)` are directions in which words differ. They stand in for texts, and are None if
    there are texts.
    """
    u, codes, weight, group, image_of_shot = shots.images()
    n_classes = int(codes.max()) + 1
    held_rows = held_out_images(codes, group)
    texts, by_texts_alone, has_text = None, None, np.zeros(n_classes, dtype=bool)
    most = np.inf
    if class_texts.embeddings is not None:
        texts, has_text = class_texts.embeddings[:n_classes], class_texts.has_text[:n_classes]
        if len(class_texts.has_text) > n_classes:
            most = MOST_IMAGES / (1 - n_classes / len(class_texts.has_text))
        by_texts_alone = TextsAlone.of(u, codes, weight, held_rows, class_texts, most)
    evidence_if = partial(
        gather_evidence, u, codes, weight, held_rows, texts, by_texts_alone, words, most
    )

    # The probability that each label is right: first from the texts alone, then from rounds of
    # steps 1 to 5.
    right, belief = np.ones((2, len(codes)))
    if label_noise != 0:
        by_texts = None
        if texts is not None:
            omega = weights_of_images(codes, weight, most=most)[held_rows]
            _, trust = by_texts_alone.fit(omega)
            p = softmax(class_texts.logit_scale * (u @ class_texts.embeddings.T)[held_rows])
            is_judged = by_texts_alone.is_judged
            by_texts = held_rows[is_judged], p[is_judged], trust
        right, belief = right_labels(evidence_if, u, codes, weight, has_text, by_texts, label_noise)
        del by_texts  # a table `(k, C)`
    evidence = evidence_if(belief)
    classes, discriminant, trust = evidence.classes, evidence.discriminant, evidence.trust

    # 6. Scales, offsets and correction, fitted to the held-out images.
    regression, back, logits = fit_correction(evidence, texts is not None, with_held_out)
    held_out_logits = None
    if with_held_out:
        held_out_logits = np.full((len(u), n_classes), np.nan)
        held_out_logits[evidence.regression_rows] = logits
        held_out_logits = held_out_logits[image_of_shot]

    # 7. All terms are linear in `u`, and so is their sum. It is more certain than step 6, which saw
    #    classes without one image.
    sharper = 1 + (1 - trust) / classes.mean_count**2
    scales = {name: float(sharper * scale) for name, scale in regression.scales.items()}
    offsets = sharper * regression.coefficients[0]
    correction = sharper * (back @ regression.coefficients[1:]).T
    terms = {}
    if texts is not None:
        with_stand_ins, missing = texts.copy(), np.flatnonzero(~has_text)
        with_stand_ins[missing] += classes.beyond_text(missing)
        terms["text"] = scales["text"] * Linear(with_stand_ins, np.zeros(n_classes))
    z = discriminant.gaussian.discriminant(classes.leaning_means, classes.counts)
    terms["shots"] = scales["shots"] * z
    terms["correction"] = Linear(correction, offsets - correction @ classes.centre)

    # The typicality of the held-out images has the parts of `LinearModel.parts`.
    scaled = {name: scales[name] * z for name, z in evidence.terms.items()}
    parts = {"decision": sum(scaled.values()), "images": cosines_without(classes, held_rows)}
    if texts is not None:
        parts["text"] = scaled["text"]
    model = LinearModel(
        terms=terms,
        scales=scales,
        trust=trust,
        gaussian=None if texts is None else discriminant.gaussian,
        slope=classes.slope,
        text_mean=None if texts is None else texts.mean(axis=0),
        image_means=classes.image_means,
        typicality=Typicality.of(parts, codes[held_rows], weight[held_rows]),
        has_only_name=np.zeros(n_classes, dtype=bool),
    )
    if texts is not None:
        names = model.for_classes(np.full(n_classes, -1), texts).parts()
        # As they are: images that are joined are shorter than one. Those of classes without a text
        # do not tell how well names fit.
        rows = held_rows[has_text[codes[held_rows]]]
        parts = {name: u[rows] @ part.weights.T + part.offsets for name, part in names.items()}
        model = replace(model, typicality_of_names=Typicality.of(parts, codes[rows], weight[rows]))

    # Shots that are copies of one image have its values.
    omega = weights_of_images(codes, weight, belief, most)
    rest = weights_of_images(codes, weight, belief) - omega
    of_shots = (values[image_of_shot] for values in (right, omega, rest))
    return FitResult(model, JudgedShots(*of_shots, held_out_logits), belief[image_of_shot])


@dataclass(frozen=True, eq=False)
class Evidence:
    """Results of steps 1 to 5."""

    classes: ClassMeans
    discriminant: Discriminant
    trust: float  # probability that the texts help
    held_rows: np.ndarray  # indices of the held-out images `(k,)`
    in_regression: np.ndarray  # True for those to which scales and correction are fitted `(k,)`
    omega: np.ndarray  # `omega_i (k,)`
    relative: np.ndarray  # weights as shares of the largest one of their class `(k,)`
    # the terms `z_k (k, C)` of each image, by a model without the image
    terms: dict[str, np.ndarray]
    defaults: dict[str, float]  # default scales of the terms

    @property
    def regression_rows(self):
        """Indices of the images in the regression `(f,)`."""
        return self.held_rows[self.in_regression]

    def regression(self, features):
        """The `Problem` of scales, offsets (coefficient 0), and the correction, with its features
        `(f, r)`.
        """
        rows = self.regression_rows
        kept = slice(None) if self.in_regression.all() else self.in_regression  # a mask would copy
        # Without its only image, a class has nothing but its name.
        alone = self.classes.alone[rows]
        informs = alone * self.trust + (1 - alone)
        # With few images, a correction is worth most with texts, and least without.
        sigma = np.sqrt(1 + (2 * self.trust - 1) / self.classes.mean_count)
        return Problem(
            terms={name: z[kept] for name, z in self.terms.items()},
            codes=self.classes.codes[rows],
            weight=self.omega[kept] * informs,
            defaults=self.defaults,
            features=np.column_stack([np.ones(len(rows)), features]),
            width=WIDTH,
            deviations=np.append(1.0, np.full(features.shape[1], sigma)),
        )

    def logits_without_correction(self, start):
        """Logits `(f, C)` by scales and offsets alone, each without the image, nearly. Most of the
        time is saved. Also the `Regression`, which starts at that of an earlier round, if any.
        """
        problem = self.regression(np.ones((np.count_nonzero(self.in_regression), 0)))
        regression = fit_regression(problem, start)
        return logits_without_own_offset(regression, problem), regression


def gather_evidence(u, codes, weight, held_rows, texts, by_texts_alone, words, most, belief):
    """Steps 1 to 5: `Evidence` of unit embeddings `u (n, D)`, if the part `belief (n,)` of each
    image counts, and a class counts as `most` images at most. `by_texts_alone` is `TextsAlone`.
    """
    # Without text, a class needs another image that stays.
    in_regression = (np.bincount(codes)[codes[held_rows]] > 1) | (texts is not None)
    omega = weights_of_images(codes, weight, belief, most)[held_rows]
    # 1. Texts alone: the scale of their cosines, and the probability that they help.
    terms, text_scale, trust = {}, 0.0, 0.0
    if texts is not None:
        text_scale, trust = by_texts_alone.fit(omega)
    # 2. and 3. Names predict class means, and class means start there.
    classes = fit_class_means(u, codes, weight, texts, trust, words, belief, most)
    if texts is not None:
        terms["text"] = by_texts_alone.with_stand_ins(classes, held_rows)
    # 4. One covariance, and 5. the discriminant, for queries and for held-out images.
    discriminant = fit_discriminant(classes, trust, has_words=words is not None)
    terms["shots"] = discriminant.held_out(held_rows)
    relative = relative_weight(codes, weight)
    believed = np.sum(relative * belief) / (np.sum(relative) + KAPPA_IN_SPAN)
    defaults = default_scales(classes.counts, trust, text_scale, believed)
    return Evidence(
        classes,
        discriminant,
        trust,
        held_rows,
        in_regression,
        omega,
        relative[held_rows],
        terms,
        defaults,
    )


def fit_correction(evidence, has_texts, with_held_out):
    """Step 6: the `Regression` with the correction, and `back (D, r)`, which leads from its
    coefficients to the correction. `with_held_out` also the logits `(f, C)` of the images, each by
    a model without it, else None.
    """
    problem, back, order = problem_of_correction(evidence, has_texts)
    regression = fit_regression(problem)
    logits = cross_fitted_logits(problem, regression, order) if with_held_out else None
    return regression, back, logits


def problem_of_correction(evidence, has_texts):
    """The `Problem` of step 6, `back (D, r)` of its features, and an order of its images `(f,)`."""
    classes = evidence.classes
    v = classes.u[evidence.regression_rows]
    v -= classes.centre
    extra = evidence.trust * (1 + 1 / classes.mean_count)
    parts = (classes.span, extra) if has_texts else ()
    features, back = features_of(v, evidence.relative[evidence.in_regression], *parts)
    problem = evidence.regression(features)
    # The parts of held-out images must not depend on the order of features or the lengths of rows.
    order = np.lexsort((v @ classes.centre, problem.codes))
    return problem, back, order


@dataclass(frozen=True, eq=False)
class TextsAlone:
    """What the texts alone say of the `k` held-out images, which is the same in all rounds."""

    cosines: np.ndarray  # `(k, C)`. A class without a text has the mean text
    codes: np.ndarray  # classes of the images `(k,)`
    has_text: np.ndarray  # `(C,)`
    predicted: np.ndarray  # the class of each image by all texts `(k,)`
    most: float  # a class counts as so many images at most
    logit_scale: float
    n_images: float  # of classes with a text, by `relative_weight`
    distinct: float  # how different the texts are: if all are the same, any scale fits alike

    @classmethod
    def of(cls, u, codes, weight, held_rows, class_texts, most):
        """Of unit embeddings `u (n, D)` and `ClassTexts`, also of classes without shots."""
        n_classes = int(codes.max()) + 1
        own = class_texts.embeddings[class_texts.has_text]
        distinct = float(len(class_texts.has_text) == 1)
        if len(own) > 1:
            distinct = (len(np.unique(own.round(6), axis=0)) - 1) / (len(own) - 1)
        cosines = (u @ class_texts.embeddings.T)[held_rows]
        has_text = class_texts.has_text[:n_classes]
        n_images = float(relative_weight(codes, weight)[held_rows] @ has_text[codes[held_rows]])
        return cls(
            cosines[:, :n_classes],
            codes[held_rows],
            has_text,
            np.where(class_texts.has_text, cosines, -np.inf).argmax(axis=1),
            most,
            class_texts.logit_scale,
            n_images,
            distinct,
        )

    @property
    def is_judged(self):
        """Whether the class of each image has a text `(k,)`. Others say nothing about texts."""
        return self.has_text[self.codes]

    def fit(self, omega):
        """The scale of the cosines, and the probability that the texts help."""
        cosines, codes, predicted = self.cosines, self.codes, self.predicted
        if not self.has_text.all():
            rows = np.flatnonzero(self.is_judged)
            cosines, omega = cosines[np.ix_(rows, self.has_text)], omega[rows]
            predicted = predicted[rows]
            codes = (np.cumsum(self.has_text) - 1)[codes[rows]]
        # Images that were looked at because the texts put them into one class say little of others.
        numbers = np.bincount(predicted, weights=omega)
        omega = omega * np.minimum(1, self.most / numbers[predicted])
        scale, trust = fit_text(cosines, codes, omega, self.logit_scale, self.n_images)
        return scale, trust * self.distinct

    def with_stand_ins(self, classes, held_rows):
        """The cosines `(k, C)`, in which stand-ins take the place of missing texts. The one of an
        image's own class does not know the image.
        """
        if self.has_text.all():
            return self.cosines
        cosines, missing = self.cosines.copy(), np.flatnonzero(~self.has_text)
        rows = np.flatnonzero(~self.is_judged)
        u, at_own = classes.u[held_rows], (rows, self.codes[rows])
        own = classes.beyond_text_without(held_rows[rows])
        cosines[:, missing] += u @ classes.beyond_text(missing).T
        cosines[at_own] = self.cosines[at_own] + np.einsum("kd,kd->k", u[rows], own)
        return cosines


def default_scales(counts, trust, text_scale, believed=1.0):
    """The default scales `s0_k` of the terms, for classes with `counts (C,)` images.

    `believed` says how much labels tell beside names, 0 to 1.
    """
    # If the labels of a class are doubtful, it may count as less than one image.
    counts = np.maximum(counts, 1.0)
    # the harmonic mean is near that of small classes
    n, fewest = counts.mean(), 1 / np.mean(1 / counts)
    # If other classes have many more images, the name of a class with few images must count more.
    with_text = SHOTS_SCALE * np.sqrt(fewest / n)
    without_text = max(SHOTS_SCALE_OF_ONE * np.sqrt(np.log(len(counts))) / n**2, SHOTS_SCALE)
    # Of many labels that are believed, half of the scale that fits the names alone. If some are
    # wrong, a half costs a point (`python benchmarks/robustness.py labels --rates 0.2 --tasks
    # FILE.npz ...`).
    text = max(trust, np.finfo(float).tiny) * text_scale * (1 - believed / 2)
    return {"text": text, "shots": trust * with_text + (1 - trust) * without_text}


def cosines_without(classes, rows):
    """Cosines of the images at `rows` to the class means, each without the image `(k, C)`."""
    result, means = np.empty((len(rows), len(classes.counts))), l2_normalize(classes.image_means)
    for part in blocks(len(rows)):
        result[part] = classes.u[rows[part]] @ means.T
        mean = l2_normalize(classes.centre + classes.means_without(rows[part]))
        own_class = np.arange(len(mean)) + part.start, classes.codes[rows[part]]
        result[own_class] = np.einsum("kd,kd->k", classes.u[rows[part]], mean)
    return result


def weights_of_images(codes, weight, belief=1.0, most=np.inf):
    """`omega_i`. In a class they sum to its effective number of images."""
    counts, _ = effective_numbers(codes, weight, belief, most)
    return counts[codes] * weight_in_class(codes, weight * belief)


def held_out_images(codes, group):
    """Indices of the images that are held out. If there are very many, these are evenly spaced."""
    # Copies with one label are one image already. So a group of two images has two labels, and is
    # not held out.
    rows = np.flatnonzero(np.bincount(group)[group] == 1)
    most = max(MOST_VALUES // (int(codes.max()) + 1), 1)
    return rows[evenly_spaced(len(rows), most)]
