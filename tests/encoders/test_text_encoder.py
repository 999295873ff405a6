"""Texts to embeddings, before and after the projection."""

import os

import numpy as np
import open_clip
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from sksemobridge.encoders import (
    CLIPImageEncoder,
    CLIPTextEncoder,
    EmbeddingCache,
    NoProjectionError,
    PrecomputedTextEncoder,
    clear_model_cache,
)
from sksemobridge.encoders._towers import cut_context, read_text_projection, without_projection

from ..encoder_helpers import (
    BUNDLED,
    memory_for,
    randomise,
    read_model,
    small_config,
    some_pictures,
    write_model,
)
from ..versions import needs

ARCHITECTURES = ["ViT-B-16", "RN50", "MobileCLIP-B", "ViT-B-16-SigLIP", "coca_ViT-B-32"]
NO_PROJECTION = "ViT-SO400M-16-SigLIP-i18n-256"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Names of small models with random weights and biases, by architecture."""
    folder = tmp_path_factory.mktemp("models")
    names = {name: write_model(folder / name, small_config(name)) for name in [*ARCHITECTURES, NO_PROJECTION]}
    yield names
    clear_model_cache()


def some_tokens(model, n=5, seed=0):
    length = model.context_length if hasattr(model, "context_length") else model.text.context_length
    tokens = torch.randint(1, 900, (n, length), generator=torch.Generator().manual_seed(seed))
    # Texts of different lengths, with a highest id at their end and padding behind it.
    for row, end in enumerate(torch.linspace(3, length - 1, n).long()):
        tokens[row, end] = 950
        tokens[row, end + 1 :] = 0
    return tokens


@pytest.fixture(params=[*ARCHITECTURES, "mini"])
def model(request, models):
    if request.param != "mini":
        return read_model(models[request.param])
    # The bundled model's structure, with other weights.
    return randomise(read_model(BUNDLED))


def test_embeddings_before_the_projection_and_the_projection_give_the_joint_ones(model):
    tokens = some_tokens(model)
    eos = without_projection(model).encode_text(tokens, normalize=False)
    weight, bias = read_text_projection(model)
    joint = eos @ weight + (0 if bias is None else bias)
    expected = model.encode_text(tokens, normalize=False)
    assert eos.shape == (len(tokens), len(weight))
    torch.testing.assert_close(joint, expected)
    assert not torch.allclose(expected.norm(dim=1), torch.ones(len(tokens)))


def test_reading_before_the_projection_leaves_the_model_as_it_is(model):
    tokens = some_tokens(model)
    before = model.encode_text(tokens, normalize=False)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    modules = dict(model.named_modules())
    bare = without_projection(model)
    bare.encode_text(tokens, normalize=False)
    assert dict(model.named_modules()) == modules
    assert {name: value for name, value in model.state_dict().items()}.keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert torch.equal(model.encode_text(tokens, normalize=False), before)
    # And it shares the weights: nothing is held twice.
    ours = {value.data_ptr() for value in bare.parameters()}
    assert ours < {value.data_ptr() for value in model.parameters()}


CUT = {"ViT-B-16", "RN50", "MobileCLIP-B", "mini"}


def test_the_context_is_cut_only_where_this_changes_nothing(model, request):
    tokens = some_tokens(model, n=8)[:5]
    end = int(tokens.argmax(dim=1).max()) + 1
    assert end < tokens.shape[1]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    for whole in (model, without_projection(model)):
        short, cut = cut_context(whole, tokens)
        expected = whole.encode_text(tokens, normalize=False)
        if request.node.callspec.params["model"] in CUT:
            assert cut.shape == (5, end)
            torch.testing.assert_close(short.encode_text(cut, normalize=False), expected)
        else:
            assert short is whole
            assert cut is tokens
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


@needs("open_clip_torch", "3.3", "has no such towers")
def test_the_context_is_cut_in_a_tower_of_its_own_that_reads_a_token_by_its_id(models):
    config = small_config("ViT-B-16")
    config["text_cfg"] |= {"pool_type": "eos", "eos_id": 950}
    model = randomise(open_clip.CustomTextCLIP(**config)).eval().requires_grad_(False)
    tokens = some_tokens(model, n=8)[:5]
    short, cut = cut_context(model, tokens)
    assert short is not model
    assert cut.shape[1] < tokens.shape[1]
    torch.testing.assert_close(
        short.encode_text(cut, normalize=False), model.encode_text(tokens, normalize=False)
    )


def test_projections_with_bias_and_without_square_shape_are_covered(models):
    shapes = {name: read_text_projection(read_model(models[name])) for name in ARCHITECTURES}
    assert all(weight.shape[0] != weight.shape[1] for weight, _ in shapes.values())
    assert [name for name, (_, bias) in shapes.items() if bias is not None] == ["ViT-B-16-SigLIP"]


class _Outputs:
    def __init__(self, last_hidden_state):
        self.last_hidden_state = last_hidden_state


class _TransformerOfTransformers(torch.nn.Module):
    """Stands in for a model of the package transformers, which is not needed to test what comes after it."""

    def __init__(self, width):
        super().__init__()
        self.embedding = torch.nn.Embedding(1000, width)

    def forward(self, input_ids, attention_mask):
        return _Outputs(self.embedding(input_ids))


def hugging_face_model(small, projection, width=24):
    from open_clip.hf_model import HFTextEncoder, MeanPooler

    tower = HFTextEncoder.__new__(HFTextEncoder)
    torch.nn.Module.__init__(tower)
    tower.output_tokens = False
    tower.config = type("Config", (), {"pad_token_id": 0})
    tower.transformer = _TransformerOfTransformers(width)
    tower.pooler = MeanPooler()
    tower.proj = projection
    model = open_clip.create_model(small, load_weights=False)
    model.text = tower
    return randomise(model).eval().requires_grad_(False)


def test_of_an_mlp_projection_the_last_linear_layer_counts(models):
    layers = [torch.nn.Linear(24, 28, bias=False), torch.nn.GELU(), torch.nn.Linear(28, 32, bias=False)]
    model = hugging_face_model(models["MobileCLIP-B"], torch.nn.Sequential(*layers))
    tokens = some_tokens(model)
    weight, bias = read_text_projection(model)
    eos = without_projection(model).encode_text(tokens, normalize=False)
    assert weight.shape == (28, 32)
    assert bias is None
    torch.testing.assert_close(eos @ weight, model.encode_text(tokens, normalize=False))


def test_a_linear_projection_of_a_hugging_face_tower_is_read(models):
    model = hugging_face_model(models["MobileCLIP-B"], torch.nn.Linear(24, 32))
    tokens = some_tokens(model)
    weight, bias = read_text_projection(model)
    eos = without_projection(model).encode_text(tokens, normalize=False)
    torch.testing.assert_close(eos @ weight + bias, model.encode_text(tokens, normalize=False))


def test_a_hugging_face_tower_without_projection_says_so(models):
    model = hugging_face_model(models["MobileCLIP-B"], torch.nn.Identity())
    with pytest.raises(NoProjectionError, match="HFTextEncoder.* without a linear projection"):
        read_text_projection(model)


def test_without_a_projection_transform_works_and_the_rest_says_so(models):
    encoder = CLIPTextEncoder(models[NO_PROJECTION])
    assert encoder.transform(["a", "b"]).shape == (2, len(encoder.get_feature_names_out()))
    for use in (encoder.encode, lambda _: encoder.projection_, lambda _: encoder.projection_bias_):
        with pytest.raises(NoProjectionError, match="`transform` works, and with it zero-shot"):
            use(["a", "b"])


# The encoder


@pytest.fixture
def encoder():
    return CLIPTextEncoder("mini", "bundled")


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


def test_fit_changes_nothing_and_is_not_needed(encoder):
    before = encoder.transform(TEXTS)
    assert encoder.fit(TEXTS) is encoder
    assert_array_equal(encoder.transform(TEXTS), before)
    assert_array_equal(clone(encoder).fit_transform(TEXTS), before)


def test_changing_the_projection_that_was_given_out_does_not_change_the_model(encoder):
    before = encoder.transform(TEXTS)
    encoder.projection_[:] = 0
    assert_array_equal(encoder.transform(TEXTS), before)


@settings(max_examples=8, deadline=None)
@given(st.permutations(range(len(TEXTS))), st.integers(1, 6))
def test_order_and_batch_size_do_not_matter(order, batch_size):
    expected = CLIPTextEncoder("mini", "bundled").encode(TEXTS)
    shuffled = CLIPTextEncoder("mini", "bundled", batch_size=batch_size).encode([TEXTS[i] for i in order])
    assert_allclose(shuffled, expected[list(order)], atol=1e-5)


@pytest.mark.parametrize(
    "container",
    [
        list,
        tuple,
        np.array,
        lambda texts: np.array(texts, dtype=object)[:, None],
        pd.Series,
        lambda texts: pd.DataFrame({"text": texts}),
        pl.Series,
        lambda texts: pl.DataFrame({"text": texts}),
    ],
)
def test_texts_come_in_any_sequence(encoder, container):
    assert_array_equal(encoder.transform(container(TEXTS)), encoder.transform(TEXTS))


def test_no_texts_give_no_rows(encoder):
    assert encoder.transform([]).shape == (0, 128)
    assert encoder.encode([]).shape == (0, len(encoder.projection_))


@pytest.mark.parametrize("method", ["encode", "transform"])
def test_one_string_is_refused_with_the_remedy(encoder, method):
    with pytest.raises(ValueError, match=r"write \[X\]"):
        getattr(encoder, method)("a cat")


@pytest.mark.parametrize("bad", [None, 3, b"a cat", float("nan")])
def test_what_is_no_string_is_named(encoder, bad):
    with pytest.raises(TypeError, match=r"texts\[1\] is .*, not a string"):
        encoder.transform(["a cat", bad])


def test_bytes_that_are_no_text_are_named(encoder):
    with pytest.raises(ValueError, match=r"texts\[1\] is 'caf.udce9', which has bytes that are no text"):
        encoder.transform(["a cat", os.fsdecode(b"caf\xe9")])


@pytest.mark.parametrize(("name", "value"), [("batch_size", 0), ("precision", "fp8"), ("model_name", None)])
@pytest.mark.parametrize("method", ["fit", "transform"])
def test_wrong_parameters_are_named(name, value, method):
    encoder = CLIPTextEncoder("mini", "bundled").set_params(**{name: value})
    with pytest.raises(ValueError, match=f"The '{name}' parameter"):
        getattr(encoder, method)(TEXTS)


def test_half_precision_stays_close(encoder):
    exact = encoder.transform(TEXTS)
    rough = CLIPTextEncoder("mini", "bundled", precision="bf16").transform(TEXTS)
    cosine = (exact * rough).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(rough, axis=1)
    assert cosine.min() > 0.999
    assert rough.dtype == np.float32
    assert not np.array_equal(exact, rough)


def test_a_batch_that_does_not_fit_is_halved_with_one_warning(encoder, on_pass):
    expected = encoder.transform(TEXTS)
    on_pass("text", memory_for(2))
    with pytest.warns(RuntimeWarning, match="Batches of 5 .* computed 2 at a time") as caught:
        halved = encoder.set_params(batch_size=5).transform(TEXTS)
    assert len(caught) == 1
    assert_allclose(halved, expected, atol=1e-5)


def test_words_are_embedded_as_texts_and_a_long_wait_says_what_for(encoder, tmp_path, bars_after, capsys):
    expected = encoder.transform(TEXTS)
    assert_array_equal(encoder.embed_words(TEXTS), expected)
    assert capsys.readouterr().err == ""
    bars_after(0)
    encoder.embed_words(TEXTS)
    assert "embedding 5 words for the bridge, once; set cache to keep them" in capsys.readouterr().err
    encoder.set_params(cache=tmp_path).embed_words(TEXTS)
    shown = capsys.readouterr().err
    assert f"kept in cache={str(tmp_path)!r}" in shown
    assert "/5 [" in shown
    assert len(EmbeddingCache(tmp_path)) == len(TEXTS)


def test_names_of_the_dimensions_sort_as_they_count(encoder):
    names = encoder.get_feature_names_out()
    assert names[0] == "cliptextencoder000"
    assert names[-1] == "cliptextencoder127"
    assert list(encoder.set_output(transform="pandas").transform(TEXTS).columns) == list(names)


def test_images_and_texts_share_one_space():
    images = CLIPImageEncoder("mini", "bundled").transform(some_pictures(2))
    assert images.shape[1] == CLIPTextEncoder("mini", "bundled").transform(TEXTS).shape[1]


# Embeddings computed before


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    return {"texts": ["a", "b", "c"], "eos": rng.normal(size=(3, 4)), "projection": rng.normal(size=(4, 6))}


def test_precomputed_embeddings_are_looked_up(table):
    encoder = PrecomputedTextEncoder(**table, projection_bias=np.arange(6.0), logit_scale=50)
    assert_array_equal(encoder.encode(["c", "a", "c"]), table["eos"][[2, 0, 2]])
    assert_allclose(encoder.transform(["c"]), table["eos"][[2]] @ table["projection"] + np.arange(6.0))
    assert_array_equal(encoder.projection_, table["projection"])
    assert_array_equal(encoder.projection_bias_, np.arange(6.0))
    assert encoder.logit_scale_ == 50
    assert PrecomputedTextEncoder(**table).projection_bias_ is None


def test_precomputed_embeddings_stand_in_for_the_model(encoder):
    precomputed = PrecomputedTextEncoder(
        TEXTS, encoder.encode(TEXTS), encoder.projection_, logit_scale=encoder.logit_scale_
    )
    assert_allclose(precomputed.transform(TEXTS[::-1]), encoder.transform(TEXTS[::-1]), atol=1e-5)
    assert precomputed.transform(TEXTS).dtype == np.float32
    assert list(precomputed.get_feature_names_out()[:1]) == ["precomputedtextencoder000"]


def test_precomputed_parameters_are_kept_as_given(table):
    encoder = PrecomputedTextEncoder(**table)
    assert all(encoder.get_params()[name] is value for name, value in table.items())
    assert encoder.fit() is encoder
    assert set(vars(encoder)) == set(encoder.get_params())
    assert_array_equal(clone(encoder).encode(["b"]), encoder.encode(["b"]))


def test_what_is_given_out_is_not_the_table(table):
    encoder = PrecomputedTextEncoder(**table)
    encoder.encode(["a"])[:] = 0
    assert_array_equal(encoder.encode(["a"]), table["eos"][:1])


def test_missing_texts_are_named_and_counted(table):
    encoder = PrecomputedTextEncoder(**table)
    with pytest.raises(ValueError, match="4 of the texts are not among the 3 .*: 'w', 'x', 'y', ..."):
        encoder.transform(["a", "w", "x", "y", "z", "w"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"texts": ["a", "b"]}, "2 texts and 3 rows of eos"),
        ({"texts": ["a", "b", "a"]}, "'a' has two different embeddings, in rows 0 and 2"),
        ({"texts": ["a", "b", 3]}, r"texts\[2\] is 3"),
        ({"projection": np.ones((5, 6))}, "projection has 5 rows for embeddings .eos. of width 4"),
        ({"projection_bias": np.ones(4)}, r"projection_bias has the shape \(4,\)"),
        ({"eos": np.full((3, 4), np.nan)}, "eos contains NaN"),
        ({"eos": np.ones(3)}, "Expected 2D array"),
        ({"projection": "identity"}, "The 'projection' parameter"),
        ({"logit_scale": 0}, "The 'logit_scale' parameter"),
    ],
)
def test_precomputed_parts_that_do_not_fit_are_named(table, changes, message):
    encoder = PrecomputedTextEncoder(**table | changes)
    with pytest.raises((ValueError, TypeError), match=message):
        encoder.fit()


def test_a_text_given_twice_with_one_embedding_is_fine(table):
    table["texts"] = ["a", "b", "a"]
    table["eos"][2] = table["eos"][0]
    assert_array_equal(PrecomputedTextEncoder(**table).encode(["a"]), table["eos"][:1])
