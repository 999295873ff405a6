"""scikit-learn's own checks over every configuration without text."""

import itertools

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from sksemobridge import SemanticBridge, SeMoBridgeClassifier

CONFIGURATIONS = [
    SeMoBridgeClassifier(solver=solver, blend=blend, class_bias=class_bias, max_iter=max_iter)
    for (solver, max_iter), blend, class_bias in itertools.product(
        (("lbfgs", 2), ("adamw", 10)), ("auto", "paper"), (True, False)
    )
] + [
    SeMoBridgeClassifier(),
    SeMoBridgeClassifier(blend="paper"),
    SeMoBridgeClassifier(whiten=False),
    SeMoBridgeClassifier(whiten=True, random_state=0),
    SeMoBridgeClassifier(blend="paper", alpha=5.0, beta=7.0, gamma=3.0, lambda2=0.9, lambda3=0.1),
    SemanticBridge(),
    SemanticBridge(normalize=False),
]


@pytest.mark.filterwarnings("ignore:The bridge did not converge")
@pytest.mark.filterwarnings("ignore:There are names of classes but no text_encoder")
@parametrize_with_checks(CONFIGURATIONS)
def test_scikit_learn_checks(estimator, check):
    check(estimator)
