"""Find a model by open_clip's name and tag, in a checkpoint, in a folder or on a hub, and the
package that loads the model.
"""

import hashlib
import os
import re
import sys
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from .._utils.files import file_state
from ._hub import hub_address, is_out_of_question, is_out_of_reach

BUNDLED_NAME = "mini"
BUNDLED_TAG = "bundled"
# The usual names of files of weights, except for open_clip.
SAFETENSORS_OR_BIN = ("model.safetensors", "pytorch_model.bin")
# The files of a model folder that are read: its configuration, tokenizer and weights.
_READ_FILES = (
    "*config.json",
    *("tokenizer*", "vocab*", "merges.txt", "special_tokens*", "*.model"),
    *("*.safetensors", "*.bin", "*.pth"),
)

# Tags in order of zero-shot accuracy on ImageNet. The first tag that a model has is its best.
_BEST_TAGS = (
    *(
        "webli",
        "datacomp_xl_s13b_b90k",
        "datacomp_s34b_b86k",
        "laion2b_s32b_b82k",
        "laion2b_s32b_b79k",
    ),
    *("laion2b_s34b_b79k", "laion2b_s34b_b88k", "laion2b_s39b_b160k", "openai"),
)

FIRST_USE = (
    "The first use of a model downloads it. Downloads are kept in the cache of huggingface_hub"
    " (HF_HOME, by default ~/.cache/huggingface)."
)


class ModelLoadError(RuntimeError):
    """A CLIP model or its weights are missing. The message says what to do."""

    is_download = False  # whether the model was to be downloaded
    without_advice = ""  # the message without its advice for Python


class NoTextError(ValueError):
    """A model embeds images only."""


class NoProjectionError(RuntimeError):
    """An encoder of a model does not end in a linear layer, so it has no projection."""


class Loader(NamedTuple):
    """A package that has models."""

    module: str  # module in this folder, whose `load(source)` gives the `Parts`
    config: str  # the file that describes a model, in its folder
    has_text: bool | None  # None if `has_text(source)` of the module says it
    says_width: bool  # whether the module has `width(source)`, without loading weights


_OPEN_CLIP = Loader("_open_clip", "open_clip_config.json", has_text=True, says_width=True)
LOCAL, HUB, TRANSFORMERS = "local-dir:", "hf-hub:", "transformers:"
# Loaders by the scheme with which the name of a model begins.
LOADERS = {
    LOCAL: _OPEN_CLIP,
    HUB: _OPEN_CLIP,
    TRANSFORMERS: Loader("_transformers", "config.json", has_text=None, says_width=False),
    "timm:": Loader("_timm", "config.json", has_text=False, says_width=False),
    "": _OPEN_CLIP,
}


@dataclass(frozen=True)
class ModelSource:
    """A model and its weights."""

    name: str  # may begin with a scheme
    # a tag of open_clip, or the path of a checkpoint; None if the name says all
    pretrained: str | None
    files: tuple = ()  # path and digest of each local file
    # The facts of open_clip on the weights of a tag, such as their place on the hub.
    tag: dict = field(default_factory=dict, compare=False, repr=False)

    @property
    def scheme(self):
        """The scheme at the beginning of the name, which says where the model is, or an empty
        text.
        """
        return next(scheme for scheme in LOADERS if self.name.startswith(scheme))

    @property
    def place(self):
        """The name without its scheme: a folder, or the name of the model on a hub."""
        return self.name.removeprefix(self.scheme)

    @property
    def loader(self):
        return LOADERS[self.scheme]

    def load(self):
        """Load the `Parts` of the model. Raises a `ModelLoadError` if the model or its weights are
        missing.
        """
        return self.module().load(self)

    def module(self):
        """The module of the loader. Its import takes seconds."""
        return import_module(f".{self.loader.module}", __package__)

    def __str__(self):
        return repr(self.name) + (
            "" if self.pretrained is None else f", pretrained={self.pretrained!r}"
        )


def find_source(model_name, pretrained):
    """The source that the parameters of an encoder name, without loading weights. Raises a
    `ModelLoadError` if there is no such source.
    """
    source = ModelSource(model_name, None)
    if source.scheme:
        place = source.place.removeprefix(LOCAL)
        may_be_folder = source.scheme != HUB and os.path.isdir(os.path.expanduser(place))
        is_folder = source.scheme == LOCAL or may_be_folder
        return _folder_source(source.scheme, place) if is_folder else source
    if model_name == BUNDLED_NAME or pretrained == BUNDLED_TAG:
        if model_name != BUNDLED_NAME or pretrained not in (BUNDLED_TAG, "auto"):
            raise ModelLoadError(
                f"There is no model {model_name!r} with pretrained={pretrained!r}. The model"
                f" shipped in the package is model_name={BUNDLED_NAME!r} with"
                f" pretrained={BUNDLED_TAG!r}."
            )
        folder = Path(__file__).parent / "data" / BUNDLED_NAME
        return _folder_source(LOCAL, folder)
    if pretrained is None or not os.fspath(pretrained):
        raise ModelLoadError(
            f"Model {model_name!r} needs weights: pretrained is {pretrained!r}. Give a tag of"
            " open_clip, 'auto', or a checkpoint."
        )
    name, pretrained = _known_name(model_name), os.fspath(pretrained)
    import open_clip

    if pretrained == "auto":
        tags = open_clip.list_pretrained_tags_by_model(name)
        found = tags if len(tags) == 1 else [tag for tag in _BEST_TAGS if tag in tags]
        if not found:
            raise ModelLoadError(
                f"pretrained='auto' finds no weights of {name!r}. Its tags: {tags}."
            )
        pretrained = found[0]
    tag = open_clip.get_pretrained_cfg(name, pretrained)
    if os.path.isfile(pretrained) and not tag:
        return ModelSource(name, os.path.abspath(pretrained), files=(_stamp(Path(pretrained)),))
    return ModelSource(name, pretrained, tag=tag)


