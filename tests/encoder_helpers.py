"""Small models with the structure of real ones, and pictures to feed them."""

import json
import sqlite3
from contextlib import closing, suppress
from functools import cache
from pathlib import Path

import numpy as np

import sksemobridge
from sksemobridge.datasets import load_emoji
from sksemobridge.encoders import CLIPImageEncoder

PACKAGE = Path(sksemobridge.__file__).parent
# The bundled model as any model folder.
BUNDLED = f"local-dir:{PACKAGE / 'encoders' / 'data' / 'mini'}"
# Shrunken in depth and width only: what an architecture does differently stays.
_TEXT = {"width": 48, "heads": 4, "layers": 2}
_VISION = {"image_size": 32, "patch_size": 16, "width": 32, "layers": 1, "head_width": 8}
# timm's own tiny vision transformer, for architectures whose image encoder comes from timm.
_TIMM = {"timm_model_name": "test_vit", "image_size": 160}
SHRINK = {
    "ViT-B-16": {"embed_dim": 32, "vision_cfg": _VISION, "text_cfg": _TEXT},
    "RN50": {
        "embed_dim": 64,
        "vision_cfg": {"image_size": 32, "width": 8, "layers": [1, 1, 1, 1], "head_width": 8},
        "text_cfg": _TEXT,
    },
    "MobileCLIP-B": {
        "embed_dim": 32,
        "vision_cfg": _TIMM | {"timm_proj": "linear"},
        "text_cfg": _TEXT,
    },
    "ViT-B-16-SigLIP": {
        "embed_dim": 64,
        "vision_cfg": _TIMM,
        "text_cfg": _TEXT | {"vocab_size": 1000},
    },
    "coca_ViT-B-32": {
        "embed_dim": 32,
        "vision_cfg": _VISION | {"attn_pooler_heads": 4},
        "text_cfg": _TEXT,
        "multimodal_cfg": {"width": 32, "heads": 4, "layers": 1, "attn_pooler_heads": 4},
    },
    "ViT-SO400M-16-SigLIP-i18n-256": {
        "embed_dim": 64,
        "vision_cfg": _TIMM,
        # Its own tokenizer comes from a hub.
        "text_cfg": _TEXT | {"width": 64, "vocab_size": 49408, "hf_tokenizer_name": None},
    },
}


def small_config(architecture, **model_changes):
    import open_clip

    config = open_clip.get_model_config(architecture)
    for part, changes in SHRINK[architecture].items():
        if isinstance(changes, dict):
            config[part].update(changes)
        else:
            config[part] = changes
    return config | model_changes


def randomise(model, seed=0):
    """Give every weight and bias a random value, so that none is a zero or one that hides a
    mistake.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if name == "logit_scale":
                parameter.copy_(3 + 0.1 * noise)
            elif parameter.ndim < 2:
                # Around one for the weights of norms, around zero for all biases.
                parameter.copy_(float(name.endswith("weight")) + 0.2 * noise)
            else:
                parameter.copy_(noise / parameter.shape[-1] ** 0.5)
    return model


def write_model(folder, config, *, seed=0, weights=True, preprocess=None):
    """A model folder as open_clip's `local-dir:` scheme reads it. The name has the scheme."""
    import open_clip
    from safetensors.torch import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    description = {"model_cfg": config, "preprocess_cfg": preprocess or {}}
    (folder / "open_clip_config.json").write_text(json.dumps(description))
    name = f"local-dir:{folder}"
    if weights:
        model = open_clip.create_model(name, load_weights=False)
        state = randomise(model, seed).state_dict()
        save_file(
            {key: value.contiguous() for key, value in state.items()},
            folder / "open_clip_model.safetensors",
        )
    return name


def read_model(name):
    """A model as open_clip makes it, ready to embed."""
    import open_clip

    return open_clip.create_model(name).eval().requires_grad_(False)


def get_model(name, pretrained=None):
    """The loaded model that encoders share."""
    return CLIPImageEncoder(name, pretrained, device="cpu")._model()


# Unpacked once.
emoji_of_all = cache(load_emoji)


def some_emoji(names, n):
    """The first `n` bundled pictures of each of these classes, and their labels."""
    emoji = emoji_of_all()
    labels = emoji.target_names[emoji.target]
    rows = np.concatenate([np.flatnonzero(labels == name)[:n] for name in names])
    return emoji.images[rows], labels[rows]


def some_pictures(n, *, size=(40, 56), seed=0):
    """Smooth random pictures, each different."""
    from PIL import Image

    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, size=(n, 6, 6, 3), dtype=np.uint8)
    return [
        np.asarray(Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.BICUBIC))
        for pixels in coarse
    ]


def write_pictures(folder, n):
    """Files with the first pictures of `some_pictures`; returns their paths."""
    from PIL import Image

    paths = [str(folder / f"{i:03d}.png") for i in range(n)]
    for path, picture in zip(paths, some_pictures(n)):
        Image.fromarray(picture).save(path)
    return paths


def n_cached(directory):
    """The number of embeddings in a cache."""
    path = Path(directory, "embeddings.sqlite3").absolute()
    with (
        suppress(sqlite3.OperationalError),
        closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as found,
    ):
        # Keys of files are shorter.
        count = "SELECT count(*) FROM embeddings WHERE length(key) = 32"
        return found.execute(count).fetchone()[0]
    return 0
