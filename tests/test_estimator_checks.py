"""scikit-learn's own checks over every configuration, without texts and with them."""

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from sksemobridge import FewShotClassifier, SemanticBridge, SeMoBridgeClassifier
from sksemobridge._texts.prompts import ClassPrompts


class AnyTexts:
    """A text encoder whose embeddings have the width of the images that are learnt from."""

    width = 1
    logit_scale_ = 10.0

    @property
    def projection_(self):
        return np.random.default_rng(0).normal(size=(self.width, self.width))

    def encode(self, texts):
        seeds = [list(text.encode()) for text in texts]
        return np.array([np.random.default_rng(seed).normal(size=self.width) for seed in seeds])

    def transform(self, texts):
        return self.encode(texts) @ self.projection_


class WithTexts:
    """A classifier whose labels all have names. The checks have images of many widths, and labels
    of all kinds.
    """

    def _read(self, X, y, *args, **options):
        rows = super()._read(X, y, *args, **options)
        AnyTexts.width = rows.embeddings.shape[1]
        return rows

    def _describe(self, classes, known_names):
        names = [f"thing {label}" for label in classes]
        return ClassPrompts(names, [[name] for name in names])


class NamedFewShots(WithTexts, FewShotClassifier):
    pass


class NamedBridge(WithTexts, SeMoBridgeClassifier):
    pass


CONFIGURATIONS = [
    FewShotClassifier(),
    FewShotClassifier(priors="shots", store_held_out=True),
    SeMoBridgeClassifier(),
    SeMoBridgeClassifier(beta=7.0, gamma=3.0, lambda2=0.9, lambda3=0.1, temperature=None),
    SeMoBridgeClassifier(solver="lbfgs", max_iter=2, priors="shots"),
    SeMoBridgeClassifier(solver="adamw", max_iter=10),
    SemanticBridge(),
    SemanticBridge(normalize=False),
    NamedFewShots(AnyTexts()),
    NamedBridge(AnyTexts()),
    NamedBridge(AnyTexts(), solver="lbfgs", max_iter=2),
]


# Texts at random say nothing of the images, and mislead a bridge that is not trained.
MISLED = {"check_classifiers_train": "not as accurate"}


def misled(estimator):
    is_closed = isinstance(estimator, NamedBridge) and estimator.solver == "closed_form"
    return MISLED if is_closed else {}


@pytest.mark.filterwarnings("ignore:The bridge did not converge")
@pytest.mark.filterwarnings("ignore:There are names of classes but no text_encoder")
@pytest.mark.filterwarnings("ignore:The rows of X have lengths")
@parametrize_with_checks(CONFIGURATIONS, expected_failed_checks=misled)
def test_scikit_learn_checks(estimator, check):
    check(estimator)
