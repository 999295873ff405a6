"""The parameters of the bridge as one record."""

from dataclasses import asdict

import pytest

from sksemobridge import SeMoBridgeClassifier
from sksemobridge._semobridge.bridge_options import BridgeOptions


def test_defaults_are_those_of_the_estimator():
    of_estimator = SeMoBridgeClassifier().get_params()
    assert {name: of_estimator[name] for name in asdict(BridgeOptions())} == asdict(BridgeOptions())


@pytest.mark.parametrize(("solver", "number"), [("adamw", 5000), ("lbfgs", 1000)])
def test_each_solver_has_a_number_of_steps(solver, number):
    """That of AdamW is the paper's."""
    assert BridgeOptions(solver).most_iterations == number
    assert BridgeOptions(solver, max_iter=7).most_iterations == 7
