"""Classes with few shots beside classes with many."""

from dataclasses import replace

import numpy as np
import pytest

from sksemobridge._semobridge.bridge_fit import bridge_classes
from sksemobridge._semobridge.score import log_score

from .worlds import ClassTexts, bridge_options, draw, make_shots, make_texts

COUNTS = [1, 1, 12, 12, 12]


def world(has_text, counts):
    """Texts, shots of each class, and queries with their classes. Images have a direction in
    common.
    """
    texts = make_texts(width=64, d=64)

    def images(number, seed):
        X, codes = draw(texts, number, noise=0.25, seed=seed)
        return X + 0.5, codes

    return (texts if has_text else ClassTexts()), images(counts, 1), images(100, 2)


def fit(texts, shots, **options):
    return bridge_classes(make_shots(*shots), texts, bridge_options(**options))


def recall(model, queries, labels):
    right = model.decision(None).decide(queries).argmax(axis=1) == labels
    return np.bincount(labels, right) / np.bincount(labels)


@pytest.mark.parametrize("has_text", [True, False])
@pytest.mark.parametrize("solver", ["closed_form", "lbfgs"])
def test_classes_of_one_shot_are_found_beside_classes_of_many(solver, has_text):
    texts, shots, (queries, labels) = world(has_text, COUNTS)
    model = fit(texts, shots, solver=solver, device="cpu")
    before = recall(replace(model, count_factors=None), queries, labels)
    found = recall(model, queries, labels)
    assert found[:2].mean() > before[:2].mean()
    assert found.mean() > before.mean()


@pytest.mark.parametrize("has_text", [True, False])
def test_equal_numbers_of_shots_have_no_factors(has_text):
    texts, shots, _ = world(has_text, [3] * 5)
    assert fit(texts, shots).count_factors is None


@pytest.mark.parametrize("has_text", [True, False])
def test_lengths_of_rows_do_not_change_what_numbers_of_shots_do(has_text):
    texts, (X, codes), (queries, labels) = world(has_text, COUNTS)
    lengths = np.random.default_rng(0).uniform(1, 3, (len(X), 1))
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    expected, longer, mixed = (
        fit(texts, (rows, codes)) for rows in (unit, 10 * unit, lengths * unit)
    )
    for name in ("length", "deviation") if not has_text else ("length",):
        values = getattr(expected.count_factors, name)
        np.testing.assert_allclose(getattr(longer.count_factors, name), values)
        np.testing.assert_allclose(getattr(mixed.count_factors, name), values, rtol=0.05)
    before = recall(expected, queries, labels).mean()
    assert recall(longer, queries, labels).mean() == pytest.approx(before)
    assert recall(mixed, queries, labels).mean() == pytest.approx(before, abs=0.02)


@pytest.mark.parametrize("has_text", [True, False])
def test_factors_are_in_the_score_and_not_in_the_cosines(has_text):
    texts, shots, (queries, _) = world(has_text, COUNTS)
    model = fit(texts, shots)
    plain = replace(model, count_factors=None)
    for name, z in plain.cosines(queries).items():
        np.testing.assert_allclose(model.affinities(queries)[name], z)
    for rows in (model.prototypes, model.image_means):
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1)
    score = log_score(model.cosines(queries), model.hyperparameters, model.divergence)
    score -= score.mean(axis=1, keepdims=True)
    fast = model.decision(None).decide(queries)
    fast -= fast.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(fast, model.temperature * score, atol=1e-9)


def test_a_class_without_shots_has_the_factors_of_the_reference():
    texts, shots, _ = world(True, COUNTS)
    model = fit(texts, shots)
    others = model.for_classes(np.array([4, -1, 0]), texts.embeddings[:3])
    length = model.count_factors.length
    np.testing.assert_allclose(others.count_factors.length, [length[4], 1, length[0]])
    assert length[0] > 1 > length[4]
