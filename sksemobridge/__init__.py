"""Few-shot image classification with CLIP that feels like scikit-learn."""

from importlib.metadata import PackageNotFoundError, version

from . import datasets
from ._classifier import SeMoBridgeClassifier
from ._pipeline import make_semobridge_pipeline
from ._retrieval import mean_average_precision
from ._semantic_bridge import SemanticBridge
from ._zero_shot import ZeroShotClassifier
from .displays import ModalityGapDisplay, PredictionsDisplay
from .encoders import (
    CLIPImageEncoder,
    CLIPTextEncoder,
    EmbeddingCache,
    ImageReadError,
    ModelLoadError,
    NoProjectionError,
    PrecomputedTextEncoder,
    clear_model_cache,
)

try:
    __version__ = version("sksemobridge")
except PackageNotFoundError:  # a source tree that was not installed
    __version__ = "0+unknown"

__all__ = [
    "CLIPImageEncoder",
    "CLIPTextEncoder",
    "EmbeddingCache",
    "ImageReadError",
    "ModalityGapDisplay",
    "ModelLoadError",
    "NoProjectionError",
    "PrecomputedTextEncoder",
    "PredictionsDisplay",
    "SeMoBridgeClassifier",
    "SemanticBridge",
    "ZeroShotClassifier",
    "clear_model_cache",
    "datasets",
    "make_semobridge_pipeline",
    "mean_average_precision",
]
