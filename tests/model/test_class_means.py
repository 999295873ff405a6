"""Class means that lean on names."""

import numpy as np
import pytest
from sklearn.preprocessing import normalize

from sksemobridge._model.class_means import (
    directions,
    effective_numbers,
    fit_class_means,
    fit_slope,
    relative_weight,
)
from sksemobridge._model.shots import Images


def class_means(u, codes, weight=None, texts=None, label_weight=1.0, **params):
    """By default all images count alike."""
    weight = np.ones(len(u)) if weight is None else weight
    every = np.arange(len(u))
    images = Images(u, codes, weight, every, every, relative_weight(codes, weight))
    return fit_class_means(images, texts, label_weight=label_weight, **params)


def small_task(width=12, counts=(4, 2, 1, 3), seed=0):
    """Unit images, classes, weights and texts."""
    rng = np.random.default_rng(seed)
    texts = normalize(rng.normal(size=(len(counts), width)))
    codes = np.repeat(np.arange(len(counts)), counts)
    u = normalize(texts[codes] + rng.normal(size=(len(codes), width)))
    return u, codes, rng.uniform(0.5, 2, len(codes)), texts


def test_the_slope_is_never_negative_and_that_of_few_images_is_mostly_guessed():
    rng = np.random.default_rng(0)
    texts = normalize(rng.normal(size=(3, 12)))
    assert fit_slope(texts, -texts) == 0
    codes = np.arange(3)
    # All images are between the names.
    between = np.tile(normalize(texts.mean(axis=0)[None]), (3, 1))
    for n_copies, least, most in ((1, 0.25, 0.3), (100, 0.0, 0.02)):
        fit = class_means(
            np.tile(between, (n_copies, 1)), np.tile(codes, n_copies), texts=texts, trust=1.0
        )
        assert least < fit.slope < most


def test_the_slope_is_that_of_a_regression_and_texts_that_are_the_same_have_none():
    rng = np.random.default_rng(0)
    texts = rng.normal(size=(5, 8))
    assert fit_slope(texts, 0.3 * texts) == pytest.approx(0.3)
    assert fit_slope(np.tile(texts[:1], (5, 1)) * (1 + 1e-9), texts) == 0
    # A class of weight zero is not looked at.
    means = 0.3 * (texts - texts.mean(axis=0))
    means[0] = 100.0
    assert fit_slope(texts, means, np.array([0.0, 1, 1, 1, 1])) == pytest.approx(0.3)


def test_texts_span_one_direction_less_than_there_are():
    texts = np.random.default_rng(0).normal(size=(5, 12))
    basis = directions(texts)
    np.testing.assert_allclose(basis.T @ basis, np.eye(4), atol=1e-12)
    np.testing.assert_allclose(
        (texts[0] - texts[1]) @ basis @ basis.T, texts[0] - texts[1], atol=1e-12
    )
    assert directions(np.tile(texts[:1], (5, 1))).shape == (12, 0)


def test_a_class_without_an_image_has_the_mean_of_its_others_or_is_at_its_name():
    """If the others have little weight, it is between them."""
    u, codes, weight, texts = small_task()
    classes = class_means(u, codes, weight, texts, trust=0.7)
    for i, found in enumerate(classes.means_without(np.arange(len(u)))):
        others = (codes == codes[i]) & (np.arange(len(u)) != i)
        expected = classes.predicted[codes[i]]
        if others.any():
            mean = np.average(u[others], axis=0, weights=weight[others]) - classes.centre
            n_others = weight[others].sum() / max(weight[codes == codes[i]])
            expected = expected + min(n_others, 1) * (mean - expected)
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_a_class_counts_as_a_number_of_images_at_most_and_the_others_as_they_are():
    codes = np.repeat([0, 1, 2], [1, 4, 12])
    counts, without = effective_numbers(codes, np.ones(17), most=5.0)
    np.testing.assert_allclose(counts, [1, 4, 5])
    np.testing.assert_allclose(without, np.repeat([0, 3, 5 * 11 / 12], [1, 4, 12]))
