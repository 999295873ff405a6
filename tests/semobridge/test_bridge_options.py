"""The parameters of the bridge by what they are for."""

from dataclasses import asdict

import pytest

from sksemobridge import SeMoBridgeClassifier
from sksemobridge._semobridge.score import Hyperparameters

from .worlds import bridge_options


def test_options_are_parameters_of_the_estimator():
    params = SeMoBridgeClassifier(lambda2=3.0, lambda_c=0.7, atol=0.2).get_params()
    options = bridge_options(lambda2=3.0, lambda_c=0.7, atol=0.2)
    assert options.given == Hyperparameters(*(params[name] for name in Hyperparameters._fields))
    for name, value in asdict(options.training).items():
        assert params[name] == value
    for name in ("solver", "temperature", "n_candidates", "random_state", "atol"):
        assert params[name] == getattr(options, name)


@pytest.mark.parametrize(("solver", "number"), [("adamw", 5000), ("lbfgs", 1000)])
def test_each_solver_has_a_number_of_steps(solver, number):
    """That of AdamW is the paper's."""
    assert bridge_options(solver).trained_by.max_iter == number
