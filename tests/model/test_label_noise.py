"""Labels that may be wrong: what is found, and what it changes."""

import numpy as np
import pytest

from sksemobridge import PaperBlend
from sksemobridge._model.label_noise import LEAST


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
    trusting = world.classifier(**text).fit(X, y)
    assert _log_loss(classifier, queries, truth) < _log_loss(trusting, queries, truth)


def _log_loss(classifier, X, y):
    true = classifier.predict_log_proba(X)[np.arange(len(y)), np.searchsorted(classifier.classes_, y)]
    return -true.mean()


def test_a_share_is_taken_as_given(world, mislabelled):
    X, y, _ = mislabelled
    small, large = (world.classifier(label_noise=share).fit(X, y).label_proba_ for share in (0.01, 0.5))
    assert ((large < small) | (small == LEAST)).all()


def test_the_label_of_an_only_shot_is_trusted_unless_a_share_is_given(world):
    X, y = world.draw(1)
    y = np.roll(y, 1)
    assert (world.classifier(label_noise="auto").fit(X, y).label_proba_ == 1).all()
    assert (world.classifier(label_noise=0.2).fit(X, y).label_proba_ < 1).all()
    # Without text there is nothing that could tell.
    without_text = world.classifier(label_noise="auto", class_names="ignore", vocabulary=None)
    assert (without_text.fit(X, y).label_proba_ == 1).all()


def test_rows_are_those_of_fit_in_any_order_and_rows_without_weight_have_none(world, mislabelled):
    X, y, _ = mislabelled
    weight = np.ones(len(y))
    weight[3] = 0
    whole = world.classifier(label_noise="auto").fit(X, y, weight)
    order = np.random.default_rng(0).permutation(len(y))
    shuffled = world.classifier(label_noise="auto").fit(X[order], y[order], weight[order])
    np.testing.assert_allclose(shuffled.label_proba_, whole.label_proba_[order])
    assert np.flatnonzero(np.isnan(whole.label_proba_)).tolist() == [3]
    parts = world.classifier(label_noise="auto").fit(X[:30], y[:30], weight[:30])
    parts.partial_fit(X[30:], y[30:], sample_weight=weight[30:])
    np.testing.assert_allclose(parts.label_proba_, whole.label_proba_)


def test_by_default_all_labels_are_trusted(world, mislabelled):
    X, y, _ = mislabelled
    assert not hasattr(world.classifier().fit(X, y), "label_proba_")


def test_the_classifier_of_the_paper_trusts_all_labels(world, mislabelled):
    X, y, _ = mislabelled
    with pytest.raises(ValueError, match='label_noise needs blend="auto"'):
        world.classifier(label_noise=0.1, blend=PaperBlend()).fit(X, y)
