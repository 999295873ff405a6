"""A text tower read before its projection, and the projection itself.

The joint embedding of a text is `eos @ W + b_W`; this module finds `eos`, `W` and `b_W` in the models of
open_clip without changing them.
"""

import copy


class NoProjectionError(RuntimeError):
    """The text tower of a model ends without a linear layer, so there is nothing before it to read."""


def read_projection(model):
    """`W` and `b_W` of the last linear layer of a text tower.

    Parameters
    ----------
    model : torch.nn.Module
        A model of open_clip.

    Returns
    -------
    weight : torch.Tensor of shape (d, D)
    bias : torch.Tensor of shape (D,) or None

    Raises
    ------
    NoProjectionError
        If the tower ends otherwise.
    """
    from torch import nn

    tower, name = _tower(model), _projection_name(model)
    projection = getattr(tower, name)
    if isinstance(projection, nn.Parameter):
        return projection, None
    if isinstance(projection, nn.Sequential):
        projection = projection[-1]
    return projection.weight.T, projection.bias


def without_projection(model):
    """A copy whose `encode_text` gives the `(n, d)` embeddings that go into the last linear layer.

    The copy is shallow: it shares all weights with `model`, which stays as it is.

    Raises
    ------
    NoProjectionError
        If the tower does not end in a linear layer.
    """
    from torch import nn

    tower, name = _tower(model), _projection_name(model)
    projection = getattr(tower, name)
    bare_tower = shallow_copy(tower)
    if isinstance(projection, nn.Parameter):
        bare_tower._parameters[name] = None
    elif isinstance(projection, nn.Sequential):
        bare_tower._modules[name] = projection[:-1]
    else:
        bare_tower._modules[name] = nn.Identity() if name == "proj" else None
    if tower is model:
        return bare_tower
    bare = shallow_copy(model)
    bare._modules["text"] = bare_tower
    return bare


def encode_tokens(model, tokens, *, project=True):
    """Text embeddings of token ids, not normalised.

    Parameters
    ----------
    model : torch.nn.Module
        A model of open_clip.
    tokens : torch.Tensor of shape (n, context_length)
    project : bool, default=True
        Whether to give joint embeddings `(n, D)`, or those before the projection `(n, d)`.

    Raises
    ------
    NoProjectionError
        With `project=False`, if there is no linear layer to stop before.
    """
    # CoCa normalises unless told not to.
    return (model if project else without_projection(model)).encode_text(tokens, normalize=False)


def _tower(model):
    # OpenAI's architecture has the parts of its text tower in the model itself, all others in `model.text`.
    return model.text if hasattr(model, "text") else model


def _projection_name(model):
    from torch import nn

    tower = _tower(model)
    for name in ("text_projection", "proj"):
        projection = getattr(tower, name, None)
        last = projection[-1] if isinstance(projection, nn.Sequential) and len(projection) else projection
        if isinstance(last, (nn.Parameter, nn.Linear)):
            return name
    raise NoProjectionError(
        f"The text tower ({type(tower).__name__}) ends without a linear projection, so it has no embeddings "
        "before one and no projection_. `transform` works, and with it zero-shot classification; for the "
        "bridge choose a model whose text tower has a projection."
    )


def shallow_copy(module):
    """A module that shares its parts with another, but not the table of them."""
    # copy.copy alone would share the dictionaries of parts, and taking one out would take it from both.
    clone = copy.copy(module)
    clone._parameters = dict(module._parameters)
    clone._buffers = dict(module._buffers)
    clone._modules = dict(module._modules)
    return clone
