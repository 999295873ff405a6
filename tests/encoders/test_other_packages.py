"""Models of transformers and timm: the embeddings and scores of these packages."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from PIL import Image

from sksemobridge.encoders import CLIPImageEncoder, CLIPTextEncoder

from ..encoder_helpers import some_pictures

TEXTS = ["a cat on a mat", "a Dog", "the mat and the cat and the dog on the mat on a mat on a mat"]
PICTURES = some_pictures(5, size=(50, 70))


def write_tokenizer(transformers, folder, n, has_ends):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = ["<pad>", "<unk>", "<s>", "</s>", "a", "the", "cat", "dog", "mat", "on", "and", "Dog"]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if has_ends:
        ends = [("<s>", 2), ("</s>", 3)]
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", model_max_length=n
    ).save_pretrained(folder)


@pytest.fixture(scope="module")
def transformers():
    return pytest.importorskip("transformers", reason="needs transformers")


TOWER = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
VISION = TOWER | {"image_size": 32, "patch_size": 8}
TEXT = TOWER | {"vocab_size": 12, "max_position_embeddings": 10}
CLIP_TEXT = TEXT | {"eos_token_id": 3, "bos_token_id": 2, "pad_token_id": 0, "projection_dim": 12}


def write_clip(transformers, folder, kind="CLIP", **config):
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(
        text_config=CLIP_TEXT, vision_config=VISION | {"projection_dim": 12}, projection_dim=12, **config
    )
    getattr(transformers, f"{kind}Model")(config).save_pretrained(folder)
    transformers.CLIPImageProcessor(size={"shortest_edge": 36}, crop_size=32).save_pretrained(folder)
    write_tokenizer(transformers, folder, 10, has_ends=True)


def write_siglip(transformers, folder):
    torch.manual_seed(1)
    texts = TEXT | {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    config = transformers.SiglipConfig(text_config=texts, vision_config=VISION)
    transformers.SiglipModel(config).save_pretrained(folder)
    transformers.SiglipImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    write_tokenizer(transformers, folder, 10, has_ends=False)


def write_dino(transformers, folder):
    torch.manual_seed(2)
    transformers.Dinov2Model(transformers.Dinov2Config(**VISION)).save_pretrained(folder)
    transformers.BitImageProcessor(
        size={"shortest_edge": 40}, crop_size={"height": 32, "width": 32}
    ).save_pretrained(folder)


WRITE = {
    "clip": write_clip,
    "siglip": write_siglip,
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
    texts = [text.lower() if is_siglip else text for text in TEXTS]
    padding = "max_length" if is_siglip else True
    tokens = tokenizer(texts, padding=padding, truncation=True, max_length=10, return_tensors="pt")
    mask = {} if is_siglip else {"attention_mask": tokens["attention_mask"]}
    with torch.inference_mode():
        output = model(input_ids=tokens["input_ids"], pixel_values=pixels, **mask)
    scores = output.logits_per_image - (model.logit_bias.detach() if is_siglip else 0)
    return output.image_embeds.numpy(), output.text_embeds.numpy(), scores.numpy()


@pytest.mark.filterwarnings("ignore:1 of 3 texts are longer")
def test_scores_of_two_towers_are_those_of_transformers(transformers, folder):
    name = f"transformers:{folder}"
    images = CLIPImageEncoder(name, precision="fp32", normalize=True).transform(PICTURES)
    encoder = CLIPTextEncoder(name)
    texts = encoder.transform(TEXTS)
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    own_images, own_texts, scores = own_features(transformers, folder)
    assert_allclose(texts, own_texts, atol=1e-5)
    # Pillow and torch resize by rules of their own.
    assert (images * own_images).sum(axis=1).min() > 0.999
    assert_allclose(encoder.logit_scale_ * images @ texts.T, scores, atol=0.02 * encoder.logit_scale_)
    eos, bias = encoder.encode(TEXTS), encoder.projection_bias_
    joint = eos @ encoder.projection_ + (0 if bias is None else bias)
    assert_allclose(joint, encoder.transform(TEXTS), atol=1e-5)
