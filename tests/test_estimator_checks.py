"""scikit-learn's own checks over every configuration without text."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from sksemobridge import SeMoBridgeClassifier

CONFIGURATIONS = [
    SeMoBridgeClassifier(),
    SeMoBridgeClassifier(whiten=False),
    SeMoBridgeClassifier(blend="paper"),
    SeMoBridgeClassifier(solver="lbfgs", max_iter=10),
    SeMoBridgeClassifier(solver="lbfgs", blend="paper", max_iter=10),
    SeMoBridgeClassifier(solver="lbfgs", class_bias=False, blend="paper", max_iter=2),
    SeMoBridgeClassifier(solver="adamw", max_iter=10),
    SeMoBridgeClassifier(solver="adamw", blend="paper", max_iter=10),
    SeMoBridgeClassifier(solver="adamw", class_bias=False, blend="paper", max_iter=10),
    SeMoBridgeClassifier(blend="paper", alpha=5.0, beta=7.0, gamma=3.0, lambda2=0.9, lambda3=0.1),
]


@pytest.mark.filterwarnings("ignore:The bridge did not converge")
@pytest.mark.filterwarnings("ignore:There are names of classes but no text_encoder")
@parametrize_with_checks(CONFIGURATIONS)
def test_scikit_learn_checks(estimator, check):
    check(estimator)
