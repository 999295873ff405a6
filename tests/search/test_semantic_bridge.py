"""The bridge as a transformer: what it computes, in both directions, and how it composes."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import normalize as nrm

from sksemobridge import CLIPImageEncoder, CLIPTextEncoder, FewShotClassifier, SemanticBridge

from ..encoder_helpers import some_pictures
from ..made_up import World
from ..versions import POLARS


def both_projections(d_text=24, d_image=20, width=16, bias=False):
    """A text encoder with made-up projections of texts and images."""
    rng = np.random.default_rng(1)
    return SimpleNamespace(
        projection_=rng.normal(size=(d_text, width)) / np.sqrt(d_text),
        projection_bias_=rng.normal(size=width) if bias else None,
        image_projection_=rng.normal(size=(d_image, width)) / np.sqrt(d_image),
        image_projection_bias_=rng.normal(size=width) if bias else None,
    )


DIRECTIONS = {"image_to_text": "", "text_to_image": "image_"}
embeddings = np.random.default_rng(0).normal(size=(30, 16))


@pytest.mark.parametrize(("direction", "prefix"), DIRECTIONS.items())
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("d_text", "d_image"), [(24, 20), (10, 9)])
@pytest.mark.parametrize("atol", [0.6, "auto"])
def test_follows_the_formula_of_the_method(direction, prefix, bias, d_text, d_image, atol):
    encoder = both_projections(d_text, d_image, bias=bias)
    bridge = SemanticBridge(encoder, direction=direction, atol=atol).fit(embeddings)
    W = getattr(encoder, f"{prefix}projection_")
    b = getattr(encoder, f"{prefix}projection_bias_") if bias else 0
    left, values, right = np.linalg.svd(W, full_matrices=False)
    if atol == "auto":
        # Of these projections, 0.3 keeps all but some directions, or nearly all.
        atol = 0.3 if 0.25 <= np.mean(values > 0.3) <= 0.95 else 0.7 * np.median(values)
    keep = values > atol
    assert bridge.atol_ == pytest.approx(atol)
    inverse = (right[keep].T / values[keep]) @ left[:, keep].T
    eos = (embeddings - b) @ inverse
    L = np.linalg.norm(eos, axis=1).mean()
    expected = nrm(L * nrm(eos) @ W + b)
    assert 0 < keep.sum() < min(W.shape)
    assert bridge.rank_ == keep.sum()
    assert_allclose(bridge.bridge_, inverse)
    assert_allclose(bridge.transform(embeddings), expected)
    assert_allclose(nrm(bridge.set_params(normalize=False).transform(embeddings)), expected)


@pytest.mark.parametrize("direction", DIRECTIONS)
@given(st.integers(0, 1000), st.floats(1e-3, 1e3))
def test_without_a_bias_the_length_of_an_embedding_does_not_matter(direction, seed, factor):
    X = np.random.default_rng(seed).normal(size=(3, 16))
    bridge = SemanticBridge(both_projections(), direction=direction).fit(embeddings)
    assert_allclose(bridge.transform(factor * X), bridge.transform(X), atol=1e-12)
    assert_allclose(
        SemanticBridge(both_projections(), direction=direction).fit_transform(X),
        bridge.transform(X),
    )
    assert_allclose(bridge.transform(bridge.transform(X)), bridge.transform(X), atol=1e-12)


def test_without_a_text_encoder_embeddings_stay_as_they_are():
    bridge = SemanticBridge().fit(embeddings)
    assert bridge.rank_ == 16
    assert_allclose(bridge.transform(embeddings), nrm(embeddings))
    assert_allclose(SemanticBridge(normalize=False).fit_transform(embeddings), embeddings)


def test_cutting_everything_off_warns_and_gives_no_nan():
    with pytest.warns(UserWarning, match="atol=100.0 cuts off every direction") as caught:
        bridge = SemanticBridge(both_projections(), atol=100.0).fit(embeddings)
    assert caught[0].filename == __file__
    assert bridge.rank_ == 0
    assert_array_equal(bridge.transform(embeddings), np.zeros_like(embeddings))


@pytest.mark.parametrize("encoder", [None, both_projections(bias=True)])
@pytest.mark.parametrize(
    ("given", "computed"), [("f8", "f8"), ("f4", "f4"), ("f2", "f4"), ("i8", "f8")]
)
def test_results_have_the_precision_of_the_embeddings(encoder, given, computed):
    X = (10 * embeddings).astype(given)
    bridge = SemanticBridge(encoder).fit(X)
    assert bridge.bridge_.dtype == bridge.transform(X).dtype == np.dtype(computed)
    assert_allclose(
        bridge.transform(X), SemanticBridge(encoder).fit_transform(X.astype("f8")), atol=1e-4
    )
    # Each call follows what comes in, not what `fit` has seen.
    assert bridge.transform(X.astype("f8")).dtype == np.float64


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_an_encoder_that_lacks_what_the_direction_needs_is_named(direction):
    with pytest.raises(ValueError, match=f"must offer {DIRECTIONS[direction]}projection_"):
        SemanticBridge(SimpleNamespace(), direction=direction).fit(embeddings)


# With words, it centres the images.
@pytest.mark.filterwarnings("ignore:The embeddings look as if each column had been centred")
@pytest.mark.parametrize("library", ["pandas", POLARS])
def test_between_an_encoder_and_a_classifier_in_data_frames(library):
    pictures, y, text = some_pictures(8), ["apple", "tree"] * 4, CLIPTextEncoder("mini", "bundled")
    images, bridge = CLIPImageEncoder("mini", "bundled"), SemanticBridge(text)
    classifier = FewShotClassifier(text)
    expected = (
        make_pipeline(images, bridge, clone(classifier)).fit(pictures, y).predict_proba(pictures)
    )
    pipeline = (
        make_pipeline(images, bridge, classifier).set_output(transform=library).fit(pictures, y)
    )
    bridged = pipeline[:-1].transform(pictures)
    assert type(bridged).__module__.startswith(library)
    assert bridged.shape == (8, 128)
    names = pipeline[:-1].get_feature_names_out().tolist()
    assert names[0] == "semanticbridge0"
    assert list(bridged.columns) == classifier.feature_names_in_.tolist() == names
    assert_allclose(pipeline.predict_proba(pictures), expected, rtol=1e-5)


def bridge_of_words(**params):
    world = World()
    return SemanticBridge(world.text_encoder(), vocabulary=world.texts, **params)


def test_with_words_both_sides_are_centred_and_projected_on_their_span(world):
    bridge = bridge_of_words().fit(embeddings)
    texts = nrm(world.text_encoder().transform(world.texts))
    basis = np.linalg.svd(texts - texts.mean(axis=0))[2][:4].T
    mean = nrm(embeddings).mean(axis=0)
    expected = (nrm(embeddings) - mean) @ basis @ basis.T
    assert bridge.rank_ == 4
    assert_allclose(bridge.mean_, mean)
    assert_allclose(bridge.bridge_, basis @ basis.T, atol=1e-12)
    assert_allclose(bridge.transform(embeddings), nrm(expected), atol=1e-12)
    assert_allclose(
        bridge_of_words(normalize=False).fit_transform(embeddings), expected, atol=1e-12
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_image_that_is_the_mean_has_nothing_left(dtype):
    x = embeddings[:1].astype(dtype)
    bridge = bridge_of_words().fit(x)
    assert_allclose(bridge.transform(np.vstack([x, 3 * x])), 0, atol=0.1)
    assert np.isfinite(bridge.transform(np.zeros((2, 16)))).all()


def test_from_texts_to_images_there_are_no_words():
    with pytest.raises(ValueError, match="from texts to images there are no words"):
        bridge_of_words(direction="text_to_image").fit(embeddings)
