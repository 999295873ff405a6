"""Which images to label next."""

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sksemobridge import (
    FewShotClassifier,
    PrecomputedTextEncoder,
    SeMoBridgeClassifier,
    make_few_shot_pipeline,
)
from sksemobridge._utils.array_api import l2_normalize
from sksemobridge.datasets import load_emoji
from sksemobridge.labelling import label_next, review_next
from sksemobridge.labelling._label_next import least_certain


def groups_of_images(n_classes=6, per_class=20, width=64, seed=0):
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(n_classes, width))
    y = np.repeat(np.arange(n_classes), per_class)
    return means[y] + 0.4 * rng.normal(size=(len(y), width)), y


@pytest.fixture(params=["names alone", "names and shots", "no names"])
def case(request, world):
    X, _ = world.draw(20)
    shots, labels = world.draw(3)
    fitted = {
        "names alone": lambda: world.zero_shot().fit(shots, labels),
        "names and shots": lambda: world.classifier().fit(shots, labels),
        "no names": lambda: FewShotClassifier(class_names="ignore").fit(shots, labels),
    }
    return fitted[request.param](), X


def test_it_gives_distinct_images_and_always_the_same(case):
    classifier, X = case
    rows = label_next(classifier, X, 7)
    assert rows.shape == (7,)
    assert rows.dtype.kind == "i"
    assert len(set(rows.tolist())) == 7
    np.testing.assert_array_equal(label_next(classifier, X, 7), rows)
    # Whether the classifier has learnt from the images already makes no difference.
    np.testing.assert_array_equal(label_next(classifier.with_unlabeled(X), X, 7), rows)
    np.testing.assert_array_equal(label_next(classifier, X, 3), rows[:3])


def test_all_images_are_given_if_there_are_few_and_none_of_none(case):
    classifier, X = case
    assert sorted(label_next(classifier, X[:5])) == [0, 1, 2, 3, 4]
    assert label_next(classifier, X, 0).shape == (0,)
    shots = classifier._fitted.memory.shots.X
    if len(shots):
        assert label_next(classifier, shots).shape == (0,)


def test_images_that_are_shots_are_left_out(world):
    X, y = world.draw(10)
    classifier = world.classifier().fit(X[::5], y[::5])
    # A scaled embedding is the same image.
    rows = label_next(classifier, 3 * X, len(X))
    assert not set(rows) & set(range(0, len(X), 5))
    assert len(rows) == len(X) - len(X[::5])


def test_of_equal_images_one_is_given(case):
    classifier, X = case
    twice = np.vstack([X, X])
    rows = label_next(classifier, twice, len(twice))
    assert sorted(row % len(X) for row in rows) == list(range(len(X)))


def test_a_burst_is_asked_once(case):
    classifier, X = case
    groups = np.array([None] * len(X), dtype=object)
    groups[:60] = np.arange(60) // 4
    rows = label_next(classifier, X, len(X), groups=groups)
    bursts = [groups[row] for row in rows if groups[row] is not None]
    assert sorted(bursts) == list(range(15))
    assert sorted(row for row in rows if groups[row] is None) == list(range(60, len(X)))
    np.testing.assert_array_equal(label_next(classifier, X, 5, groups=groups), rows[:5])
    # Bursts of one image are images.
    np.testing.assert_array_equal(
        label_next(classifier, X, 9, groups=np.arange(len(X))), label_next(classifier, X, 9)
    )


