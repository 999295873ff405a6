"""Models of transformers: two towers as CLIP and SigLIP have them, or one for images."""

import numpy as np
import torch
from PIL.Image import Resampling
from torch import nn
from torchvision.transforms import CenterCrop, InterpolationMode, Normalize, Resize

from ._parts import Parts
from ._source import TRANSFORMERS, ModelLoadError, cannot_load, weight_files
from ._timm import ImageTowers

# Code of a repository would run with all rights of the user.
_NO_CODE = {"trust_remote_code": False}


class _Visual(nn.Module):
    def __init__(self, tower, projection, is_pooled=True):
        super().__init__()
        self.tower, self.proj, self._is_pooled = tower, projection, is_pooled

    def forward(self, pixels):
        output = self.tower(pixel_values=pixels)
        pooled = output.pooler_output if self._is_pooled else output.last_hidden_state[:, 0]
        return self.proj(pooled.flatten(1))


class _Text(nn.Module):
    def __init__(self, tower, projection, has_mask):
        super().__init__()
        self.tower, self.proj, self._has_mask = tower, projection, has_mask

    def forward(self, tokens):
        ids, mask = tokens.unbind(1)
        return self.proj(self.tower(ids, attention_mask=mask if self._has_mask else None).pooler_output)


class _TwoTowers(ImageTowers):
    def __init__(self, visual, text, logit_scale):
        super().__init__(visual)
        self.text, self.logit_scale = text, logit_scale

    def encode_text(self, tokens, normalize=False):
        return self.text(tokens)


def load(source):
    """The `Parts` of a model; `ModelLoadError` if it or its weights are missing."""
    name = source.name[len(TRANSFORMERS) :]
    try:
        from transformers import AutoImageProcessor, AutoModel

        model, loading = AutoModel.from_pretrained(
            name, output_loading_info=True, dtype=torch.float32, **_NO_CODE
        )
        settings = AutoImageProcessor.from_pretrained(name, **_NO_CODE).to_dict()
    except ImportError as error:
        raise ModelLoadError(
            f"{source} needs transformers: pip install 'sksemobridge[transformers]' ({error})."
        ) from error
    except Exception as error:
        raise cannot_load(source, error) from error
    # Without weights of a pooler, the first token is the embedding.
    missing = {key.partition(".")[0] for key in loading["missing_keys"]}
    if missing - {"pooler"}:
        raise ModelLoadError(f"The model {source} lacks weights of {', '.join(sorted(missing))}.")
    image_size, resize, geometry = _geometry(settings, source)
    has_text = hasattr(model, "text_model") and hasattr(model, "vision_model")
    towers = _two_towers(model) if has_text else ImageTowers(_Visual(model, nn.Identity(), not missing))
    if not has_text and model.main_input_name != "pixel_values":
        raise ModelLoadError(
            f"The model {source} ({type(model).__name__}) is neither a model of images nor of images and texts in the form of "
            "CLIP or SigLIP."
        )
    moments = (
        (settings["image_mean"], settings["image_std"])
        if settings["do_normalize"]
        else ([0.0] * 3, [1.0] * 3)
    )
    with torch.inference_mode():
        width = towers.eval().encode_image(torch.zeros(1, 3, *image_size)).shape[1]
    return Parts(
        towers,
        width=width,
        image_size=image_size,
        resize=resize,
        interpolation=Resampling(settings["resample"]).name.lower(),
        geometry=geometry,
        normalize=Normalize(*moments),
        description=[str(model.config), str(settings)],
        files=weight_files(source, name, ["model.safetensors", "pytorch_model.bin"]),
        make_tokenizer=(lambda: _tokenizer(source, name, model.config)) if has_text else None,
    )


def has_text(source):
    """Whether a model has texts, by its configuration."""
    from transformers import AutoConfig

    try:
        return hasattr(
            AutoConfig.from_pretrained(source.name[len(TRANSFORMERS) :], **_NO_CODE), "text_config"
        )
    except Exception as error:
        raise cannot_load(source, error) from error


def _two_towers(model):
    # SigLIP's towers end with a layer of their own, and read whole texts, padding included.
    is_siglip = model.config.model_type.startswith("siglip")
    texts, text_projection = model.text_model, getattr(model, "text_projection", nn.Identity())
    if isinstance(getattr(texts, "head", None), nn.Linear):
        text_projection, texts.head = texts.head, nn.Identity()
    visual = _Visual(model.vision_model, getattr(model, "visual_projection", nn.Identity()))
    return _TwoTowers(visual, _Text(texts, text_projection, not is_siglip), model.logit_scale)


def _geometry(settings, source):
    """The size of the pixels, how images are resized to it, and the transforms."""
    size = {name: value for name, value in (settings.get("size") or {}).items() if value}
    crop = settings.get("crop_size") if settings.get("do_center_crop") else None
    interpolation = InterpolationMode[Resampling(settings.get("resample") or 3).name]
    if set(size) == {"height", "width"}:
        resize, sides = "squash", (size["height"], size["width"])
    elif set(size) == {"shortest_edge"} and crop:
        resize, sides = "shortest", size["shortest_edge"]
    else:
        sides = None
    is_usual = settings.get("do_resize", True) and abs(settings.get("rescale_factor", 0) - 1 / 255) < 1e-6
    if sides is None or not is_usual:
        raise ModelLoadError(
            f"The model {source} prepares images in a way of its own ({settings['image_processor_type']}, size {size}). "
            "Embed them with transformers, and give the classifier the embeddings."
        )
    crops = [CenterCrop((crop["height"], crop["width"]))] if crop else []
    return (tuple(crops[0].size) if crops else sides), resize, [Resize(sides, interpolation), *crops]


def _tokenizer(source, name, config):
    """A function that gives the ids and the mask of a text, `(2, n)`, and whether its end is missing."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name, **_NO_CODE)
    except Exception as error:
        raise cannot_load(source, error) from error
    n, is_siglip = config.text_config.max_position_embeddings, config.model_type.startswith("siglip")

    def tokenize(text):
        # SigLIP has read lower case only.
        text = text.lower() if is_siglip else text
        whole = tokenizer(
            text, padding="max_length", truncation=True, max_length=n, return_attention_mask=True
        )
        is_cut = len(tokenizer(text, truncation=True, max_length=n + 1)["input_ids"]) > n
        return np.array([whole["input_ids"], whole["attention_mask"]]), is_cut

    return tokenize
