"""Shots that arrive over time, and label sets that change."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sksemobridge import SeMoBridgeClassifier

from .conftest import World

TEMPLATE = "a photo of a {}."
BLENDS = ["auto", "paper"]


def classifier_of(world, **params):
    return SeMoBridgeClassifier(world.text_encoder(), prompts=TEMPLATE, **params)


def assert_equal_models(a, b, queries, rtol=1e-6):
    np.testing.assert_array_equal(a.classes_, b.classes_)
    for name in ("prototypes_", "image_means_", "bridge_"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=rtol, atol=1e-9)
    assert a.blend_ == pytest.approx(b.blend_, rel=rtol)
    np.testing.assert_allclose(
        a.decision_function(queries), b.decision_function(queries), rtol=rtol, atol=1e-6
    )


@pytest.mark.parametrize("blend", BLENDS)
@pytest.mark.parametrize("bias", [False, True])
def test_a_class_that_comes_later(make_world, blend, bias):
    world = make_world(bias=bias)
    X, y = world.draw(4)
    late = np.isin(y, ["dog", "bird"])
    grown = classifier_of(world, blend=blend).partial_fit(X[~late], y[~late])
    assert grown.classes_.tolist() == ["cat", "fire truck", "hot dog"]
    grown.partial_fit(X[late], y[late])
    assert_equal_models(grown, classifier_of(world, blend=blend).fit(X, y), X)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 1000),
    st.sampled_from(BLENDS),
    st.booleans(),
    st.lists(st.integers(0, 3), min_size=25, max_size=25),
    st.booleans(),
)
def test_any_split_gives_the_model_of_all_shots(seed, blend, with_text, part, with_groups):
    world = World(seed=seed)
    rng = np.random.default_rng(seed)
    X, y = world.draw(rng.integers(1, 6, 5))
    codes = np.unique(y, return_inverse=True)[1]
    labels = y if with_text else codes
    make = (
        (lambda: classifier_of(world, blend=blend))
        if with_text
        else (lambda: SeMoBridgeClassifier(blend=blend))
    )
    part = np.array(part[: len(X)])
    weight = rng.integers(0, 4, len(X)).astype(float)
    weight[0] = 1
    groups = rng.integers(0, 8, len(X)) if with_groups else None
    grown = make()
    for k in np.unique(part):
        rows = part == k
        if weight[rows].any():
            of_part = None if groups is None else groups[rows]
            grown.partial_fit(X[rows], labels[rows], sample_weight=weight[rows], groups=of_part)
    whole = make().fit(X, labels, sample_weight=weight, groups=groups)
    assert_equal_models(grown, whole, X)


def test_weights_of_several_calls_share_one_scale(world):
    X, y = world.draw(4)
    half = np.arange(len(X)) < 10
    grown = classifier_of(world).partial_fit(X[half], y[half], sample_weight=np.full(10, 5.0))
    grown.partial_fit(X[~half], y[~half])
    assert_equal_models(grown, classifier_of(world).fit(X, y, sample_weight=np.where(half, 5.0, 1.0)), X)


def test_with_the_papers_blend_memory_does_not_grow_with_the_shots(world):
    X, y = world.draw(400)
    classifier = classifier_of(world, blend="paper").partial_fit(X[:100], y[:100])
    before = len(pickle.dumps(classifier))
    for start in range(100, len(X), 100):
        classifier.partial_fit(X[start : start + 100], y[start : start + 100])
    assert len(pickle.dumps(classifier)) <= 1.01 * before


def test_fit_starts_anew(world):
    X, y = world.draw(4)
    classifier = classifier_of(world).fit(X, y)
    one = y == "cat"
    classifier.fit(X[one], y[one])
    assert classifier.classes_.tolist() == ["cat"]


def test_classes_told_of_without_shots_are_scored_by_their_names(world):
    X, y = world.draw(6)
    queries, truth = world.draw(40)
    shown = ~np.isin(y, ["dog", "bird"])
    for blend in BLENDS:
        classifier = classifier_of(world, blend=blend).partial_fit(X[shown], y[shown], classes=world.names)
        assert classifier.classes_.tolist() == world.names
        affinities = classifier.affinities(queries)
        missing = np.isin(world.names, ["dog", "bird"])
        assert np.isfinite(affinities.pop("z1")).all()
        for z in affinities.values():
            # The paper's affinities are those of shots, those of the estimated blend are what is summed.
            assert (np.isnan(z) == (missing if blend == "paper" else False)).all()
        assert np.isfinite(classifier.predict_proba(queries)).all()
        predicted = classifier.predict(queries)
        for name in ("dog", "bird"):
            assert (predicted == name)[truth == name].mean() > 0.5
        # Once shots come, they are as good as any other's.
        classifier.partial_fit(X[~shown], y[~shown])
        assert_equal_models(classifier, classifier_of(world, blend=blend).fit(X, y), queries)


@pytest.mark.parametrize("blend", BLENDS)
def test_with_classes_by_name_equals_classes_told_of(world, blend):
    X, y = world.draw(6)
    shown = ~np.isin(y, ["dog", "bird"])
    fitted = classifier_of(world, blend=blend).fit(X[shown], y[shown])
    told = classifier_of(world, blend=blend).partial_fit(X[shown], y[shown], classes=world.names)
    superset = fitted.with_classes(world.names[::-1])
    assert_equal_models(superset, told, X)
    assert fitted.classes_.tolist() == ["cat", "fire truck", "hot dog"]
    # What was learnt before is still there to be added to.
    superset.partial_fit(X[~shown], y[~shown])
    assert_equal_models(superset, classifier_of(world, blend=blend).fit(X, y), X)


@pytest.mark.parametrize("blend", BLENDS)
@pytest.mark.parametrize("solver", ["closed_form", "lbfgs"])
def test_a_subset_keeps_bridge_and_blend(world, blend, solver):
    X, y = world.draw(4)
    whole = classifier_of(world, blend=blend, solver=solver).fit(X, y)
    part = whole.with_classes(["dog", "cat"])
    assert part.classes_.tolist() == ["cat", "dog"]
    assert part.blend_ == whole.blend_
    np.testing.assert_array_equal(part.bridge_, whole.bridge_)
    columns = np.searchsorted(whole.classes_, part.classes_)
    for name, z in part.affinities(X).items():
        np.testing.assert_allclose(z, whole.affinities(X)[name][:, columns], rtol=1e-12)
    if blend == "auto":
        both = whole.decision_function(X)[:, columns]
        np.testing.assert_allclose(part.decision_function(X), both[:, 1] - both[:, 0], rtol=1e-9)
    back = pickle.loads(pickle.dumps(part))
    np.testing.assert_array_equal(back.predict(X), part.predict(X))


def test_one_class_of_a_subset(world):
    X, y = world.draw(4)
    part = classifier_of(world).fit(X, y).with_classes(["cat"])
    assert (part.predict_proba(X) == 1).all()


def test_names_given_as_a_sequence_survive_a_change_of_classes(world):
    X, y = world.draw(3)
    codes = np.unique(y, return_inverse=True)[1]
    whole = classifier_of(world, class_names=world.names).fit(X, codes)
    part = whole.with_classes([0, 3])
    np.testing.assert_array_equal(part.text_embeddings_, whole.text_embeddings_[[0, 3]])
    with pytest.raises(ValueError, match="no name for 7"):
        whole.with_classes([0, 7])


def test_what_is_known_of_a_class_decides_whether_it_can_be_added(world):
    X, y = world.draw(3)
    codes = np.unique(y, return_inverse=True)[1]
    without_text = SeMoBridgeClassifier().fit(X, codes)
    assert without_text.with_classes([0, 1]).classes_.tolist() == [0, 1]
    with pytest.raises(ValueError, match=r"no shots of the classes \[9\]"):
        without_text.with_classes([0, 9])
    with pytest.raises(ValueError, match=r"no shots of the classes \[9\]"):
        SeMoBridgeClassifier().partial_fit(X, codes, classes=[9])
    with pytest.raises(ValueError, match="has shots. Use ZeroShotClassifier"):
        classifier_of(world).fit(X[y != "cat"], y[y != "cat"]).with_classes(["cat"])
    with pytest.raises(ValueError, match="mix text and numbers"):
        classifier_of(world).fit(X, y).partial_fit(X, codes)
    with pytest.raises(ValueError, match="not among"):
        classifier_of(world).fit(X, y).with_classes(["cat", "unicorn"])


def test_failed_calls_leave_the_estimator_as_it_was(world):
    X, y = world.draw(3)
    classifier = classifier_of(world).fit(X, y)
    before = pickle.dumps(classifier)
    broken = X.copy()
    broken[0, 0] = np.nan
    for call in (classifier.fit, classifier.partial_fit):
        with pytest.raises(ValueError, match="NaN"):
            call(broken, y)
        with pytest.raises(ValueError, match="not among"):
            call(X, np.full(len(X), "unicorn"))
        assert pickle.dumps(classifier) == before


@pytest.mark.parametrize("blend", BLENDS)
def test_no_class_is_drowned_by_the_count_of_another(make_world, blend):
    world = make_world()
    X, y = world.draw([1000, 1, 2, 3, 1])
    queries, truth = world.draw(60)
    classifier = classifier_of(world, blend=blend).fit(X, y)
    predicted = classifier.predict(queries)
    recall = [np.mean(predicted[truth == name] == name) for name in world.names]
    assert min(recall) > 0.6


def test_trained_solvers_continue_from_the_fitted_bridge(world):
    X, y = world.draw(4)
    half = np.arange(len(X)) < 12
    classifier = classifier_of(world, solver="lbfgs", blend="paper").fit(X[half], y[half])
    n_first = classifier.n_iter_
    classifier.partial_fit(X[half], y[half])
    assert classifier.n_iter_ < n_first
    classifier.partial_fit(X[~half], y[~half])
    assert classifier.class_bias_.shape == (5, world.projection.shape[0])
    whole = classifier_of(world, solver="lbfgs", blend="paper").fit(X, y)
    assert classifier.loss_curve_[-1] == pytest.approx(whole.loss_curve_[-1], rel=0.05)


def test_training_starts_anew_where_the_bridge_comes_from_elsewhere(world):
    X, y = world.draw(4)
    half = np.arange(len(X)) < 12
    words = [f"a photo of a {name}." for name in world.names]
    grown = classifier_of(world, solver="lbfgs").fit(X[half], y[half])
    grown.set_params(vocabulary=words).partial_fit(X[~half], y[~half])
    whole = classifier_of(world, solver="lbfgs", vocabulary=words).fit(X, y)
    np.testing.assert_allclose(grown.decision_function(X), whole.decision_function(X), rtol=1e-6)


def test_changing_the_blend_between_calls_loses_no_shots(world):
    X, y = world.draw(4)
    half = np.arange(len(X)) < 12
    classifier = classifier_of(world).fit(X[half], y[half])
    classifier.set_params(blend="paper").partial_fit(X[~half], y[~half])
    np.testing.assert_allclose(
        classifier.image_means_, classifier_of(world, blend="paper").fit(X, y).image_means_, rtol=1e-9
    )
    only_sums = classifier_of(world, blend="paper").fit(X[half], y[half])
    with pytest.raises(ValueError, match="only sums of the earlier shots"):
        only_sums.set_params(blend="auto").partial_fit(X[~half], y[~half])


def test_groups_of_classes_that_left_do_not_come_back():
    rng = np.random.default_rng(0)
    A, N = rng.normal(size=(4, 8)), rng.normal(size=(3, 8))
    part = SeMoBridgeClassifier().fit(A, [0, 0, 1, 1], groups=["a0", "a1", "b0", "b1"]).with_classes([0])
    part.partial_fit(N, [2, 2, 2], groups=["x", "b1", "b0"])
    whole = SeMoBridgeClassifier().fit(
        np.vstack([A[:2], N]), [0, 0, 2, 2, 2], groups=["a0", "a1", "x", "b1", "b0"]
    )
    assert part.blend_ == pytest.approx(whole.blend_)


def test_known_names_need_no_text_encoder(world):
    X, y = world.draw(3)
    shown = y != "cat"
    classifier = classifier_of(world).partial_fit(X[shown], y[shown], classes=world.names)
    expected = classifier.predict_proba(X)
    classifier.set_params(text_encoder=None)
    np.testing.assert_allclose(classifier.with_classes(world.names).predict_proba(X), expected)
    codes = np.searchsorted(world.names, y)
    without_text = SeMoBridgeClassifier().fit(X, codes).set_params(text_encoder=world.text_encoder())
    with pytest.raises(ValueError, match=r"no shots of the classes \[9\]"):
        without_text.with_classes([0, 9])


@pytest.mark.parametrize(
    "classes", [None, "cat", 3, [], ["cat", None], ["cat", 1], ["cat", np.nan], [0, None]]
)
def test_bad_classes_are_refused(world, classes):
    X, y = world.draw(2)
    with pytest.raises(ValueError, match="classes|mix"):
        classifier_of(world).fit(X, y).with_classes(classes)


def test_sums_of_earlier_shots_are_not_added_to_those_of_another_bridge(world, make_world):
    X, y = world.draw(3)
    classifier = SeMoBridgeClassifier(world.text_encoder(), prompts=TEMPLATE, blend="paper").fit(X, y)
    before = classifier.predict_proba(X)
    classifier.set_params(text_encoder=make_world(3).text_encoder())
    with pytest.raises(ValueError, match="text_encoder or atol has changed"):
        classifier.partial_fit(X, y)
    np.testing.assert_array_equal(classifier.predict_proba(X), before)