def test_a_burst_with_a_shot_is_not_asked(world):
    X, y = world.draw(10)
    classifier = world.classifier().fit(X[::10], y[::10])
    rows = label_next(classifier, X, len(X), groups=np.arange(len(X)) // 2)
    assert not {row // 2 for row in rows} & {row // 2 for row in range(0, len(X), 10)}
    assert len(rows) == 25 - 5


def test_names_alone_first_ask_for_five_images_at_random(world):
    X, _ = world.draw(20)
    names = world.zero_shot().fit(None, world.names)
    rows = label_next(names, X, 12).tolist()
    # The names have no part in the draw.
    assert rows[:5] == label_next(world.zero_shot().fit(None, world.names[:2]), X, 5).tolist()
    assert rows[:5] == np.random.default_rng(0).permutation(len(X))[:5].tolist()
    taught, untaught = (
        least_certain(model.predict_proba(X)).tolist() for model in (names.with_unlabeled(X), names)
    )
    chosen = dict.fromkeys([*taught[:2], untaught[0], *taught[2:4], untaught[1], *taught[4:]])
    assert rows[5:9] == [row for row in chosen if row not in rows[:5]][:4]


def test_images_between_two_classes_come_first():
    texts = np.eye(3, 8)
    encoder = PrecomputedTextEncoder.from_joint(dict(zip("abc", texts)))
    classifier = FewShotClassifier(encoder, prompts="{}").fit(texts, list("abc"))
    rng = np.random.default_rng(0)
    clear = texts[np.arange(60) % 3] + 0.05 * rng.normal(size=(60, 8))
    between = (texts[:3] + texts[[1, 2, 0]]) / 2 + 0.001 * rng.normal(size=(3, 8))
    assert set(label_next(classifier, np.vstack([clear, between]), 3)) == {60, 61, 62}


def test_predicted_classes_take_turns_among_uncertain_images():
    rng = np.random.default_rng(0)
    p = rng.dirichlet([0.7, 0.4, 0.4], size=60)
    two = np.sort(p, axis=1)[:, -2:]
    margin = two[:, 1] - two[:, 0]
    expected, left = [], sorted(np.flatnonzero(margin < 0.5), key=lambda row: margin[row])
    while left:
        # The least certain image of each class, and then of each again.
        turn = [next((row for row in left if p[row].argmax() == c), None) for c in range(3)]
        expected += sorted([row for row in turn if row is not None], key=lambda row: margin[row])
        left = [row for row in left if row not in expected]
    expected += sorted(np.flatnonzero(margin >= 0.5), key=lambda row: margin[row])
    assert least_certain(p).tolist() == expected


def test_each_third_image_is_one_that_is_uncertain_before_the_images_teach(make_world):
    world = make_world(seed=1)
    X, _ = world.draw(30, noise=3.0)
    classifier = world.classifier().fit(*world.draw(1, noise=3.0))
    taught, untaught = (
        least_certain(model.predict_proba(X)).tolist()
        for model in (classifier.with_unlabeled(X), classifier)
    )
    expected = [*taught[:2], untaught[0], *taught[2:4], untaught[1], *taught[4:6], untaught[2]]
    expected = list(dict.fromkeys(expected))
    assert expected != taught[: len(expected)]
    assert label_next(classifier, X, len(expected)).tolist() == expected


def test_without_names_the_first_images_are_of_new_classes():
    X, y = groups_of_images()
    shots = np.flatnonzero(y < 2)[[0, 20]]
    classifier = FewShotClassifier(class_names="ignore").fit(X[shots], y[shots])
    assert sorted(y[label_next(classifier, X, 4)]) == [2, 3, 4, 5]
    # Also if only the shots, or only the images, are in single precision.
    assert sorted(y[label_next(classifier, X.astype(np.float32), 4)]) == [2, 3, 4, 5]


def test_without_names_clusters_end_when_classes_have_five_quarters_of_a_label(monkeypatch):
    X, y = groups_of_images(n_classes=4)
    with_clusters = []

    def typical_of_clusters(u, shots, n):
        with_clusters.append(len(shots))
        return np.zeros(0, dtype=int)

    monkeypatch.setattr(
        "sksemobridge.labelling._label_next._typical_of_clusters", typical_of_clusters
    )
    for rows in ([0, 20, 40, 60], [0, 20, 40, 60, 1]):
        label_next(FewShotClassifier(class_names="ignore").fit(X[rows], y[rows]), X, 1)
    assert with_clusters == [4]


def test_without_names_they_are_nearest_to_the_centres_of_large_clusters_without_a_shot():
    """As many clusters as shots and images that are wanted, the best of three trials. Without
    clear classes, two trials and four find others.
    """
    u = l2_normalize(np.random.default_rng(11).normal(size=(60, 3)))
    classifier = FewShotClassifier(class_names="ignore").fit(u[:2], [0, 1])
    clusters = KMeans(6, n_init=3, random_state=0).fit(u[2:])
    members = [np.flatnonzero(clusters.labels_ == i) for i in range(6)]
    free = [i for i in range(6) if i not in clusters.predict(u[:2])]
    free.sort(key=lambda i: -len(members[i]))
    distance = np.linalg.norm(u[2:, None] - clusters.cluster_centers_, axis=2)
    expected = [2 + distance[:, i].argmin() for i in free]
    assert label_next(classifier, u, 4).tolist()[: len(free)] == expected


def test_the_classifier_of_the_paper_is_asked_as_it_is(world):
    (shots, y), X = world.draw(2), world.draw(20)[0]
    classifier = world.classifier(SeMoBridgeClassifier).fit(shots, y)
    expected = least_certain(classifier.predict_proba(X))
    np.testing.assert_array_equal(label_next(classifier, X, 40), expected[:40])


def test_a_pipeline_takes_images():
    emoji = load_emoji()
    images, labels = emoji.images[:90:2], emoji.target_names[emoji.target[:90:2]]
    pipeline = make_few_shot_pipeline("mini", "bundled").fit(images[::9], labels[::9])
    rows = label_next(pipeline, images, 4)
    embeddings = pipeline[:-1].transform(images)
    np.testing.assert_array_equal(label_next(pipeline[-1], embeddings, 4), rows)
    assert not set(rows) & set(range(0, len(images), 9))
    plain = make_pipeline(FunctionTransformer(), pipeline[-1])
    np.testing.assert_array_equal(label_next(plain, embeddings, 4), rows)


def test_a_search_is_its_best_estimator(world):
    X, y = world.draw(4)
    search = GridSearchCV(world.classifier(), {"priors": [None]}, cv=2)
    with pytest.raises(TypeError, match="a fitted search over one, and not GridSearchCV"):
        label_next(search, X)
    queries, best = world.draw(9)[0], search.fit(X, y).best_estimator_
    for tool in (label_next, review_next):
        np.testing.assert_array_equal(tool(search, queries, 4), tool(best, queries, 4))


def test_wrong_arguments_are_named(world):
    X, y = world.draw(4)
    with pytest.raises(TypeError, match="label_next takes"):
        label_next(make_pipeline(FunctionTransformer()).fit(X), X)
    classifier = world.classifier().fit(X, y)
    with pytest.raises(ValueError, match="n_images"):
        label_next(classifier, X, -1)
    with pytest.raises(ValueError, match="NaN"):
        label_next(classifier, np.where(np.arange(len(X))[:, None] == 1, np.nan, X))
    with pytest.raises(ValueError, match="features"):
        label_next(classifier, X[:, :-1])
