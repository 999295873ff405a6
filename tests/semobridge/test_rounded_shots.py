"""Shots that are equal up to rounding train the same bridge."""

from dataclasses import replace

import numpy as np
import pytest

from sksemobridge import SeMoBridgeClassifier
from sksemobridge._semobridge.bridge import Bridge
from sksemobridge._semobridge.rounded_shots import rounded_shots
from sksemobridge._utils.rows import weight_in_class

from .worlds import ClassTexts, bridge_options, draw, make_shots, make_texts, make_training


def some_shots():
    texts = make_texts()
    return make_shots(*draw(texts, 6))


def training_of(shots, **parts):
    share = weight_in_class(shots.codes, shots.weight)
    parts = {"bridge": Bridge.identity(16), "texts": ClassTexts()} | parts
    return make_training(
        bridge_options("lbfgs"), X=shots.X, codes=shots.codes, share=share, **parts
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_other_scales_precisions_and_weights_are_the_same_shots(dtype):
    shots, rng = some_shots(), np.random.default_rng(0)
    order = rng.permutation(6)  # of the shots of a class, as another scale orders them
    rows = (6 * np.arange(5)[:, None] + order).ravel()
    weight = 1 + 1e-9 * rng.normal(size=len(rows))
    other = replace(shots.take(rows), X=(100 * shots.X[rows]).astype(dtype), weight=weight)
    left_out = rng.random(len(rows)) < 0.3
    expected, length = rounded_shots(training_of(shots, left_out=left_out))
    found, other_length = rounded_shots(training_of(other, left_out=left_out[rows]))
    for name in ("X", "codes", "share", "left_out"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert other_length == pytest.approx(100 * length, rel=1e-6)


def test_shots_that_round_alike_are_sorted_by_their_weights():
    shots = some_shots()
    twins = shots.X.copy()
    twins[1] = (1 + 1e-9) * twins[0]
    weight = np.ones(len(twins))
    weight[:2] = 3.0, 1.0
    other = weight.copy()
    other[:2] = 1.0, 3.0
    expected, found = (
        rounded_shots(training_of(replace(shots, X=twins, weight=of_shots)))[0]
        for of_shots in (weight, other)
    )
    for name in ("X", "share"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_relative_lengths_and_directions_stay():
    shots = some_shots()
    longer = replace(shots, X=shots.X * np.linspace(1, 3, len(shots.codes))[:, None])
    rounded, length = rounded_shots(training_of(longer))
    given = longer.X / length
    # Each row has a rounded one, which is its nearest.
    nearest = np.linalg.norm(rounded.X[:, None] - given, axis=2).argmin(axis=1)
    assert np.unique(nearest).size == len(given)
    np.testing.assert_allclose(rounded.X, given[nearest], rtol=1 / 16)
    assert np.average(np.sum(given**2, axis=1), weights=rounded.share) == pytest.approx(1)


def test_where_the_length_of_an_embedding_counts_none_is_changed():
    shots = some_shots()
    bridge = replace(Bridge.identity(16), projection_bias=np.ones(16))
    assert rounded_shots(training_of(shots, bridge=bridge))[1] == 1


@pytest.mark.parametrize("class_names", [None, "ignore"])
def test_trained_probabilities_do_not_depend_on_rounding(world, class_names):
    (X, y), queries = world.draw(8, noise=2.5), world.draw(40, noise=2.5)[0]
    labels = y if class_names is None else world.codes(y)

    def probabilities(scale, dtype=np.float64, **weight):
        classifier = world.classifier(
            SeMoBridgeClassifier, solver="lbfgs", device="cpu", class_names=class_names
        )
        classifier.fit((scale * X).astype(dtype), labels, **weight)
        return classifier.predict_proba((scale * queries).astype(dtype))

    expected, weight = probabilities(1), 1 + 1e-9 * np.random.default_rng(0).normal(size=len(y))
    for found in (
        probabilities(100),
        probabilities(3),
        probabilities(1, np.float32),
        probabilities(1, sample_weight=weight),
    ):
        np.testing.assert_allclose(found, expected, rtol=0, atol=0.02)
