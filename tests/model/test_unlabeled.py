"""Learning from images without labels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import entropy
from sklearn.metrics import log_loss

from sksemobridge import FewShotClassifier, PrecomputedTextEncoder, ZeroShotClassifier
from sksemobridge._model.mixture import Mixture, Prior
from sksemobridge._model.unlabeled import (
    learn_unlabeled,
    match_entropy,
    typical_of_names,
    untypical_share,
)

from ..made_up import World
from .test_near_copies import images as embeddings_of_images

KINDS = ["text", "no text", "words", "zero-shot"]


def fitted(world, kind, per_class=1):
    X, y = world.draw(per_class)
    classifiers = {
        "text": world.classifier(),
        "no text": FewShotClassifier(class_names="ignore"),
        "words": world.classifier(class_names="ignore", vocabulary=world.texts),
        "zero-shot": world.zero_shot(),
    }
    return classifiers[kind].fit(X, y)


def names_alone(texts):
    no_shots = np.zeros((0, texts.shape[1])), np.zeros(0, dtype=int), *np.zeros((2, 0))
    return Prior(texts, np.ones(len(texts), dtype=bool), 1.0, *no_shots)


def random_problem(seed=0, n=80, n_classes=5, width=8):
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(n_classes, width))
    u = means[rng.integers(0, n_classes, n)] + rng.normal(size=(n, width))
    logits = u @ means.T + rng.normal(size=n_classes) + rng.normal(size=(n, n_classes))
    return logits, u, names_alone(means + 0.5)


def learn(logits, u, labelled):
    """Factor and change by images that count alike, of classes that all have a name."""
    return learn_unlabeled(logits, u, labelled, True, np.ones(len(u)))


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_another_fitted_classifier_that_predicts_any_image(make_world, kind):
    world = make_world()
    classifier = fitted(world, kind, 3)
    unlabeled_images, _ = world.draw(20)
    queries, _ = world.draw(5)
    before = classifier.predict_proba(queries)
    taught = classifier.with_unlabeled(unlabeled_images)
    after = taught.predict_proba(queries)
    assert type(taught) is type(classifier)
    assert not np.allclose(after, before, rtol=1e-3)
    np.testing.assert_array_equal(classifier.predict_proba(queries), before)
    np.testing.assert_array_equal(
        classifier.with_unlabeled(unlabeled_images).predict_proba(queries), after
    )
    np.testing.assert_allclose(taught.predict_proba(queries[:1]), after[:1], rtol=1e-6)
    assert taught.n_features_in_ == classifier.n_features_in_


def test_it_helps_where_some_classes_are_named_too_readily_and_lie_elsewhere():
    gains = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        means = rng.normal(size=(6, 10))
        codes = rng.integers(0, 6, 600)
        u = means[codes] + rng.normal(size=(600, 10))
        believed = means + 0.5 * rng.normal(size=means.shape)
        logits = u @ believed.T - 0.5 * np.square(believed).sum(axis=1) + rng.normal(size=6)
        factor, change = learn(logits, u, names_alone(believed))
        after = factor * logits + change(u)
        right = [(values.argmax(axis=1) == codes).mean() for values in (logits, after)]
        loss = [log_loss(codes, softmax(values, axis=1)) for values in (logits, after)]
        gains.append([right[1] - right[0], loss[0] - loss[1]])
    assert np.all(np.mean(gains, axis=0) > [0.005, 0.02])


def harm(classifier, unlabeled_images, queries, y):
    return classifier.score(queries, y) - classifier.with_unlabeled(unlabeled_images).score(
        queries, y
    )


@pytest.mark.parametrize("kind", ["text", "zero-shot"])
@pytest.mark.parametrize(
    "case", ["classes without an image", "images of no class", "very uneven classes"]
)
def test_what_it_cannot_learn_from_does_no_harm(make_world, kind, case):
    harms = []
    for seed in range(6):
        world = make_world(seed=seed)
        classifier = fitted(world, kind, 2)
        queries, y = world.draw(60)
        if case == "classes without an image":
            images = world.draw([30, 0, 0, 30, 0])[0]
        elif case == "very uneven classes":
            images = world.draw([300, 30, 10, 3, 1])[0]
        else:
            strangers = make_world(seed=seed + 100)
            images = np.vstack([world.draw(20)[0], strangers.draw(20)[0]])
        harms.append(harm(classifier, images, queries, y))
    assert np.mean(harms) < 0.01


@pytest.mark.filterwarnings("ignore:.* are less typical")
def test_thousands_of_images_between_two_classes_do_no_harm():
    u, codes = embeddings_of_images(2, 100)
    shots = np.isin(np.arange(200) % 100, range(4))
    rng = np.random.default_rng(0)
    between = rng.choice(u[:100], 3000) + rng.choice(u[100:], 3000)
    classifier = FewShotClassifier().fit(u[shots], codes[shots])
    assert harm(classifier, between, u[~shots], codes[~shots]) < 0.02


@pytest.mark.parametrize("kind", ["text", "zero-shot"])
@pytest.mark.parametrize("n_copies", [1, 300])
def test_one_image_changes_little(world, kind, n_copies):
    classifier = fitted(world, kind, 4)
    queries, image = world.draw(10)[0], world.draw(1)[0][:1]
    before = classifier.decision_function(queries)
    copies = image + 0.05 * np.random.default_rng(0).normal(size=(n_copies, image.shape[1]))
    after = classifier.with_unlabeled(copies).decision_function(queries)
    np.testing.assert_allclose(after, before, atol=0.1 * before.std(axis=1).mean())


@pytest.mark.parametrize(
    ("n", "least", "most"), [(1, 0, 0.03), (2, 0, 0.03), (5, 0, 0.03), (300, 0.03, 1)]
)
def test_a_few_images_of_two_classes_teach_hardly_anything(n, least, most):
    changes = []
    for seed in range(8):
        logits, u, labelled = random_problem(seed, 300, n_classes=2, width=16)
        _, change = learn(logits[:n], u[:n], labelled)
        changes.append(np.abs(np.diff(change(u))).mean() / np.abs(np.diff(logits)).mean())
    assert least <= np.max(changes) < most


def test_what_one_image_teaches_does_not_depend_on_the_order_of_classes():
    logits, u, labelled = random_problem(n=1)
    logits.sort(axis=1)
    labelled = labelled._replace(u=labelled.texts, codes=np.arange(5), weight=np.ones(5))
    factor, change = learn(logits, u, labelled)
    turned = labelled._replace(texts=labelled.texts[::-1], codes=labelled.codes[::-1])
    turned_factor, turned_change = learn(logits[:, ::-1], u, turned)
    assert turned_factor == pytest.approx(factor)
    np.testing.assert_allclose(turned_change.weights[::-1], change.weights, atol=1e-6)
    np.testing.assert_allclose(turned_change.offsets[::-1], change.offsets, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_later_calls_learn_anew(world, kind):
    classifier = fitted(world, kind, 3)
    (first, _), (second, _), (queries, _) = world.draw(20), world.draw(30), world.draw(3)
    expected = classifier.with_unlabeled(second).decision_function(queries)
    again = classifier.with_unlabeled(first).with_unlabeled(second)
    np.testing.assert_array_equal(again.decision_function(queries), expected)
    if kind != "zero-shot":
        X, y = world.draw(2)
        grown = classifier.with_unlabeled(first).partial_fit(X, y).decision_function(queries)
        np.testing.assert_array_equal(
            grown, classifier.partial_fit(X, y).decision_function(queries)
        )


def test_other_classes_keep_what_was_learnt(world):
    taught = fitted(world, "text", 3).with_unlabeled(world.draw(30)[0])
    queries, _ = world.draw(4)
    fewer = taught.with_classes(["bird", "cat", "dog"])
    expected = taught.decision_function(queries)[:, :3]
    np.testing.assert_allclose(fewer.decision_function(queries), expected, rtol=1e-6, atol=1e-6)
    # Classes that are known by name only are taught too.
    more = fewer.with_classes(["bird", "cat", "hot dog"])
    more.with_unlabeled(queries)
    lengths = np.linalg.norm(more._fitted.model.terms_with(None)["text"].weights, axis=1)
    np.testing.assert_allclose(lengths, more.blend_["text"], rtol=1e-6)


def test_images_agree_by_the_others_of_their_class():
    """With itself among them, each of few images would be nearest to its own class."""
    rng = np.random.default_rng(0)
    u = rng.normal(size=(40, 64))
    by_chance = 30 * np.eye(2)[rng.integers(0, 2, 40)]
    assert Mixture(u, np.ones(40), names_alone(np.eye(2, 64)), 0.0).agreement(by_chance) < 0.7
    codes = np.arange(40) % 2
    apart = u + 3 * codes[:, None]
    mixture = Mixture(apart, np.ones(40), names_alone(np.eye(2, 64)), 0.0)
    assert mixture.agreement(30 * np.eye(2)[codes]) == 1


def test_names_alone_leave_strangers_out():
    rng = np.random.default_rng(0)
    own, strangers = rng.normal(size=(2, 300)) * 0.5 + [[6], [1]]
    level = np.concatenate([own, strangers])
    typical = typical_of_names(level)
    assert typical[:300].mean() > 0.95
    assert typical[300:].mean() < 0.1
    assert typical_of_names(level[:300]).all()


def test_the_model_is_as_certain_as_before():
    logits, u, labelled = random_problem(n=20000)
    factor, change = learn(logits, u, labelled)
    both = logits, factor * logits + u @ change.weights.T + change.offsets
    before, after = (entropy(softmax(values, axis=1), axis=1).mean() for values in both)
    assert after == pytest.approx(before, rel=0.01)


def test_the_factor_that_keeps_the_entropy_is_bounded_and_that_of_few_images_is_near_one():
    logits, _, _ = random_problem(n=64)
    for times, expected in ((1.25, 0.8), (4.0, 0.5), (0.8, 1.25)):
        factor = match_entropy(times * logits, logits, np.ones(64), 40)
        assert factor == pytest.approx(np.sqrt(expected), rel=1e-3)
    # No factor makes equal logits certain, or certain ones less so.
    for changed in (np.zeros(logits.shape), 1e6 * logits):
        assert match_entropy(changed, logits, np.ones(64), 40) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_order_and_copies_of_images_change_nothing(world, kind):
    classifier = fitted(world, kind, 3)
    (images, _), (queries, _) = world.draw(20), world.draw(3)
    expected = classifier.with_unlabeled(images).predict_proba(queries)
    copies = np.random.default_rng(0).permutation(np.repeat(images, 50, axis=0))
    np.testing.assert_array_equal(
        classifier.with_unlabeled(copies).predict_proba(queries), expected
    )


def test_names_that_all_say_the_same_predict_nothing():
    rng = np.random.default_rng(57)
    means = rng.normal(size=(4, 20))
    y = np.repeat([0, 1], 8)
    X = means[y] + 0.3 * rng.normal(size=(16, 20))
    queries = means[rng.integers(0, 4, 800)] + 0.3 * rng.normal(size=(800, 20))
    texts = rng.normal(size=20) * rng.uniform(1, 2, size=(4, 1))
    encoder = PrecomputedTextEncoder([f"thing {c}" for c in range(4)], texts, np.eye(20))
    prompts = {c: [f"thing {c}"] for c in range(4)}
    classifier = FewShotClassifier(encoder, prompts=prompts)
    classifier.partial_fit(X, y, classes=np.arange(4))
    probabilities = classifier.with_unlabeled(queries).predict_proba(queries)
    np.testing.assert_allclose(probabilities[:, 2], probabilities[:, 3], atol=1e-9)


@pytest.mark.filterwarnings("ignore:The embeddings look as if each column had been centred")
def test_everything_else_may_be_most_of_the_images(make_world):
    harms = []
    for seed in range(6):
        world = make_world(seed=seed)
        (X, y), (images, _), (queries, y_queries) = world.draw(4), world.draw(40), world.draw(40)
        for labels in (y, y_queries):
            labels[~np.isin(labels, ["cat", "dog"])] = "other"
        names = {"cat": "cat", "dog": "dog", "other": None}
        classifier = world.classifier(class_names=names)
        harms.append(harm(classifier.fit(X, y), images, queries, y_queries))
    assert np.mean(harms) < 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_bursts_of_one_image_are_images_however_they_are_named(make_world, kind):
    world = make_world()
    classifier = fitted(world, kind, 3)
    X, _ = world.draw(12)
    expected = classifier.with_unlabeled(X).predict_proba(X)
    for groups in (np.arange(len(X)).astype(str), [None] * len(X), np.full(len(X), np.nan)):
        found = classifier.with_unlabeled(X, groups).predict_proba(X)
        np.testing.assert_array_equal(found, expected)
    bursts = classifier.with_unlabeled(X, np.arange(len(X)) // 2).predict_proba(X)
    assert not np.allclose(bursts, expected, rtol=1e-3)


def test_the_images_of_a_burst_count_as_one():
    logits, u, labelled = random_problem()
    size = np.where(np.arange(len(u)) % 6 == 0, 9, 1)
    often = np.repeat(np.arange(len(u)), size)

    def learnt(rows, weight):
        factor, change = learn_unlabeled(logits[rows], u[rows], labelled, True, weight)
        return factor * logits + change(u)

    expected = learnt(np.arange(len(u)), np.ones(len(u)))
    as_bursts, as_images = learnt(often, 1 / size[often]), learnt(often, np.ones(len(often)))
    assert np.abs(as_bursts - expected).mean() < 0.2 * np.abs(as_images - expected).mean()


@given(seed=st.integers(0, 2**32 - 1))
def test_neither_the_order_nor_the_names_of_bursts_matter(seed):
    rng = np.random.default_rng(seed)
    shots, X = rng.normal(size=(6, 8)), rng.normal(size=(40, 8))
    classifier = FewShotClassifier().fit(shots, np.arange(6) % 3)
    groups = rng.integers(0, 12, 40)
    expected = classifier.with_unlabeled(X, groups).predict_proba(X)
    order, names = rng.permutation(40), rng.permutation(12).astype(str)
    found = classifier.with_unlabeled(X[order], names[groups][order]).predict_proba(X)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    # Neither does an image that is there twice in its burst.
    twice = np.append(np.arange(40), 7)
    found = classifier.with_unlabeled(X[twice], groups[twice]).predict_proba(X)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.filterwarnings("ignore:The embeddings look as if each column had been centred")
@pytest.mark.filterwarnings("ignore:.* shots hardly count:UserWarning")
@given(
    seed=st.integers(0, 2**32 - 1),
    counts=st.lists(st.integers(0, 9), min_size=4, max_size=4).filter(any),
    weighted=st.booleans(),
)
def test_shots_count_once_whether_they_are_among_the_images_or_not(seed, counts, weighted):
    world, rng = World(seed=seed), np.random.default_rng(seed)
    (X, y), (images, _) = world.draw([*counts, 0]), world.draw(5)
    weight = rng.uniform(0.3, 3, len(y)) if weighted else None
    classifier = world.classifier().partial_fit(X, y, world.names, sample_weight=weight)
    expected = classifier.with_unlabeled(images).decision_function(images)
    some = X[rng.permutation(len(X))[: rng.integers(1, len(X) + 1)]]
    both = rng.permutation(np.vstack([images, some, 2 * some[:1]]))
    found = classifier.with_unlabeled(both).decision_function(images)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    only = classifier.with_unlabeled(some).decision_function(images)
    np.testing.assert_array_equal(only, classifier.decision_function(images))


def test_many_right_answers_to_one_class_do_not_harm_the_others():
    """One answer of 24 knows as much of the other names."""
    lost = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        means, common = rng.normal(size=(12, 32)), 2 * rng.normal(size=32)
        texts = means + 0.7 * rng.normal(size=(12, 32)) + 2 * rng.normal(size=32)
        y = np.repeat(np.arange(12), 30)
        X = common + means[y] + 0.7 * rng.normal(size=(len(y), 32))
        names = np.array([f"name {c}" for c in range(12)])
        encoder = PrecomputedTextEncoder.from_joint(dict(zip(names, texts)), logit_scale=20.0)
        by_names = ZeroShotClassifier(encoder, prompts="{}").fit(None, names).predict(X)
        found = [np.flatnonzero((by_names == name) & (names[y] == name)) for name in names]
        rows = max(found, key=len)[:24]
        rest, right = np.setdiff1d(np.arange(len(y)), rows), []
        for shots in (rows[:1], rows):
            alone = FewShotClassifier(encoder, prompts="{}")
            alone.partial_fit(X[shots], names[y[shots]], names)
            kinds = alone, alone.with_unlabeled(X[rest])
            right.append([each.score(X[rest], names[y[rest]]) for each in kinds])
        lost.append(np.subtract(*right))
    assert np.all(np.mean(lost, axis=0) < [0, 0.1])


def alike_and_others(world, per_class):
    """Shots that are near to one image of each class, and random other images."""
    X, y = world.draw(per_class=100, noise=2.0)
    centres = {name: X[y == name][0] for name in world.names}
    distance = np.linalg.norm(X - np.array([centres[name] for name in y]), axis=1)
    rows = [np.flatnonzero(y == name) for name in world.names]
    shots = np.concatenate([of[np.argsort(distance[of])[:per_class]] for of in rows])
    others = np.setdiff1d(np.arange(len(y)), shots)
    return X[shots], y[shots], X[others]


def test_shots_of_one_occasion_are_warned_of_unless_they_are_one_group(world):
    shots, y, images = alike_and_others(world, 8)
    classifier = FewShotClassifier(class_names="ignore").fit(shots, y)
    with pytest.warns(UserWarning, match=r"\d\d% of the images are less typical .* one session"):
        classifier.with_unlabeled(images)
    # Without a warning:
    FewShotClassifier(class_names="ignore").fit(shots, y, groups=y).with_unlabeled(images)
    shots, y = world.draw(8, noise=2.0)
    FewShotClassifier(class_names="ignore").fit(shots, y).with_unlabeled(images)


@pytest.mark.parametrize(
    ("n_images", "n_held_out", "is_far_more"),
    [(400, 400, True), (20, 400, False), (400, 20, False), (0, 400, False), (400, 0, False)],
)
def test_few_images_or_shots_do_not_show_that_images_are_untypical(
    n_images, n_held_out, is_far_more
):
    p_values = np.where(np.arange(n_images) % 4 < 3, 0.4, 0.9)
    assert untypical_share(p_values, n_held_out) == (0.75 if is_far_more else 0.0)
