"""Models of open_clip: from a source to the parts of a model."""

import dataclasses
import os
from importlib.util import find_spec
from pathlib import Path

import open_clip
from open_clip.transform import PreprocessCfg, image_transform_v2

from .._utils.validation import warn_caller
from ._parts import Parts
from ._source import HUB, KEPT, LOCAL, ModelLoadError, cannot_load, downloaded, weight_files

# The usual names of weights on a hub, in open_clip's order.
_WEIGHTS = [
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
]


def load(source):
    """The `Parts` of a model; `ModelLoadError` if it or its weights are missing."""
    config = read_config(source)
    try:
        name, options = _arguments(source, config)
        model = open_clip.create_model(name, **options, require_pretrained=True, weights_only=True)
    except Exception as error:
        raise cannot_load(source, error) from error
    settings = PreprocessCfg(**model.visual.preprocess_cfg)
    *geometry, _to_tensor, normalize = image_transform_v2(settings, is_train=False).transforms
    return Parts(
        model,
        width=int(config["embed_dim"]),
        image_size=(settings.size, settings.size) if isinstance(settings.size, int) else tuple(settings.size),
        resize=settings.resize_mode,
        interpolation=settings.interpolation,
        geometry=geometry,
        normalize=normalize,
        description=[config, dataclasses.asdict(settings)],
        files=_files(source),
        make_tokenizer=lambda: _tokenizer(source, config),
    )


def _files(source):
    name = _name_on_this_machine(source)
    if not source.files and name.startswith(LOCAL):
        return [str(path) for path in Path(name[len(LOCAL) :]).iterdir()]
    return weight_files(source, *_hub_files(source.tag))


def _hub_files(tag):
    """The repository on the hub of a tag, and the names that its file of weights may have."""
    # It ends with a file, or with a slash where the file has a usual name.
    repository, _, file = tag.get("hf_hub", "").rpartition("/")
    return repository, [f"{os.path.splitext(file)[0]}.safetensors", file] if file else _WEIGHTS


def _arguments(source, config):
    """Model name and options for `open_clip.create_model`. They name the files of earlier downloads, if there are any."""
    tag, options = source.tag, {"pretrained": source.pretrained}
    repository, files = _hub_files(tag)
    if source.files and source.pretrained:
        options["force_preprocess_cfg"] = _preprocessing_of_tags(source)
    if kept := downloaded(repository, files):
        # open_clip knows the preprocessing of a tag, and not that of a file.
        options = {"pretrained": kept, "force_preprocess_cfg": tag}
    # If only the tag asks for QuickGELU, as OpenAI's do, open_clip itself would build the model with GELU, and warn.
    quick_gelu = config.get("quick_gelu") or tag.get("quick_gelu")
    return _name_on_this_machine(source), options | {"force_quick_gelu": bool(quick_gelu)}


def _name_on_this_machine(source):
    """The name for open_clip. For a model of a hub it is the folder of an earlier download, if there is one."""
    if source.name.startswith(HUB):
        repository = source.name[len(HUB) :]
        # A tag needs no configuration. So the weights of a repository may be on this machine without it.
        has_config = downloaded(repository, ["open_clip_config.json"])
        if has_config and (weights := downloaded(repository, _WEIGHTS)):
            return f"{LOCAL}{Path(weights).parent}"
    return source.name


def read_config(source):
    """open_clip's description of the architecture; `ModelLoadError` if model name or tag is unknown."""
    try:
        config = open_clip.get_model_config(_name_on_this_machine(source))
    except Exception as error:
        raise cannot_load(source, error) from error
    if config is None:
        raise ModelLoadError(f"open_clip knows no model {source.name!r}. open_clip.list_models() lists all.")
    if "embed_dim" not in config:
        raise ModelLoadError(f"The configuration of the model {source} has no 'embed_dim'.")
    if source.pretrained is not None and not source.files and not source.tag:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(source.name))
        known = f"Tags of this model: {tags}." if tags else "open_clip has no weights for it."
        raise ModelLoadError(
            f"pretrained={source.pretrained!r} is neither a tag of the model {source.name!r} nor a file. {known}"
        )
    return config


def _preprocessing_of_tags(source):
    """The preprocessing that all tags of an architecture have; that of open_clip, with a warning, if they differ."""
    names = {field.name for field in dataclasses.fields(PreprocessCfg)} - {"size"}
    found = []
    for tag in open_clip.list_pretrained_tags_by_model(source.name):
        settings = open_clip.get_pretrained_cfg(source.name, tag)
        settings = {name: settings[name] for name in names & settings.keys()}
        found += [settings] if settings not in found else []
    if len(found) > 1:
        kinds = "; ".join(str(dict(sorted(settings.items()))) for settings in found)
        warn_caller(
            f"The weights of {source.name!r} in open_clip do not agree in how pictures are prepared, and the file "
            f"{source.pretrained!r} does not say it: {kinds}. The way of OpenAI's models was taken. For another, give a folder "
            "with this file and an open_clip_config.json that has a preprocess_cfg: model_name='local-dir:FOLDER'."
        )
    return found[0] if len(found) == 1 else {}


def _tokenizer(source, config):
    """A function that gives the token ids of a text, and whether its end is missing; `ModelLoadError` without one."""
    repository = (config.get("text_cfg") or {}).get("hf_tokenizer_name")
    try:
        # For a model of a hub, open_clip would ask the hub for the configuration. An earlier download has it too.
        tokenizer = open_clip.get_tokenizer(source.name if repository else _name_on_this_machine(source))
    except Exception as error:
        if find_spec("transformers") is None:
            remedy = "This tokenizer needs the package transformers: pip install transformers."
        elif repository is None or source.name.startswith(LOCAL):
            remedy = "A model folder holds the files of its tokenizer too, for example tokenizer.json."
        else:
            remedy = (
                f"It comes from {repository!r} on the hub. {KEPT} Without network, run "
                f"open_clip.get_tokenizer({source.name!r}) on a machine that has one and copy that folder."
            )
        message = f"The tokenizer of the model {source} could not be loaded: {error}\n{remedy}"
        raise ModelLoadError(message) from error

    def tokenize(text):
        ids = tokenizer([text])[0].numpy()
        n = len(ids)
        # A token is at least one byte, and two more tokens mark start and end. With room for one more token, a cut text
        # has another token where its end was marked.
        may_be_cut = len(text.encode()) + 2 > n
        return ids, bool(may_be_cut and tokenizer([text], context_length=n + 1)[0, n - 1] != ids[-1])

    return tokenize
