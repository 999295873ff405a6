"""Models of timm, which are for images."""

import timm
from timm.data import create_transform, resolve_model_data_config

from ._parts import Parts, TwoEncoders
from ._source import LOCAL, SAFETENSORS_OR_BIN, cannot_load, weight_files


def load(source):
    """The `Parts` of a model. Raises a `ModelLoadError` if the model or its weights are missing."""
    name = f"{LOCAL}{source.place}" if source.files else source.place
    try:
        model = timm.create_model(name, pretrained=True, num_classes=0)
    except Exception as error:
        raise cannot_load(source, error) from error
    settings = resolve_model_data_config(model)
    *geometry, _to_tensor, normalize = create_transform(**settings, is_training=False).transforms
    return Parts(
        TwoEncoders(model),
        width=model.num_features,
        image_size=tuple(settings["input_size"][1:]),
        resize="squash" if settings["crop_mode"] == "squash" else "shortest",
        interpolation=settings["interpolation"],
        geometry=geometry,
        normalize=normalize,
        description=settings,
        files=weight_files(source, model.pretrained_cfg.get("hf_hub_id"), SAFETENSORS_OR_BIN),
    )
