"""Models of open_clip: from a source to the parts of a model."""

import dataclasses
import os

import open_clip
from open_clip.transform import PreprocessCfg, image_transform_v2

from .._utils.validation import warn_caller
from ._parts import Parts
from ._source import HUB, ModelLoadError, cannot_load, weight_files

# The usual names of weights on a hub, in open_clip's order.
_WEIGHTS = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
)


def load(source):
    """The `Parts` of a model. Raises a `ModelLoadError` if the model or its weights are missing."""
    config = read_config(source)
    # If only the tag asks for QuickGELU, as OpenAI's do, open_clip itself would build the model
    # with GELU, and warn.
    options = {"force_quick_gelu": bool(config.get("quick_gelu") or source.tag.get("quick_gelu"))}
    if source.files and source.pretrained:
        options["force_preprocess_cfg"] = _preprocessing_of_tags(source)
    try:
        model = open_clip.create_model(
            source.name, source.pretrained, **options, require_pretrained=True, weights_only=True
        )
    except Exception as error:
        raise cannot_load(source, error) from error
    settings = PreprocessCfg(**model.visual.preprocess_cfg)
    *geometry, _to_tensor, normalize = image_transform_v2(settings, is_train=False).transforms
    return Parts(
        model,
        width=int(config["embed_dim"]),
        image_size=(
            (settings.size, settings.size)
            if isinstance(settings.size, int)
            else tuple(settings.size)
        ),
        resize=settings.resize_mode,
        interpolation=settings.interpolation,
        geometry=geometry,
        normalize=normalize,
        description=[config, dataclasses.asdict(settings)],
        files=_files(source),
        make_tokenizer=lambda: _tokenizer(source),
    )


def _files(source):
    if source.scheme == HUB:
        return weight_files(source, source.place, _WEIGHTS)
    # The tag ends with a file, or with a slash if the file has a usual name.
    repository, _, file = source.tag.get("hf_hub", "").rpartition("/")
    names = [f"{os.path.splitext(file)[0]}.safetensors", file] if file else _WEIGHTS
    return weight_files(source, repository, names)


def width(source):
    return int(read_config(source)["embed_dim"])


def read_config(source):
    """open_clip's description of the architecture; `ModelLoadError` if the tag is unknown."""
    try:
        config = open_clip.get_model_config(source.name)
    except Exception as error:
        raise cannot_load(source, error) from error
    if source.pretrained is not None and not source.files and not source.tag:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(source.name))
        raise ModelLoadError(
            f"pretrained={source.pretrained!r} is neither a file nor a tag of the model"
            f" {source.name!r}: {tags or 'none'}."
        )
    return config


def _preprocessing_of_tags(source):
    """The preprocessing that all tags of an architecture share. If tags differ, the preprocessing
    of open_clip, with a warning.
    """
    names = {field.name for field in dataclasses.fields(PreprocessCfg)} - {"size"}
    found = []
    for tag in open_clip.list_pretrained_tags_by_model(source.name):
        settings = open_clip.get_pretrained_cfg(source.name, tag)
        settings = {name: settings[name] for name in names & settings.keys()}
        found += [settings] if settings not in found else []
    if len(found) > 1:
        warn_caller(
            f"The weights of {source.name!r} in open_clip do not agree in how images are"
            f" prepared, and the file {source.pretrained!r} does not say it: {found}. The way of"
            " OpenAI's models was taken. For another, give a folder with this file and an"
            " open_clip_config.json that has a preprocess_cfg: model_name='local-dir:FOLDER'."
        )
    return found[0] if len(found) == 1 else {}


def _tokenizer(source):
    """A function that gives the token ids of a text, and whether its end is missing."""
    try:
        tokenizer = open_clip.get_tokenizer(source.name)
    except Exception as error:
        raise ModelLoadError(
            f"The tokenizer of the model {source} could not be loaded: {error}"
        ) from error

    def tokenize(text):
        ids = tokenizer([text])[0].numpy()
        n = len(ids)
        # A token is at least one byte, and two more tokens mark start and end. With room for one
        # more token, a cut text has another token in place of its end mark.
        may_be_cut = len(text.encode()) + 2 > n
        return ids, bool(
            may_be_cut and tokenizer([text], context_length=n + 1)[0, n - 1] != ids[-1]
        )

    return tokenize
