"""Texts to embeddings, before and after the projection."""

import numpy as np
import open_clip
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sksemobridge.encoders import CLIPTextEncoder

from ..encoder_helpers import BUNDLED, read_model


@pytest.fixture
def encoder():
    return CLIPTextEncoder("mini", "bundled", cache=None)


TEXTS = ["a red apple", "a green tree", "smile", "a photo of a dog", "snow"]


def test_text_encoder_agrees_with_open_clip(encoder):
    model = read_model(BUNDLED)
    joint = model.encode_text(open_clip.get_tokenizer(BUNDLED)(TEXTS)).numpy()
    assert_allclose(encoder.transform(TEXTS), joint, atol=1e-5)
    assert_allclose(encoder.encode(TEXTS) @ encoder.projection_, joint, atol=1e-5)
    assert encoder.projection_bias_ is None
    assert encoder.transform(TEXTS).dtype == encoder.encode(TEXTS).dtype == np.float32
    assert encoder.logit_scale_ == pytest.approx(float(model.logit_scale.exp()))
    assert isinstance(encoder.logit_scale_, float)


def test_changing_a_projection_that_was_given_out_does_not_change_the_model(encoder):
    before = encoder.transform(TEXTS)
    encoder.projection_[:] = encoder.image_projection_[:] = 0
    assert_array_equal(encoder.transform(TEXTS), before)
    assert encoder.image_projection_.any()


@pytest.mark.parametrize(
    "container", [tuple, np.array, pd.Series, pd.array, lambda texts: pl.DataFrame({"text": texts})]
)
def test_texts_come_in_any_sequence(encoder, container):
    assert_array_equal(encoder.transform(container(TEXTS)), encoder.transform(TEXTS))


def test_no_texts_give_no_rows(encoder):
    assert encoder.transform([]).shape == (0, 128)


@pytest.mark.parametrize("bad", [None, 3, b"a cat", float("nan")])
def test_what_is_no_text_is_named(encoder, bad):
    with pytest.raises(TypeError, match=r"texts\[1\] is .*not a string"):
        encoder.transform(["a cat", bad])
    with pytest.raises(ValueError, match=r"write \[X\]"):
        encoder.encode("a cat")


def test_what_is_no_unicode_is_named(encoder):
    for embed in (encoder.transform, encoder.encode):
        with pytest.raises(ValueError, match=r"texts\[1\] is 'a \\udcff', which cannot be encoded"):
            embed(["a cat", "a \udcff"])


def test_a_text_whose_end_is_cut_is_named():
    with pytest.warns(UserWarning, match="1 of 2 texts are longer than the model reads.* 'a very "):
        CLIPTextEncoder("mini", "bundled").transform(["a cat", "a very " * 50 + "long text"])


def test_half_precision_stays_close(encoder):
    exact = encoder.transform(TEXTS)
    rough = CLIPTextEncoder("mini", "bundled", precision="bf16").transform(TEXTS)
    cosine = (exact * rough).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(rough, axis=1)
    assert cosine.min() > 0.999
    assert rough.dtype == np.float32
    assert not np.array_equal(exact, rough)
