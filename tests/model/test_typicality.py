"""Images of no class."""

import pickle

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from sksemobridge import FewShotClassifier
from sksemobridge._model.typicality import Typicality


def fitted(world, per_class, with_text=True):
    X, y = world.draw(per_class)
    if with_text:
        return world.classifier().fit(X, y)
    return FewShotClassifier(class_names="ignore").fit(X, y)


@pytest.mark.parametrize(
    ("per_class", "with_text"),
    [
        (1, True),
        *(
            (k, with_text)
            for k in (2, 8, [2, 0, 0, 0, 0], [6, 0, 0, 0, 0])
            for with_text in (True, False)
        ),
    ],
    ids=str,
)
def test_strangers_are_less_typical(make_world, per_class, with_text):
    areas, is_single = [], not isinstance(per_class, int)
    for seed in range(10):
        world, other = make_world(seed=seed), make_world(seed=seed + 100)
        classifier = fitted(world, per_class, with_text)
        known = world.draw([30, 0, 0, 0, 0] if is_single else 30)[0]
        strangers = world.draw([0, 8, 8, 8, 8])[0] if is_single else other.draw(30)[0]
        scores = classifier.score_samples(np.vstack([known, strangers]))
        areas.append(roc_auc_score(np.repeat([1, 0], [len(known), len(strangers)]), scores))
        assert np.abs(scores).max() < 1e4
    assert np.mean(areas) > (0.85 if is_single else 0.75)


def test_without_text_images_around_another_point_are_strangers():
    """Though the classes of one set differ less than two sets do."""
    for seed in range(10):
        rng = np.random.default_rng(seed)
        # Of both sets: the point that the classes are around, the classes, and two shots and twenty
        # queries of each.
        points = np.eye(32)[0] + 0.1 * rng.normal(size=(2, 1, 32))
        means = points + 0.05 * rng.normal(size=(2, 5, 32))
        X = means[:, :, None] + 0.05 * rng.normal(size=(2, 5, 22, 32))
        classifier = FewShotClassifier(class_names="ignore")
        classifier.fit(X[0, :, :2].reshape(-1, 32), np.repeat(range(5), 2))
        scores = classifier.score_samples(X[:, :, 2:].reshape(-1, 32))
        assert roc_auc_score(np.repeat([1, 0], 100), scores) > 0.98


@pytest.mark.parametrize("per_class", [2, 4, 16])
def test_few_images_of_the_classes_are_turned_away(make_world, per_class):
    shares = {0.1: [], 0.3: []}
    for seed in range(10):
        world = make_world(seed=seed)
        p_values = fitted(world, per_class).p_values(world.draw(60)[0])
        for alpha, share in shares.items():
            share.append(np.mean(p_values <= alpha))
    for alpha, share in shares.items():
        assert np.mean(share) < alpha + 0.05
    if per_class == 16:
        assert np.mean(shares[0.3]) > 0.2


def test_images_of_classes_that_have_only_a_name_are_not_turned_away(make_world):
    shares = []
    for seed in range(10):
        world = make_world(seed=seed)
        X, y = world.draw(8)
        shown = np.isin(y, world.names[:3])
        classifier = world.classifier().partial_fit(X[shown], y[shown], classes=world.names)
        shares.append(np.mean(classifier.p_values(world.draw([0, 0, 0, 30, 30])[0]) <= 0.1))
    assert np.mean(shares) < 0.15


@pytest.mark.parametrize("with_text", [True, False])
def test_kept_classes_are_no_strangers_and_removed_ones_are_as_if_never_shown(
    make_world, with_text
):
    turned_away = []
    for seed in range(10):
        world = make_world(seed=seed)
        X, y = world.draw(8)
        known, strangers = world.draw([60, 60, 0, 0, 0])[0], world.draw([0, 0, 60, 60, 60])[0]
        shown = np.isin(y, world.names[:2])
        classifier = world.classifier(
            **({} if with_text else {"class_names": "ignore", "vocabulary": None})
        )
        never_shown = classifier.fit(X[shown], y[shown]).p_values(strangers)
        fewer = classifier.fit(X, y).with_classes(world.names[:2])
        p_values = never_shown, fewer.p_values(strangers), fewer.p_values(known)
        turned_away.append([np.mean(p <= 0.1) for p in p_values])
    never_shown, removed, kept = np.mean(turned_away, axis=0)
    assert removed > never_shown - 0.05
    assert kept < 0.11


def test_single_precision_is_enough_beside_a_large_constant_feature():
    rng = np.random.default_rng(0)
    means, y = rng.normal(size=(5, 32)), np.repeat(np.arange(5), 46)
    X = np.insert(means[y] + rng.normal(size=(230, 32)), 0, 1000.0, axis=1).astype(np.float32)
    shots = np.arange(230) % 46 < 6
    single, double = (
        FewShotClassifier(class_names="ignore").fit(Z[shots], y[shots]).p_values(Z[~shots])
        for Z in (X, X.astype(float))
    )
    np.testing.assert_array_equal(single, double)


def test_p_values_rise_with_the_score_and_lie_between_zero_and_one(world):
    classifier = fitted(world, 3)
    X, _ = world.draw(30)
    scores, p_values = classifier.score_samples(X), classifier.p_values(X)
    assert scores.shape == p_values.shape == (len(X),)
    assert np.all(np.diff(p_values[np.argsort(scores)]) >= 0)
    assert p_values.min() >= 1 / (15 + 1) - 1e-12
    assert p_values.max() <= 1
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(classifier)).p_values(X), p_values)


def test_nothing_is_turned_away_where_no_shot_can_be_held_out(world):
    X, _ = world.draw(3)
    np.testing.assert_array_equal(fitted(world, 1, with_text=False).p_values(X), 1.0)


def test_they_are_measured_by_the_shots_also_after_unlabelled_images(world):
    classifier = fitted(world, 3)
    X, _ = world.draw(20)
    np.testing.assert_array_equal(classifier.with_unlabeled(X).p_values(X), classifier.p_values(X))


def test_a_shot_that_is_as_typical_counts_and_each_class_counts_the_same():
    held_out = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 2.0], [0.0, 4.0]])
    typicality = Typicality({}, held_out, np.array([0, 0, 0, 1]), np.array([1.0, 1.0, 2.0, 5.0]))
    # Shares of 1/4, 1/4, 1/2 and 1. They are as good as (2 ** 2) / (1/16 + 1/16 + 1/4 + 1) images.
    n = 4 / 1.375
    below = n * np.array([0, 1 / 8, 4 / 8, 4 / 8, 1])
    expected = (1 + below) / (1 + n)
    np.testing.assert_allclose(typicality.p_values(np.array([0.5, 1, 2, 3, 4])), expected)
    nobody = Typicality({}, np.zeros((0, 2)), np.zeros(0, dtype=int), np.zeros(0))
    np.testing.assert_array_equal(nobody.p_values(np.array([0.5, 1])), 1)
