"""Fitted classifiers and bridges as ONNX models, alone or after an image tower."""

import json
import os
import tempfile
import warnings
from contextlib import ExitStack
from importlib import import_module
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.fixes import parse_version
from sklearn.utils.validation import check_is_fitted

from ._classifier import SeMoBridgeClassifier
from ._search.bridge import SemanticBridge, Span
from ._texts.words import RESOLUTION
from ._utils import __version__
from ._utils.files import new_file
from ._zero_shot import ZeroShotClassifier
from .encoders import CLIPImageEncoder

# What becomes a model, alone or after an image tower.
EMBEDDING_ESTIMATORS = SeMoBridgeClassifier, ZeroShotClassifier, SemanticBridge
# Operators and files as onnxruntime reads them since 1.16 (2023).
OPSET, IR_VERSION = 18, 9
# Lengths below it count as zero, as in `rows_and_lengths`.
TINY = float(np.finfo(np.float32).smallest_normal)
# In earlier versions, torch's exporter of programs fails for most image towers.
EXPORTS_PROGRAMS = "2.13"
# Files of protobuf end at 2 GB; weights of larger models lie in a second file.
LARGEST_FILE = 1.9e9


def to_onnx(estimator: Any, path: str | os.PathLike[str]) -> None:
    """Write a fitted estimator as an ONNX model. onnxruntime runs it without this package, scikit-learn and torch.

    Parameters
    ----------
    estimator : SeMoBridgeClassifier, ZeroShotClassifier, SemanticBridge or Pipeline
        Fitted estimator. A pipeline of `CLIPImageEncoder` and one of the others becomes one model, with the image tower.
    path : str or os.PathLike
        File to write. Weights of more than 1.9 GB go into a second file, `path` with `.data`.

    Raises
    ------
    TypeError
        If the estimator is none of these, is the paper's classifier, or is a pipeline with other steps.
    ImportError
        If the package onnx is missing. A pipeline also needs onnxscript, with torch 2.13 or newer.
    NotFittedError
        If the estimator is not fitted.
    OSError
        If the file cannot be written. What was there before stays.

    Notes
    -----
    The input is `embeddings (n, D)`, or for a pipeline `pixels (n, 3, h, w)`. The outputs of a classifier are
    `logits (n, C)` and `probabilities (n, C)`. The output of a bridge is `bridged (n, D)`. All are float32. The metadata
    of the model hold JSON: `classes` are the labels, and `preprocessing` says how an RGB image becomes `pixels`.

    Examples
    --------
    >>> from sksemobridge import SeMoBridgeClassifier, to_onnx
    >>> classifier = SeMoBridgeClassifier().fit([[1.0, 0.0], [0.0, 1.0]], [0, 1])
    >>> to_onnx(classifier, "classifier.onnx")  # doctest: +SKIP
    """
    onnx, metadata = _require("onnx"), {"sksemobridge": __version__}
    steps = [estimator]
    if isinstance(estimator, Pipeline):
        steps = [step for _, step in estimator.steps if step not in (None, "passthrough")]
    are_encoders = [isinstance(step, CLIPImageEncoder) for step in steps]
    if are_encoders not in ([False], [True, False]) or not isinstance(steps[-1], EMBEDDING_ESTIMATORS):
        kinds = ", ".join(type(step).__name__ for step in steps)
        raise TypeError(
            "to_onnx takes SeMoBridgeClassifier, ZeroShotClassifier, SemanticBridge, or a pipeline of CLIPImageEncoder "
            f"and one of them, not {kinds}."
        )
    *encoders, estimator = steps
    model = model_of(estimator)
    for encoder in encoders:
        loaded = encoder._model()
        tower = _image_tower(loaded)
        model.ir_version = tower.ir_version
        model = onnx.compose.merge_models(tower, model, io_map=[("embeddings", "embeddings")])
        metadata["preprocessing"] = json.dumps(loaded.preprocessing())
    if hasattr(estimator, "classes_"):
        metadata["classes"] = json.dumps(estimator.classes_.tolist(), default=str)
    onnx.helper.set_model_props(model, metadata)
    is_large = sum(len(weights.raw_data) for weights in model.graph.initializer) > LARGEST_FILE
    with new_file(path, replace=True) as unfinished:
        location = f"{unfinished.name}.data"
        onnx.save_model(model, unfinished, save_as_external_data=is_large, location=location)


