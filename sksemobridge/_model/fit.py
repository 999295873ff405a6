"""The default classifier, step by step from shots and texts to one linear model.

`u` are unit embeddings of images, and `T_c` unit embeddings of class texts. The decision is

    decision(q) = s_text u . T_c + s_shots z_c(u) + b_c + A_c . (u - m).

`z` is the discriminant of a Gaussian model, whose class means start at predictions from the names.
The steps of docs/method.md are

1. the text scale, and the probability that texts help (`texts_alone`),
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
    logits_without_own_offset,
)
from .shots import Images, JudgedShots
from .texts_alone import TextsAlone
from .typicality import Typicality

# Default scales of the discriminant, as shares of a log-likelihood ratio. The scales are below one,
# because features are not independent. Chosen by
# `python benchmarks/few_shot.py --tasks FILE.npz ...`, on the mean log loss of our rows.
SHOTS_SCALE = 0.04
# The scale for classes of one image, where no held-out shot could correct it. This scale is
# multiplied by `sqrt(log C)`: the largest of `C` errors grows so.
SHOTS_SCALE_OF_ONE = 0.064
# Largest number of images times classes (12 MB). Above it, evenly spaced images are held out, and
# the entropy is measured on evenly spaced images.
MOST_VALUES = 3 * 2**19


class FitResult(NamedTuple):
    """The model, and its judgement of the `n` shots."""

    model: LinearModel
    judged: JudgedShots
    label_weight: np.ndarray  # how far the label of each shot is believed `(n,)`


@dataclass(frozen=True, eq=False)
class FitInput:
    """The input of all steps: `n` images of `C` classes, and texts or words."""

    images: Images
    held_rows: np.ndarray  # indices of the images that are held out `(k,)`
    texts_alone: TextsAlone | None
    texts: np.ndarray | None  # `T_c (C, D)`; a class without a text has the mean text
    has_text: np.ndarray  # `(C,)`
    # Directions in which words differ `(D, r)`, which stand in for texts. None if there are texts.
    words: np.ndarray | None
    most: float  # a class counts as this many images at most
    share_named: float  # share of the classes that have a text, also of those without shots

    @classmethod
    def of(cls, shots, class_texts, words):
        """The input from `Shots` of `C` classes and `ClassTexts`. Texts of classes without shots
        come last.
        """
        images = shots.images()
        held_rows = held_out_images(images.codes, images.group)
        n_classes = int(images.codes.max()) + 1
        if class_texts.embeddings is None:
            has_text = np.zeros(n_classes, dtype=bool)
            return cls(images, held_rows, None, None, has_text, words, np.inf, 0.0)
        n_all = len(class_texts.has_text)
        most = np.inf if n_all == n_classes else MOST_IMAGES / (1 - n_classes / n_all)
        return cls(
            images=images,
            held_rows=held_rows,
            texts_alone=TextsAlone.of(images, held_rows, class_texts, most),
            texts=class_texts.embeddings[:n_classes],
            has_text=class_texts.has_text[:n_classes],
            words=words,
            most=most,
            share_named=float(class_texts.has_text.mean()),
        )

    def omega(self, label_weight=1.0):
        """`omega_i (n,)`, if the part `label_weight (n,)` of each image counts."""
        return weights_of_images(self.images.codes, self.images.weight, label_weight, self.most)


def fit_model(shots, class_texts, words, label_noise, with_held_out=False):
    """`FitResult` of `Shots` and `ClassTexts`, as `FitInput.of` takes them."""
    given = FitInput.of(shots, class_texts, words)
    images = given.images
    right, label_weight = judge_labels(given, class_texts, label_noise)
    evidence = gather_evidence(given, label_weight)

    # 6. Scales, offsets and correction, fitted to the held-out images.
    problem, back, order = problem_of_correction(evidence)
    regression = fit_regression(problem)
    held_out_logits = None
    if with_held_out:
        held_out_logits = np.full((len(images.codes), len(given.has_text)), np.nan)
        held_out_logits[evidence.regression_rows] = cross_fitted_logits(problem, regression, order)
        held_out_logits = held_out_logits[images.image_of_shot]
    # 7. One linear model.
    model = linear_model(evidence, regression, back)

    # Shots that are copies of one image have its values.
    omega = given.omega(label_weight)
    rest = weights_of_images(images.codes, images.weight, label_weight) - omega
    of_shots = (values[images.image_of_shot] for values in (right, omega, rest))
    return FitResult(
        model, JudgedShots(*of_shots, held_out_logits), label_weight[images.image_of_shot]
    )


def label_weights(shots, class_texts, label_noise):
    """The belief in the label of each of `Shots` `(n,)`, with the `ClassTexts` of all classes."""
    given = FitInput.of(shots, class_texts, None)
    _, label_weight = judge_labels(given, class_texts, label_noise)
    return label_weight[given.images.image_of_shot]


def judge_labels(given, class_texts, label_noise):
    """The probability that the label of each image is right, and how far it is believed, both
    `(m,)`: first from the texts alone, then from rounds of steps 1 to 5.
    """
    if label_noise == 0:
        return np.ones((2, len(given.images.codes)))
    evidence_if = partial(gather_evidence, given)
    by_texts = None if given.texts is None else judge_by_texts(given, class_texts)
    return right_labels(given.images, evidence_if, by_texts, given.has_text, label_noise)


def judge_by_texts(given, class_texts):
    """The judgement of texts alone on the held-out images whose classes have a text: indices of
    these images `(j,)`, their probabilities `(j, C + M)`, with classes without shots last, and the
    trust.
    """
    is_judged, u = given.texts_alone.is_judged, given.images.u
    _, trust = given.texts_alone.fit(given.omega()[given.held_rows])
    p = softmax(class_texts.logit_scale * (u @ class_texts.embeddings.T)[given.held_rows])
    return given.held_rows[is_judged], p[is_judged], trust


@dataclass(frozen=True, eq=False)
class Evidence:
    """Results of steps 1 to 5."""

    given: FitInput
    classes: ClassMeans
    discriminant: Discriminant
    trust: float  # probability that the texts help
    # True for the held-out images to which scales and correction are fitted `(k,)`
    in_regression: np.ndarray
    omega: np.ndarray  # `omega_i (k,)`
    relative: np.ndarray  # how much each image counts, as a share of one `(k,)`
    # the terms `z_k (k, C)` of each image, by a model without the image
    terms: dict[str, np.ndarray]
    defaults: dict[str, float]  # default scales of the terms

    @property
    def regression_rows(self):
        """Indices of the images in the regression `(f,)`."""
        return self.given.held_rows[self.in_regression]

    def regression(self, features):
        """The `Problem` of scales, offsets (coefficient 0), and the correction, with its features
        `(f, r)`.
        """
        rows = self.regression_rows
        kept = slice(None) if self.in_regression.all() else self.in_regression  # a mask would copy
        # Without its only image, a class has only its name.
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
        """Logits `(f, C)` by scales and offsets alone, each without the image, nearly. This saves
        most of the time. Also the `Regression`, which starts at the regression of an earlier round,
        if any.
        """
        problem = self.regression(np.ones((np.count_nonzero(self.in_regression), 0)))
        regression = fit_regression(problem, start)
        return logits_without_own_offset(regression, problem), regression


def gather_evidence(given, label_weight):
    """Steps 1 to 5: `Evidence`, if the part `label_weight (n,)` of each image counts."""
    images, held_rows, texts = given.images, given.held_rows, given.texts
    omega = given.omega(label_weight)[held_rows]
    # 1. Texts alone: the scale of their cosines, and the probability that they help.
    text_scale, trust = (0.0, 0.0) if texts is None else given.texts_alone.fit(omega)
    # 2. and 3. Names predict class means, and class means start there.
    classes = fit_class_means(images, texts, trust, given.words, label_weight, given.most)
    terms = {}
    if texts is not None:
        terms["text"] = given.texts_alone.with_stand_ins(classes, held_rows)
    # 4. One covariance, and 5. the discriminant, for queries and for held-out images.
    discriminant = fit_discriminant(classes, trust, has_words=given.words is not None)
    terms["shots"] = discriminant.held_out(held_rows)
    relative = images.relative
    believed = np.sum(relative * label_weight) / (np.sum(relative) + KAPPA_IN_SPAN)
    return Evidence(
        given=given,
        classes=classes,
        discriminant=discriminant,
        trust=trust,
        # Without text, a class needs another image that stays.
        in_regression=(np.bincount(images.codes)[images.codes[held_rows]] > 1)
        | (texts is not None),
        omega=omega,
        relative=relative[held_rows],
        terms=terms,
        defaults=default_scales(classes.counts, trust, text_scale, believed, given.share_named),
    )


def problem_of_correction(evidence):
    """The `Problem` of step 6, `back (D, r)`, which leads from the coefficients of its features to
    the correction, and an order of its images `(f,)`.
    """
    classes = evidence.classes
    v = classes.u[evidence.regression_rows]
    v -= classes.centre
    extra = evidence.trust * (1 + 1 / classes.mean_count)
    span = () if evidence.given.texts is None else (classes.span, extra)
    relative = evidence.relative[evidence.in_regression]
    if evidence.given.texts is None:
        # Without text, an only image is not in the regression, nor an image beside others of hardly
        # any weight.
        relative = relative * (1 - classes.alone[evidence.regression_rows])
    features, back = features_of(v, relative, *span)
    problem = evidence.regression(features)
    # The parts of held-out images must not depend on the order of features or the lengths of rows.
    order = np.lexsort((v @ classes.centre, problem.codes))
    return problem, back, order


def linear_model(evidence, regression, back):
    """Step 7: the `LinearModel`. All terms are linear in `u`, and so is their sum. `back (D, r)`
    leads from the coefficients of the `Regression` to the correction.
    """
    given, classes, trust = evidence.given, evidence.classes, evidence.trust
    texts, gaussian = given.texts, evidence.discriminant.gaussian
    n_classes = len(given.has_text)
    # The model of all images is more certain than step 6, which saw classes without one image.
    sharper = 1 + (1 - trust) / classes.mean_count**2
    scales = {name: float(sharper * scale) for name, scale in regression.scales.items()}
    terms = {}
    if texts is not None:
        with_stand_ins, missing = texts.copy(), np.flatnonzero(~given.has_text)
        with_stand_ins[missing] += classes.beyond_text(missing)
        terms["text"] = scales["text"] * Linear(with_stand_ins, np.zeros(n_classes))
    of_shots = gaussian.discriminant(classes.shrunken_means, classes.counts)
    terms["shots"] = scales["shots"] * of_shots
    offsets = sharper * regression.coefficients[0]
    correction = sharper * (back @ regression.coefficients[1:]).T
    terms["correction"] = Linear(correction, offsets - correction @ classes.centre)
    model = LinearModel(
        terms=terms,
        scales=scales,
        trust=trust,
        has_only_name=np.zeros(n_classes, dtype=bool),
        gaussian=None if texts is None else gaussian,
        slope=classes.slope,
        text_mean=None if texts is None else texts.mean(axis=0),
        n_images=float(classes.counts.sum()),
        share_named=float(given.has_text.mean()),
        image_means=classes.image_means,
        typicality=typicality_of_shots(evidence, scales),
    )
    if texts is None:
        return model
    return replace(model, typicality_of_names=typicality_of_names(model, given))


def typicality_of_shots(evidence, scales):
    """The `Typicality` of the held-out images, each by the model without it. The parts are
    `LinearModel.parts`.
    """
    images, rows = evidence.given.images, evidence.given.held_rows
    scaled = {name: scales[name] * values for name, values in evidence.terms.items()}
    parts = {"decision": sum(scaled.values()), "images": cosines_without(evidence.classes, rows)}
    if "text" in scaled:
        parts["text"] = scaled["text"]
    return Typicality.of(parts, images, rows)


def typicality_of_names(model, given):
    """The `Typicality` of the held-out images of a `FitInput` if all classes had only a name."""
    images, n_classes = given.images, len(given.has_text)
    of_names = model.for_classes(np.full(n_classes, -1), given.texts).parts()
    # Images are not joined, since joined images are shorter than one. Images of classes without a
    # text do not tell how well names fit.
    rows = given.held_rows[given.has_text[images.codes[given.held_rows]]]
    parts = {
        name: images.u[rows] @ linear.weights.T + linear.offsets
        for name, linear in of_names.items()
    }
    return Typicality.of(parts, images, rows)


def default_scales(counts, trust, text_scale, believed=1.0, share_named=1.0):
    """The default scales `s0_k` of the terms, for classes with `counts (C,)` images.

    `believed` is the evidence of labels beside names, 0 to 1, and `share_named` the share of the
    classes that have a text.
    """
    # If the labels of a class are doubtful, it may count as less than one image.
    counts = np.maximum(counts, 1.0)
    # the harmonic mean is near the counts of small classes
    n, fewest = counts.mean(), 1 / np.mean(1 / counts)
    # If other classes have many more images, the name of a class with few images must count more.
    with_text = SHOTS_SCALE * np.sqrt(fewest / n)
    without_text = max(SHOTS_SCALE_OF_ONE * np.sqrt(np.log(len(counts))) / n**2, SHOTS_SCALE)
    # With many believed labels, the scale is half of the scale that fits the names alone. If some
    # labels are wrong, a half costs a point (`python benchmarks/robustness.py labels --rates 0.2
    # --tasks FILE.npz ...`).
    text = max(trust, np.finfo(float).tiny) * text_scale * (1 - believed / 2)
    # If most classes have no name, images must decide. If only a tenth of the classes has no name,
    # this lowers the log loss of one shot by 0.014
    # (`python benchmarks/heuristics.py --cases nameless ...`).
    told = trust * share_named
    return {"text": text, "shots": told * with_text + (1 - told) * without_text}


def cosines_without(classes, rows):
    """Cosines of the images at `rows` to the class means, each without the image `(k, C)`."""
    result, means = np.empty((len(rows), len(classes.counts))), l2_normalize(classes.image_means)
    for block in blocks(len(rows)):
        result[block] = classes.u[rows[block]] @ means.T
        mean = l2_normalize(classes.centre + classes.means_without(rows[block]))
        own_class = np.arange(len(mean)) + block.start, classes.codes[rows[block]]
        result[own_class] = np.einsum("kd,kd->k", classes.u[rows[block]], mean)
    return result


def weights_of_images(codes, weight, label_weight=1.0, most=np.inf):
    """`omega_i`. The weights of a class sum to its effective number of images."""
    counts, _ = effective_numbers(codes, weight, label_weight, most)
    return counts[codes] * weight_in_class(codes, weight * label_weight)


def held_out_images(codes, group):
    """Indices of the images that are held out: all, or evenly spaced ones if there are very
    many.
    """
    # Copies with one label are one image already. A group of two images thus has two labels, and is
    # not held out.
    rows = np.flatnonzero(np.bincount(group)[group] == 1)
    most = max(MOST_VALUES // (int(codes.max()) + 1), 1)
    return rows[evenly_spaced(len(rows), most)]
