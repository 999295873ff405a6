from . import datasets
from ._bursts import proba_by_group
from ._evaluation import ShotEvaluation, evaluate_shots
from ._few_shot_classifier import FewShotClassifier
from ._label.folder_table import predict_folder
from ._label.label_folder import LabelledFolder, label_folder
from ._label_next import label_next
from ._multilabel_classifier import MultilabelFewShotClassifier
from ._onnx import to_onnx
from ._pipeline import (
    ImagePipeline,
    make_few_shot_pipeline,
    make_multilabel_pipeline,
    make_semobridge_pipeline,
)
from ._review_next import review_next
from ._search import SemanticBridge, mean_average_precision
from ._semobridge_classifier import SeMoBridgeClassifier
from ._strangers import stranger_proba
from ._suggest_names import suggest_names
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

__version__: str

__all__ = [
    "CLIPImageEncoder",
    "CLIPTextEncoder",
    "FewShotClassifier",
    "ImageReadError",
    "JoinedImageEncoder",
    "JoinedTextEncoder",
    "LabelledFolder",
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
    "label_folder",
    "label_next",
    "make_few_shot_pipeline",
    "make_multilabel_pipeline",
    "make_semobridge_pipeline",
    "mean_average_precision",
    "predict_folder",
    "proba_by_group",
    "review_next",
    "stranger_proba",
    "suggest_names",
    "to_onnx",
    "trusted_types",
]
