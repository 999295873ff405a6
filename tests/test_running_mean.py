"""The mean over what a classifier was on several pages."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax

from sksemobridge import FewShotClassifier, SeMoBridgeClassifier, running_mean


def log_proba(classifier, X):
    return classifier.predict_log_proba(X)


@pytest.fixture(params=["names alone", "shots", "taught by images"])
def pair(request, world):
    """A classifier, one that has learnt more, and images."""
    X, y = world.draw(30)
    before = world.zero_shot().fit(X[:5], world.names)
    if request.param == "taught by images":
        before = before.with_unlabeled(X)
    if request.param == "shots":
        before = world.classifier().partial_fit(X[:20], y[:20], classes=world.names)
    after = world.classifier().partial_fit(X[:60], y[:60], classes=world.names)
    return before, after.with_unlabeled(X[60:]), X


@given(kept=st.floats(0, 1))
def test_it_is_the_mean_of_the_logits(kept):
    X = np.random.default_rng(0).normal(size=(30, 6))
    y = np.arange(30) % 3
    before, after = (FewShotClassifier().fit(X[:n], y[:n]) for n in (6, 18))
    mean = running_mean(before, after, kept=kept)
    logits = kept * before.decision_function(X) + (1 - kept) * after.decision_function(X)
    np.testing.assert_allclose(log_proba(mean, X), log_softmax(logits, axis=1), atol=1e-8)


def test_it_is_a_classifier_like_the_later_one(pair):
    before, after, X = pair
    mean = running_mean(before, after)
    assert type(mean) is type(after)
    np.testing.assert_array_equal(mean.classes_, after.classes_)
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    np.testing.assert_allclose(
        mean.decision_function(X), unit @ mean.coef_.T + mean.intercept_, rtol=1e-9
    )
    np.testing.assert_allclose(sum(mean.affinities(X).values()), mean.decision_function(X))
    for kept, same in ((0, after), (1, before)):
        found = running_mean(before, after, kept=kept)
        np.testing.assert_allclose(log_proba(found, X), log_proba(same, X), atol=1e-8)


def test_neither_classifier_changes_and_learning_again_forgets_the_mean(pair):
    before, after, X = pair
    expected = log_proba(before, X), log_proba(after, X)
    mean = running_mean(before, after)
    for classifier, values in zip((before, after), expected):
        np.testing.assert_array_equal(log_proba(classifier, X), values)
    np.testing.assert_allclose(
        log_proba(mean.with_unlabeled(X), X), log_proba(after.with_unlabeled(X), X)
    )


def test_a_class_that_came_meanwhile_keeps_its_place_among_the_others(world):
    X, y = world.draw(30)
    few = world.names[:3]
    before = world.zero_shot().fit(None, few)
    after = world.classifier().partial_fit(X[:60], y[:60], classes=world.names)
    mean = running_mean(before, after)
    assert mean.classes_.tolist() == world.names
    # Among old classes it is the mean, and new ones are what they are to the mean of the old.
    old, new = before.decision_function(X), after.decision_function(X)
    centred = [values - values[:, :3].mean(axis=1, keepdims=True) for values in (old, new)]
    expected = np.hstack([0.7 * centred[0] + 0.3 * centred[1][:, :3], centred[1][:, 3:]])
    np.testing.assert_allclose(log_proba(mean, X), log_softmax(expected, axis=1), atol=1e-8)
    # A class may also have gone.
    fewer = running_mean(after, after.with_classes(few))
    assert fewer.classes_.tolist() == few
    np.testing.assert_allclose(
        log_proba(fewer, X), log_proba(after.with_classes(few), X), atol=1e-8
    )


def test_without_a_common_class_it_is_the_later_one(world):
    X, y = world.draw(5)
    before = FewShotClassifier().fit(X, world.codes(y))
    after = FewShotClassifier().fit(X, 10 + world.codes(y))
    np.testing.assert_array_equal(log_proba(running_mean(before, after), X), log_proba(after, X))


def test_wrong_arguments_are_named(world):
    X, y = world.draw(4)
    classifier = world.classifier().fit(X, y)
    paper = world.classifier(SeMoBridgeClassifier).fit(X, y)
    with pytest.raises(TypeError, match="running_mean takes FewShotClassifier"):
        running_mean(classifier, paper)
    with pytest.raises(ValueError, match="kept"):
        running_mean(classifier, classifier, kept=1.5)
    narrow = FewShotClassifier().fit(X[:, 1:], world.codes(y))
    with pytest.raises(ValueError, match="embeddings of 15 and 16 features"):
        running_mean(narrow, classifier)
