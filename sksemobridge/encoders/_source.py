"""Find a model: by open_clip's name and tag, in a checkpoint, in a folder or on a hub."""

import hashlib
import os
import re
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

BUNDLED_NAME = "mini"
BUNDLED_TAG = "bundled"
_LOCAL = "local-dir:"
_HUB = "hf-hub:"
# The files of a model folder that open_clip reads: its configuration, tokenizer and weights.
_READ_FILES = ("open_clip_config.json", "tokenizer*", "vocab*", "merges.txt", "special_tokens*", "*.model")
_READ_FILES += ("*.safetensors", "*.bin", "*.pth")

_KEPT = (
    "Downloads are kept in the cache of huggingface_hub (HF_HOME, by default ~/.cache/huggingface). Behind a proxy, set "
    "HTTPS_PROXY."
)
# The usual names of weights on a hub, in open_clip's order.
_WEIGHTS = [
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
]


class ModelLoadError(RuntimeError):
    """A CLIP model or its weights are missing. The message says what to do."""

    # Whether the model exists, and was not downloaded.
    is_download = False


class NoProjectionError(RuntimeError):
    """A tower of a model does not end in a linear layer, so it has no projection."""


@dataclass(frozen=True)
class ModelSource:
    """A model and its weights, as open_clip names them: a name, and a tag or the path of a checkpoint.

    `pretrained` is None if the name has a scheme, which says where the weights are. `files` holds path and digest of
    each local file, so that a rewritten folder or checkpoint is another source. `tag` is what open_clip knows of the
    weights of a tag, such as their place on the hub.
    """

    name: str
    pretrained: str | None
    files: tuple = ()
    tag: dict = field(default_factory=dict, compare=False, repr=False)

    def __str__(self):
        return repr(self.name) + ("" if self.pretrained is None else f", pretrained={self.pretrained!r}")


def find_source(model_name, pretrained):
    """The source that the parameters of an encoder name; `ModelLoadError` if there is none. Loads no weights."""
    if model_name.startswith(_LOCAL):
        return _folder_source(Path(model_name[len(_LOCAL) :]).expanduser())
    if model_name.startswith(_HUB):
        return ModelSource(model_name, None)
    if model_name == BUNDLED_NAME or pretrained == BUNDLED_TAG:
        if (model_name, pretrained) != (BUNDLED_NAME, BUNDLED_TAG):
            raise ModelLoadError(
                f"There is no model {model_name!r} with pretrained={pretrained!r}. The model shipped in the "
                f"package is model_name={BUNDLED_NAME!r} with pretrained={BUNDLED_TAG!r}."
            )
        return _folder_source(Path(__file__).parents[1] / "models" / BUNDLED_NAME)
    if pretrained is None or not os.fspath(pretrained):
        raise ModelLoadError(
            f"Model {model_name!r} needs weights: pretrained is {pretrained!r}. Give one of open_clip's "
            "tags, such as 'openai', or the path of a checkpoint."
        )
    import open_clip

    # open_clip reads "ViT-B/16" as "ViT-B-16". With one spelling it is one model.
    name, pretrained = re.sub(r"/(?=\d)", "-", model_name), os.fspath(pretrained)
    tag = open_clip.get_pretrained_cfg(name, pretrained)
    if os.path.isfile(pretrained) and not tag:
        return ModelSource(name, os.path.abspath(pretrained), files=(_stamp(Path(pretrained)),))
    return ModelSource(name, pretrained, tag=tag)


def _folder_source(folder):
    if not (folder / "open_clip_config.json").is_file():
        problem = "has no open_clip_config.json" if folder.is_dir() else "does not exist"
        raise ModelLoadError(
            f"No model in the folder {str(folder)!r}: it {problem}. A model folder holds open_clip_config.json and the "
            "weights, for example open_clip_model.safetensors."
        )
    folder = folder.resolve()
    paths = {path for pattern in _READ_FILES for path in folder.glob(pattern) if path.is_file()}
    return ModelSource(f"{_LOCAL}{folder}", None, tuple(_stamp(path) for path in sorted(paths)))


