"""Embeddings that are equal up to rounding."""

import numpy as np
import pytest

from sksemobridge._utils.array_api import l2_normalize
from sksemobridge._utils.equal_rows import are_among


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
