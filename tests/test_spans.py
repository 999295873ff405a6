"""The bridge learnt from words: spans of texts, and the means that images are centred by."""

import array_api_strict as strict
import numpy as np
import pytest
import sklearn
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import normalize

from sksemobridge._method.spans import RunningMean, Span, class_balanced_mean, span_of_texts


def some_texts(n, dimension, seed=0, decay=0.9):
    """Text embeddings around a common mean, of falling spread over the directions."""
    rng = np.random.default_rng(seed)
    return 3 + rng.normal(size=(n, dimension)) * decay ** np.arange(dimension)


def projector(basis):
    return basis @ basis.T


def some_span(n=40, dimension=24):
    rng = np.random.default_rng(1)
    return Span(span_of_texts(some_texts(n, dimension)), normalize(rng.normal(size=(9, dimension))).mean(0))


def test_the_basis_is_orthonormal_and_holds_the_differences_of_few_texts():
    texts = normalize(some_texts(5, 24))
    basis = span_of_texts(texts)
    assert basis.shape == (24, 4)
    np.testing.assert_allclose(basis.T @ basis, np.eye(4), atol=1e-12)
    np.testing.assert_allclose((texts[1:] - texts[0]) @ projector(basis), texts[1:] - texts[0], atol=1e-12)


def test_images_are_centred_projected_and_scaled():
    span, x = some_span(), np.random.default_rng(2).normal(size=(6, 24))
    centred = (normalize(x) - span.mean) @ projector(span.basis)
    np.testing.assert_allclose(span.apply_unscaled(x), centred, atol=1e-12)
    np.testing.assert_allclose(span.apply(x), normalize(centred), atol=1e-12)
    np.testing.assert_allclose(span.coordinates(x) @ span.basis.T, centred, atol=1e-12)


def test_the_length_of_an_image_does_not_matter():
    span, x = some_span(), np.random.default_rng(2).normal(size=(6, 24))
    np.testing.assert_allclose(span.apply(7 * x), span.apply(x), atol=1e-12)


def test_the_whole_space_without_a_mean_only_scales():
    x = np.random.default_rng(2).normal(size=(6, 24))
    np.testing.assert_allclose(Span().apply(x), normalize(x), atol=1e-12)
    np.testing.assert_allclose(Span().coordinates(x), normalize(x), atol=1e-12)


