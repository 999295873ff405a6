"""The last layers of encoders, and a text encoder without its own."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from sksemobridge.encoders import CLIPTextEncoder, NoProjectionError, clear_model_cache
from sksemobridge.encoders._projections import read_text_projection, without_projection

from ..encoder_helpers import BUNDLED, randomise, read_model, small_config, write_model

ARCHITECTURES = ["ViT-B-16", "RN50", "MobileCLIP-B", "ViT-B-16-SigLIP", "coca_ViT-B-32"]
NO_PROJECTION = "ViT-SO400M-16-SigLIP-i18n-256"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Names of small models with random weights and biases, by architecture."""
    folder = tmp_path_factory.mktemp("models")
    names = {
        name: write_model(folder / name, small_config(name))
        for name in [*ARCHITECTURES, NO_PROJECTION]
    }
    yield names
    clear_model_cache()


def some_tokens(model, n=5, seed=0):
    length = getattr(model, "context_length", None) or model.text.context_length
    tokens = torch.randint(1, 900, (n, length), generator=torch.Generator().manual_seed(seed))
    # Texts of different lengths, with a highest id at their end and padding behind it.
    for row, end in enumerate(torch.linspace(3, length - 1, n).long()):
        tokens[row, end] = 950
        tokens[row, end + 1 :] = 0
    return tokens


class EndsInAnMLP(torch.nn.Module):
    """Ends as the text encoders that open_clip has from transformers."""

    def __init__(self, *layers):
        super().__init__()
        self.context_length, self.text = 12, torch.nn.Module()
        self.text.embedding, self.text.proj = (
            torch.nn.Embedding(1000, 24),
            torch.nn.Sequential(*layers),
        )

    def encode_text(self, tokens, normalize):
        return self.text.proj(self.text.embedding(tokens).mean(dim=1))


MLP = [torch.nn.Linear(24, 28, bias=False), torch.nn.GELU(), torch.nn.Linear(28, 32, bias=False)]
MADE = {
    # The bundled model's structure, with other weights.
    "mini": lambda: randomise(read_model(BUNDLED)),
    "hugging face": lambda: EndsInAnMLP(*MLP).requires_grad_(False),
}


@pytest.fixture(params=[*ARCHITECTURES, *MADE])
def model(request, models):
    name = request.param
    return MADE[name]() if name in MADE else read_model(models[name])


def test_embeddings_before_the_projection_and_the_projection_give_the_joint_ones(model):
    tokens = some_tokens(model)
    expected = model.encode_text(tokens, normalize=False)
    state, modules = (
        {name: value.clone() for name, value in model.state_dict().items()},
        [*model.modules()],
    )
    bare = without_projection(model)
    eos = bare.encode_text(tokens, normalize=False)
    weight, bias = read_text_projection(model)
    assert eos.shape == (len(tokens), len(weight))
    torch.testing.assert_close(eos @ weight + (0 if bias is None else bias), expected)
    # The model stays as it is, and shares its weights: nothing is held twice.
    assert [*model.modules()] == modules
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    ours = {value.data_ptr() for value in bare.parameters()}
    assert ours < {value.data_ptr() for value in model.parameters()}


def test_without_a_projection_transform_works_and_the_rest_says_so(models):
    encoder = CLIPTextEncoder(models[NO_PROJECTION])
    assert encoder.transform(["a", "b"]).shape == (2, len(encoder.get_feature_names_out()))
    for use in (encoder.encode, lambda _: encoder.projection_, lambda _: encoder.projection_bias_):
        with pytest.raises(NoProjectionError, match="`transform` works, and with it zero-shot"):
            use(["a", "b"])


# The projection of image encoders


def write_wide(folder, architecture, **vision):
    """A small model whose joint space is wider than its encoder, so that the span of the projection
    shows.
    """
    width = {"RN50": 300}.get(architecture, 96)
    config = small_config(architecture, embed_dim=width)
    config["vision_cfg"].update(vision)
    return write_model(folder, config)


HEADS = {
    "ViT-B-16": {},
    "RN50": {},
    "MobileCLIP-B": {"timm_proj": "linear"},
    "MobileCLIP-B with bias": {"timm_proj": "linear", "timm_proj_bias": True},
    "MobileCLIP-B with timm's classifier": {"timm_proj": None},
}


@pytest.fixture(scope="module", params=HEADS)
def wide_model(request, tmp_path_factory):
    name = write_wide(
        tmp_path_factory.mktemp("wide"), request.param.split(" with ")[0], **HEADS[request.param]
    )
    yield name
    clear_model_cache()


def test_image_embeddings_are_spanned_by_the_image_projection(wide_model):
    encoder = CLIPTextEncoder(wide_model)
    W, b = encoder.image_projection_, encoder.image_projection_bias_
    X = _image_embeddings(read_model(wide_model))
    assert W.shape[0] < W.shape[1] == X.shape[1]

    def rest(x):
        return np.abs(x - x @ np.linalg.pinv(W.astype(np.float64)) @ W).max() / np.abs(x).max()

    assert rest(X if b is None else X - b) < 1e-5
    if b is not None:
        assert rest(X) > 1e-2


def _image_embeddings(model):
    generator = torch.Generator().manual_seed(0)
    if hasattr(model.visual, "attnpool"):
        # From what comes before it: with random weights a ResNet's pixels grow until no bias is
        # seen.
        return (
            model.visual.attnpool(torch.randn(5, 256, 1, 1, generator=generator)).double().numpy()
        )
    return model.encode_image(_pixels(model)).double().numpy()


def test_an_mlp_s_last_layer_is_the_image_projection(tmp_path):
    # Its hidden layer is twice as wide as the joint space, so that the layer itself has to be
    # compared.
    name = write_wide(tmp_path, "MobileCLIP-B", timm_proj="mlp")
    model, encoder = read_model(name), CLIPTextEncoder(name)
    weight, bias = encoder.image_projection_, encoder.image_projection_bias_
    seen = []
    handle = model.visual.head.mlp.fc2.register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0])
    )
    expected = model.encode_image(_pixels(model))
    handle.remove()
    assert_allclose(seen[0].numpy() @ weight + (0 if bias is None else bias), expected, atol=1e-5)


def _pixels(model):
    return torch.rand(5, 3, *model.visual.image_size, generator=torch.Generator().manual_seed(0))


def test_encoders_that_end_in_attention_pooling_have_no_image_projection(models):
    encoder = CLIPTextEncoder(models["ViT-B-16-SigLIP"])
    for name in ("image_projection_", "image_projection_bias_"):
        with pytest.raises(NoProjectionError, match="TimmModel.* no image_projection_"):
            getattr(encoder, name)
