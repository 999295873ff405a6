"""The parameters of the bridge as one record."""

from dataclasses import asdict

from sksemobridge import SeMoBridgeClassifier
from sksemobridge._semobridge.bridge_options import BridgeOptions


def test_defaults_are_those_of_the_estimator():
    of_estimator = SeMoBridgeClassifier().get_params()
    assert {name: of_estimator[name] for name in asdict(BridgeOptions())} == asdict(BridgeOptions())
