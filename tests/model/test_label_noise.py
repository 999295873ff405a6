"""Labels that may be wrong: what is found, and what it changes."""

import numpy as np
import pytest

from sksemobridge import PrecomputedTextEncoder, SeMoBridgeClassifier
from sksemobridge._model.label_noise import LEAST, _if_wrong, _of_another


@pytest.fixture
def mislabelled(world):
    """Shots of five classes, eight of each, of which the first of every class has the label of the next class."""
    X, y = world.draw(8)
    classes, codes = np.unique(y, return_inverse=True)
    wrong = np.zeros(len(y), dtype=bool)
    wrong[[np.flatnonzero(codes == c)[0] for c in range(len(classes))]] = True
    return X, classes[np.where(wrong, (codes + 1) % len(classes), codes)], wrong


@pytest.mark.parametrize("with_text", [True, False])
def test_wrong_labels_are_found_and_count_less(world, mislabelled, with_text):
    X, y, wrong = mislabelled
    text = {} if with_text else {"class_names": "ignore", "vocabulary": None}
    classifier = world.classifier(label_noise="auto", **text).fit(X, y)
    assert classifier.label_proba_[wrong].max() < classifier.label_proba_[~wrong].min()
    queries, truth = world.draw(20)
    trusting = world.classifier(label_noise=0, **text).fit(X, y)
    assert _log_loss(classifier, queries, truth) < _log_loss(trusting, queries, truth)


def _log_loss(classifier, X, y):
    true = classifier.predict_log_proba(X)[np.arange(len(y)), np.searchsorted(classifier.classes_, y)]
    return -true.mean()


def test_a_share_is_taken_as_given(world, mislabelled):
    X, y, _ = mislabelled
    small, large = (world.classifier(label_noise=share).fit(X, y).label_proba_ for share in (0.01, 0.5))
    assert ((large < small) | (small == LEAST)).all()


def test_an_only_shot_is_judged_by_its_name_and_a_pair_without_names_with_care(world):
    X, y = world.draw(1)
    swapped = y.copy()
    swapped[[0, 1]] = y[[1, 0]]
    right = world.classifier().fit(X, swapped).label_proba_
    assert right[:2].max() < right[2:].min()
    # Without text there is nothing that could tell.
    without_text = world.classifier(class_names="ignore", vocabulary=None)
    assert (without_text.fit(X, swapped).label_proba_ == 1).all()
    X, y = world.draw(2)
    wrong = np.roll(y, 1)
    assert without_text.fit(X, wrong).label_proba_.min() > 0.3


def test_a_pair_whose_name_means_nothing_is_judged_as_without_names():
    """The other shot of a pair may say nothing about it."""
    rng = np.random.default_rng(2)
    labels, means, nothing = np.repeat(np.arange(20), 2), *rng.normal(size=(2, 20, 48))
    truth = np.where(np.arange(40) == 0, 1, labels)
    X, y = means[truth] + rng.normal(size=(40, 48)), np.array([f"class {c:02d}" for c in labels])
    encoder = PrecomputedTextEncoder.from_joint(dict(zip(np.unique(y).tolist(), nothing)))
    named = SeMoBridgeClassifier(encoder, prompts="{}").fit(X, y)
    ignored = SeMoBridgeClassifier(class_names="ignore").fit(X, y)
    assert named.blend_["trust"] < 0.01
    np.testing.assert_allclose(named.label_proba_, ignored.label_proba_, atol=0.2)


def test_labels_of_classes_that_look_alike_are_found():
    """Ten pairs of classes look alike. One label in four is that of the other class of the pair."""
    rng = np.random.default_rng(0)
    pairs, own = rng.normal(size=(2, 20, 64))
    means, names = 4 + 2 * np.repeat(pairs[:10], 2, axis=0) + 1.5 * own, [f"class {c:02}" for c in range(20)]
    truth, wrong = np.repeat(np.arange(20), 16), np.arange(320) % 4 == 0
    X, y = means[truth] + rng.normal(size=(320, 64)), np.array(names)[np.where(wrong, truth ^ 1, truth)]
    encoder = PrecomputedTextEncoder(names, means, np.eye(64))
    right = SeMoBridgeClassifier(encoder, prompts="{}").fit(X, y).label_proba_
    assert right[wrong].max() < 0.5 < right[~wrong].min()


def test_a_wrong_label_is_more_probably_that_of_a_class_that_is_confused():
    p = np.array([[0.8, 0.2, 0.0, 0.0], [0.2, 0.8, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.8, 0.2, 0.0, 0.0]])
    codes, right = np.array([0, 1, 2, 1]), np.ones(4)
    np.testing.assert_array_equal(_if_wrong(p, codes, right, trust=0.0), np.full(4, 0.25))
    if_wrong = _if_wrong(p, codes, right, trust=1.0)
    # The last image looks like class 0, and has a label that such images often get.
    assert if_wrong[3] > 0.25 > if_wrong[2]
    # No image has the label 3, so nothing is known about class 3.
    np.testing.assert_allclose(_if_wrong(np.eye(4)[[3]], np.array([0]), np.ones(1), 1.0), 0.25)


def test_few_doubtful_labels_are_told_and_change_nothing(world):
    """Hard images are not thrown out: they look like wrong labels."""
    X, y = world.draw(12)
    y[0] = y[-1]
    careful, trusting = (world.classifier(label_noise=noise).fit(X, y) for noise in ("auto", 0))
    assert careful.label_proba_.argmin() == 0
    np.testing.assert_allclose(careful.coef_, trusting.coef_, rtol=1e-10)


