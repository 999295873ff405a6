"""Labels that may be wrong: what is found, and what it changes."""

import numpy as np
import pytest
from sklearn.metrics import log_loss

from sksemobridge import FewShotClassifier, PrecomputedTextEncoder

from ..made_up import misleading_names

pytestmark = pytest.mark.filterwarnings("ignore:.* shots hardly count:UserWarning")


@pytest.fixture
def mislabelled(world):
    """Shots of five classes, eight of each, of which the first of every class has the label of the
    next class.
    """
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
    ours, theirs = (
        log_loss(truth, model.predict_proba(queries)) for model in (classifier, trusting)
    )
    assert ours < theirs
    assert not hasattr(trusting, "label_proba_")


@misleading_names
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


@misleading_names
def test_a_pair_whose_name_means_nothing_is_judged_as_without_names():
    """The other shot of a pair may say nothing about it."""
    rng = np.random.default_rng(2)
    labels, means, nothing = np.repeat(np.arange(20), 2), *rng.normal(size=(2, 20, 48))
    truth = np.where(np.arange(40) == 0, 1, labels)
    X, y = means[truth] + rng.normal(size=(40, 48)), np.array([f"class {c:02d}" for c in labels])
    encoder = PrecomputedTextEncoder.from_joint(dict(zip(np.unique(y).tolist(), nothing)))
    named = FewShotClassifier(encoder, prompts="{}").fit(X, y)
    ignored = FewShotClassifier(class_names="ignore").fit(X, y)
    assert named.blend_["trust"] < 0.01
    np.testing.assert_allclose(named.label_proba_, ignored.label_proba_, atol=0.2)


def test_labels_of_classes_that_look_alike_are_found():
    """Ten pairs of classes look alike. One label in four is that of the other class of the pair."""
    rng = np.random.default_rng(0)
    pairs, own = rng.normal(size=(2, 20, 64))
    means, names = (
        4 + 2 * np.repeat(pairs[:10], 2, axis=0) + 1.5 * own,
        [f"class {c:02}" for c in range(20)],
    )
    truth, wrong = np.repeat(np.arange(20), 16), np.arange(320) % 4 == 0
    X, y = (
        means[truth] + rng.normal(size=(320, 64)),
        np.array(names)[np.where(wrong, truth ^ 1, truth)],
    )
    encoder = PrecomputedTextEncoder(names, means, np.eye(64))
    right = FewShotClassifier(encoder, prompts="{}").fit(X, y).label_proba_
    assert right[wrong].max() < 0.5 < right[~wrong].min()


def test_few_doubtful_labels_are_told_and_change_nothing(world):
    """Hard images are not thrown out: they look like wrong labels."""
    X, y = world.draw(12)
    y[0] = y[-1]
    careful, trusting = (world.classifier(label_noise=noise).fit(X, y) for noise in ("auto", 0))
    assert careful.label_proba_.argmin() == 0
    np.testing.assert_allclose(careful.coef_, trusting.coef_, rtol=1e-10)


@misleading_names
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


def test_shots_that_hardly_count_are_warned_of(world, mislabelled):
    X, y, wrong = mislabelled
    with pytest.warns(
        UserWarning,
        match=f"5 of 40 shots hardly count.* labelled '{min(y[wrong])}'.*label_noise=0 trusts",
    ):
        world.classifier(label_noise=0.2).fit(X, y)


def test_a_minority_of_a_class_is_not_thrown_away():
    """Each class has thirteen images of the kind that its name says, and three of another kind."""
    rng = np.random.default_rng(0)
    kinds = 3 + rng.normal(size=(2, 12, 64))
    kind, y = np.tile(np.repeat([0, 1], [13, 3]), 12), np.repeat(np.arange(12), 16)
    X, names = (
        kinds[kind, y] + 0.7 * rng.normal(size=(192, 64)),
        [f"class {c:02}" for c in range(12)],
    )
    encoder = PrecomputedTextEncoder(names, kinds[0], np.eye(64))
    classifier = FewShotClassifier(encoder, prompts="{}").fit(
        X, np.array(names)[y], groups=np.arange(192)
    )
    assert classifier.label_proba_[kind == 1].min() > 0.5
    queries = kinds[1, y] + 0.7 * rng.normal(size=(192, 64))
    assert classifier.score(queries, np.array(names)[y]) > 0.9


def test_rows_are_those_of_fit_in_any_order_and_rows_without_weight_have_none(world, mislabelled):
    X, y, _ = mislabelled
    weight = np.ones(len(y))
    weight[3] = 0
    whole = world.classifier(label_noise="auto").fit(X, y, weight)
    order = np.random.default_rng(0).permutation(len(y))
    shuffled = world.classifier(label_noise="auto").fit(X[order], y[order], weight[order])
    np.testing.assert_allclose(shuffled.label_proba_, whole.label_proba_[order])
    assert np.flatnonzero(np.isnan(whole.label_proba_)).tolist() == [3]


@misleading_names
def test_names_that_are_swapped_take_no_label_of_a_single_shot_for_wrong(make_world):
    world = make_world(width=64, d=80)
    X, y = world.draw(1)
    a, b, c = world.names[:3]
    names = dict(zip(world.names, world.names)) | {a: b, b: c, c: a}
    swapped = world.classifier(class_names=names).fit(X, y)
    assert swapped.label_proba_.min() > 0.5


def test_an_image_that_looks_like_a_name_without_shots_has_a_doubtful_label(make_world):
    """The only shot of a class has the label of another class."""
    world = make_world(width=64, d=80)
    X, y = world.draw(1)
    y[0] = y[1]
    right = world.classifier().partial_fit(X, y, classes=world.names).label_proba_
    assert right[0] < 0.5 < right[1:].min()
    wrong = next(name for name in world.names if name != y[2])
    alone = world.classifier().partial_fit(X[2:3], [wrong], classes=world.names)
    assert alone.label_proba_[0] < right[2]
