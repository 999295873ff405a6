"""The towers of open_clip's models: their last linear layers, and text towers without it or with a shorter context.

The joint embedding of a text is `eos @ W + b_W`, that of an image `f @ W_image + b_image`. No model is changed.
"""

import copy
from functools import reduce

import torch
from torch import nn

from ._source import NoProjectionError

# Vision transformers, ResNets with attention pooling, and what open_clip puts on top of timm's towers.
_IMAGE_PLACES = ("proj", "attnpool.c_proj", "head.proj", "head.mlp.fc2")


def read_text_projection(model):
    """`W (d, D)` and `b_W (D,)` or None, the last linear layer of the text tower; `NoProjectionError` without one."""
    return _weight_and_bias(getattr(*_find_text_projection(model)))


def read_image_projection(model):
    """`W_image (d_image, D)` and `b_image`, the last linear layer of the image tower; as `read_text_projection`."""
    tower = model.visual
    layers = [
        reduce(lambda part, name: getattr(part, name, None), place.split("."), tower)
        for place in _IMAGE_PLACES
    ]
    if hasattr(tower, "trunk") and not len(tower.head):
        # Without a head of open_clip, timm's own classifier gives the embedding.
        layers.append(tower.trunk.get_classifier())
    for layer in layers:
        found = _weight_and_bias(layer)
        if found is not None:
            return found
    raise NoProjectionError(
        f"The image tower ({type(tower).__name__}) ends without a linear projection, so there is no "
        "image_projection_. SigLIP's towers, which end in attention pooling, are of this kind. To bridge "
        "texts to images, choose a model such as OpenAI's ViT or RN50."
    )


def without_projection(model):
    """A copy whose `encode_text` gives the `(n, d)` embeddings that go into the last linear layer.

    The copy shares all weights with `model`. `NoProjectionError` if there is no such layer.
    """
    tower, name = _find_text_projection(model)
    projection = getattr(tower, name)
    if isinstance(projection, nn.Parameter):
        bare_tower = copy_with(tower, _parameters={name: None})
    elif isinstance(projection, nn.Sequential):
        bare_tower = copy_with(tower, _modules={name: projection[:-1]})
    else:
        bare_tower = copy_with(tower, _modules={name: nn.Identity() if name == "proj" else None})
    return _with_text_tower(model, bare_tower)


def cut_context(model, tokens):
    """A model and tokens that end with the longest text. They are faster, and give the same embeddings.

    If attention is causal and the embedding is read at the end-of-text token, the padding behind that has no influence.
    Other text towers are not cut. The result is a shallow copy: `model` stays as it is.
    """
    tower, prefix = (model.text, "") if hasattr(model, "text") else (model, "text_")
    mask = getattr(tower, "attn_mask", None)
    pooling = getattr(tower, f"{prefix}pool_type", None)
    if mask is None or getattr(tower, "cls_emb", None) is not None or pooling not in ("argmax", "eos"):
        return model, tokens
    if not torch.equal(mask, torch.full_like(mask, -torch.inf).triu(1)):
        return model, tokens
    # The first of the highest ids, or the first end-of-text: where the tower reads the embedding.
    marks = tokens if pooling == "argmax" else (tokens == getattr(tower, f"{prefix}eos_id")).int()
    length = int(marks.argmax(dim=1).max()) + 1
    short_tower = copy_with(
        tower,
        _parameters={"positional_embedding": tower.positional_embedding[:length]},
        _buffers={"attn_mask": mask[:length, :length]},
    )
    return _with_text_tower(model, short_tower), tokens[:, :length]


def copy_with(module, **changes):
    """A copy of a module with some other `_parameters`, `_buffers` or `_modules`. It shares all others."""
    clone = copy.copy(module)
    for kind, parts in changes.items():
        # copy.copy shares the dictionaries. A change in place would change the module, too.
        setattr(clone, kind, {**getattr(module, kind), **parts})
    return clone


def _with_text_tower(model, tower):
    # In OpenAI's architecture the model itself is the text tower. In all others it is `model.text`.
    return copy_with(model, _modules={"text": tower}) if hasattr(model, "text") else tower


def _find_text_projection(model):
    """The text tower, and the name of its attribute that is, or ends with, the last linear layer."""
    tower = getattr(model, "text", model)
    for name in ("text_projection", "proj"):
        if _weight_and_bias(getattr(tower, name, None)) is not None:
            return tower, name
    raise NoProjectionError(
        f"The text tower ({type(tower).__name__}) ends without a linear projection, so it has no embeddings "
        "before one and no projection_. `transform` works, and with it zero-shot classification; for the "
        "bridge choose a model whose text tower has a projection."
    )


def _weight_and_bias(layer):
    """Weight `(d, D)` and bias of a linear layer, or of the last in a sequence; None if there is no such layer."""
    if isinstance(layer, nn.Sequential) and len(layer):
        layer = layer[-1]
    if isinstance(layer, nn.Parameter):
        return layer, None
    return (layer.weight.T, layer.bias) if isinstance(layer, nn.Linear) else None
