"""Which images to look through together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sksemobridge import (
    FewShotClassifier,
    PrecomputedTextEncoder,
    SeMoBridgeClassifier,
    ZeroShotClassifier,
    make_few_shot_pipeline,
)
from sksemobridge.datasets import load_emoji
from sksemobridge.labelling import proba_by_group, review_next
from sksemobridge.labelling._review_next import best_page


@pytest.fixture(params=["names alone", "shots", "the paper's"])
def case(request, world):
    X, _ = world.draw(20)
    shots, labels = world.draw(3)
    if request.param == "names alone":
        return world.zero_shot().fit(shots, labels), X
    kind = FewShotClassifier if request.param == "shots" else SeMoBridgeClassifier
    return world.classifier(kind).fit(shots, labels), X


def test_a_page_has_images_by_predicted_class_the_least_certain_first(case):
    classifier, X = case
    page = review_next(classifier, X, 12)
    assert page.dtype.kind == "i"
    assert len(set(page.tolist())) == len(page) <= 12
    p = classifier.predict_proba(X)
    predicted, top = p.argmax(axis=1), p.max(axis=1)
    of_page = predicted[page]
    classes = of_page[np.append(True, of_page[1:] != of_page[:-1])]
    assert len(set(classes.tolist())) == len(classes)
    for c in classes:
        certain = np.sort(top[predicted == c])
        np.testing.assert_array_equal(top[page[of_page == c]], certain[: np.sum(of_page == c)])
    np.testing.assert_array_equal(review_next(classifier, X, 12), page)


def test_page_after_page_shows_each_image_once(case):
    classifier, X = case
    seen, n_pages = [], 0
    while len(page := review_next(classifier, X, 7, seen=seen)):
        assert len(page) <= 7
        seen += page.tolist()
        n_pages += 1
    assert sorted(seen) == list(range(len(X)))
    assert n_pages >= len(X) / 7


def test_images_that_are_shots_are_left_out(world):
    X, y = world.draw(10)
    classifier = world.classifier().fit(X[::5], y[::5])
    seen, page = [], [0]
    while len(page):
        page = review_next(classifier, 3 * X, seen=seen)  # a scaled embedding is the same image
        seen += page.tolist()
    assert sorted(seen) == sorted({*range(len(X))} - {*range(0, len(X), 5)})


def seconds_and_errors(p, page):
    """What a page costs and finds, by the assumed times."""
    errors = np.maximum(1 - p[page].max(axis=1), 1e-3).sum()
    n_classes = len(set(p[page].argmax(axis=1).tolist()))
    return 3 + (n_classes - 1) + 2 * errors, errors


def page_of(p, rows, n_images):
    return best_page(p.max(axis=1), p.argmax(axis=1), rows, n_images)


def test_an_uncertain_class_has_the_page_alone_and_single_errors_share_it():
    certain, unsure = [0.99, 0.005, 0.005], [0.52, 0.28, 0.20]
    # One class is wrong half of the time.
    p = np.array([unsure] * 24 + [np.roll(certain, 1)] * 24 + [np.roll(certain, 2)] * 24)
    assert sorted(page_of(p, np.arange(72), 24)) == list(range(24))
    # Each class has a few doubtful images, so that a page of all classes finds most.
    p = np.vstack([[np.roll(unsure, c)] * 8 + [np.roll(certain, c)] * 40 for c in range(3)])
    page = page_of(p, np.arange(144), 24)
    np.testing.assert_array_equal(np.bincount(p[page].argmax(axis=1)), [8, 8, 8])
    assert (p[page].max(axis=1) < 0.6).all()


@given(seed=st.integers(0, 2**32 - 1), n_images=st.integers(1, 30))
def test_no_other_page_finds_more_errors_a_second(seed, n_images):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet([0.3] * rng.integers(2, 6), size=rng.integers(1, 60))
    rows = rng.permutation(len(p))[: rng.integers(1, len(p) + 1)]
    page = page_of(p, rows, n_images)
    assert {*page} <= {*rows}
    assert 0 < len(page) <= n_images
    seconds, errors = seconds_and_errors(p, page)
    predicted, top = p[rows].argmax(axis=1), p[rows].max(axis=1)
    for n_classes in (1, 2, 3, 4, 6):
        parts = []
        for c in np.unique(predicted):
            of_class = rows[predicted == c]
            order = np.argsort(top[predicted == c], kind="stable")[: n_images // n_classes]
            parts.append(of_class[order])
        parts = [part for part in parts if len(part)]
        parts.sort(key=lambda part: -seconds_and_errors(p, part)[1])
        if parts:
            other = seconds_and_errors(p, np.concatenate(parts[:n_classes]))
            assert errors / seconds >= other[1] / other[0] - 1e-9


@given(seed=st.integers(0, 2**32 - 1))
def test_the_order_of_images_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    texts = dict(zip("abcd", np.eye(4, 8)))
    encoder = PrecomputedTextEncoder.from_joint(texts, logit_scale=3)
    classifier = ZeroShotClassifier(encoder, prompts="{}").fit(None, list("abcd"))
    X = rng.normal(size=(50, 8))
    order = rng.permutation(50)
    page = order[review_next(classifier, X[order])]
    np.testing.assert_array_equal(page, review_next(classifier, X))


def test_a_burst_is_shown_once_and_gone_when_one_of_it_was_seen(case):
    classifier, X = case
    groups = np.arange(len(X), dtype=float) // 4
    groups[-6:] = np.nan
    n_bursts = (len(X) - 6) // 4 + 1
    seen, page = [1], []
    while len(page := review_next(classifier, X, 6, seen=seen, groups=groups)):
        seen += page.tolist()
    shown = seen[1:]
    # The first of each burst, but for that of image 1; and images without a burst.
    expected = [*range(4, len(X) - 6, 4), *range(len(X) - 6, len(X))]
    assert sorted(shown) == sorted({*expected})
    assert len(shown) == n_bursts - 1 + 6 - (1 if (len(X) - 6) % 4 == 0 else 0)


def test_the_images_of_a_burst_are_judged_together():
    texts = dict(zip("ab", np.eye(2)))
    encoder = PrecomputedTextEncoder.from_joint(texts, logit_scale=10)
    classifier = ZeroShotClassifier(encoder, prompts="{}").fit(None, list("ab"))
    X = np.array([[0.70, 0.69], [1, 0], [1, 0], [0.75, 0.66]])
    assert review_next(classifier, X, 1).tolist() == [0]
    assert review_next(classifier, X, 1, groups=["one", "one", "one", None]).tolist() == [3]


def test_each_image_of_a_burst_has_the_mean_of_the_logarithms():
    rng = np.random.default_rng(0)
    proba = rng.dirichlet([0.5] * 4, size=7)
    groups = ["x", None, "y", "x", None, "y", "x"]
    result = proba_by_group(proba, groups)
    np.testing.assert_allclose(result.sum(axis=1), 1)
    for row, group in enumerate(groups):
        same = [row] if group is None else [i for i, other in enumerate(groups) if other == group]
        expected = np.exp(np.log(proba[same]).mean(axis=0))
        np.testing.assert_allclose(result[row], expected / expected.sum())
    assert proba_by_group(proba[:0], []).shape == (0, 4)
    # A zero does not rule a class out for the others.
    one_of_many = proba_by_group([[0.0, 1.0], *[[0.999, 0.001]] * 9], ["x"] * 10)
    assert one_of_many[0, 0] > 0.9


def test_a_pipeline_takes_images():
    emoji = load_emoji()
    images, labels = emoji.images[:90:2], emoji.target_names[emoji.target[:90:2]]
    pipeline = make_few_shot_pipeline("mini", "bundled").fit(images[::9], labels[::9])
    page = review_next(pipeline, images, 8)
    embeddings = pipeline[:-1].transform(images)
    np.testing.assert_array_equal(review_next(pipeline[-1], embeddings, 8), page)


def test_wrong_arguments_are_named(world):
    X, y = world.draw(4)
    classifier = world.classifier().fit(X, y)
    with pytest.raises(TypeError, match="review_next takes"):
        review_next(make_pipeline(FunctionTransformer()).fit(X), X)
    with pytest.raises(ValueError, match="n_images"):
        review_next(classifier, X, -1)
    for seen in ([len(X)], [-1], [0.5], [[0]], np.ones(len(X), dtype=bool)):
        with pytest.raises(ValueError, match="seen must be indices of the 20 images"):
            review_next(classifier, X, seen=seen)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        review_next(classifier, X, groups=[0, 1])
    with pytest.raises(ValueError, match="mix text"):
        review_next(classifier, X, groups=["a", 1, *[None] * 18])
    with pytest.raises(ValueError, match="NaN"):
        review_next(classifier, np.where(np.arange(len(X))[:, None] == 1, np.nan, X))
    with pytest.raises(ValueError, match="proba must be numbers"):
        proba_by_group([[0.5, np.nan]], [0])
    with pytest.raises(ValueError, match="proba must be numbers"):
        proba_by_group([0.5, 0.5], [0, 1])
    assert review_next(classifier, X, 0).shape == (0,)
