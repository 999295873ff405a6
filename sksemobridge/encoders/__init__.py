"""From images and texts to embeddings."""

from ._cache import EmbeddingCache
from ._image_encoder import CLIPImageEncoder
from ._models import clear_model_cache
from ._pictures import ImageReadError
from ._precomputed import PrecomputedTextEncoder
from ._source import ModelLoadError
from ._text_encoder import CLIPTextEncoder
from ._towers import NoProjectionError

__all__ = [
    "CLIPImageEncoder",
    "CLIPTextEncoder",
    "EmbeddingCache",
    "ImageReadError",
    "ModelLoadError",
    "NoProjectionError",
    "PrecomputedTextEncoder",
    "clear_model_cache",
]