def test_without_a_mean_bridging_twice_is_bridging_once():
    span, x = Span(some_span().basis), np.random.default_rng(2).normal(size=(6, 24))
    np.testing.assert_allclose(span.apply(span.apply(x)), span.apply(x), atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_image_at_the_mean_stays_zero(dtype):
    x = np.random.default_rng(2).normal(size=(1, 24)).astype(dtype)
    span = Span(some_span().basis, RunningMean().add(x).mean.astype(dtype))
    np.testing.assert_allclose(span.apply(np.vstack([x, 3 * x])), 0, atol=0.1)


def test_rows_of_zeros_give_no_nan():
    assert np.isfinite(some_span().apply(np.zeros((2, 24)))).all()
    np.testing.assert_array_equal(Span(some_span().basis).apply(np.zeros((2, 24))), 0)


@pytest.mark.parametrize("texts", [some_texts(1, 24), np.repeat(some_texts(1, 24), 5, axis=0)])
def test_texts_that_do_not_differ_span_nothing(texts):
    basis = span_of_texts(texts)
    assert basis.shape == (24, 0)
    np.testing.assert_array_equal(Span(basis).apply(some_texts(3, 24)), 0)


def test_many_texts_keep_nine_tenths_of_their_variance():
    texts = normalize(some_texts(500, 60, decay=0.95))
    centred = texts - texts.mean(axis=0)
    basis = span_of_texts(texts)
    kept = np.square(centred @ basis).sum() / np.square(centred).sum()
    without_last = np.square(centred @ basis[:, :-1]).sum() / np.square(centred).sum()
    assert without_last < 0.9 <= kept
    assert 20 < basis.shape[1] < 30


def test_texts_that_differ_in_few_directions_or_all_alike_meet_the_bounds():
    assert span_of_texts(some_texts(500, 60, decay=0.7)).shape == (60, 20)
    assert span_of_texts(some_texts(500, 60, decay=1.0)).shape == (60, 30)


@given(st.integers(1, 12), st.integers(1, 40), st.integers(0, 5))
def test_the_rank_is_within_its_bounds(dimension, n, seed):
    rank = span_of_texts(some_texts(n, dimension, seed)).shape[1]
    assert rank <= n - 1
    assert rank <= np.ceil(dimension / 2)
    assert rank >= min(n - 1, dimension // 3)


@given(st.floats(1e-3, 1e3), st.integers(0, 5))
def test_lengths_of_texts_do_not_matter(factor, seed):
    texts = some_texts(40, 24, seed)
    lengths = factor * np.random.default_rng(seed).uniform(0.5, 2, size=(40, 1))
    np.testing.assert_allclose(span_of_texts(lengths * texts), span_of_texts(texts), atol=1e-9)


def test_the_order_of_texts_and_repeating_all_of_them_do_not_matter():
    texts = some_texts(40, 24)
    basis = span_of_texts(texts)
    np.testing.assert_allclose(span_of_texts(texts[::-1]), basis, atol=1e-9)
    np.testing.assert_allclose(span_of_texts(np.vstack([texts, texts])), basis, atol=1e-9)


def test_repeating_some_of_few_texts_keeps_their_span():
    texts = some_texts(5, 24)
    repeated = span_of_texts(np.vstack([texts, texts[:2], texts[:1]]))
    np.testing.assert_allclose(projector(repeated), projector(span_of_texts(texts)), atol=1e-9)


def test_rounding_of_equal_texts_spans_nothing():
    texts = np.repeat(some_texts(2, 24), 4, axis=0)
    rounded = texts * (1 + 1e-7 * np.random.default_rng(4).normal(size=texts.shape))
    assert span_of_texts(rounded).shape == (24, 1)


def test_the_same_texts_are_computed_once_and_cannot_be_changed():
    basis = span_of_texts(some_texts(40, 24))
    assert span_of_texts(some_texts(40, 24)) is basis
    assert basis.dtype == np.float64
    assert not basis.flags.writeable


def test_the_mean_of_shots_gives_classes_equal_weight():
    rng = np.random.default_rng(5)
    X, codes = rng.normal(size=(6, 8)), np.array([0, 0, 0, 0, 2, 2])
    weight = np.array([1.0, 1, 1, 1, 3, 1])
    unit = normalize(X)
    expected = (unit[:4].mean(axis=0) + (3 * unit[4] + unit[5]) / 4) / 2
    np.testing.assert_allclose(class_balanced_mean(X, codes, weight), expected, atol=1e-12)
    np.testing.assert_allclose(class_balanced_mean(5 * X, codes, 2 * weight), expected, atol=1e-12)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=4).filter(any))
def test_a_gallery_in_parts_has_the_mean_of_the_whole(sizes):
    X = np.random.default_rng(6).normal(size=(sum(sizes), 8)).astype(np.float32)
    running = RunningMean()
    for part in np.split(X, np.cumsum(sizes)[:-1]):
        running = running.add(part)
    assert running.n_rows == len(X)
    np.testing.assert_allclose(running.mean, normalize(X.astype(float)).mean(axis=0), atol=1e-12)


def test_arrays_of_other_libraries_stay_what_they_are():
    span, x = some_span(), np.random.default_rng(2).normal(size=(6, 24))
    moved = Span(strict.asarray(span.basis.copy()), strict.asarray(span.mean.copy()))
    with sklearn.config_context(array_api_dispatch=True):
        result = moved.apply(strict.asarray(x))
    np.testing.assert_allclose(np.from_dlpack(result), span.apply(x), atol=1e-12)
