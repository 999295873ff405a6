"""Models that an earlier run has loaded. Cached embeddings then need neither a model nor torch."""

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from .._utils.files import file_state, new_file
from ._cache import as_path, is_on_disk

# Packages whose versions decide, beside the files of a model, how the model embeds.
_PACKAGES = (
    "torch",
    "torchvision",
    "open_clip_torch",
    "timm",
    "transformers",
    "tokenizers",
    "pillow",
)


class ModelNeeded(Exception):
    """The remembered facts on a model do not suffice."""


@dataclass(frozen=True)
class RememberedModel:
    """The remembered facts on a `LoadedModel`, for images or for texts."""

    files: list  # paths, each with its state
    name: str
    embed_dim: int
    precision: str | None
    logit_scale: float | None
    digest_in_hex: str

    @classmethod
    def of(cls, model, encoder, for_images):
        return cls(
            files=[[path, file_state(os.stat(path))] for path in model.files],
            name=model.name,
            embed_dim=model.embed_dim,
            precision=model.image_precision(encoder.precision) if for_images else None,
            logit_scale=None if for_images else model.logit_scale,
            digest_in_hex=model.digest(for_images).hex(),
        )

    def digest(self, for_images):
        return bytes.fromhex(self.digest_in_hex)

    def image_precision(self, precision):
        return self.precision

    def loaded(self):
        raise ModelNeeded


def with_model(encoder, for_images, use):
    """The result of `use(model)` for the model of an encoder, or for a `RememberedModel` if a cache
    on disk has one. If the remembered model does not suffice, `use` runs twice, so `use` may change
    only caches.
    """
    if not is_on_disk(encoder.cache):
        return use(encoder._model())
    encoder._validate_params()
    path = as_path(encoder.cache) / f"model-{_key(encoder, for_images)}.json"
    remembered = _read(path)
    if remembered is not None:
        with suppress(ModelNeeded):
            return use(remembered)
    model = encoder._model()
    facts = RememberedModel.of(model, encoder, for_images)
    if facts.files and facts != remembered:
        # If this file cannot be written, the next run loads the model.
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            with new_file(path, replace=True) as unfinished:
                unfinished.write_text(json.dumps(asdict(facts)))
    return use(model)


def _key(encoder, for_images):
    named = encoder.model_name, str(encoder.pretrained)
    # A relative name means another file in another working directory.
    paths = [name.rpartition(":")[2] for name in named]
    is_here = any(os.path.exists(path) and not os.path.isabs(path) for path in paths)
    here = os.getcwd() if is_here else None
    facts = *named, here, encoder.device, encoder.precision, for_images, _versions()
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:32]


@cache
def _versions():
    found = {}
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def _read(path):
    """The `RememberedModel` of a complete file, if the files of the model have not changed."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        model = RememberedModel(**json.loads(path.read_text()))
        if model.files and all(file_state(os.stat(file)) == state for file, state in model.files):
            return model
    return None
