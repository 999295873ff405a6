"""The closed-form bridge and its cutoff."""

import os
from pathlib import Path

import numpy as np
import pytest
from sklearn.preprocessing import normalize

from sksemobridge._paper.bridge import Bridge


@pytest.mark.parametrize("shape", [(20, 20), (12, 20), (20, 12)])
@pytest.mark.parametrize("atol", ["auto", 0.5, 1.5])
def test_without_a_bias_it_is_an_orthogonal_projector(shape, atol):
    rng = np.random.default_rng(0)
    projection = rng.normal(size=shape) / np.sqrt(shape[0])
    bridge = Bridge.closed_form(projection, atol=atol)
    projector = bridge.matrix @ projection
    np.testing.assert_allclose(projector, bridge.basis @ bridge.basis.T, atol=1e-12)
    np.testing.assert_allclose(projector @ projector, projector, atol=1e-12)
    x, means = rng.normal(size=(7, shape[1])), normalize(rng.normal(size=(3, shape[1])))
    np.testing.assert_allclose(bridge.affinity(x, means), bridge.apply(x) @ means.T, atol=1e-12)


def test_nothing_cut_makes_it_the_identity():
    rng = np.random.default_rng(0)
    bridge = Bridge.closed_form(rng.normal(size=(9, 6)), atol=0.0)
    x = rng.normal(size=(5, 6))
    assert bridge.basis.shape[1] == 6
    np.testing.assert_allclose(bridge.apply(x), normalize(x), atol=1e-12)


def test_with_a_bias_it_maps_texts_to_themselves():
    rng = np.random.default_rng(0)
    projection, bias = rng.normal(size=(6, 9)), rng.normal(size=9)
    eos = rng.normal(size=(4, 6))
    eos *= 3 / np.linalg.norm(eos, axis=1, keepdims=True)
    texts = eos @ projection + bias
    bridge = Bridge.closed_form(projection, bias, 3.0, atol=0.0)
    np.testing.assert_allclose(bridge.apply(texts), normalize(texts), atol=1e-12)


@pytest.mark.parametrize("factor", [0.01, 0.3, 1.0, 7.0, 100.0])
@pytest.mark.parametrize("shape", [(30, 30), (10, 30)])
def test_the_rank_of_auto_does_not_depend_on_the_scale(shape, factor):
    rng = np.random.default_rng(1)
    projection = rng.normal(size=shape)
    basis = Bridge.closed_form(projection).basis
    scaled = Bridge.closed_form(factor * projection).basis
    assert scaled.shape == basis.shape
    assert basis.shape[1] >= min(shape) / 4


def test_auto_drops_directions_that_are_only_rounding():
    rng = np.random.default_rng(2)
    low_rank = rng.normal(size=(20, 5)) @ rng.normal(size=(5, 20))
    assert Bridge.closed_form(low_rank).basis.shape[1] <= 5
    assert Bridge.closed_form(np.zeros((4, 4))).basis.shape[1] == 0


@pytest.mark.parametrize("shape", [(20, 20), (12, 20), (20, 12)])
def test_the_inverse_is_that_of_the_directions_that_are_kept(shape):
    projection = np.random.default_rng(0).normal(size=shape) / np.sqrt(shape[0])
    atol = float(np.median(np.linalg.svd(projection, compute_uv=False)))
    bridge = Bridge.closed_form(projection, atol=atol)
    u, s, v = np.linalg.svd(projection, full_matrices=False)
    kept = s > atol
    inverse = (v[kept].T / s[kept]) @ u[:, kept].T
    np.testing.assert_allclose(bridge.matrix, inverse, atol=1e-12)
    np.testing.assert_allclose(bridge.basis @ bridge.basis.T, v[kept].T @ v[kept], atol=1e-12)


@pytest.mark.skipif("SKSEMOBRIDGE_REAL_CLIP" not in os.environ, reason="SKSEMOBRIDGE_REAL_CLIP is not set")
@pytest.mark.parametrize(
    ("file", "key"),
    [
        ("vit_b16_text_projection.npz", "text_projection"),
        ("vit_l14_projections.npz", "text_projection"),
        ("vit_l14_projections.npz", "image_projection"),
    ],
)
def test_auto_on_real_projections(file, key):
    projection = np.load(Path(os.environ["SKSEMOBRIDGE_REAL_CLIP"]) / file)[key]
    rank = Bridge.closed_form(projection).basis.shape[1]
    assert rank >= min(projection.shape) / 4
    for factor in (0.01, 0.1, 10.0, 100.0):
        assert Bridge.closed_form(np.float32(factor) * projection).basis.shape[1] == rank


def test_a_cutoff_of_zero_keeps_no_direction_of_rounding():
    rng = np.random.default_rng(0)
    projection = rng.normal(size=(8, 3)) @ rng.normal(size=(3, 6))
    bridge = Bridge.closed_form(projection, atol=0.0)
    assert bridge.basis.shape == (6, 3)
    np.testing.assert_allclose(bridge.matrix, np.linalg.pinv(projection), atol=1e-10)
