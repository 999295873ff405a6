"""Images of none of the classes, learnt from examples."""

import numpy as np
import pytest
from scipy.special import logsumexp
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import normalize

from sksemobridge import FewShotClassifier, PrecomputedTextEncoder, ZeroShotClassifier
from sksemobridge._model.unlabeled import typical_of_names
from sksemobridge.labelling import stranger_proba


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


@pytest.mark.parametrize("n_strangers", [1, 3, 20])
def test_it_is_a_regression_of_three_features(n_strangers):
    """An example is not its own neighbour. All images together count as ten examples, and as five
    beside ten strangers."""
    X, _, names = own_and_strange(n=12, width=8)
    shots, strangers = X[[0, 1, 13]], X[40 : 40 + n_strangers]
    classifier = FewShotClassifier(names.text_encoder, prompts="{}").fit(shots, list("aab"))
    u, texts = normalize(X), classifier.text_embeddings_

    def nearest(rows, examples):
        cosines = [[v @ w for w in normalize(examples) if v @ w < 1 - 1e-9] for v in rows]
        median = np.median([max(row) for row in cosines if row] or [0.0])
        return [max(row, default=median) for row in cosines]

    rows = np.vstack([u, normalize(shots), normalize(strangers)])
    levels = logsumexp(100 * rows @ texts.T, axis=1)
    features = np.column_stack([levels, nearest(rows, shots), nearest(rows, strangers)])
    of_images = features[: len(X)]
    features = (features - of_images.mean(axis=0)) / of_images.std(axis=0)
    typical, of_image = typical_of_names(levels[: len(X)]), levels[: len(X)]
    assert 0 < typical.sum() < len(X)
    low = levels[len(X) :] < (of_image[typical].min() + of_image[~typical].max()) / 2
    odds = 0.25 * (0.8 / 0.3) ** low[3:].sum() * (0.2 / 0.7) ** low[:3].sum()
    q = np.where(typical, 0.05, 0.05 + 0.9 * odds / (1 + odds))
    is_strange = np.repeat([False, True, False, True], [len(X), len(X), 3, n_strangers])
    worth = 10 / (1 + n_strangers / 10) / len(X)
    weight = np.concatenate([(1 - q) * worth, q * worth, np.ones(3 + n_strangers)])
    weight[~is_strange] *= max(weight[is_strange].sum() / weight[~is_strange].sum(), 1)
    features = np.vstack([features[: len(X)], features])
    regression = LogisticRegression(max_iter=1000).fit(features, is_strange, weight)
    expected = regression.predict_proba(features[: len(X)])[:, 1]
    np.testing.assert_allclose(stranger_proba(classifier, X, strangers), expected, atol=1e-4)


@pytest.mark.parametrize("n_right", [0, 3, 12])
def test_one_example_that_is_none_by_mistake_takes_few_images_with_it(n_right):
    X, kind, names = own_and_strange()
    X, kind = X[kind < 3], kind[kind < 3]
    classifier = names
    if n_right:
        classifier = FewShotClassifier(names.text_encoder, prompts="{}")
        shots = np.arange(n_right) * 59 % len(X)
        classifier.partial_fit(X[shots], np.array(list("abc"))[kind[shots]], classes=list("abc"))
    for mistake in (7, 67, 127):
        p = stranger_proba(classifier, X, X[[mistake]])
        assert np.mean(p > 0.5) < 0.02


def worse_names(n_strangers, n_own, n=100, among=slice(None)):
    """Images that the names fit in two ways, and how many of those with the worse one are taken for
    strangers after some were said to be, `among` the images, and others to be own.
    """
    rng = np.random.default_rng(0)
    names = np.eye(48)[:2]
    other = normalize(rng.normal(size=(2 * n, 48)))
    fit = np.repeat([0.9, 0.5], n) + 0.02 * rng.normal(size=2 * n)
    label = np.tile([0, 1], n)
    X = fit[:, None] * names[label] + np.sqrt(1 - fit**2)[:, None] * other
    encoder = PrecomputedTextEncoder.from_joint(dict(zip("ab", names)))
    classifier = FewShotClassifier(encoder, prompts="{}")
    own = np.arange(n_own) + n
    shots = np.append(own, [0, 1])
    classifier.partial_fit(X[shots], np.array(list("ab"))[label[shots]], classes=list("ab"))
    p = stranger_proba(classifier, X, X[among][-n_strangers:])
    return np.mean(p[n:] > 0.5)


def test_images_that_the_names_fit_badly_are_strangers_if_the_examples_of_them_are():
    assert worse_names(n_strangers=4, n_own=0) > 0.9
    assert worse_names(n_strangers=1, n_own=6) < 0.1
    # Strangers that the names fit well say nothing of those that they fit badly.
    assert worse_names(n_strangers=1, n_own=0, among=slice(100)) < 0.1
    assert worse_names(n_strangers=1, n_own=6, among=slice(100)) < 0.1


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
