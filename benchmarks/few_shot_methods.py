"""The methods that `few_shot.py` compares: how each is made for a task."""

from functools import partial

import peers
from settings import setting
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from sklearn.svm import LinearSVC

from sksemobridge import FewShotClassifier, SeMoBridgeClassifier

OURS = "FewShotClassifier"
WITHOUT_TEXT = "FewShotClassifier, no text"
ZERO_SHOT = "zero-shot"
CLOSED_FORM = "SeMoBridge (closed form)"
TRAINED = "SeMoBridge-T (trained)"
TUNED = "SeMoBridge (closed form), tuned"
TRAINED_TUNED = "SeMoBridge-T (trained), tuned"

# The cutoff of the paper, where its hyperparameters are chosen on validation images.
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
    """SeMoBridge as in the paper: hyperparameters and the step of AdamW by validation images."""
    is_val = task.part == "val"
    classifier = semobridge(task, texts, atol=ATOL, max_iter=STEPS, **params)
    return WithValidation(classifier, task.X[is_val], task.y[is_val])


def _peer(kind, task, texts, **params):
    return kind(texts, task.text_encoder.logit_scale_, **params)


def _of_unit_rows(kind, task, texts, **params):
    """A classifier of scikit-learn on unit rows, as CLIP compares them."""
    return make_pipeline(Normalizer(), kind(**params))


# Of scikit-learn, with the tolerance at which 1,000 classes do more than no step.
_logistic = partial(LogisticRegression, max_iter=2000, tol=1e-7)
_discriminant = partial(LinearDiscriminantAnalysis, solver="lsqr")

# `build(task, texts, **params)` gives an estimator; `texts (C, D)` are the unit class texts.
PEERS_WITH_TEXT = {
    ZERO_SHOT: partial(_peer, peers.ZeroShot),
    "Tip-Adapter": partial(_peer, peers.TipAdapter),
    "GDA": partial(_peer, peers.GDA),
    "CLAP-style probe": partial(_peer, peers.CLAPProbe),
    "LP++": lambda task, texts: peers.LPPlusPlus(texts),
    "TextCoord": partial(_peer, peers.TextCoord),
}
PEERS_WITHOUT = {
    "LogisticRegression": partial(_of_unit_rows, _logistic),
    "LDA": partial(_of_unit_rows, _discriminant),
    "ridge": partial(_of_unit_rows, RidgeClassifier),
    "linear SVM": partial(_of_unit_rows, LinearSVC),
    "nearest class mean": lambda task, texts: peers.NearestClassMean(),
}
PEERS = PEERS_WITH_TEXT | PEERS_WITHOUT
# A variance within classes needs two shots.
MIN_SHOTS = {"LDA": 2}


def chosen(name, task, texts=None):
    """A peer with its setting of other families of tasks."""
    return PEERS[name](task, texts, **setting(name, task.name))


# `build(task, texts)`.
WITH_TEXT = {
    OURS: _ours,
    CLOSED_FORM: semobridge,
    TRAINED: partial(semobridge, solver="lbfgs"),
    **{name: partial(chosen, name) for name in PEERS_WITH_TEXT},
}
WITHOUT = {
    WITHOUT_TEXT: lambda task, texts: FewShotClassifier(class_names="ignore"),
    **{name: partial(chosen, name) for name in PEERS_WITHOUT},
}
WITH_VALIDATION = {
    TUNED: tuned,
    TRAINED_TUNED: partial(tuned, solver="adamw"),
}
METHODS = WITH_TEXT | WITHOUT | WITH_VALIDATION
NAMES = list(METHODS)


def methods_for(task, k):
    """The methods that a task allows: with text, with a validation split, and with `k` shots."""
    with_text = task.text_encoder is not None
    with_validation = with_text and task.part is not None and (task.part == "val").any()
    allowed = WITH_TEXT if with_text else {}
    allowed = allowed | WITHOUT | (WITH_VALIDATION if with_validation else {})
    return {name: build for name, build in allowed.items() if k >= MIN_SHOTS.get(name, 1)}
