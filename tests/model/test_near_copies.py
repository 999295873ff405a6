"""Near copies of one image count as one image; distinct images never do."""

import pickle
import tracemalloc
import warnings

import numpy as np
import pytest
from sklearn.preprocessing import normalize

from sksemobridge import CLIPImageEncoder, CLIPTextEncoder, FewShotClassifier
from sksemobridge._model.near_copies import near_copies
from sksemobridge.datasets import load_emoji


def images(n_classes, per_class, seed=0, width=128):
    """Unit embeddings with a direction in common, as those of images of one model, and their
    classes.
    """
    rng = np.random.default_rng(seed)
    means = 1 + 0.8 * rng.normal(size=(n_classes, width))
    codes = np.repeat(np.arange(n_classes), per_class)
    return normalize(means[codes] + 0.7 * rng.normal(size=(len(codes), width))), codes


def copied(u, times, noise=0.012, seed=0):
    rng = np.random.default_rng(seed)
    return normalize(
        np.repeat(u, times, axis=0) + noise * rng.normal(size=(len(u) * times, u.shape[1]))
    )


def n_images(u, codes):
    return len(np.unique(near_copies(u, codes)))


@pytest.mark.parametrize("per_class", [1, 2, 5])
@pytest.mark.parametrize("times", [2, 10])
def test_copies_of_each_image_are_one_image(per_class, times):
    u, codes = images(8, per_class)
    group = near_copies(copied(u, times), np.repeat(codes, times))
    np.testing.assert_array_equal(group, np.repeat(times * np.arange(len(u)), times))


def test_a_copy_is_found_among_three_images_and_two_images_are_none():
    u, codes = images(2, 1)
    twice = copied(u[:1], 2)
    np.testing.assert_array_equal(
        near_copies(np.vstack([twice, u[1:]]), codes[[0, 0, 1]]), [0, 0, 2]
    )
    np.testing.assert_array_equal(near_copies(twice, codes[[0, 0]]), [0, 1])


def test_copies_that_differ_as_crops_do_are_found_where_all_images_have_some():
    u, codes = images(8, 5)
    assert n_images(copied(u, 9, noise=0.025), np.repeat(codes, 9)) < 1.2 * len(u)


@pytest.mark.parametrize("per_class", [1, 2, 4])
def test_one_copy_of_some_images_is_found(per_class):
    u, codes = images(20, per_class)
    is_copied = np.arange(len(u)) % 2 == 0
    copies = copied(u[is_copied], 1)
    both = np.concatenate([codes, codes[is_copied]])
    order = np.argsort(both, kind="stable")
    group = near_copies(np.vstack([u, copies])[order], both[order])
    original = np.concatenate([np.arange(len(u)), np.flatnonzero(is_copied)])[order]
    np.testing.assert_array_equal(group[:, None] == group, original[:, None] == original)


@pytest.mark.parametrize("n_classes", [2, 10])
@pytest.mark.parametrize("per_class", [1, 2, 5, 30])
def test_distinct_images_are_not(n_classes, per_class):
    u, codes = images(n_classes, per_class)
    assert n_images(u, codes) == len(u)
    wide, codes = images(n_classes, per_class, width=16)
    assert n_images(wide[:, :16], codes) == len(wide)


def test_distinct_pictures_of_one_kind_are_not():
    emoji = load_emoji()
    u = normalize(CLIPImageEncoder("mini", "bundled").transform(emoji.images).astype(float))
    order = np.argsort(emoji.target, kind="stable")
    for step in (1, 4, 20):
        rows = order[::step]
        # Hands of two sides, say, are one picture to the model.
        same = np.triu(u[rows] @ u[rows].T > 1 - 1e-3, 1).any(axis=0)
        rows = rows[~same]
        assert n_images(u[rows], emoji.target[rows]) == len(rows)


def test_a_burst_among_distinct_images_is_one_image():
    u, codes = images(6, 5)
    burst = copied(u[:1], 12, noise=0.005)
    assert n_images(
        np.vstack([burst, u[1:]]), np.concatenate([np.zeros(12, dtype=int), codes[1:]])
    ) == len(u)


def test_copies_under_two_labels_are_two_images():
    u, codes = images(6, 1)
    twins = np.vstack([copied(u, 5), copied(u[:1], 5, seed=1)])
    group = near_copies(twins, np.concatenate([np.repeat(codes, 5), np.full(5, 6)]))
    assert group[0] != group[-1]


