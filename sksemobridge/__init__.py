"""Few-shot image classification with CLIP that feels like scikit-learn.

How data flow:

    images -> encoders/ -> embeddings
    class names -> _texts/: prompts, encode, words -> class texts
    labels, weights, groups -> _model/shots, near_copies
    _classifier: fit -> _model/fit: label_noise, class_means -> discriminant -> logistic -> model
                     or _paper/: bridge -> training -> model (the paper's classifier)
    images without labels -> _model/typicality, unlabeled -> the linear model again
    embeddings -> _model/linear -> decisions -> _base: labels and probabilities

`_fitted` holds what a classifier has learnt. `_pipeline` begins with images, `_zero_shot` has no shots, `_search/`
finds images and texts, `_evaluation` says how good a classifier is. `_folder_table` labels a folder. `_command` does it
for users: `_folder_job` learns, `_user_tables` reads their tables, `_report` makes a page of the labels, and `_sort_into`
copies images. `_onnx` writes fitted models, `displays` draws, `distributed/` runs on Ray, `datasets/` loads pictures and
words, `models/` holds the bundled one, and `_utils/` what all of them use.
"""

from . import datasets
from ._classifier import SeMoBridgeClassifier
from ._evaluation import ShotEvaluation, evaluate_shots
from ._folder_table import predict_folder
from ._onnx import to_onnx
from ._paper.parameters import PaperBlend, Training
from ._pipeline import SeMoBridgePipeline, make_semobridge_pipeline
from ._report import write_report
from ._search import SemanticBridge, mean_average_precision
from ._utils import __version__ as __version__
from ._utils.saving import trusted_types
from ._zero_shot import ZeroShotClassifier
from .displays import PredictionsDisplay
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
    "ModelLoadError",
    "NoProjectionError",
    "PaperBlend",
    "PrecomputedTextEncoder",
    "PredictionsDisplay",
    "SeMoBridgeClassifier",
    "SeMoBridgePipeline",
    "SemanticBridge",
    "ShotEvaluation",
    "Training",
    "ZeroShotClassifier",
    "clear_model_cache",
    "datasets",
    "evaluate_shots",
    "make_semobridge_pipeline",
    "mean_average_precision",
    "predict_folder",
    "to_onnx",
    "trusted_types",
    "write_report",
]
