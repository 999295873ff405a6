"""scikit-learn's own checks over every configuration without text."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from sksemobridge import FewShotClassifier, SemanticBridge, SeMoBridgeClassifier

CONFIGURATIONS = [
    FewShotClassifier(),
    FewShotClassifier(priors="shots", store_held_out=True),
    SeMoBridgeClassifier(),
    SeMoBridgeClassifier(beta=7.0, gamma=3.0, lambda2=0.9, lambda3=0.1, temperature=None),
    SeMoBridgeClassifier(solver="lbfgs", max_iter=2, priors="shots"),
    SeMoBridgeClassifier(solver="adamw", max_iter=10),
    SemanticBridge(),
    SemanticBridge(normalize=False),
]


@pytest.mark.filterwarnings("ignore:The bridge did not converge")
@pytest.mark.filterwarnings("ignore:There are names of classes but no text_encoder")
@pytest.mark.filterwarnings("ignore:The rows of X have lengths")
@parametrize_with_checks(CONFIGURATIONS)
def test_scikit_learn_checks(estimator, check):
    check(estimator)
