"""The methods that `few_shot.py` compares: how each is made for a task."""

from functools import partial

import peers
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from sksemobridge import FewShotClassifier, SeMoBridgeClassifier

OURS = "FewShotClassifier"
WITHOUT_TEXT = "FewShotClassifier, no text"
ZERO_SHOT = "zero-shot"
CLOSED_FORM = "SeMoBridge (closed form)"
TRAINED = "SeMoBridge-T (trained)"
TUNED = "SeMoBridge (closed form), tuned"
TRAINED_TUNED = "SeMoBridge-T (trained), tuned"

# The cutoff of the paper, where its numbers are chosen on validation images.
ATOL = 0.3
# Training steps of the paper's recipe; None is all 5,000.
STEPS = None


class WithValidation(ClassifierMixin, BaseEstimator):
    """A classifier whose `fit` gets the validation images of a task, too."""

    def __init__(self, classifier, X_val, y_val):
        self.classifier = classifier
        self.X_val = X_val
        self.y_val = y_val

    def fit(self, X, y):
        self.classifier_ = clone(self.classifier).fit(X, y, X_val=self.X_val, y_val=self.y_val)
        self.classes_ = self.classifier_.classes_
        return self

    def predict(self, X):
        return self.classifier_.predict(X)

    def predict_proba(self, X):
        return self.classifier_.predict_proba(X)


def _ours(task, texts, **params):
    return FewShotClassifier(task.text_encoder, prompts=task.prompts, **params)


def semobridge(task, texts=None, solver="closed_form", **params):
    """The classifier of the paper."""
    return SeMoBridgeClassifier(
        task.text_encoder, prompts=task.prompts, solver=solver, device="cpu", **params
    )


def tuned(task, texts=None, **params):
    """SeMoBridge as in the paper: its numbers, and the step of AdamW, by validation images."""
    is_val = task.part == "val"
    classifier = semobridge(task, texts, atol=ATOL, max_iter=STEPS, **params)
    return WithValidation(classifier, task.X[is_val], task.y[is_val])


def _peer(kind, task, texts):
    return kind(texts, task.text_encoder.logit_scale_)


def _logistic(task, texts):
    """Of unit rows, as CLIP compares them. With the default tolerance it would stop before its
    first step at 1,000 classes.
    """
    return make_pipeline(Normalizer(), LogisticRegression(max_iter=2000, tol=1e-7))


# `build(task, texts)` gives an estimator; `texts (C, D)` are the unit class texts.
WITH_TEXT = {
    OURS: _ours,
    CLOSED_FORM: semobridge,
    TRAINED: partial(semobridge, solver="lbfgs"),
    ZERO_SHOT: partial(_peer, peers.ZeroShot),
    "Tip-Adapter": partial(_peer, peers.TipAdapter),
    "CLAP-style probe": partial(_peer, peers.CLAPProbe),
    "LP++": lambda task, texts: peers.LPPlusPlus(texts),
    "TextCoord": partial(_peer, peers.TextCoord),
}
WITHOUT = {
    WITHOUT_TEXT: lambda task, texts: FewShotClassifier(class_names="ignore"),
    "LogisticRegression": _logistic,
}
WITH_VALIDATION = {
    TUNED: tuned,
    TRAINED_TUNED: partial(tuned, solver="adamw"),
}
METHODS = WITH_TEXT | WITHOUT | WITH_VALIDATION
NAMES = list(METHODS)


def methods_for(task):
    """The methods that a task allows: with text, and with a validation split."""
    with_text = task.text_encoder is not None
    with_validation = with_text and task.part is not None and (task.part == "val").any()
    return (WITH_TEXT if with_text else {}) | WITHOUT | (WITH_VALIDATION if with_validation else {})
