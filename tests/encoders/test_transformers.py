"""Models of transformers: the embeddings and scores of this package."""

import json

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from PIL import Image

from sksemobridge import make_few_shot_pipeline
from sksemobridge.encoders import CLIPImageEncoder, CLIPTextEncoder, ModelLoadError, NoTextError

from ..encoder_helpers import some_pictures

TEXTS = ["a cat on a mat", "a Dog", "the mat and the cat and the dog on the mat on a mat on a mat"]
PICTURES = some_pictures(5, size=(50, 70))


def write_tokenizer(transformers, folder, n, has_ends):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = ["<pad>", "<unk>", "<s>", "</s>", "a", "the", "cat", "dog", "mat", "on", "and", "Dog"]
    tokenizer = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if has_ends:
        ends = [("<s>", 2), ("</s>", 3)]
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", special_tokens=ends
        )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", model_max_length=n
    ).save_pretrained(folder)


@pytest.fixture(scope="module")
def transformers():
    return pytest.importorskip("transformers", reason="needs transformers")


ENCODER = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
VISION = ENCODER | {"image_size": 32, "patch_size": 8}
TEXT = ENCODER | {"vocab_size": 12, "max_position_embeddings": 10}
CLIP_TEXT = TEXT | {"eos_token_id": 3, "bos_token_id": 2, "pad_token_id": 0, "projection_dim": 12}


def write_clip(transformers, folder, kind="CLIP", **config):
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(
        text_config=CLIP_TEXT,
        vision_config=VISION | {"projection_dim": 12},
        projection_dim=12,
        **config,
    )
    getattr(transformers, f"{kind}Model")(config).save_pretrained(folder)
    transformers.CLIPImageProcessor(size={"shortest_edge": 36}, crop_size=32).save_pretrained(
        folder
    )
    write_tokenizer(transformers, folder, 10, has_ends=True)


def write_siglip(transformers, folder):
    torch.manual_seed(1)
    texts = TEXT | {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "vocab_size": 40}
    config = transformers.SiglipConfig(text_config=texts, vision_config=VISION)
    transformers.SiglipModel(config).save_pretrained(folder)
    transformers.SiglipImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    write_tokenizer(transformers, folder, 10, has_ends=False)


def write_siglip_2(transformers, folder):
    """As Google's of a fixed size: a SigLIP with a tokenizer that makes texts lower case."""
    write_siglip(transformers, folder)
    pieces = [
        "<pad>",
        "<eos>",
        "<bos>",
        "<unk>",
        "<mask>",
        "\u2581",
        *"abcdefghijklmnopqrstuvwxyzD",
    ]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    transformers.Siglip2Tokenizer(vocab=vocabulary, merges=[]).save_pretrained(folder)


def write_dino(transformers, folder):
    torch.manual_seed(2)
    transformers.Dinov2Model(transformers.Dinov2Config(**VISION)).save_pretrained(folder)
    transformers.BitImageProcessor(
        size={"shortest_edge": 40}, crop_size={"height": 32, "width": 32}
    ).save_pretrained(folder)


WRITE = {
    "clip": write_clip,
    "siglip": write_siglip,
    "siglip 2": write_siglip_2,
    "metaclip 2": lambda *args: write_clip(*args, kind="MetaClip2"),
}


@pytest.fixture(scope="module", params=WRITE)
def folder(request, transformers, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param.replace(" ", ""))
    WRITE[request.param](transformers, folder)
    return folder


