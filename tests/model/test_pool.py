"""Unlabelled images as distinct images."""

import numpy as np

from sksemobridge._model.pool import (
    sorted_sample,
    weight_in_groups,
    without_copies,
)

from .test_near_copies import copied
from .test_near_copies import images as embeddings_of_images


def test_of_very_many_images_an_even_sample_is_used(monkeypatch):
    monkeypatch.setattr("sksemobridge._model.pool.MOST_SAMPLE_VALUES", 5 * 1200)
    rows = sorted_sample(np.arange(10**5)[:, None], n_classes=5).X[:, 0]
    assert len(rows) == 1200
    assert rows[0] == 0
    assert rows[-1] == 10**5 - 1
    assert np.ptp(np.diff(rows)) <= 1


def test_near_copies_of_images_are_one_image():
    images, codes = embeddings_of_images(10, 5)
    order = np.random.default_rng(0).permutation(10 * len(images))
    found, _ = without_copies(copied(images, 10)[order], np.eye(10)[np.repeat(codes, 10)][order])
    np.testing.assert_array_equal(
        np.sort((found @ images.T).argmax(axis=1)), np.arange(len(images))
    )
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1)


def test_near_copies_within_and_between_bursts_count_as_one_image():
    u, codes = embeddings_of_images(10, 2)
    copies = copied(u, 3)
    image = np.repeat(np.arange(len(u)), 3)
    rows, index = without_copies(copies, np.eye(10)[codes][image])
    assert len(rows) == len(u)
    # Bursts of two images with three copies each, and bursts that share an image.
    np.testing.assert_allclose(weight_in_groups(index, image // 2), 1 / 2)
    np.testing.assert_allclose(weight_in_groups(index, np.arange(len(copies)) % 3), 1 / len(u))
    np.testing.assert_allclose(weight_in_groups(index, np.arange(len(copies))), 1)
    assert weight_in_groups(np.array([0, 1, 1, 2, 3]), np.array([0, 0, 1, 1, 1])).tolist() == [
        1 / 2,
        1 / 2,
        1 / 3,
        1 / 3,
    ]
