"""Evidence of the texts alone on the shots, and whether the texts help (step 1 of
docs/method.md).
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from .logistic import Problem, fit_regression

TEXT_ODDS = 10.0  # prior odds that texts help: CLIP knows most words that are names
LEAST_GAIN = 0.15  # if texts help, the loss is below the loss of guessing by this part


@dataclass(frozen=True, eq=False)
class TextsAlone:
    """The evidence of the texts alone on the `k` held-out images, which is the same in all
    rounds.
    """

    cosines: np.ndarray  # `(k, C)`. A class without a text has the mean text
    codes: np.ndarray  # classes of the images `(k,)`
    has_text: np.ndarray  # `(C,)`
    predicted: np.ndarray  # the class of each image by all texts `(k,)`
    most: float  # a class counts as this many images at most
    logit_scale: float
    n_images: float  # number of images of classes with a text
    distinct: float  # how different the texts are: if all are the same, any scale fits alike

    @classmethod
    def of(cls, images, held_rows, class_texts, most):
        """The evidence on the `Images` at `held_rows (k,)`, by `ClassTexts`, also of classes
        without shots.
        """
        u, codes, n_classes = images.u, images.codes, int(images.codes.max()) + 1
        own = class_texts.embeddings[class_texts.has_text]
        distinct = float(len(class_texts.has_text) == 1)
        if len(own) > 1:
            distinct = (len(np.unique(own.round(6), axis=0)) - 1) / (len(own) - 1)
        cosines = (u @ class_texts.embeddings.T)[held_rows]
        has_text = class_texts.has_text[:n_classes]
        relative = images.relative[held_rows]
        return cls(
            cosines=cosines[:, :n_classes],
            codes=codes[held_rows],
            has_text=has_text,
            predicted=np.where(class_texts.has_text, cosines, -np.inf).argmax(axis=1),
            most=most,
            logit_scale=class_texts.logit_scale,
            n_images=float(relative @ has_text[codes[held_rows]]),
            distinct=distinct,
        )

    @property
    def is_judged(self):
        """Whether the class of each image has a text `(k,)`. Other images say nothing about
        texts.
        """
        return self.has_text[self.codes]

    def fit(self, omega):
        """The scale of the cosines, and the probability that the texts help."""
        cosines, codes, predicted = self.cosines, self.codes, self.predicted
        if not self.has_text.all():
            rows = np.flatnonzero(self.is_judged)
            cosines, omega = cosines[np.ix_(rows, self.has_text)], omega[rows]
            predicted = predicted[rows]
            codes = (np.cumsum(self.has_text) - 1)[codes[rows]]
        # Images that persons looked at because the texts put them into one class say little of
        # other images.
        numbers = np.bincount(predicted, weights=omega)
        omega = omega * np.minimum(1, self.most / numbers[predicted])
        scale, trust = fit_text(cosines, codes, omega, self.logit_scale, self.n_images)
        return scale, trust * self.distinct

    def with_stand_ins(self, classes, held_rows):
        """The cosines `(k, C)`, in which stand-ins take the place of missing texts. The stand-in of
        the class of an image does not depend on the image.
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


def expected_wrong(n):
    """The expected share of wrong labels among `n`, by Jeffreys' prior, if no wrong label is known.
    One wrong label of few then does not refute all names. A constant share costs 6 points if half
    of the names are swapped.
    """
    return 0.5 / (n + 1)


def fit_text(cosines, codes, weight, logit_scale, n_images):
    """The scale of cosines `(n, C)`, which count as `n_images`, and the probability that the texts
    help.

    The scale `s` minimises, in nats,

        -sum_i omega_i log((1 - e) softmax(s T u_i + log pi)_{y_i} + e pi_{y_i}) + log(s / s0)^2 / 2

    with `s0` the `logit_scale` and `e` as `expected_wrong`. Texts that help make this loss less
    than 1 - LEAST_GAIN times the loss of guessing, `-sum_i omega_i log pi_{y_i}`.
    """
    nothing = np.zeros((len(codes), 0)), np.zeros(0)
    wrong = expected_wrong(n_images)
    terms, defaults = {"text": cosines}, {"text": logit_scale}
    problem = Problem(terms, codes, weight, defaults, *nothing, wrong=wrong)
    fitted = fit_regression(problem)
    loss_of_guessing = -weight @ fitted.log_shares[codes]
    trust = expit(np.log(TEXT_ODDS) + (1 - LEAST_GAIN) * loss_of_guessing - fitted.loss)
    return fitted.scales["text"], float(trust)