def own_features(transformers, folder):
    """Embeddings of images and texts, and the scores, as transformers gives them."""
    model = transformers.AutoModel.from_pretrained(folder).eval()
    pictures = [Image.fromarray(pixels) for pixels in PICTURES]
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    pixels = processor(pictures, return_tensors="pt")["pixel_values"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    is_siglip = model.config.model_type == "siglip"
    makes_lower = type(tokenizer).__name__ == "Siglip2Tokenizer"
    texts = [text.lower() if is_siglip and not makes_lower else text for text in TEXTS]
    padding = "max_length" if is_siglip else True
    tokens = tokenizer(texts, padding=padding, truncation=True, max_length=10, return_tensors="pt")
    mask = {} if is_siglip else {"attention_mask": tokens["attention_mask"]}
    with torch.inference_mode():
        output = model(input_ids=tokens["input_ids"], pixel_values=pixels, **mask)
    scores = output.logits_per_image - (model.logit_bias.detach() if is_siglip else 0)
    return output.image_embeds.numpy(), output.text_embeds.numpy(), scores.numpy()


@pytest.mark.filterwarnings("ignore:. of 3 texts are longer")
def test_scores_of_two_encoders_are_those_of_transformers(transformers, folder):
    name = f"transformers:{folder}"
    images = CLIPImageEncoder(name, precision="fp32", normalize=True).transform(PICTURES)
    encoder = CLIPTextEncoder(name)
    texts = encoder.transform(TEXTS)
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    own_images, own_texts, scores = own_features(transformers, folder)
    assert_allclose(texts, own_texts, atol=1e-5)
    # Pillow and torch resize by rules of their own.
    assert (images * own_images).sum(axis=1).min() > 0.999
    assert_allclose(
        encoder.logit_scale_ * images @ texts.T, scores, atol=0.02 * encoder.logit_scale_
    )
    eos, bias = encoder.encode(TEXTS), encoder.projection_bias_
    joint = eos @ encoder.projection_ + (0 if bias is None else bias)
    assert_allclose(joint, encoder.transform(TEXTS), atol=1e-5)


@pytest.mark.parametrize("pooler", [True, False])
def test_a_model_of_images_only_has_the_embeddings_of_transformers(transformers, tmp_path, pooler):
    if pooler:
        write_dino(transformers, tmp_path)
    else:
        # Its pooler has no weights in the file, as those of DINO.
        torch.manual_seed(3)
        config = transformers.ViTConfig(**VISION)
        transformers.ViTModel(config, add_pooling_layer=False).save_pretrained(tmp_path)
        transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    name = f"transformers:{tmp_path}"
    model = transformers.AutoModel.from_pretrained(tmp_path).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path)
    pixels = processor([Image.fromarray(picture) for picture in PICTURES], return_tensors="pt")
    with torch.inference_mode():
        output = model(**pixels)
    expected = output.pooler_output if pooler else output.last_hidden_state[:, 0]
    expected = torch.nn.functional.normalize(expected).numpy()
    got = CLIPImageEncoder(name, precision="fp32", normalize=True).transform(PICTURES)
    assert (got * expected).sum(axis=1).min() > 0.999
    pipeline = make_few_shot_pipeline(name).fit(PICTURES, list("aabba"))
    assert pipeline[-1].text_encoder is None
    with pytest.raises(NoTextError, match="embeds images only"):
        CLIPTextEncoder(name).transform(["a cat"])
    joined = make_few_shot_pipeline([("mini", "bundled"), name]).fit(
        PICTURES, ["cat"] * 2 + ["dog"] * 3
    )
    assert joined.predict(PICTURES).shape == (5,)


def test_weights_that_are_missing_are_an_error_and_code_of_a_folder_is_not_run(
    transformers, tmp_path
):
    from safetensors.torch import load_file, save_file

    write_clip(transformers, tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    kept = {name: value for name, value in weights.items() if "visual_projection" not in name}
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelLoadError, match="lacks weights of visual_projection"):
        CLIPImageEncoder(f"transformers:{tmp_path}").transform(PICTURES)
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {
        "model_type": "own",
        "auto_map": {"AutoConfig": "own.Config", "AutoModel": "own.Model"},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(ModelLoadError, match="could not be loaded"):
        CLIPImageEncoder(f"transformers:{tmp_path}").transform(PICTURES)
    assert not (tmp_path / "ran").exists()


def test_without_the_package_the_error_says_what_to_install(monkeypatch, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(ModelLoadError, match="pip install 'transformers>=5.0' sentencepiece"):
        CLIPImageEncoder(f"transformers:{tmp_path}").transform(PICTURES)
