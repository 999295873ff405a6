"""scikit-learn's own checks over every configuration without text."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from sksemobridge import PaperBlend, SemanticBridge, SeMoBridgeClassifier, Training

CONFIGURATIONS = [
    SeMoBridgeClassifier(),
    SeMoBridgeClassifier(priors="shots", store_held_out=True),
    SeMoBridgeClassifier(
        blend=PaperBlend(5.0, 7.0, 3.0, lambda2=0.9, lambda3=0.1, temperature=None)
    ),
    SeMoBridgeClassifier(blend=PaperBlend(), solver=Training(max_iter=2)),
    SeMoBridgeClassifier(blend=PaperBlend(), solver=Training("adamw", max_iter=10)),
    SemanticBridge(),
    SemanticBridge(normalize=False),
]


@pytest.mark.filterwarnings("ignore:The bridge did not converge")
@pytest.mark.filterwarnings("ignore:There are names of classes but no text_encoder")
@pytest.mark.filterwarnings("ignore:The rows of X have lengths")
@parametrize_with_checks(CONFIGURATIONS)
def test_scikit_learn_checks(estimator, check):
    check(estimator)
