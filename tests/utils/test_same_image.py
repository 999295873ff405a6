"""Embeddings that are one image."""

import numpy as np
import pytest

from sksemobridge._utils.array_api import l2_normalize
from sksemobridge._utils.same_image import are_among, distinct_rows


@pytest.mark.parametrize("n_alike", [1, 100])
def test_an_image_is_among_others_only_if_it_is_one_up_to_rounding(n_alike):
    """Also where many of these nearly agree."""
    rng = np.random.default_rng(0)
    others = np.repeat(l2_normalize(rng.normal(size=(20, 16))), n_alike, axis=0)
    others[1:] = l2_normalize(others[1:] + 1e-6 * rng.normal(size=others[1:].shape))
    u = np.vstack([others + size * rng.normal(size=others.shape) for size in (1.5e-6, 1e-4)])
    u = l2_normalize(u)
    expected = np.arange(len(u)) < len(others)
    np.testing.assert_array_equal(are_among(u, others), expected)
    single = u.astype(np.float32), others.astype(np.float32)
    np.testing.assert_array_equal(are_among(*single), expected)


@pytest.mark.parametrize("n_values", [2, 3, 1000])
def test_equal_images_become_one_in_an_order_of_their_content(n_values):
    """Also where images agree in the first numbers."""
    X = np.random.default_rng(0).integers(0, n_values, size=(200, 6)).astype(np.float32)
    X = np.vstack([X, X[::3]])
    expected = np.unique(X, axis=0, return_inverse=True)
    for found, wanted in zip(distinct_rows(X), expected):
        np.testing.assert_array_equal(found, wanted)
