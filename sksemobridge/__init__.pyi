from . import datasets, labelling
from ._evaluation import ShotEvaluation, evaluate_shots
from ._few_shot_classifier import FewShotClassifier
from ._multilabel_classifier import MultilabelFewShotClassifier
from ._onnx import to_onnx
from ._pipeline import (
    ImagePipeline,
    make_few_shot_pipeline,
    make_multilabel_pipeline,
    make_semobridge_pipeline,
)
from ._search import SemanticBridge, mean_average_precision
from ._semobridge_classifier import SeMoBridgeClassifier
from ._utils.saving import trusted_types
from ._zero_shot import ZeroShotClassifier
from .displays import PredictionsDisplay
from .encoders import (
    CLIPImageEncoder,
    CLIPTextEncoder,
    ImageReadError,
    JoinedImageEncoder,
    JoinedTextEncoder,
    ModelLoadError,
    NoProjectionError,
    NoTextError,
    PrecomputedTextEncoder,
    clear_model_cache,
)
from .labelling import label_next

__version__: str

__all__ = [
    "CLIPImageEncoder",
    "CLIPTextEncoder",
    "FewShotClassifier",
    "ImageReadError",
    "JoinedImageEncoder",
    "JoinedTextEncoder",
    "ModelLoadError",
    "MultilabelFewShotClassifier",
    "NoProjectionError",
    "NoTextError",
    "PrecomputedTextEncoder",
    "PredictionsDisplay",
    "SeMoBridgeClassifier",
    "ImagePipeline",
    "SemanticBridge",
    "ShotEvaluation",
    "ZeroShotClassifier",
    "clear_model_cache",
    "datasets",
    "evaluate_shots",
    "label_next",
    "labelling",
    "make_few_shot_pipeline",
    "make_multilabel_pipeline",
    "make_semobridge_pipeline",
    "mean_average_precision",
    "to_onnx",
    "trusted_types",
]
