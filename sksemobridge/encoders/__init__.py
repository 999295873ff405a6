"""From images and texts to embeddings."""

from ._base import clear_model_cache
from ._cache import EmbeddingCache
from ._image_encoder import CLIPImageEncoder
from ._pictures import ImageReadError
from ._precomputed import PrecomputedTextEncoder
from ._source import ModelLoadError, NoProjectionError
from ._text_encoder import CLIPTextEncoder

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
