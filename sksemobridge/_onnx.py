"""Fitted classifiers as ONNX models, alone or after an image tower."""

import json
import os
import tempfile
import warnings
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from ._classifier import SeMoBridgeClassifier
from ._utils import __version__
from ._utils.files import new_file
from ._zero_shot import ZeroShotClassifier
from .encoders import CLIPImageEncoder

# Operators and files as onnxruntime reads them since 1.16 (2023).
OPSET = 18
IR_VERSION = 9
# A division by the largest value comes first, so that no square leaves the range of floats.
OPERATORS = """
    sizes = Abs(embeddings)  largest = ReduceMax(sizes, columns)  scale = Max(largest, tiny)
    scaled = Div(embeddings, scale)  norm = ReduceL2(scaled, columns)  length = Max(norm, tiny)
    unit = Div(scaled, length)
    logits = Gemm(unit, weights, offsets)  probabilities = Softmax<axis = 1>(logits)
"""


def to_onnx(estimator: Any, path: str | os.PathLike[str]) -> None:
    """Write a fitted classifier as an ONNX model. onnxruntime runs it without this package,
    scikit-learn and torch.

    Parameters
    ----------
    estimator : SeMoBridgeClassifier, ZeroShotClassifier or Pipeline
        Fitted estimator. A pipeline of `CLIPImageEncoder` and a classifier becomes one model, with
        the image tower.
    path : str or os.PathLike
        File to write.

    Raises
    ------
    TypeError
        If the estimator is none of these, or is the paper's classifier, which is not linear.
    OSError
        If the file cannot be written. What was there before stays.

    Notes
    -----
    The input is `embeddings (n, D)`, or for a pipeline `pixels (n, 3, h, w)`. The outputs are
    `logits (n, C)` and `probabilities (n, C)`. All are float32. The metadata of the model hold
    JSON: `classes` are the labels, and `preprocessing` says how an RGB image becomes `pixels`. A
    model ends at 2 GB of weights.
    """
    import onnx

    steps = (
        [step for _, step in estimator.steps] if isinstance(estimator, Pipeline) else [estimator]
    )
    *encoders, classifier = steps
    is_ours = type(classifier) in (SeMoBridgeClassifier, ZeroShotClassifier)
    if not is_ours or [type(encoder) for encoder in encoders] not in ([], [CLIPImageEncoder]):
        names = ", ".join(type(step).__name__ for step in steps)
        raise TypeError(
            f"to_onnx takes our classifiers, alone or after CLIPImageEncoder, not {names}."
        )
    check_is_fitted(classifier)
    if not hasattr(classifier, "coef_"):
        raise TypeError("to_onnx takes no classifier of the paper: it is not linear.")
    model, metadata = _head(classifier), {"sksemobridge": __version__}
    metadata["classes"] = json.dumps(classifier.classes_.tolist(), default=str)
    if encoders:
        loaded = encoders[0]._model()
        metadata["preprocessing"] = json.dumps(loaded.preprocessing())
        tower = _image_tower(loaded)
        model.ir_version = tower.ir_version
        model = onnx.compose.merge_models(tower, model, io_map=[("embeddings", "embeddings")])
    onnx.helper.set_model_props(model, metadata)
    with new_file(path, replace=True) as unfinished:
        onnx.save_model(model, unfinished)


def _head(classifier):
    """The `onnx.ModelProto` from `embeddings (n, D)` to `logits` and `probabilities`."""
    import onnx

    n_classes, decision = len(classifier.classes_), classifier._fitted.decision
    model = onnx.parser.parse_model(
        f'<ir_version: {IR_VERSION}, opset_import: ["" : {OPSET}], producer_name: "sksemobridge"> '
        f"sksemobridge (float[n, {classifier.n_features_in_}] embeddings) "
        f"=> (float[n, {n_classes}] logits, float[n, {n_classes}] probabilities) {{ {OPERATORS} }}"
    )
    constants = {
        "weights": decision.weights.T.astype(np.float32),
        "offsets": decision.offsets.astype(np.float32),
        "tiny": np.array([np.finfo(np.float32).smallest_normal]),
        "columns": np.array([1]),
    }
    for name, array in constants.items():
        model.graph.initializer.append(
            onnx.numpy_helper.from_array(np.ascontiguousarray(array), name)
        )
    onnx.checker.check_model(model, full_check=True)
    return model


def _image_tower(loaded):
    """The `onnx.ModelProto` of the image tower, from `(n, 3, h, w)` to embeddings `(n, D)`."""
    import onnx
    import torch

    class Tower(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = loaded.model

        def forward(self, pixels):
            return self.model.encode_image(pixels, normalize=False)

    pixels = torch.zeros(2, 3, *loaded.image_size, device=loaded.device)
    names = {"input_names": ["pixels"], "output_names": ["embeddings"]}
    axes = {"pixels": {0: "n"}, "embeddings": {0: "n"}}
    # The exporter that records one call takes all towers, in every version of torch.
    options = {"dynamo": False, "dynamic_axes": axes, "opset_version": OPSET, **names}
    # The fast path of attention is one operator, which ONNX lacks.
    mha = torch.backends.mha
    is_fast = mha.get_fastpath_enabled()
    mha.set_fastpath_enabled(False)
    try:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(action="ignore"):
            path = os.path.join(folder, "tower.onnx")
            torch.onnx.export(Tower().eval(), (pixels,), path, **options)
            return onnx.load(path)
    finally:
        mha.set_fastpath_enabled(is_fast)
