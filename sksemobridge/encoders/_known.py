"""Models that an earlier run has loaded, known by their files. What is cached then needs neither a model nor torch."""

import hashlib
import json
import os
import threading
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from .._utils.files import new_file
from ._cache import as_path

# What decides, beside the files of a model, how it embeds.
_PACKAGES = "torch", "torchvision", "open_clip_torch", "timm", "transformers", "tokenizers", "pillow"


class StaleModelError(Exception):
    """A model is not what it was when it was remembered."""


class KnownModel:
    """What is remembered of a model. It has all members of `Model`; those that need the model load it.

    `StaleModelError` if it is another one then.
    """

    def __init__(self, facts, load):
        self._facts, self._load, self._lock, self._loaded = facts, load, threading.Lock(), None
        for name in ("source", "embed_dim", "logit_scale", "n_tokens"):
            setattr(self, name, facts[name])

    def digest(self, of_images):
        return bytes.fromhex(self._facts["digest"])

    def image_precision(self, precision):
        return self._facts["precision"]

    def __getattr__(self, name):
        with self._lock:
            if self._loaded is None:
                self._loaded, facts = self._load()
                if facts != self._facts:
                    raise StaleModelError
        return getattr(self._loaded, name)


def with_model(encoder, of_images, use):
    """`use(model)` with the model of an encoder. With a cache, it is a `KnownModel` if an earlier run has remembered it."""
    if encoder.cache is None:
        return use(encoder._model())
    encoder._validate_params()
    path = _path(encoder, of_images)

    def load():
        model = encoder._model()
        return model, _facts(model, encoder, of_images)

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


def _path(encoder, of_images):
    names = [str(encoder.model_name), str(encoder.pretrained)]
    # A relative name is another one elsewhere.
    parts = [*names, os.getcwd(), encoder.device, encoder.precision, of_images, _versions()]
    name = hashlib.sha256(repr(parts).encode()).hexdigest()[:32]
    return as_path(encoder.cache) / f"model-{name}.json"


@cache
def _versions():
    found = {}
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def _facts(model, encoder, of_images):
    facts = {
        "files": [[path, *_state(path)] for path in model.files],
        "source": repr(model.source),
        "embed_dim": model.embed_dim,
        "precision": model.image_precision(encoder.precision) if of_images else None,
        "logit_scale": None if of_images else model.logit_scale,
        "n_tokens": None if of_images else model.n_tokens,
        "digest": model.digest(of_images).hex(),
    }
    return json.loads(json.dumps(facts))


def _remembered(path):
    """Facts of a model whose files have not changed, or None. What a broken file says is as good as nothing."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        facts = json.loads(path.read_text())
        if facts["files"] and all(_state(file) == state for file, *state in facts["files"]):
            return facts
    return None


def _state(path):
    status = os.stat(path)
    # ctime too: programs can set mtime, but not ctime.
    return [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]
