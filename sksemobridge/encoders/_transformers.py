"""Models of transformers, with two encoders like CLIP and SigLIP, or with an image encoder only."""

import numpy as np
import torch
from PIL.Image import Resampling
from torch import nn
from torchvision.transforms import CenterCrop, InterpolationMode, Normalize, Resize

from ._hub import asking_hub_of
from ._parts import Parts, TwoEncoders
from ._source import SAFETENSORS_OR_BIN, ModelLoadError, cannot_load, weight_files


class _Visual(nn.Module):
    def __init__(self, encoder, projection, is_pooled=True):
        super().__init__()
        self.encoder, self.proj, self._is_pooled = encoder, projection, is_pooled

    def forward(self, pixels):
        output = self.encoder(pixel_values=pixels)
        pooled = output.pooler_output if self._is_pooled else output.last_hidden_state[:, 0]
        return self.proj(pooled.flatten(1))


class _Text(nn.Module):
    def __init__(self, encoder, projection, has_mask):
        super().__init__()
        self.encoder, self.proj, self._has_mask = encoder, projection, has_mask

    def forward(self, tokens):
        ids, mask = tokens.unbind(1)
        return self.proj(
            self.encoder(ids, attention_mask=mask if self._has_mask else None).pooler_output
        )


def load(source):
    """The `Parts` of a model. Raises a `ModelLoadError` if the model or its weights are missing."""
    model, loading = _read("AutoModel", source, output_loading_info=True, dtype=torch.float32)
    settings = _read("AutoImageProcessor", source).to_dict()
    # If weights of a pooler are missing, the first token is the embedding.
    missing = {key.partition(".")[0] for key in loading["missing_keys"]}
    if missing - {"pooler"}:
        raise ModelLoadError(f"The model {source} lacks weights of {', '.join(sorted(missing))}.")
    image_size, resize, geometry = _geometry(settings, source)
    has_text = hasattr(model, "text_model") and hasattr(model, "vision_model")
    encoders = (
        _two_encoders(model)
        if has_text
        else TwoEncoders(_Visual(model, nn.Identity(), not missing))
    )
    moments = [0.0] * 3, [1.0] * 3
    if settings["do_normalize"]:
        moments = settings["image_mean"], settings["image_std"]
    with torch.inference_mode():
        width = encoders.eval().encode_image(torch.zeros(1, 3, *image_size)).shape[1]
    return Parts(
        encoders,
        width=width,
        image_size=image_size,
        resize=resize,
        interpolation=Resampling(settings["resample"]).name.lower(),
        geometry=geometry,
        normalize=Normalize(*moments),
        description=[str(model.config), str(settings)],
        files=weight_files(source, source.place, SAFETENSORS_OR_BIN),
        make_tokenizer=(lambda: _tokenizer(source, model.config)) if has_text else None,
    )


def has_text(source):
    """Whether a model has texts, by its configuration."""
    with asking_hub_of(source):
        return hasattr(_read("AutoConfig", source), "text_config")


def _read(kind, source, **options):
    """The object that a class of transformers reads. Raises a `ModelLoadError` if the class cannot
    read it.
    """
    try:
        import transformers

        # Code of a repository would run with all rights of the user.
        options["trust_remote_code"] = False
        return getattr(transformers, kind).from_pretrained(source.place, **options)
    except ImportError as error:
        needed = "pip install 'transformers>=5.0' sentencepiece"
        raise ModelLoadError(f"{source} needs transformers: {needed} ({error}).") from error
    except Exception as error:
        raise cannot_load(source, error) from error


def _two_encoders(model):
    # SigLIP's encoders end with a layer of their own, and read whole texts, padding included.
    is_siglip = model.config.model_type.startswith("siglip")
    texts, text_projection = model.text_model, getattr(model, "text_projection", nn.Identity())
    if isinstance(getattr(texts, "head", None), nn.Linear):
        text_projection, texts.head = texts.head, nn.Identity()
    visual = _Visual(model.vision_model, getattr(model, "visual_projection", nn.Identity()))
    return TwoEncoders(visual, _Text(texts, text_projection, not is_siglip), model.logit_scale)


def _geometry(settings, source):
    """The size of the pixels, the way of resizing images, and the transforms."""
    size = {name: value for name, value in (settings.get("size") or {}).items() if value}
    crop = settings.get("crop_size") if settings.get("do_center_crop") else None
    is_usual = (
        settings.get("do_resize", True) and abs(settings.get("rescale_factor", 0) - 1 / 255) < 1e-6
    )
    if is_usual and set(size) == {"height", "width"}:
        resize, sides = "squash", (size["height"], size["width"])
    elif is_usual and set(size) == {"shortest_edge"} and crop:
        resize, sides = "shortest", size["shortest_edge"]
    else:
        raise ModelLoadError(
            f"The model {source} prepares images in a way of its own"
            f" ({settings['image_processor_type']}, size {size}). Embed them with transformers, and"
            " give the classifier the embeddings."
        )
    geometry = [Resize(sides, InterpolationMode[Resampling(settings.get("resample") or 3).name])]
    if crop:
        sides = crop["height"], crop["width"]
        geometry.append(CenterCrop(sides))
    return sides, resize, geometry


def _tokenizer(source, config):
    """A function that gives the ids and the mask of a text, `(2, n)`, and whether its end is
    missing.
    """
    tokenizer = _read("AutoTokenizer", source)
    n, is_siglip = (
        config.text_config.max_position_embeddings,
        config.model_type.startswith("siglip"),
    )

    def tokenize(text):
        # SigLIP was trained on lower case only.
        text = text.lower() if is_siglip else text
        is_cut = len(tokenizer(text, truncation=True, max_length=n + 1)["input_ids"]) > n
        tokens = tokenizer(
            text, padding="max_length", truncation=True, max_length=n, return_attention_mask=True
        )
        return np.array([tokens["input_ids"], tokens["attention_mask"]]), is_cut

    return tokenize