def refuse_out_of_question(model_name, pretrained):
    """Raise the `ModelLoadError` of a model that needs a network, before packages that read models
    are imported. Loading would raise the same error, some seconds later.
    """
    source = ModelSource(model_name, pretrained)
    if "open_clip" in sys.modules or model_name == BUNDLED_NAME:
        return
    repository, is_of_hub = None, False
    if source.scheme in (HUB, TRANSFORMERS):
        source = find_source(model_name, pretrained)
        repository = source.place
        is_of_hub = not source.files and re.fullmatch(r"\w[\w.-]*(/[\w.-]+)?", repository)
    elif not source.scheme and pretrained in ("auto", "openai") and not Path(pretrained).exists():
        # Only open_clip knows where on the hub the weights are, and knows all other tags. So ask
        # only whether any model of the hub is on this machine.
        _known_name(model_name)
        is_of_hub = True
    if is_of_hub and is_out_of_question(repository):
        from huggingface_hub.errors import OfflineModeIsEnabled

        raise cannot_load(source, OfflineModeIsEnabled())


def _known_name(name):
    """The name as open_clip spells it. Raises a `ModelLoadError` if open_clip has no such name."""
    # open_clip reads "ViT-B/16" as "ViT-B-16". One spelling makes both names one model.
    name = re.sub(r"/(?=\d)", "-", name)
    if "open_clip" in sys.modules:  # the user may have added architectures
        import open_clip

        listed = open_clip.list_models()
    else:
        listed = [path.stem for path in _architectures().glob("*.json")]
    names = {known.lower(): known for known in [BUNDLED_NAME, *listed]}
    if name not in names.values():
        close = ", ".join(names[found] for found in get_close_matches(name.lower(), names))
        raise ModelLoadError(
            f"open_clip knows no model {name!r}. Similar names: {close or 'none'}."
            " open_clip.list_models() lists all."
        )
    return name


def _folder_source(scheme, folder):
    folder, config = Path(folder).expanduser(), LOADERS[scheme].config
    if not (folder / config).is_file():
        raise ModelLoadError(f"No model in the folder {str(folder)!r}: there is no {config}.")
    folder = folder.resolve()
    paths = {path for pattern in _READ_FILES for path in folder.glob(pattern) if path.is_file()}
    return ModelSource(f"{scheme}{folder}", None, tuple(_stamp(path) for path in sorted(paths)))


def _stamp(path):
    """Path and digest of a file. The file is read again only if its state has changed."""
    path = str(path.resolve())
    return path, _digest(path, file_state(os.stat(path)))


@lru_cache(64)
def _digest(path, state):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cannot_load(source, error):
    """The `ModelLoadError` that says what was tried and what to do."""
    if source.files:
        remedy = (
            "Check that the weights are whole and belong to this architecture (weights trained with"
            " QuickGELU, such as OpenAI's, need the model name that ends in '-quickgelu')."
        )
    else:
        scheme = LOCAL if source.scheme in ("", HUB) else source.scheme
        remedy = (
            f"{FIRST_USE} Without network, copy that folder from a machine that has used the model,"
            " or give a folder:"
            f" '{scheme}FOLDER'. For a trial, model_name={BUNDLED_NAME!r},"
            f" pretrained={BUNDLED_TAG!r} needs no download."
        )
    is_download = not source.files
    if is_download and is_out_of_reach(error):
        error = f"it is not on this machine, and {hub_address()} cannot be reached"
    # Join lines of messages of other packages to one line.
    what = " ".join(f"The model {source} could not be loaded: {error}".split()).rstrip(".") + "."
    problem = ModelLoadError(f"{what} {remedy}")
    problem.is_download = is_download
    problem.without_advice = f"{what} {FIRST_USE}" if is_download else what
    return problem


def weight_files(source, repository, names):
    """The files of a folder, or the file of a hub that has the weights, if this file is on this
    machine.
    """
    if source.files:
        return [path for path, _ in source.files]
    from huggingface_hub import try_to_load_from_cache

    kept = [try_to_load_from_cache(repository, name) for name in names if repository]
    # A file that the hub does not have gives an object, not a path.
    return [path for path in kept if isinstance(path, str)][:1]


def _architectures():
    """The folder with a file for each architecture, named after the architecture."""
    return Path(find_spec("open_clip").origin).parent / "model_configs"