def model_of(estimator):
    """The `onnx.ModelProto` of a fitted classifier or bridge of embeddings."""
    check_is_fitted(estimator)
    fitted, width = estimator._fitted, estimator.n_features_in_
    if isinstance(estimator, SemanticBridge):
        operators, constants = _bridge(fitted)
        least = "resolution" if isinstance(fitted, Span) else "tiny"
        last = _unit("joint", "bridged", least) if estimator.normalize else "bridged = Identity(joint)"
        return _model({"embeddings": width}, {"bridged": width}, operators + last, constants)
    if not hasattr(estimator, "coef_"):
        raise TypeError(
            'to_onnx needs a classifier with blend="auto"; the paper\'s classifier is not linear.'
        )
    outputs = dict.fromkeys(("logits", "probabilities"), len(estimator.classes_))
    operators = f"""
        {_unit("embeddings", "unit")}
        logits = Gemm(unit, weights, offsets)  probabilities = Softmax<axis = 1>(logits)
    """
    constants = {"weights": fitted.decision.weights.T, "offsets": fitted.decision.offsets}
    return _model({"embeddings": width}, outputs, operators, constants)


def _unit(x, unit, least="tiny"):
    """Operators that divide rows by their lengths, as `l2_normalize`."""
    # By the largest value first, so that no square leaves the range of floats.
    return f"""
        {unit}_sizes = Abs({x})  {unit}_largest = ReduceMax({unit}_sizes, columns)
        {unit}_scale = Max({unit}_largest, tiny)  {unit}_scaled = Div({x}, {unit}_scale)
        {unit}_norm = ReduceL2({unit}_scaled, columns)  {unit}_length = Max({unit}_norm, {least})
        {unit} = Div({unit}_scaled, {unit}_length)
    """


def _bridge(bridge):
    """Operators from `embeddings` to `joint`, as `apply_unscaled` of a `Span` or a `Bridge`, and their constants."""
    if isinstance(bridge, Span):
        constants = {"mean": bridge.mean, "matrix": bridge.matrix, "resolution": [RESOLUTION]}
        centred = "centred = Sub(unit, mean)  joint = MatMul(centred, matrix)"
        return _unit("embeddings", "unit") + centred, constants
    if bridge.projection_bias is None:
        return "joint = MatMul(embeddings, matrix)", {"matrix": bridge.basis @ bridge.basis.T}
    constants = {"inverse": bridge.matrix, "projection": bridge.text_length * bridge.projection}
    operators = f"""
        centred = Sub(embeddings, bias)  eos = MatMul(centred, inverse)  {_unit("eos", "unit")}
        projected = MatMul(unit, projection)  joint = Add(projected, bias)
    """
    return operators, constants | {"bias": bridge.projection_bias}


def _model(inputs, outputs, operators, constants):
    """The model of operators in the text form of ONNX; `inputs` and `outputs` are widths by names."""
    onnx = _require("onnx")
    before, after = (
        ", ".join(f"float[n, {width}] {name}" for name, width in names.items()) for names in (inputs, outputs)
    )
    header = f'<ir_version: {IR_VERSION}, opset_import: ["" : {OPSET}], producer_name: "sksemobridge">'
    model = onnx.parser.parse_model(f"{header} sksemobridge ({before}) => ({after}) {{ {operators} }}")
    arrays = {name: np.asarray(values, dtype=np.float32) for name, values in constants.items()}
    for name, array in (arrays | {"tiny": np.float32([TINY]), "columns": np.array([1])}).items():
        array = np.ascontiguousarray(array)
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    onnx.checker.check_model(model, full_check=True)
    return model


def _require(package):
    try:
        return import_module(package)
    except ImportError as error:
        raise ImportError(f"to_onnx needs {package}: pip install 'sksemobridge[onnx]'.") from error


def _image_tower(loaded):
    """The `onnx.ModelProto` of the image tower, in float32: `pixels (n, 3, h, w)` to `embeddings (n, D)`."""
    import torch

    class Tower(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = loaded.model

        def forward(self, pixels):
            return self.model.encode_image(pixels, normalize=False)

    if parse_version(torch.__version__) < parse_version(EXPORTS_PROGRAMS):
        # The older exporter records one call.
        exporter = {"dynamo": False, "dynamic_axes": {"pixels": {0: "n"}, "embeddings": {0: "n"}}}
    else:
        _require("onnxscript")
        exporter = {"dynamo": True, "dynamic_shapes": ({0: torch.export.Dim("n")},)}
    pixels = torch.zeros(2, 3, *loaded.image_size, device=loaded.device)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), ExitStack() as afterwards:
        warnings.simplefilter("ignore")  # the exporters warn about themselves
        # The fast path of attention is one operator, which ONNX lacks.
        mha = torch.backends.mha
        afterwards.callback(mha.set_fastpath_enabled, mha.get_fastpath_enabled())
        mha.set_fastpath_enabled(False)
        # Through a file: a model of more than 2 GB is written as several files.
        path = os.path.join(folder, "tower.onnx")
        options = {"opset_version": OPSET, "verbose": False, **exporter}
        names = {"input_names": ["pixels"], "output_names": ["embeddings"]}
        torch.onnx.export(Tower().eval(), (pixels,), path, **names, **options)
        return _require("onnx").load(path)
