"""Few-shot image classification with CLIP that feels like scikit-learn.

The way of the data, and where each station is:

    images -> encoders/ -> embeddings ------------------------+
    class names -> _method/prompts -> class_texts ------------+
    labels, weights, groups -> _method/shots -----------------+-> _classifier: fit -> _method/fit -> state
        spans, bridge -> class_means, whitening -> unseen_classes -> affinities -> out_of_sample -> blend
        _training/ (the trained bridge)
    images without labels -> _method/typicality -> unlabeled -> the fitted state again
    embeddings -> _method/head -> logits -> _base: labels and probabilities

`_pipeline` begins with images, `_zero_shot` has no shots, `_semantic_bridge` and `_retrieval` serve search,
`_folder_table` and `_command` label folders, `_saving` says what is saved and what a file may hold, `_onnx` writes
fitted models, `displays/` draws, `distributed/` runs on Ray, `datasets/` loads pictures and words, `models/` holds the
bundled one, and `_utils/` what all of them use.
"""

from . import datasets
from ._classifier import SeMoBridgeClassifier
from ._folder_table import predict_folder
from ._onnx import register_onnx_converters, to_onnx
from ._pipeline import SeMoBridgePipeline, make_semobridge_pipeline
from ._retrieval import mean_average_precision
from ._saving import trusted_types
from ._semantic_bridge import SemanticBridge
from ._utils import __version__ as __version__
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
    "SeMoBridgePipeline",
    "SemanticBridge",
    "ZeroShotClassifier",
    "clear_model_cache",
    "datasets",
    "make_semobridge_pipeline",
    "mean_average_precision",
    "predict_folder",
    "register_onnx_converters",
    "to_onnx",
    "trusted_types",
]