@pytest.mark.parametrize("n_classes", [2, 40])
def test_copies_are_found_however_many_images_there_are(n_classes):
    u, codes = images(n_classes, 1200 // n_classes)
    # A few copies may be compared with other images only.
    assert 1 <= n_images(copied(u, 4), np.repeat(codes, 4)) / len(u) < 1.05
    more, codes = images(n_classes, 4800 // n_classes)
    assert n_images(more, codes) == len(more)


def test_each_scene_of_a_film_is_about_one_image_and_takes_little_memory():
    rng = np.random.default_rng(0)
    scenes = 2 + rng.normal(size=(30, 128))
    film = normalize(np.repeat(scenes, 400, axis=0) + 0.1 * rng.normal(size=(12000, 128)))
    codes = np.repeat(np.arange(30), 400) // 15
    tracemalloc.start()
    group = near_copies(film, codes)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 30 <= len(np.unique(group)) <= 32
    assert most < 3000 * len(film)


def test_copies_are_found_where_most_images_are_near_one_of_them():
    rng = np.random.default_rng(0)
    u = normalize(2 * rng.normal(size=128) + 1.5 * rng.normal(size=(1200, 128)))
    both = np.concatenate([u, normalize(u + 0.004 * rng.normal(size=u.shape))])
    group = near_copies(both, np.zeros(2400, dtype=int))
    assert np.mean(group[:1200] == group[1200:]) > 0.98


def test_copies_in_a_pool_without_labels_are_found():
    u, codes = images(20, 10)
    copies = copied(u, 5, noise=0.006)
    assert n_images(copies, np.zeros(len(copies), dtype=int)) == len(u)
    assert n_images(u, np.zeros(len(u), dtype=int)) == len(u)


def test_rows_with_groups_do_not_keep_others_from_being_searched():
    u, codes = images(6, 2)
    X, y = copied(u, 5), np.repeat(codes, 5)
    rows = np.arange(len(y))
    with pytest.warns(UserWarning, match="near copies of others.*count as 12 images"):
        expected = FewShotClassifier(class_names="ignore").fit(X, y)
    grouped = np.repeat(np.arange(len(u)), 5)
    classifier = FewShotClassifier(class_names="ignore")
    with pytest.warns(UserWarning, match="near copies"):
        classifier.partial_fit(X[:30], y[:30])
    with pytest.warns(UserWarning, match="30 of 60 shots are near copies.*count as 6 images"):
        classifier.partial_fit(X[rows >= 30], y[rows >= 30], groups=grouped[rows >= 30])
    np.testing.assert_allclose(classifier.predict_proba(u), expected.predict_proba(u), atol=1e-6)


@pytest.mark.parametrize("missing", [None, np.nan])
def test_a_row_without_a_group_is_an_image_by_itself_in_every_call(missing):
    """Also if it is nearly the same as others, and a later call gives no groups."""
    u, codes = images(6, 2)
    X, y = copied(u, 5), np.repeat(codes, 5)
    rows = np.arange(len(y))
    expected = FewShotClassifier(class_names="ignore").fit(X, y, groups=rows)
    whole = FewShotClassifier(class_names="ignore").fit(X, y, groups=[missing] * len(y))
    in_parts = FewShotClassifier(class_names="ignore")
    for part in np.split(rows, [20, 40]):
        in_parts.partial_fit(X[part], y[part], groups=[missing] * len(part))
    in_parts = pickle.loads(pickle.dumps(in_parts))
    # Far from all others.
    far = np.ones((1, X.shape[1])) * [[1, -1] * (X.shape[1] // 2)]
    for classifier in (expected, whole, in_parts):
        classifier.partial_fit(far, y[:1])
        np.testing.assert_allclose(
            classifier.predict_proba(u), expected.predict_proba(u), atol=1e-6
        )


def test_rows_with_a_group_and_without_one_may_be_mixed():
    u, codes = images(6, 2)
    X, y = copied(u, 5), np.repeat(codes, 5)
    groups = (np.arange(len(y)) // 5).astype(float)
    alone = groups % 2 == 0
    numbered = np.where(alone, 100 + np.arange(len(y)), groups)
    expected = FewShotClassifier(class_names="ignore").fit(X, y, groups=numbered)
    found = FewShotClassifier(class_names="ignore")
    found.fit(X, y, groups=np.where(alone, np.nan, groups))
    np.testing.assert_allclose(found.predict_proba(u), expected.predict_proba(u), atol=1e-6)


@pytest.fixture
def shots():
    """Emoji of six classes, one each, and their embeddings with four copies beside each."""
    emoji = load_emoji()
    kept = [np.flatnonzero(emoji.target == c)[:2] for c in range(0, 18, 3)]
    first, second = np.array(kept).T
    pictures = [
        np.clip(factor * emoji.images[i].astype(float), 0, 255).astype(np.uint8)
        for i in first
        for factor in (1, 0.95, 0.9, 0.85, 0.8)
    ]
    encoder = CLIPImageEncoder("mini", "bundled")
    names = emoji.target_names[emoji.target[first]]
    return (
        encoder.transform(pictures).astype(float),
        np.repeat(names, 5),
        encoder.transform(emoji.images[second]),
    )


def test_copies_of_shots_are_as_the_shots_with_groups_and_a_warning_says_so(shots):
    X, y, queries = shots
    grouped = FewShotClassifier(CLIPTextEncoder("mini", "bundled")).fit(
        X, y, groups=np.arange(30) // 5
    )
    warning = "30 of 30 shots are near copies of others.*count as 6 images.*groups"
    with pytest.warns(UserWarning, match=warning):
        found = FewShotClassifier(CLIPTextEncoder("mini", "bundled")).fit(X, y)
    np.testing.assert_allclose(
        found.predict_proba(queries), grouped.predict_proba(queries), atol=1e-6
    )
    one = [*range(5), *range(5, 30, 5)]
    with pytest.warns(UserWarning, match=r"5 of 10 shots .* count as 1 image\."):
        FewShotClassifier(class_names="ignore").fit(X[one], y[one])
    with pytest.warns(UserWarning, match="near copies"):
        assert found.with_classes(found.classes_[:4]).partial_fit(X, y).blend_ == pytest.approx(
            found.blend_
        )


def test_order_of_rows_and_calls_does_not_matter(shots):
    X, y, queries = shots
    order = np.random.default_rng(0).permutation(len(y))
    with warnings.catch_warnings(action="ignore"):
        expected = FewShotClassifier(class_names="ignore").fit(X, y).predict_proba(queries)
        shuffled = FewShotClassifier(class_names="ignore").fit(X[order], y[order])
        parts = FewShotClassifier(class_names="ignore")
        for rows in np.array_split(order, 4):
            parts.partial_fit(X[rows], y[rows])
    np.testing.assert_allclose(shuffled.predict_proba(queries), expected, rtol=1e-6)
    np.testing.assert_allclose(parts.predict_proba(queries), expected, rtol=1e-6)
