"""The closed-form bridge and its cutoff."""

import numpy as np
import pytest
from sklearn.preprocessing import normalize

from sksemobridge._paper.bridge import Bridge


@pytest.mark.parametrize("shape", [(20, 20), (12, 20), (20, 12)])
@pytest.mark.parametrize("atol", ["auto", 0.0, 0.5, 1.5])
def test_it_inverts_the_projection_in_the_directions_that_are_kept(shape, atol):
    rng = np.random.default_rng(0)
    projection = rng.normal(size=shape) / np.sqrt(shape[0])
    bridge = Bridge.closed_form(projection, atol=atol)
    u, s, v = np.linalg.svd(projection, full_matrices=False)
    kept = s > (0.7 * np.median(s) if atol == "auto" else atol)
    np.testing.assert_allclose(bridge.matrix, (v[kept].T / s[kept]) @ u[:, kept].T, atol=1e-12)
    # Without a bias it is an orthogonal projector.
    np.testing.assert_allclose(bridge.matrix @ projection, v[kept].T @ v[kept], atol=1e-12)
    np.testing.assert_allclose(bridge.basis @ bridge.basis.T, v[kept].T @ v[kept], atol=1e-12)
    x, means = rng.normal(size=(7, shape[1])), normalize(rng.normal(size=(3, shape[1])))
    np.testing.assert_allclose(bridge.affinity(x, means), bridge.apply(x) @ means.T, atol=1e-12)
    np.testing.assert_allclose(normalize(bridge.apply_unscaled(x)), bridge.apply(x), atol=1e-12)


def test_with_a_bias_it_maps_texts_to_themselves():
    rng = np.random.default_rng(0)
    projection, bias = rng.normal(size=(6, 9)), rng.normal(size=9)
    eos = 3 * normalize(rng.normal(size=(4, 6)))
    texts = eos @ projection + bias
    bridge = Bridge.closed_form(projection, bias, 3.0, atol=0.0)
    np.testing.assert_allclose(bridge.apply(texts), normalize(texts), atol=1e-12)


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
