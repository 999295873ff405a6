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


def with_values(values, seed=0):
    """A projection with these singular values."""
    rng = np.random.default_rng(seed)
    left, right = (np.linalg.qr(rng.normal(size=(len(values), len(values))))[0] for _ in range(2))
    return left * values @ right


@pytest.mark.parametrize(("kept", "atol"), [(4, 0.7), (5, 0.3), (10, 0.3), (19, 0.3), (20, 0.7)])
def test_auto_is_the_cutoff_of_the_paper_where_it_keeps_some_and_not_all(kept, atol):
    """Of 20 directions."""
    values = np.repeat([0.5, 0.1], [kept, 20 - kept])
    bridge = Bridge.closed_form(with_values(values))
    assert bridge.atol == pytest.approx(atol if atol == 0.3 else 0.7 * np.median(values))
    assert bridge.basis.shape[1] == (20 if kept == 4 else kept)


def test_a_given_cutoff_is_kept_as_a_number():
    assert Bridge.closed_form(with_values(np.arange(1, 6)), atol=2).atol == 2.0
    assert Bridge.identity(5).atol is None


@pytest.mark.parametrize("shape", [(30, 30), (10, 30)])
def test_auto_keeps_directions_at_any_scale(shape):
    projection = np.random.default_rng(1).normal(size=shape)
    for factor in (1e-3, 0.01, 0.1, 0.3, 1.0, 7.0, 100.0):
        kept = Bridge.closed_form(np.float32(factor) * projection).basis.shape[1]
        assert min(shape) / 4 <= kept <= min(shape)
