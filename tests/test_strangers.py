"""Images of none of the classes, learnt from examples."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from sksemobridge import (
    FewShotClassifier,
    PrecomputedTextEncoder,
    ZeroShotClassifier,
    stranger_proba,
)


def own_and_strange(seed=0, n=60, width=64):
    """Images of three classes and of three other things, and the classifier of the names."""
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(6, width))
    X = np.repeat(means, n, axis=0) + 0.7 * rng.normal(size=(6 * n, width))
    encoder = PrecomputedTextEncoder.from_joint(
        dict(zip("abc", means[:3] + 0.5 * rng.normal(size=(3, width))))
    )
    return (
        X,
        np.arange(6 * n) // n,
        ZeroShotClassifier(encoder, prompts="{}").fit(None, list("abc")),
    )


def test_one_example_of_each_kind_tells_the_strangers():
    X, kind, classifier = own_and_strange()
    p = stranger_proba(classifier, X, X[180::60])
    assert p.shape == (360,)
    assert roc_auc_score(kind > 2, p) > 0.99
    assert np.mean((p > 0.5) == (kind > 2)) > 0.95


def test_shots_of_the_classes_count(world):
    X, kind, names = own_and_strange()
    shots = np.arange(3) * 60
    classifier = FewShotClassifier(names.text_encoder, prompts="{}").fit(X[shots], list("abc"))
    p = stranger_proba(classifier, X, X[180:182])
    assert p[shots].max() < 0.5
    assert np.mean(p[kind < 3] > 0.5) < 0.05


def test_lengths_and_order_change_nothing():
    X, _, classifier = own_and_strange(n=20)
    expected = stranger_proba(classifier, X, X[-2:])
    order = np.random.default_rng(0).permutation(len(X))
    scaled = 3 * X[order]
    np.testing.assert_allclose(
        stranger_proba(classifier, scaled, X[-2:]), expected[order], atol=1e-3
    )


def test_what_is_missing_is_named(world):
    X, kind, classifier = own_and_strange(n=5)
    with pytest.raises(ValueError, match="at least|minimum of 1"):
        stranger_proba(classifier, X, X[:0])
    plain = FewShotClassifier(class_names="ignore").fit(X[:10], kind[:10])
    with pytest.raises(ValueError, match="needs a classifier with names"):
        stranger_proba(plain, X, X[-1:])
