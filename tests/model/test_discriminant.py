"""The discriminant, of queries and of images that are held out."""

import numpy as np
import pytest

from sksemobridge._model import discriminant as discriminant_module
from sksemobridge._model.discriminant import WORTH_OF_GUESS, fit_discriminant

from .test_class_means import class_means, small_task


def refit(discriminant, weight, label_weight, left_out=None):
    """Class means and `P` word by word, without an image; their `m`, the slope, `kappa` and the
    ridge are held fixed. If others of the class have little weight, it is near its name.
    """
    classes, precision = discriminant.classes, discriminant.gaussian.precision
    means, scatter = classes.predicted.copy(), 0.0
    for c in range(len(means)):
        rows = (classes.codes == c) & (np.arange(len(classes.u)) != left_out)
        if not rows.any():
            continue
        u, n = classes.u[rows], classes.counts[c]
        if left_out is not None and c == classes.codes[left_out]:
            n = classes.counts_without[left_out]
        mean = np.average(u, axis=0, weights=(weight * label_weight)[rows])
        own, deviation = n / (n + classes.kappa), mean - classes.centre - means[c]
        if left_out is not None and c == classes.codes[left_out]:
            deviation *= 1 - classes.alone[left_out]
        inside = deviation @ classes.span @ classes.span.T
        means[c] += own[0] * inside + own[-1] * (deviation - inside)
        gap = classes.predicted[c] + deviation - means[c]
        of_images = classes.counts[c] * classes.share[rows]  # as they are beside the image
        scatter += (of_images[:, None] * (u - mean)).T @ (u - mean)
        scatter += discriminant.gap_weight[c] * n * np.outer(gap, gap)
    covariance = discriminant.scatter_factor * scatter + precision.ridge * np.diag(
        precision.root**2
    )
    return means, np.linalg.inv(covariance)


def centre_without(classes, weight, i):
    """The mean of the class means without an image. A class without any is at its name, and one of
    little weight is near it.
    """
    means, c = classes.image_means.copy(), classes.codes[i]
    rows = (classes.codes == c) & (np.arange(len(classes.u)) != i)
    means[c] = classes.centre + classes.predicted[c]
    if rows.any():
        others = np.average(classes.u[rows], axis=0, weights=weight[rows])
        means[c] += (1 - classes.alone[i]) * (others - means[c])
    return means.mean(axis=0)


def values(u, discriminant, means, inverse, centre):
    """Classes with fewer images have a wider covariance, with the numbers of images in the fit."""
    classes, gaussian = discriminant.classes, discriminant.gaussian
    z = (u - centre) @ inverse @ means.T - 0.5 * np.einsum("cd,de,ce->c", means, inverse, means)
    of_fit = classes.shrunken_means
    typical = np.mean([0.5 * mu @ gaussian.precision.times(mu[None])[0] for mu in of_fit])
    width = 1 + 1 / (classes.counts + classes.kappa[-1])
    return typical + (z - typical) * width.mean() / width


@pytest.mark.parametrize("trust", [0.0, 0.4, 1.0, None])
@pytest.mark.parametrize("width", [6, 40])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("counts", [(4, 2, 1, 3), (1, 1, 1, 1), (9, 1, 2, 1)])
def test_held_out_values_are_those_of_a_refit_without_the_image(trust, width, weighted, counts):
    """Without trust there is no text. Images that are means of copies are shorter than one."""
    u, codes, weight, texts = small_task(width, counts)
    u[::2] *= 0.9
    label_weight = np.random.default_rng(1).uniform(0.1, 1, len(u))
    weight, label_weight = (weight, label_weight) if weighted else np.ones((2, len(u)))
    classes = class_means(
        u, codes, weight, None if trust is None else texts, label_weight, trust=trust or 0.0
    )
    discriminant = fit_discriminant(classes, trust or 0.0, has_words=False)
    unit = u / np.linalg.norm(u, axis=1, keepdims=True)
    expected = values(
        unit, discriminant, *refit(discriminant, weight, label_weight), classes.centre
    )
    linear = discriminant.gaussian.discriminant(classes.shrunken_means, classes.counts)
    np.testing.assert_allclose(linear(u), expected, rtol=1e-8, atol=1e-8)
    held_out = discriminant.held_out(np.arange(len(u)))
    for i in range(len(u)):
        centre = centre_without(classes, weight * label_weight, i)
        expected = values(u[i], discriminant, *refit(discriminant, weight, label_weight, i), centre)
        np.testing.assert_allclose(held_out[i], expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("width", [20, 60])
def test_held_out_values_of_many_images_are_the_same_in_single_precision(monkeypatch, width):
    u, codes, weight, texts = small_task(width, (9, 1, 2, 12, 3, 4, 5))
    classes = class_means(u, codes, weight, texts, trust=0.7)
    discriminant, rows = fit_discriminant(classes, 0.7, has_words=False), np.arange(len(u))
    expected = discriminant.held_out(rows)
    monkeypatch.setattr(discriminant_module, "MANY_VALUES", 1)
    found = discriminant.held_out(rows)
    assert not np.array_equal(found, expected)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("per_class", [3, 30])
def test_the_covariance_is_shrunk_in_features_that_are_scaled_by_what_is_known_of_them(per_class):
    u, codes, _, _ = small_task(30, (per_class,) * 3)
    classes = class_means(u, codes)
    precision = fit_discriminant(classes, 0.0, has_words=False).gaussian.precision
    degrees = 3.0 * (per_class - 1)  # gaps are of no account without texts
    residuals = (u - classes.image_means[codes]) / np.sqrt(degrees)
    variances = np.square(residuals).sum(axis=0)
    known = degrees / (degrees + WORTH_OF_GUESS)
    root = np.sqrt(known * variances / variances.mean() + 1 - known)
    np.testing.assert_allclose(precision.root, root)
    covariance, kept = (residuals / root).T @ (residuals / root), degrees / (degrees + 30)
    shrunk = kept * covariance + (1 - kept) * np.trace(covariance) / 30 * np.eye(30)
    expected = np.linalg.inv(np.diag(root) @ shrunk @ np.diag(root))
    np.testing.assert_allclose(precision.times(np.eye(30)), expected, rtol=1e-6, atol=1e-8)