def test_a_class_whose_name_means_nothing_keeps_its_shots(world):
    """Two names are swapped: the shots of each class agree with each other, and say what it is."""
    X, y = world.draw(4)
    names = {label: label for label in np.unique(y)}
    a, b = list(names)[:2]
    names[a], names[b] = b, a
    swapped = world.classifier(class_names=names).fit(X, y)
    assert swapped.label_proba_[np.isin(y, [a, b])].min() > 0.5
    queries, truth = world.draw(20)
    assert swapped.score(queries, truth) > 0.9


def test_a_class_whose_labels_all_look_wrong_is_warned_of_and_keeps_its_name(world):
    X, y = world.draw(8)
    queries, truth = world.draw(20)
    classes = np.unique(y)
    lost = classes[0]
    # The first class has one image of each other class, and none of its own.
    of_others = [np.flatnonzero(truth == c)[0] for c in classes[1:]]
    X, given = np.vstack([X[y != lost], queries[of_others]]), np.append(y[y != lost], [lost] * 4)
    with pytest.warns(UserWarning, match=f"All labels of 1 class look wrong, such as those of '{lost}'"):
        classifier = world.classifier(label_noise=0.2).fit(X, given)
    own = truth == lost
    assert classifier.score(queries[own], truth[own]) == 1


def test_images_of_a_class_that_has_only_a_name_are_found_under_another_label(make_world):
    world = make_world(width=64, d=80)
    X, y = world.draw(6)
    queries, truth = world.draw(20)
    lost, taken_for = world.names[:2]
    wrong = y == lost
    y[wrong] = taken_for
    trusting = world.classifier(label_noise=0).partial_fit(X, y, classes=world.names)
    warning = rf"\(6\), such as one labelled '{taken_for}' that looks like '{lost}'"
    with pytest.warns(UserWarning, match=warning):
        careful = world.classifier().partial_fit(X, y, classes=world.names)
    np.testing.assert_array_equal(careful.label_proba_ < 0.5, wrong)
    assert _log_loss(careful, queries, truth) < _log_loss(trusting, queries, truth)


def test_a_class_that_has_only_a_name_takes_no_right_label(world):
    X, y = world.draw(6)
    has_shots = y != world.names[0]
    X, y = X[has_shots], y[has_shots]
    both = (world.classifier(label_noise=noise) for noise in ("auto", 0))
    careful, trusting = (classifier.partial_fit(X, y, classes=world.names) for classifier in both)
    assert careful.label_proba_.min() > 0.5
    np.testing.assert_allclose(careful.coef_, trusting.coef_, rtol=1e-10)


def test_many_names_without_shots_take_no_right_label():
    """One of many names always fits an image by chance."""
    means, names = np.random.default_rng(0).normal(size=(500, 128)), [f"{i:03}" for i in range(500)]
    means += 3 * means[:1]  # as in CLIP, all embeddings are similar
    encoder, codes = PrecomputedTextEncoder(names, means, np.eye(128)), np.repeat(np.arange(5), 8)
    X = means[codes] + np.random.default_rng(2).normal(scale=3, size=(40, 128))
    classifier = SeMoBridgeClassifier(encoder, prompts="{}")
    right = classifier.partial_fit(X, np.array(names)[codes], classes=names).label_proba_
    assert right.min() > 0.5


@pytest.mark.parametrize(
    ("logit_of_0", "found"),
    [(np.tile([1.0, -1.0], 11), [0]), (np.repeat([-5.0, 3.0, -3.0], [3, 8, 11]), [])],
    ids=["all", "three"],
)
def test_some_wrong_labels_are_not_a_whole_class(logit_of_0, found):
    """The images of class 0 fit the name of class 1. All of them, or three, show class 1."""
    codes, log_factors = np.repeat([0, 1], 11), np.tile([-1.0, 2.0], (22, 1))
    assert _of_another(codes, log_factors, np.stack([logit_of_0, -logit_of_0], axis=1), 2) == found


def test_a_class_whose_images_are_all_of_another_class_is_found(make_world):
    world = make_world(width=64, d=80)
    X, y = world.draw([16, 0, 8, 8, 8])
    queries, truth = world.draw(20)
    double, lost = world.names[:2]
    wrong = np.flatnonzero(y == double)[:8]
    y[wrong] = lost
    apart = np.arange(len(y))
    trusting = world.classifier(label_noise=0).fit(X, y, groups=apart)
    with pytest.warns(UserWarning, match=f"All labels of 1 class look wrong, such as those of '{lost}'"):
        careful = world.classifier().fit(X, y, groups=apart)
    assert np.flatnonzero(careful.label_proba_ < 0.5).tolist() == wrong.tolist()
    assert _log_loss(careful, queries, truth) < _log_loss(trusting, queries, truth)


def test_rows_are_those_of_fit_in_any_order_and_rows_without_weight_have_none(world, mislabelled):
    X, y, _ = mislabelled
    weight = np.ones(len(y))
    weight[3] = 0
    whole = world.classifier(label_noise="auto").fit(X, y, weight)
    order = np.random.default_rng(0).permutation(len(y))
    shuffled = world.classifier(label_noise="auto").fit(X[order], y[order], weight[order])
    np.testing.assert_allclose(shuffled.label_proba_, whole.label_proba_[order])
    assert np.flatnonzero(np.isnan(whole.label_proba_)).tolist() == [3]


def test_zero_trusts_all_labels(world, mislabelled):
    X, y, _ = mislabelled
    assert not hasattr(world.classifier(label_noise=0).fit(X, y), "label_proba_")


def test_names_that_are_swapped_take_no_label_of_a_single_shot_for_wrong(make_world):
    world = make_world(width=64, d=80)
    X, y = world.draw(1)
    a, b, c = world.names[:3]
    names = dict(zip(world.names, world.names)) | {a: b, b: c, c: a}
    swapped = world.classifier(class_names=names).fit(X, y)
    assert swapped.label_proba_.min() > 0.5
