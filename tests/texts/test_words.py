"""The directions in which words differ."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import normalize

from sksemobridge import FewShotClassifier
from sksemobridge._texts.words import text_span


def some_texts(n, dimension, seed=0, decay=0.9):
    """Text embeddings around a common mean, with variances that fall by direction."""
    rng = np.random.default_rng(seed)
    return 3 + rng.normal(size=(n, dimension)) * decay ** np.arange(dimension)


def test_the_basis_is_orthonormal_and_holds_the_differences_of_few_texts():
    texts = normalize(some_texts(5, 24))
    basis = text_span(texts)
    assert basis.shape == (24, 4)
    np.testing.assert_allclose(basis.T @ basis, np.eye(4), atol=1e-12)
    np.testing.assert_allclose(
        (texts[1:] - texts[0]) @ basis @ basis.T, texts[1:] - texts[0], atol=1e-12
    )


def test_many_texts_keep_nine_tenths_of_their_variance_within_bounds():
    texts = normalize(some_texts(500, 60, decay=0.95))
    centred = texts - texts.mean(axis=0)
    basis = text_span(texts)
    kept, without_last = (np.square(centred @ part).sum() for part in (basis, basis[:, :-1]))
    assert without_last < 0.9 * np.square(centred).sum() <= kept
    assert 20 < basis.shape[1] < 30
    for decay, rank in ((0.7, 20), (1.0, 30)):
        assert text_span(some_texts(500, 60, decay=decay)).shape == (60, rank)


@given(st.floats(1e-3, 1e3), st.integers(0, 5))
def test_lengths_order_and_copies_of_texts_do_not_matter(factor, seed):
    texts, rng = some_texts(40, 24, seed), np.random.default_rng(seed)
    others = factor * rng.uniform(0.5, 2, size=(80, 1)) * np.vstack([texts[::-1], texts])
    np.testing.assert_allclose(text_span(others), text_span(texts), atol=1e-9)


def test_rounding_of_equal_texts_spans_nothing():
    texts = np.repeat(some_texts(2, 24), 4, axis=0)
    rounded = texts * (1 + 1e-7 * np.random.default_rng(4).normal(size=texts.shape))
    assert text_span(rounded).shape == (24, 1)


@pytest.mark.parametrize("vocabulary", [[], ["a dog", 1], ["a photo of a dog."] * 2])
def test_vocabularies_of_other_things_are_refused(world, vocabulary):
    with pytest.raises(
        ValueError, match="vocabulary must be some hundred names of different things"
    ):
        world.classifier(class_names="ignore", vocabulary=vocabulary).fit(*world.draw(2))


def test_words_need_an_encoder_of_the_width_of_the_images(world, make_world):
    X, y = world.draw(2)
    with pytest.raises(ValueError, match="no text_encoder that could embed it"):
        FewShotClassifier(vocabulary=["a dog", "a cat"]).fit(X, world.codes(y))
    other = make_world(width=20)
    with pytest.raises(
        ValueError, match="X has 16 features, but the text encoder's embeddings have 20"
    ):
        other.classifier(class_names="ignore", vocabulary=other.texts).fit(X, y)