def _stamp(path):
    """Path and digest of a file. The file is read again only if its status has changed."""
    path = path.resolve()
    status = path.stat()
    # ctime too: programs can set mtime, but not ctime.
    state = status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    return str(path), _digest(str(path), state)


@lru_cache(64)
def _digest(path, state):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def arguments_for_loading(source, config):
    """Model name and options for `open_clip.create_model`. They name the files of earlier downloads, if there are any."""
    tag, options = source.tag, {"pretrained": source.pretrained}
    # The place of a tag on the hub ends with a file, or with a slash where the file has a usual name.
    repository, _, file = tag.get("hf_hub", "").rpartition("/")
    files = [f"{os.path.splitext(file)[0]}.safetensors", file] if file else _WEIGHTS
    if kept := _downloaded(repository, files):
        # open_clip knows the preprocessing of a tag, and not that of a file.
        options = {"pretrained": kept, "force_preprocess_cfg": tag}
    # If only the tag asks for QuickGELU, as OpenAI's do, open_clip itself would build the model with GELU, and warn.
    quick_gelu = config.get("quick_gelu") or tag.get("quick_gelu")
    return _name_on_this_machine(source), options | {"force_quick_gelu": bool(quick_gelu)}


def _name_on_this_machine(source):
    """The name for open_clip. For a model of a hub it is the folder of an earlier download, if there is one."""
    if source.name.startswith(_HUB):
        repository = source.name[len(_HUB) :]
        # A tag needs no configuration. So the weights of a repository may be on this machine without it.
        has_config = _downloaded(repository, ["open_clip_config.json"])
        if has_config and (weights := _downloaded(repository, _WEIGHTS)):
            return f"{_LOCAL}{Path(weights).parent}"
    return source.name


def _downloaded(repository, files):
    """The first of some files of a hub that is on this machine, or None."""
    from huggingface_hub import try_to_load_from_cache

    # For a file that the hub does not have, it is an object, not a path.
    kept = (try_to_load_from_cache(repository, file) for file in files if repository)
    return next((path for path in kept if isinstance(path, str)), None)


def read_config(source):
    """open_clip's description of the architecture; `ModelLoadError` if model name or tag is unknown."""
    import open_clip

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


def cannot_load(source, error):
    """A `ModelLoadError` that says what was tried and what to do."""
    if source.files:
        remedy = (
            "Check that the weights are whole and belong to this architecture (weights trained with QuickGELU, such as "
            "OpenAI's, need the model name that ends in '-quickgelu')."
        )
    else:
        remedy = (
            f"The first use downloads the weights. {_KEPT} Without network, run open_clip.create_model({source}) "
            "on a machine that has one and copy that folder, or give the path of a checkpoint or a 'local-dir:' folder. "
            f"For a trial, model_name={BUNDLED_NAME!r}, pretrained={BUNDLED_TAG!r} needs no download."
        )
    reason = str(error).strip() or type(error).__name__
    problem = ModelLoadError(f"The model {source} could not be loaded: {reason}\n{remedy}")
    problem.is_download = not source.files
    return problem


def load_tokenizer(source, config):
    """The tokenizer of a model; `ModelLoadError` if it is missing."""
    import open_clip

    repository = (config.get("text_cfg") or {}).get("hf_tokenizer_name")
    try:
        # For a model of a hub, open_clip would ask the hub for the configuration. An earlier download has it too.
        return open_clip.get_tokenizer(source.name if repository else _name_on_this_machine(source))
    except Exception as error:
        if find_spec("transformers") is None:
            remedy = "This tokenizer needs the package transformers: pip install transformers."
        elif repository is None or source.name.startswith(_LOCAL):
            remedy = "A model folder holds the files of its tokenizer too, for example tokenizer.json."
        else:
            remedy = (
                f"It comes from {repository!r} on the hub. {_KEPT} Without network, run "
                f"open_clip.get_tokenizer({source.name!r}) on a machine that has one and copy that folder."
            )
        message = f"The tokenizer of the model {source} could not be loaded: {error}\n{remedy}"
        raise ModelLoadError(message) from error
