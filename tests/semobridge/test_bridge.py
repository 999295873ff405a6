"""Which directions the closed form keeps. What it computes is tested with `SemanticBridge`."""

import numpy as np
import pytest

from sksemobridge._semobridge.bridge import Bridge


@pytest.mark.parametrize("atol", ["auto", 0.0])
def test_no_direction_of_rounding_is_kept(atol):
    rng = np.random.default_rng(0)
    projection = rng.normal(size=(20, 5)) @ rng.normal(size=(5, 20))
    assert Bridge.closed_form(projection, atol=atol).basis.shape[1] <= 5
    with pytest.warns(UserWarning, match=f"atol={atol} cuts off every direction"):
        assert Bridge.closed_form(np.zeros((4, 4)), atol=atol).basis.shape[1] == 0


@pytest.mark.parametrize("shape", [(30, 30), (10, 30)])
def test_the_rank_of_auto_does_not_depend_on_the_scale(shape):
    projection = np.random.default_rng(1).normal(size=shape)
    rank = Bridge.closed_form(projection).basis.shape[1]
    assert rank >= min(shape) / 4
    for factor in (0.01, 0.3, 7.0, 100.0):
        assert Bridge.closed_form(np.float32(factor) * projection).basis.shape[1] == rank
