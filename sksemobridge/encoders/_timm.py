"""Image models of timm, which have no texts."""

import timm
from timm.data import create_transform, resolve_model_data_config
from torch import nn

from ._parts import Parts
from ._source import LOCAL, TIMM, cannot_load, weight_files


class ImageTowers(nn.Module):
    """A model with one tower, in the form of open_clip's."""

    def __init__(self, visual):
        super().__init__()
        self.visual = visual

    def encode_image(self, pixels, normalize=False):
        return self.visual(pixels)


def load(source):
    """The `Parts` of a model; `ModelLoadError` if it or its weights are missing."""
    name = source.name[len(TIMM) :]
    try:
        model = timm.create_model(f"{LOCAL}{name}" if source.files else name, pretrained=True, num_classes=0)
    except Exception as error:
        raise cannot_load(source, error) from error
    settings = resolve_model_data_config(model)
    *geometry, _to_tensor, normalize = create_transform(**settings, is_training=False).transforms
    return Parts(
        ImageTowers(model),
        width=model.num_features,
        image_size=tuple(settings["input_size"][1:]),
        resize="squash" if settings["crop_mode"] == "squash" else "shortest",
        interpolation=settings["interpolation"],
        geometry=geometry,
        normalize=normalize,
        description=settings,
        files=weight_files(
            source, model.pretrained_cfg.get("hf_hub_id"), ["model.safetensors", "pytorch_model.bin"]
        ),
    )
