"""The directions in which words differ."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import normalize

from sksemobridge import SeMoBridgeClassifier
from sksemobridge._texts.words import span_of_texts, word_span


def some_texts(n, dimension, seed=0, decay=0.9):
    """Text embeddings around a common mean, of falling spread over the directions."""
    rng = np.random.default_rng(seed)
    return 3 + rng.normal(size=(n, dimension)) * decay ** np.arange(dimension)


def test_the_basis_is_orthonormal_and_holds_the_differences_of_few_texts():
    texts = normalize(some_texts(5, 24))
    basis = span_of_texts(texts)
    assert basis.shape == (24, 4)
    np.testing.assert_allclose(basis.T @ basis, np.eye(4), atol=1e-12)
    np.testing.assert_allclose((texts[1:] - texts[0]) @ basis @ basis.T, texts[1:] - texts[0], atol=1e-12)


def test_many_texts_keep_nine_tenths_of_their_variance():
    texts = normalize(some_texts(500, 60, decay=0.95))
    centred = texts - texts.mean(axis=0)
    basis = span_of_texts(texts)
    kept = np.square(centred @ basis).sum() / np.square(centred).sum()
    without_last = np.square(centred @ basis[:, :-1]).sum() / np.square(centred).sum()
    assert without_last < 0.9 <= kept
    assert 20 < basis.shape[1] < 30


@pytest.mark.parametrize(("decay", "rank"), [(0.7, 20), (1.0, 30)])
def test_texts_that_differ_in_few_directions_or_all_alike_meet_the_bounds(decay, rank):
    assert span_of_texts(some_texts(500, 60, decay=decay)).shape == (60, rank)


@given(st.floats(1e-3, 1e3), st.integers(0, 5))
def test_lengths_order_and_copies_of_texts_do_not_matter(factor, seed):
    texts, rng = some_texts(40, 24, seed), np.random.default_rng(seed)
    others = factor * rng.uniform(0.5, 2, size=(80, 1)) * np.vstack([texts[::-1], texts])
    np.testing.assert_allclose(span_of_texts(others), span_of_texts(texts), atol=1e-9)


@pytest.mark.parametrize("n", [1, 2])
def test_rounding_of_equal_texts_spans_nothing(n):
    texts = np.repeat(some_texts(n, 24), 4, axis=0)
    rounded = texts * (1 + 1e-7 * np.random.default_rng(4).normal(size=texts.shape))
    assert span_of_texts(rounded).shape == (24, n - 1)


def test_words_are_decomposed_once_per_process(world):
    basis = word_span(world.text_encoder(), world.texts[:3])
    assert word_span(world.text_encoder(), tuple(world.texts[:3])) is basis


@pytest.mark.parametrize(
    ("vocabulary", "message"),
    [
        ([], "vocabulary is empty"),
        (["a dog", 1], r"vocabulary\[1\] is 1"),
        ([["a dog"]], r"vocabulary\[0\] is \['a dog'\]"),
        ([None], r"vocabulary\[0\] is None"),
        (["a photo of a dog."] * 2, "2 texts whose embeddings do not differ"),
        (["a unicorn"], "'a unicorn'"),
    ],
)
def test_a_vocabulary_of_other_things_is_refused(world, vocabulary, message):
    with pytest.raises((TypeError, ValueError), match=message):
        world.classifier(class_names="ignore", vocabulary=vocabulary).fit(*world.draw(2))


def test_words_need_an_encoder_of_their_width(world, make_world):
    X, y = world.draw(2)
    with pytest.raises(ValueError, match="no text_encoder that could embed it"):
        SeMoBridgeClassifier(vocabulary=["a dog"]).fit(X, world.codes(y))
    other = make_world(width=20)
    with pytest.raises(ValueError, match="X has 16 features, but the text encoder's embeddings have 20"):
        other.classifier(class_names="ignore", vocabulary=other.texts).fit(X, y)
