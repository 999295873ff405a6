"""The last linear layer of an image tower.

The joint embedding of an image is `f @ W_image + b_image`; this module finds `W_image` and `b_image` in the
models of open_clip without changing them.
"""

from operator import attrgetter

from ._text_tower import NoProjectionError

# In this order: vision transformers, ResNets with attention pooling, and what open_clip puts on top of towers
# of timm.
_PLACES = ("proj", "attnpool.c_proj", "head.proj", "head.mlp.fc2")


def read_image_projection(model):
    """`W_image` and `b_image` of the last linear layer of an image tower.

    Parameters
    ----------
    model : torch.nn.Module
        A model of open_clip.

    Returns
    -------
    weight : torch.Tensor of shape (d_image, D)
    bias : torch.Tensor of shape (D,) or None

    Raises
    ------
    NoProjectionError
        If the tower ends otherwise, as those of SigLIP do.
    """
    from torch import nn

    tower = model.visual
    for place in _PLACES:
        try:
            layer = attrgetter(place)(tower)
        except AttributeError:
            continue
        if isinstance(layer, nn.Parameter):
            return layer, None
        if isinstance(layer, nn.Linear):
            return layer.weight.T, layer.bias
    if hasattr(tower, "trunk") and not len(tower.head):
        # Without a head of open_clip, timm's own classifier gives the embedding.
        layer = tower.trunk.get_classifier()
        if isinstance(layer, nn.Linear):
            return layer.weight.T, layer.bias
    raise NoProjectionError(
        f"The image tower ({type(tower).__name__}) ends without a linear projection, so there is no "
        "image_projection_. SigLIP's towers, which end in attention pooling, are of this kind. To bridge "
        "texts to images, choose a model such as OpenAI's ViT or RN50."
    )
