"""Shots that come later, other classes, and held-out probabilities."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.metrics import log_loss

from sksemobridge import FewShotClassifier, SeMoBridgeClassifier

from .made_up import World, every_model

LATE = ["bird", "dog"]


def assert_equal_models(a, b, queries, rtol=1e-6):
    np.testing.assert_array_equal(a.classes_, b.classes_)
    if isinstance(a, FewShotClassifier):
        assert a.blend_ == pytest.approx(b.blend_, rel=rtol)
    for name, z in b.affinities(queries).items():
        np.testing.assert_allclose(a.affinities(queries)[name], z, rtol=rtol, atol=1e-6)
    expected = b.decision_function(queries)
    np.testing.assert_allclose(a.decision_function(queries), expected, rtol=rtol, atol=1e-6)


# Shots that come later


@pytest.mark.filterwarnings("ignore:The rows of X have lengths")
@pytest.mark.filterwarnings("ignore:sample_weight is the same for all shots of a class")
@given(
    st.integers(0, 1000),
    st.sampled_from(
        [
            (FewShotClassifier, {}),
            (SeMoBridgeClassifier, {}),
            (FewShotClassifier, {"label_noise": 0}),
        ]
    ),
    st.booleans(),
    st.lists(st.integers(0, 3), min_size=25, max_size=25),
    st.booleans(),
)
def test_any_split_gives_the_model_of_all_shots(seed, model, with_text, part, with_groups):
    world, rng = World(seed=seed), np.random.default_rng(seed)
    X, y = world.draw(rng.integers(1, 6, 5))
    labels = y if with_text else world.codes(y)
    kind, params = model
    grown = world.classifier(kind, **params) if with_text else kind(**params)
    part, weight = np.array(part[: len(X)]), rng.integers(0, 4, len(X)).astype(float)
    weight[0] = 1
    groups = rng.integers(0, 8, len(X)) if with_groups else None
    whole = clone(grown).fit(X, labels, sample_weight=weight, groups=groups)
    for k in np.unique(part):
        rows = part == k
        if weight[rows].any():
            part_groups = None if groups is None else groups[rows]
            grown.partial_fit(X[rows], labels[rows], sample_weight=weight[rows], groups=part_groups)
    assert_equal_models(grown, whole, X)


# Other classes


def test_classes_without_shots_are_known_by_their_names(world, kind):
    """Five shots of three classes beside two names count wholly."""
    (X, y), (queries, truth) = world.draw(5), world.draw(40)
    seen = ~np.isin(y, LATE)
    named = world.classifier(kind).partial_fit(X[seen], y[seen], classes=world.names)
    assert named.classes_.tolist() == world.names
    assert np.isfinite(named.predict_proba(queries)).all()
    for name in LATE:
        assert (named.predict(queries) == name)[truth == name].mean() > 0.5
    fitted = world.classifier(kind).fit(X[seen], y[seen])
    later = fitted.with_classes(world.names[::-1])
    assert_equal_models(later, named, queries)
    assert fitted.classes_.tolist() == ["cat", "fire truck", "hot dog"]
    # Once shots come, they are as good as any other's.
    whole = world.classifier(kind).fit(X, y)
    for grown in (named, later):
        assert_equal_models(grown.partial_fit(X[~seen], y[~seen]), whole, queries)


def test_beside_classes_with_only_a_name_images_count_less(world):
    X, y = world.draw(3)
    seen = ~np.isin(y, LATE)
    fitted = world.classifier(FewShotClassifier).fit(X[seen], y[seen])
    more = fitted.with_classes(world.names)
    assert more.blend_["shots"] < fitted.blend_["shots"]
    fewer = more.with_classes(fitted.classes_)
    assert fewer.blend_ == pytest.approx(fitted.blend_)


def test_a_class_that_has_only_a_name_stays_one_in_later_classes(world):
    """Its p-values are those of names, after one change of the classes or two."""
    (X, y), (queries, _) = world.draw(6), world.draw(40)
    seen = ~np.isin(y, LATE)
    fitted = world.classifier(FewShotClassifier).fit(X[seen], y[seen])
    some = ["cat", *LATE]
    np.testing.assert_array_equal(
        fitted.with_classes(world.names).with_classes(some).p_values(queries),
        fitted.with_classes(some).p_values(queries),
    )


@every_model
def test_a_subset_keeps_the_columns(world, params):
    X, y = world.draw(4)
    whole = world.classifier(**params).fit(X, y)
    part = whole.with_classes(["dog", "cat"])
    assert part.classes_.tolist() == ["cat", "dog"]
    if isinstance(part, FewShotClassifier):
        assert part.blend_ == whole.blend_
    columns = np.searchsorted(whole.classes_, part.classes_)
    for name, z in part.affinities(X).items():
        np.testing.assert_allclose(z, whole.affinities(X)[name][:, columns], rtol=1e-12)
    if not params:
        both = whole.decision_function(X)[:, columns]
        np.testing.assert_allclose(part.decision_function(X), both[:, 1] - both[:, 0], rtol=1e-9)
    assert (whole.with_classes(["cat"]).predict_proba(X) == 1).all()


def test_what_is_known_of_a_class_decides_whether_it_can_be_added(world):
    X, y = world.draw(3)
    codes, seen = world.codes(y), y != "cat"
    without_text = FewShotClassifier().fit(X, codes)
    assert without_text.with_classes([0, 1]).classes_.tolist() == [0, 1]
    for add in (
        without_text.with_classes,
        clone(without_text)
        .fit(X, codes)
        .set_params(text_encoder=world.text_encoder())
        .with_classes,
        lambda classes: FewShotClassifier().partial_fit(X, codes, classes=classes),
    ):
        with pytest.raises(ValueError, match=r"no shots of the classes \[9\]"):
            add([0, 9])
    for call, message in (
        (
            lambda: world.classifier().fit(X[seen], y[seen]).with_classes(["cat"]),
            "has shots. Use Zero",
        ),
        (lambda: world.classifier().fit(X, y).partial_fit(X, codes), "The labels mix kinds"),
        (lambda: world.classifier().fit(X, y).with_classes(["cat", "unicorn"]), "not among"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    # Known names need no text encoder.
    named = world.classifier().partial_fit(X[seen], y[seen], classes=world.names)
    expected = named.predict_proba(X)
    again = named.set_params(text_encoder=None).with_classes(world.names)
    np.testing.assert_allclose(again.predict_proba(X), expected)


def test_the_first_class_may_have_no_text_when_others_are_added(world):
    X, y = world.draw(4)
    seen, whole = y != "dog", world.classifier().fit(X, y)
    fitted = world.classifier(class_names=dict(zip(world.names, world.names)) | {"bird": None})
    added = fitted.fit(X[seen], y[seen]).with_classes(world.names)
    np.testing.assert_allclose(added.text_embeddings_[1:], whole.text_embeddings_[1:])
    assert added.class_names_.tolist() == [None, *world.names[1:]]


def test_new_names_of_another_text_encoder_are_refused(world, make_world):
    X, y = world.draw(4)
    seen = y != "cat"
    classifier = world.classifier().fit(X[seen], y[seen])
    for other in (make_world(seed=1), make_world(width=20)):
        classifier.set_params(text_encoder=other.text_encoder())
        with pytest.raises(ValueError, match="text_encoder has changed: it embeds 'a photo of"):
            classifier.with_classes(world.names)
        classifier.with_classes(["dog", "bird"])


@pytest.mark.parametrize("classes", [None, "cat", 3, [], ["cat", 1]])
def test_bad_classes_are_refused(world, classes):
    with pytest.raises(ValueError, match="classes|mix"):
        world.classifier().fit(*world.draw(2)).with_classes(classes)


def test_groups_of_classes_that_left_do_not_come_back():
    rng = np.random.default_rng(0)
    A, N = rng.normal(size=(4, 8)), rng.normal(size=(3, 8))
    part = (
        FewShotClassifier().fit(A, [0, 0, 1, 1], groups=["a0", "a1", "b0", "b1"]).with_classes([0])
    )
    part.partial_fit(N, [2, 2, 2], groups=["x", "b1", "b0"])
    X, groups = np.vstack([A[:2], N]), ["a0", "a1", "x", "b1", "b0"]
    assert part.blend_ == pytest.approx(
        FewShotClassifier().fit(X, [0, 0, 2, 2, 2], groups=groups).blend_
    )


# Held-out probabilities


def test_held_out_probabilities_are_about_those_of_fits_without_the_shot(world):
    X, y = world.draw(6, noise=2.0)
    classifier, rows = world.classifier(store_held_out=True), np.arange(len(y))
    held_out = classifier.fit(X, y).held_out_proba_
    without = np.vstack(
        [classifier.fit(X[rows != i], y[rows != i]).predict_proba(X[[i]]) for i in rows]
    )
    fitted = classifier.fit(X, y).predict_proba(X)
    loss, expected, too_low = (log_loss(y, p) for p in (held_out, without, fitted))
    assert too_low < 0.9 * expected
    assert loss == pytest.approx(expected, rel=0.2)
    assert (held_out.argmax(axis=1) == without.argmax(axis=1)).mean() > 0.85


def test_pooled_copies_share_values_and_shots_that_were_not_held_out_are_nan(world):
    X, y = world.draw(3)
    X, y = np.vstack([X, X[:2]]), np.concatenate([y, y[:2]])
    weight = np.ones(len(y))
    weight[4] = 0
    held_out = world.classifier(store_held_out=True).fit(X, y, sample_weight=weight).held_out_proba_
    np.testing.assert_array_equal(held_out[-2:], held_out[:2])
    np.testing.assert_array_equal(np.isnan(held_out).all(axis=1), weight == 0)
    # Without text, the only shot of a class is not held out.
    X, y = world.draw([1, 3, 3, 3, 3])
    classifier = FewShotClassifier(class_names="ignore", store_held_out=True).fit(X, y)
    np.testing.assert_array_equal(np.isnan(classifier.held_out_proba_).all(axis=1), y == "bird")


def test_after_partial_fit_all_rows_have_values_in_their_order(world):
    (X, y), (more, y_more) = world.draw(2), world.draw(2)
    weight = np.ones(len(y_more))
    weight[0] = 0
    grown = (
        world.classifier(label_noise=0)
        .fit(X, y)
        .set_params(label_noise="auto", store_held_out=True)
    )
    grown.partial_fit(more, y_more, sample_weight=weight)
    shots = np.vstack([X, more]), np.concatenate([y, y_more])
    weights = np.concatenate([np.ones(len(y)), weight])
    at_once = world.classifier(store_held_out=True, priors=None).fit(*shots, sample_weight=weights)
    np.testing.assert_allclose(grown.held_out_proba_, at_once.held_out_proba_, atol=1e-6)
    np.testing.assert_allclose(grown.label_proba_, at_once.label_proba_, atol=1e-6)


def test_only_store_held_out_stores_them(world):
    X, y = world.draw(3)
    classifier = world.classifier(store_held_out=True).fit(X, y)
    assert not hasattr(classifier.with_classes(["cat", "dog"]), "held_out_proba_")
    assert not hasattr(classifier.set_params(store_held_out=False).fit(X, y), "held_out_proba_")
    seen = y != "cat"
    with_name = world.classifier(store_held_out=True).partial_fit(
        X[seen], y[seen], classes=world.names
    )
    np.testing.assert_array_equal(with_name.held_out_proba_[:, 1], 0)


def test_a_class_without_text_beside_classes_that_have_only_a_name(world):
    (X, y), (queries, truth) = world.draw([4, 4, 4, 0, 0]), world.draw(20)
    strangers = -world.draw([1, 1, 1, 1, 1])[0]
    names = {name: name for name in world.names} | {"none of these": None}
    classifier = world.classifier(class_names=names).partial_fit(
        np.vstack([X, strangers]), [*y, *["none of these"] * 5], classes=list(names)
    )
    assert classifier.score(queries, truth) > 0.8
    assert (classifier.predict(-queries) == "none of these").mean() > 0.8
    taught = classifier.with_unlabeled(np.vstack([queries, -queries]))
    assert taught.score(queries, truth) > 0.8
    assert (taught.predict(-queries) == "none of these").mean() > 0.8


@pytest.mark.filterwarnings("ignore:The embeddings look as if each column had been centred")
def test_shots_of_classes_without_text_say_nothing_against_the_names_of_others(make_world):
    """They alone have shots, and are found too, though names without shots lie further out."""
    right = []
    for seed in range(12):
        world = make_world(seed=seed)
        (X, y), (queries, truth) = world.draw([4, 4, 0, 0, 0]), world.draw(20)
        nameless = world.names[:2]
        names = {name: name for name in world.names} | dict.fromkeys(nameless)
        classifier = world.classifier(class_names=names).partial_fit(X, y, world.names)
        assert classifier.blend_["trust"] == pytest.approx(10 / 11)
        is_right = classifier.predict(queries) == truth
        without = np.isin(truth, nameless)
        right.append([is_right[without].mean(), is_right[~without].mean()])
        assert (classifier.with_unlabeled(queries).predict(queries) == truth).mean() > 0.6
    assert np.all(np.mean(right, axis=0) > [0.55, 0.98])


def test_a_class_without_text_is_found_among_names(make_world):
    found = []
    for seed in range(20):
        world, other = make_world(seed=seed), make_world(seed=seed + 1000)
        (X, y), (queries, truth) = world.draw([2, 2, 0, 0, 0]), world.draw(20)
        parts, more = (other.draw([n, 0, 0, 0, 0])[0] for n in (5, 60))
        names = {name: name for name in world.names} | {"A-17": None}
        classifier = world.classifier(class_names=names)
        classifier.partial_fit(np.vstack([X, parts]), [*y, *["A-17"] * 5], [*names])
        assert classifier.score(queries, truth) > 0.95
        found.append((classifier.predict(more) == "A-17").mean())
    assert np.mean(found) > 0.9
