"""Several labels are learnt as docs/several_labels_method.md says: a reference follows it alone."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sksemobridge import MultilabelFewShotClassifier, PrecomputedTextEncoder
from sksemobridge._model import multilabel
from sksemobridge._model.multilabel import (
    TaggedImages,
    best_expected_f1,
    fit_tags,
    tag_together,
    text_directions,
)

from .reference_images import nrm
from .reference_multilabel import Reference, best_f1

LOGIT_SCALE = 20.0


@dataclass
class Case:
    """Made-up images: the mean of two of `K` directions, and noise."""

    n: int = 14
    K: int = 4
    width: int = 9
    with_text: int = 4  # so many tags have a text
    noise: float = 0.5
    weighted: bool = False
    unknown: float = 0.0  # share of the answers
    never_asked: int = 0  # so many tags of which nobody knows
    repeated: int = 0  # so many images that are there twice, with other answers
    seed: int = 0

    def draw(self):
        rng = np.random.default_rng(self.seed)
        means = rng.normal(size=(self.K, self.width))
        Y = (rng.random((self.n, self.K)) < 0.4).astype(float)
        X = Y @ means + 1 + self.noise * rng.normal(size=(self.n, self.width))
        Y[rng.random(Y.shape) < self.unknown] = -1
        Y[:, : self.never_asked] = -1
        X[: self.repeated] = X[self.n - self.repeated :]
        texts = [nrm(t) for t in means + 0.5 * rng.normal(size=means.shape)]
        texts[self.with_text :] = [None] * (self.K - self.with_text)
        weight = rng.uniform(0.3, 3, self.n) if self.weighted else np.ones(self.n)
        return X, Y, texts, weight

    def fit(self):
        X, Y, texts, weight = self.draw()
        names = [f"tag {k}" for k in range(self.K)]
        pairs = {name: t for name, t in zip(names, texts) if t is not None}
        encoder, class_names = None, "ignore"
        if pairs:
            encoder = PrecomputedTextEncoder.from_joint(pairs, logit_scale=LOGIT_SCALE)
            class_names = {k: name if name in pairs else None for k, name in enumerate(names)}
        classifier = MultilabelFewShotClassifier(encoder, prompts="{}", class_names=class_names)
        return classifier.fit(X, Y, sample_weight=weight)

    def reference(self):
        X, Y, texts, weight = self.draw()
        yes, no = weight[:, None] * (Y == 1), weight[:, None] * (Y == 0)
        n = self.n - self.repeated
        for i in range(self.repeated):
            yes[n + i] += yes[i]
            no[n + i] += no[i]
            weight[n + i] += weight[i]
        rows = slice(self.repeated, None)
        scale = LOGIT_SCALE if self.with_text else 100.0
        return Reference(X[rows], yes[rows], no[rows], texts, scale, weight[rows])


CASES = {
    "all with texts": Case(),
    "fewer features than images": Case(n=20, width=5),
    "without text": Case(with_text=0),
    "some without text": Case(with_text=2),
    "one text": Case(with_text=1),
    "one tag": Case(K=1, with_text=1),
    "weights": Case(weighted=True),
    "unknown answers": Case(unknown=0.4),
    "a tag that nobody looked for": Case(never_asked=1),
    "nobody looked for any": Case(never_asked=4),
    "two rows of an image": Case(repeated=3, unknown=0.3, weighted=True),
    "easy": Case(n=30, noise=0.1),
    "hard": Case(n=30, noise=3.0),
}


@pytest.fixture(autouse=True)
def to_the_end(monkeypatch):
    """Optimisations end only at their minimum."""
    monkeypatch.setattr(multilabel, "MODE_TOL", 1e-15)
    monkeypatch.setattr(multilabel, "SEARCH_TOL", 1e-15)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_model_is_that_of_the_page(case):
    fitted, expected = case.fit(), case.reference()
    assert (fitted.text_scale_, fitted.C_) == pytest.approx((expected.a, expected.C))
    largest = np.abs(expected.coef).max()
    np.testing.assert_allclose(fitted.coef_, expected.coef, rtol=0, atol=3e-4 * largest)
    np.testing.assert_allclose(fitted.intercept_, expected.intercept, rtol=0, atol=3e-4 * largest)
    np.testing.assert_allclose(fitted.thresholds_, expected.thresholds, rtol=0, atol=1e-4)


def test_useful_names_help_and_useless_ones_hardly_matter():
    rng = np.random.default_rng(0)
    found = {}
    for kind in ("none", "useless", "useful"):
        right = []
        for seed in range(3):
            case = Case(n=220, K=6, width=40, with_text=6, noise=1.5, seed=seed)
            X, Y, texts, _ = case.draw()
            texts = np.array(texts)
            if kind != "useful":
                texts = nrm(rng.normal(size=texts.shape)) * (kind == "useless")
            images = TaggedImages(X[:20], np.ones(20), Y[:20], np.ones((20, 6)))
            model = fit_tags(images, texts, 20.0)
            right.append(np.mean((model.linear(X[20:]) > 0) == Y[20:]))
        found[kind] = np.mean(right)
    assert found["useful"] > found["none"] + 0.03
    assert found["useless"] > found["none"] - 0.02


def test_a_text_alone_says_nothing_of_what_all_texts_have_in_common():
    texts = nrm(np.ones((1, 4)))
    nine = np.repeat(texts, 9, axis=0)
    np.testing.assert_allclose(text_directions(nine), nine / 10)
    np.testing.assert_allclose(text_directions(texts), texts / 2)


@given(st.lists(st.floats(0.01, 0.99), min_size=1, max_size=12), st.integers(0, 100))
def test_the_largest_expected_f1_is_that_of_a_search(p, seed):
    p, weight = np.array(p), np.random.default_rng(seed).uniform(0.5, 2, len(p))
    found = best_expected_f1(p[:, None], weight)[0]
    assert found == pytest.approx(best_f1(p, weight))
    # Half of it is a threshold that reaches it.
    given_to = p >= found / 2
    reached = 2 * (weight * p)[given_to].sum() / (weight[given_to].sum() + weight @ p)
    assert reached == pytest.approx(found)


def test_a_set_gets_a_tag_that_probably_none_has_nowhere():
    p = np.array([[0.9, 0.01, 0.3], [0.2, 0.02, 0.3], [0.1, 0.01, 0.3]])
    assert tag_together(p).tolist() == [[1, 0, 1], [0, 0, 1], [0, 0, 1]]
    assert tag_together(p[:1]).tolist() == [[1, 0, 0]]


def test_many_images_are_held_out_in_part(monkeypatch):
    X, Y, texts, _ = Case(n=120, width=6, noise=2.0).draw()
    images = TaggedImages(X, np.ones(120), Y, np.ones(Y.shape))
    whole = fit_tags(images, np.array(texts), LOGIT_SCALE)
    monkeypatch.setattr(multilabel, "MOST_HELD_OUT", 60)
    part = fit_tags(images, np.array(texts), LOGIT_SCALE)
    np.testing.assert_allclose(part.thresholds, whole.thresholds, atol=0.1)
