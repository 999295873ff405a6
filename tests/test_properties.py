"""Properties that hold for every set of shots."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sksemobridge import SeMoBridgeClassifier
from sksemobridge._method.shots import pool_shots

from .conftest import World

TEMPLATE = "a photo of a {}."


@st.composite
def problems(draw, bias=None):
    world = World(seed=draw(st.integers(0, 1000)), bias=draw(st.booleans() if bias is None else bias))
    X, y = world.draw(draw(st.lists(st.integers(1, 5), min_size=5, max_size=5)))
    classifier = SeMoBridgeClassifier(
        world.text_encoder(), prompts=TEMPLATE, blend=draw(st.sampled_from(["auto", "paper"]))
    )
    return world, classifier, X, y


def assert_same_model(a, b, rtol=1e-6):
    np.testing.assert_array_equal(a.classes_, b.classes_)
    np.testing.assert_allclose(a.prototypes_, b.prototypes_, rtol=rtol, atol=1e-9)
    np.testing.assert_allclose(a.image_means_, b.image_means_, rtol=rtol, atol=1e-9)
    assert a.blend_ == pytest.approx(b.blend_, rel=max(rtol, 1e-4))


@settings(max_examples=25, deadline=None)
@given(problems(), st.integers(0, 100))
def test_order_of_shots(problem, seed):
    _, classifier, X, y = problem
    queries = X[:3] + 0.1
    before = classifier.fit(X, y).predict_proba(queries)
    order = np.random.default_rng(seed).permutation(len(X))
    np.testing.assert_array_equal(classifier.fit(X[order], y[order]).predict_proba(queries), before)


@settings(max_examples=25, deadline=None)
@given(problems())
def test_order_of_classes(problem):
    world, classifier, X, y = problem
    queries = X[:3] + 0.1
    before = classifier.fit(X, y).predict_proba(queries)
    # Labels that sort the other way round, with the same names.
    codes = -np.searchsorted(world.names, y)
    names = {-i: name for i, name in enumerate(world.names)}
    after = classifier.set_params(class_names=names).fit(X, codes).predict_proba(queries)
    np.testing.assert_allclose(after[:, ::-1], before, rtol=1e-4, atol=1e-8)


@settings(max_examples=25, deadline=None)
@given(problems(bias=st.just(False)), st.floats(0.01, 100))
def test_length_of_a_query_without_projection_bias(problem, factor):
    _, classifier, X, y = problem
    classifier.fit(X, y)
    queries = X + 0.1
    np.testing.assert_allclose(
        classifier.decision_function(factor * queries),
        classifier.decision_function(queries),
        rtol=1e-6,
        atol=1e-8,
    )


@settings(max_examples=25, deadline=None)
@given(problems(), st.lists(st.integers(1, 4), min_size=25, max_size=25))
def test_repeated_row_is_a_heavier_row(problem, repeats):
    _, classifier, X, y = problem
    repeats = np.array(repeats[: len(X)])
    weighted = classifier.fit(X, y, sample_weight=repeats).predict_proba(X)
    repeated = classifier.fit(np.repeat(X, repeats, axis=0), np.repeat(y, repeats)).predict_proba(X)
    np.testing.assert_allclose(repeated, weighted, rtol=1e-9)


@settings(max_examples=25, deadline=None)
@given(problems(), st.floats(1e-3, 1e3))
def test_common_factor_of_all_weights(problem, factor):
    _, classifier, X, y = problem
    weight = np.linspace(1, 3, len(X))
    before = classifier.fit(X, y, sample_weight=weight).predict_proba(X)
    after = classifier.fit(X, y, sample_weight=factor * weight).predict_proba(X)
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-8)


@settings(max_examples=25, deadline=None)
@given(problems(), st.integers(0, 100))
def test_names_and_order_of_groups(problem, seed):
    _, classifier, X, y = problem
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 6, len(X))
    before = classifier.fit(X, y, groups=groups).predict_proba(X)
    order = rng.permutation(len(X))
    renamed = np.array(list("fbdcae"))[groups]
    after = classifier.fit(X[order], y[order], groups=renamed[order]).predict_proba(X)
    np.testing.assert_array_equal(after, before)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000))
def test_pooled_shots_do_not_depend_on_how_often_rows_come(seed):
    rng = np.random.default_rng(seed)
    X, codes = rng.integers(0, 3, (12, 2)).astype(float), rng.integers(0, 3, 12)
    X[:6, 0] = rng.normal(size=6)
    repeats = rng.integers(1, 4, 12)
    weighted, _ = pool_shots(X, codes, repeats.astype(float))
    repeated, _ = pool_shots(np.repeat(X, repeats, axis=0), np.repeat(codes, repeats), np.ones(repeats.sum()))
    for name in ("X", "codes", "weight", "group"):
        np.testing.assert_array_equal(getattr(weighted, name), getattr(repeated, name))


def test_copies_that_differ_by_rounding_are_one_shot():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(6, 40)).astype(np.float32)
    codes = np.array([0, 0, 1, 1, 2, 2])
    rounded = X * (1 + 2e-6 * rng.normal(size=X.shape)).astype(np.float32)
    twice, pooled = pool_shots(np.vstack([X, rounded]), np.tile(codes, 2), np.ones(12))
    once, _ = pool_shots(X, codes, np.full(6, 2.0))
    np.testing.assert_array_equal(twice.codes, once.codes)
    np.testing.assert_array_equal(twice.weight, once.weight)
    np.testing.assert_array_equal(pooled[:6], pooled[6:])
    # A chain of small steps is one shot; the same image under two labels is two.
    chain = X[:1] * (1 + 8e-6 * np.arange(5, dtype=np.float32)[:, None])
    assert len(pool_shots(chain, np.zeros(5, dtype=int), np.ones(5))[0].codes) == 1
    assert len(pool_shots(chain[:2], np.arange(2), np.ones(2))[0].codes) == 2


@pytest.mark.parametrize("other", [0.0, 1e200])
def test_whether_rows_are_copies_does_not_depend_on_other_rows(other):
    x = np.random.default_rng(0).normal(size=(1, 512))
    for step, expected in ((5e-6, 1), (5e-5, 2)):
        X = np.vstack([x, x * (1 + step)])
        assert len(pool_shots(X, np.zeros(2, dtype=int), np.ones(2))[0].codes) == expected
        beside, _ = pool_shots(np.vstack([X, other * x]), np.array([0, 0, 1]), np.ones(3))
        assert len(beside.codes) == expected + 1
