"""The last linear layers of the encoders of open_clip's models, and text encoders without it.

The joint embedding of a text is `eos @ W + b_W`, and the joint embedding of an image
`f @ W_image + b_image`. No model is changed.
"""

import copy
from functools import reduce

from torch import nn

from ._source import NoProjectionError

# Last layers of vision transformers, of ResNets with attention pooling, and of open_clip's heads
# for timm's encoders.
_IMAGE_PROJECTIONS = ("proj", "attnpool.c_proj", "head.proj", "head.mlp.fc2")


def read_text_projection(model):
    """`W (d, D)` and `b_W (D,)` or None, the last linear layer of the text encoder;
    `NoProjectionError` without one.
    """
    return _weight_and_bias(getattr(*_find_text_projection(model)))


def read_image_projection(model):
    """`W_image (d_image, D)` and `b_image`, the last linear layer of the image encoder; as
    `read_text_projection`.
    """
    encoder = model.visual
    layers = [
        reduce(lambda part, attribute: getattr(part, attribute, None), name.split("."), encoder)
        for name in _IMAGE_PROJECTIONS
    ]
    if hasattr(encoder, "trunk") and not len(encoder.head):
        # Without a head of open_clip, timm's own classifier gives the embedding.
        layers.append(encoder.trunk.get_classifier())
    for layer in layers:
        found = _weight_and_bias(layer)
        if found is not None:
            return found
    raise NoProjectionError(
        f"The image encoder ({type(encoder).__name__}) ends without a linear projection, as"
        " SigLIP's do, so there is no image_projection_. To bridge texts to images, choose a model"
        " such as OpenAI's ViT or RN50."
    )


def without_projection(model):
    """A copy that shares all weights, and whose `encode_text` gives the input of the last linear
    layer.
    """
    bare = copy_of_modules(model)
    encoder, name = _find_text_projection(bare)
    projection = getattr(encoder, name)
    if isinstance(projection, nn.Sequential):
        setattr(encoder, name, projection[:-1])
    else:
        setattr(encoder, name, nn.Identity() if name == "proj" else None)
    return bare


def copy_of_modules(model):
    """A copy of a model that may be changed. The copy shares all weights with `model`."""
    return copy.deepcopy(
        model, {id(weights): weights for weights in [*model.parameters(), *model.buffers()]}
    )


def _find_text_projection(model):
    """The text encoder, and the name of its attribute that is or ends with the last layer."""
    encoder = getattr(model, "text", model)
    for name in ("text_projection", "proj"):
        if _weight_and_bias(getattr(encoder, name, None)) is not None:
            return encoder, name
    raise NoProjectionError(
        f"The text encoder ({type(encoder).__name__}) ends without a linear projection, so it has"
        " no embeddings before one and no projection_. `transform` works, and with it zero-shot"
        " classification; for the bridge choose another model."
    )


def _weight_and_bias(layer):
    """Weight `(d, D)` and bias of a linear layer, or of the last layer in a sequence; None if there
    is no such layer.
    """
    if isinstance(layer, nn.Sequential) and len(layer):
        layer = layer[-1]
    if isinstance(layer, nn.Parameter):
        return layer, None
    return (layer.weight.T, layer.bias) if isinstance(layer, nn.Linear) else None
