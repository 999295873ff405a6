"""The methods that `few_shot.py` compares: how each is made for a task."""

from functools import partial

import numpy as np
import peers
from sklearn.base import BaseEstimator, ClassifierMixin
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

# The paper's numbers before its search, and what it searches by this many trials of TPE for the
# best validation accuracy.
TRIALS = 1000
INITIAL = {"alpha": 1.0, "beta": 1.0, "gamma": 1.0, "lambda1": 0.5, "lambda2": 0.5, "lambda3": 0.5}
INITIAL |= {"smoothness": 0.01}
HIGHEST = {
    "alpha": 10,
    "beta": 10,
    "gamma": 10,
    "lambda1": 1,
    "lambda2": 1,
    "lambda3": 1,
    "smoothness": 1.5,
}


class AsInThePaper(ClassifierMixin, BaseEstimator):
    """The paper's method, its seven numbers chosen on a validation split `X_val`, `y_val`.

    Unlike in the paper, `solver="lbfgs"` trains to the minimum of the loss, so that no step has to
    be chosen.
    """

    def __init__(self, task, solver="closed_form"):
        self.task = task
        self.solver = solver

    def fit(self, X, y):
        import optuna

        task = self.task
        fitted = _semobridge(task, None, self.solver, **INITIAL, atol=0.3, temperature=None)
        fitted.fit(X, y)
        X_val, y_val = task.X[task.part == "val"], task.y[task.part == "val"]
        z = fitted.affinities(X_val)
        own = np.exp(fitted.image_means_ @ fitted.text_embeddings_.T)
        divergence = np.log2((1 + 1e-6) / (own.diagonal() / own.sum(axis=1) + 1e-6))  # KL_c
        codes = np.searchsorted(fitted.classes_, y_val)

        def accuracy(numbers):
            terms = [
                numbers[f"lambda{i}"] * np.exp(numbers[name] * (z[f"z{i}"] - 1))
                for i, name in enumerate(("alpha", "beta", "gamma"), start=1)
            ]
            scores = terms[0] + (terms[1] + terms[2]) * np.exp(numbers["smoothness"] * divergence)
            return np.mean(scores.argmax(axis=1) == codes)

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(
            direction="maximize", sampler=optuna.samplers.TPESampler(seed=0)
        )
        study.enqueue_trial(INITIAL)
        study.optimize(
            lambda trial: accuracy(
                {name: trial.suggest_float(name, 0, high) for name, high in HIGHEST.items()}
            ),
            n_trials=TRIALS,
        )
        self.classifier_ = fitted.set_params(**study.best_params).fit(X, y)
        self.classes_ = self.classifier_.classes_
        return self

    def predict(self, X):
        return self.classifier_.predict(X)

    def predict_proba(self, X):
        return self.classifier_.predict_proba(X)


def _ours(task, texts, **params):
    return FewShotClassifier(task.text_encoder, prompts=task.prompts, **params)


def _semobridge(task, texts, solver="closed_form", **params):
    return SeMoBridgeClassifier(
        task.text_encoder, prompts=task.prompts, solver=solver, device="cpu", **params
    )


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
    CLOSED_FORM: _semobridge,
    TRAINED: partial(_semobridge, solver="lbfgs"),
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
    TUNED: lambda task, texts: AsInThePaper(task),
    TRAINED_TUNED: lambda task, texts: AsInThePaper(task, "lbfgs"),
}
METHODS = WITH_TEXT | WITHOUT | WITH_VALIDATION
NAMES = list(METHODS)


def methods_for(task):
    """The methods that a task allows: with text, and with a validation split."""
    with_text = task.text_encoder is not None
    with_validation = with_text and task.part is not None and (task.part == "val").any()
    return (WITH_TEXT if with_text else {}) | WITHOUT | (WITH_VALIDATION if with_validation else {})
