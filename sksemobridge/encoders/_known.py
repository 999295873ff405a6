"""Models that an earlier run has loaded, known by their files. What is cached then needs neither a
model nor torch.
"""

import hashlib
import json
import os
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from .._utils.files import new_file
from ._cache import as_path
from ._source import file_state

# What decides, beside the files of a model, how it embeds.
_PACKAGES = (
    "torch",
    "torchvision",
    "open_clip_torch",
    "timm",
    "transformers",
    "tokenizers",
    "pillow",
)


class StaleModelError(Exception):
    """A model is not what it was when it was remembered."""


class KnownModel:
    """What is remembered of a `LoadedModel`. Other members load it; `StaleModelError` if it is
    another one then.
    """

    def __init__(self, facts, load):
        self._facts, self._load = facts, load
        self.name, self.embed_dim = facts["name"], facts["embed_dim"]
        self.logit_scale = facts["logit_scale"]

    def digest(self, for_images):
        return bytes.fromhex(self._facts["digest"])

    def image_precision(self, precision):
        return self._facts["precision"]

    def __getattr__(self, name):
        model, facts = self._load()
        if facts != self._facts:
            raise StaleModelError
        return getattr(model, name)


def with_model(encoder, for_images, use):
    """`use(model)` with the model of an encoder. With a cache on disk, it is a `KnownModel` if an
    earlier run has remembered it.
    """
    if encoder.cache in (None, "memory"):
        return use(encoder._model())
    encoder._validate_params()
    # A relative name is another one elsewhere.
    named = (
        encoder.model_name,
        str(encoder.pretrained),
        os.getcwd(),
        encoder.device,
        encoder.precision,
    )
    name = hashlib.sha256(f"{named} {for_images} {_versions()}".encode()).hexdigest()[:32]
    path = as_path(encoder.cache) / f"model-{name}.json"

    @cache
    def load():
        model = encoder._model()
        return model, _facts(model, encoder, for_images)

    with suppress(StaleModelError):
        if (facts := _remembered(path)) is not None:
            return use(KnownModel(facts, load))
    model, facts = load()
    if facts["files"]:
        # Without it, the next run loads the model.
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            with new_file(path, replace=True) as unfinished:
                unfinished.write_text(json.dumps(facts))
    return use(model)


@cache
def _versions():
    found = {}
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def _facts(model, encoder, for_images):
    facts = {
        "files": [[path, *file_state(path)] for path in model.files],
        "name": model.name,
        "embed_dim": model.embed_dim,
        "precision": model.image_precision(encoder.precision) if for_images else None,
        "logit_scale": None if for_images else model.logit_scale,
        "digest": model.digest(for_images).hex(),
    }
    return json.loads(json.dumps(facts))


def _remembered(path):
    """Facts of a model whose files have not changed, or None. What a broken file says is as good as
    nothing.
    """
    with suppress(OSError, ValueError, TypeError, KeyError):
        facts = json.loads(path.read_text())
        if (
            facts["name"]
            and facts["files"]
            and all(file_state(file) == tuple(state) for file, *state in facts["files"])
        ):
            return facts
    return None
