"""Encoders from images and texts to embeddings."""

from ._decoding import ImageReadError, read_image
from ._image_encoder import CLIPImageEncoder
from ._joined import JoinedImageEncoder, JoinedTextEncoder
from ._precomputed import PrecomputedTextEncoder
from ._shared import ImageEncoder, clear_model_cache, embed_images
from ._source import ModelLoadError, NoProjectionError, NoTextError
from ._text_encoder import CLIPTextEncoder

__all__ = [
    "CLIPImageEncoder",
    "CLIPTextEncoder",
    "ImageEncoder",
    "ImageReadError",
    "JoinedImageEncoder",
    "JoinedTextEncoder",
    "ModelLoadError",
    "NoProjectionError",
    "NoTextError",
    "PrecomputedTextEncoder",
    "clear_model_cache",
    "embed_images",
    "read_image",
]
