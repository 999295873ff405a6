"""Which model embedded the images that a classifier is given.

Embeddings are plain arrays and carry no name. An encoder therefore keeps a digest of the first row that it
returns, and `fit` looks up the first row that it gets. In one process this notices embeddings of another model than
that of the texts, also of the same width, and also through a pipeline or a data frame. Embeddings that were scaled,
reordered or read from a file are not recognised.
"""

import os

import numpy as np

from .array_api import to_numpy
from .lru import LRUCache, content_key
from .validation import warn_caller

_origins = LRUCache(max_items=4096)


def _key(embeddings):
    return content_key(np.asarray(to_numpy(embeddings[:1, ...]), dtype=np.float32))


def remember_origin(embeddings, source):
    """Note that the model of `source` gave these embeddings `(n, D)`."""
    if embeddings.shape[0]:
        _origins.get(_key(embeddings), lambda: source)


def name_text_model(text_encoder):
    """`(model_name, pretrained)` of a text encoder, or None where it has no such parameters."""
    name, pretrained = getattr(text_encoder, "model_name", None), getattr(text_encoder, "pretrained", None)
    return None if name is None else (name, None if pretrained is None else os.fspath(pretrained))


def warn_about_origin(embeddings, text_encoder):
    """Warn where the images `(n, D)` are known to be embedded with another model than the texts."""
    if not hasattr(text_encoder, "_source"):
        return
    images, texts = _origins.find(_key(embeddings)), text_encoder._source()
    if images is not None and not images.is_same_model(texts):
        warn_caller(
            f"The images were embedded with the model {images}, the texts with {texts}. What they say of each "
            "other means nothing: use one model for both, as make_semobridge_pipeline does."
        )
