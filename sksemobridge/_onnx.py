"""Fitted classifiers as ONNX models, alone or after an image encoder."""

import json
import os
import tempfile
import warnings
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import Normalizer
from sklearn.utils.validation import check_is_fitted

from ._few_shot_classifier import FewShotClassifier
from ._model.linear import Linear
from ._multilabel_classifier import MultilabelFewShotClassifier
from ._semobridge.bridge import Bridge
from ._semobridge.bridged_classes import BridgedClasses
from ._semobridge.score import terms_of_score
from ._semobridge_classifier import SeMoBridgeClassifier
from ._utils import __version__
from ._utils.files import new_file
from ._utils.sklearn import best_of
from ._zero_shot import ZeroShotClassifier
from .encoders import CLIPImageEncoder

# Versions of operators and files that onnxruntime reads since 1.16 (2023).
OPSET = 18
IR_VERSION = 9


def to_onnx(estimator: Any, path: str | os.PathLike[str]) -> None:
    """Write a fitted classifier as an ONNX model. onnxruntime runs the model without this package,
    scikit-learn and torch.

    Parameters
    ----------
    estimator : classifier of this package, Pipeline, or a search over either
        Fitted estimator; of a search, its `best_estimator_` is written. A pipeline of
        `CLIPImageEncoder` and a classifier becomes one model, with the image encoder. `Normalizer`
        of scikit-learn may stand before the classifier.
    path : str or os.PathLike
        File to write.

    Raises
    ------
    TypeError
        If the estimator is none of these.
    OSError
        If the file cannot be written. An earlier file stays.

    Notes ----- The input is `embeddings (n, D)`, or for a pipeline `pixels (n, 3, h, w)`. The
    outputs are `logits (n, C)`, which are `decision_function` (for two classes, the difference of
    the two columns), and `probabilities (n, C)`. All arrays are float32. The metadata of the model
    hold JSON: `classes` are the labels, `thresholds` the thresholds of a
    `MultilabelFewShotClassifier`, and `preprocessing` says how an RGB image becomes `pixels`. A
    model has at most 2 GB of weights.
    """
    import onnx

    estimator = best_of(estimator)
    steps = (
        [step for _, step in estimator.steps] if isinstance(estimator, Pipeline) else [estimator]
    )
    *encoders, classifier = steps
    is_unit = bool(encoders) and is_normalizer(encoders[-1])
    encoders = encoders[: len(encoders) - is_unit]
    ours = (
        FewShotClassifier,
        SeMoBridgeClassifier,
        ZeroShotClassifier,
        MultilabelFewShotClassifier,
    )
    is_ours = type(classifier) in ours
    if not is_ours or [type(encoder) for encoder in encoders] not in ([], [CLIPImageEncoder]):
        names = ", ".join(type(step).__name__ for step in steps)
        raise TypeError(
            "to_onnx takes our classifiers, also the best of a fitted search (refit=True), alone or"
            f' after CLIPImageEncoder and Normalizer(norm="l2"), not {names}.'
        )
    check_is_fitted(classifier)
    is_unit = is_unit or bool(encoders) and encoders[0].normalize
    model, metadata = _head(classifier, is_unit), {"sksemobridge": __version__}
    metadata["classes"] = json.dumps(classifier.classes_.tolist(), default=str)
    if isinstance(classifier, MultilabelFewShotClassifier):
        metadata["thresholds"] = json.dumps(classifier.thresholds_.tolist())
    if encoders:
        loaded = encoders[0]._model()
        metadata["preprocessing"] = json.dumps(loaded.preprocessing())
        encoder = _image_encoder(loaded)
        model.ir_version = encoder.ir_version
        model = onnx.compose.merge_models(encoder, model, io_map=[("embeddings", "embeddings")])
    onnx.helper.set_model_props(model, metadata)
    with new_file(path, replace=True) as unfinished:
        onnx.save_model(model, unfinished)


def is_normalizer(step: Any) -> bool:
    """Whether a step of a pipeline divides rows by their lengths."""
    return isinstance(step, Normalizer) and step.norm == "l2"


def _head(classifier, is_unit):
    """The `onnx.ModelProto` from `embeddings (n, D)` to `logits` and `probabilities`. With
    `is_unit`, the classifier gets rows of unit length.
    """
    import onnx

    n_classes, decision = len(classifier.classes_), classifier._fitted.decision
    logits = _linear_logits if isinstance(decision, Linear) else _bridged_logits
    operators, constants = logits(decision)
    several = isinstance(classifier, MultilabelFewShotClassifier)
    probabilities = "Sigmoid" if several else "Softmax<axis = 1>"
    model = onnx.parser.parse_model(
        f'<ir_version: {IR_VERSION}, opset_import: ["" : {OPSET}], producer_name: "sksemobridge"> '
        f"sksemobridge (float[n, {classifier.n_features_in_}] embeddings) "
        f"=> (float[n, {n_classes}] logits, float[n, {n_classes}] probabilities) {{"
        f" {_unit('embeddings', 'unit')}"
        f" rows = Identity({'unit' if is_unit else 'embeddings'}) {operators}"
        f" probabilities = {probabilities}(logits) }}"
    )
    constants |= {"tiny": np.array([np.finfo(np.float32).smallest_normal])}
    constants = {name: np.asarray(array, dtype=np.float32) for name, array in constants.items()}
    constants["columns"] = np.array([1])
    for name, array in constants.items():
        model.graph.initializer.append(
            onnx.numpy_helper.from_array(np.ascontiguousarray(array), name)
        )
    onnx.checker.check_model(model, full_check=True)
    return model


def _unit(rows, result):
    """Operators that divide rows by their lengths. A division by the largest value comes first, so
    that no square leaves the range of floats.
    """
    return (
        f"{result}_sizes = Abs({rows}) {result}_largest = ReduceMax({result}_sizes, columns)"
        f" {result}_scale = Max({result}_largest, tiny)"
        f" {result}_scaled = Div({rows}, {result}_scale)"
        f" {result}_norm = ReduceL2({result}_scaled, columns)"
        f" {result}_length = Max({result}_norm, tiny)"
        f" {result} = Div({result}_scaled, {result}_length)"
    )


def _linear_logits(decision: Linear):
    """Operators from `unit` to `logits`, and their constants."""
    constants = {"weights": decision.weights.T, "offsets": decision.offsets}
    return "logits = Gemm(unit, weights, offsets)", constants


def _bridged_logits(decision: BridgedClasses):
    """Operators from `rows` and `unit` to `logits`, and their constants."""
    of_classes = decision.rows
    bridged, constants = _bridged(decision.bridge)
    operators, constants = [bridged], constants | {"factor": decision.temperature}
    terms = []
    for name, sharpness, offset in terms_of_score(
        of_classes, decision.hyperparameters, decision.divergence
    ):
        queries = "bridged" if name == "z3" else "unit"
        operators.append(
            f"{name} = MatMul({queries}, columns_{name})"
            f" {name}_steep = Mul({name}, sharpness_{name})"
            f" {name}_term = Add({name}_steep, offset_{name})"
        )
        constants |= {
            f"columns_{name}": of_classes[name].T,
            f"sharpness_{name}": sharpness,
            f"offset_{name}": offset - sharpness,
        }
        terms.append(f"{name}_term")
    operators.append(f"top = Max({', '.join(terms)})")
    operators += [
        f"{term}_below = Sub({term}, top) {term}_exp = Exp({term}_below)" for term in terms
    ]
    operators.append(f"total = Sum({', '.join(f'{term}_exp' for term in terms)})")
    operators.append("log_total = Log(total) score = Add(top, log_total)")
    operators.append("decision = Mul(score, factor)")
    if decision.log_prior is not None:
        operators[-1] = "even = Mul(score, factor) decision = Add(even, log_prior)"
        constants["log_prior"] = decision.log_prior
    operators.append("logits = LogSoftmax<axis = 1>(decision)")
    return " ".join(operators), constants


def _bridged(bridge: Bridge):
    """Operators from `rows` and `unit` to `bridged`, and their constants."""
    if bridge.matrix is None:
        return "bridged = Identity(unit)", {}
    if bridge.projection_bias is None:
        # The bridge does not depend on the length of a row.
        inputs, constants = "inputs = Identity(unit)", {}
    else:
        inputs = "inputs = Sub(rows, projection_bias)"
        constants = {"projection_bias": bridge.projection_bias, "length": bridge.text_length}
    if bridge.basis is not None:
        constants |= {"basis": bridge.basis, "back": bridge.basis.T}
        kept = "kept = MatMul(inputs, basis) joint = MatMul(kept, back)"
        return f"{inputs} {kept} {_unit('joint', 'bridged')}", constants
    constants["inverse"] = bridge.matrix
    operators, joint = [inputs, "texts = MatMul(inputs, inverse)", _unit("texts", "eos")], "eos"
    if bridge.projection is not None:
        operators.append("joint = MatMul(eos, projection)")
        constants["projection"], joint = bridge.projection, "joint"
    if bridge.projection_bias is not None:
        operators.append(f"long = Mul({joint}, length) moved = Add(long, projection_bias)")
        joint = "moved"
    return " ".join([*operators, _unit(joint, "bridged")]), constants


def _image_encoder(loaded):
    """The `onnx.ModelProto` of the image encoder, from `(n, 3, h, w)` to embeddings `(n, D)`."""
    import onnx
    import torch

    class ImageEncoder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = loaded.model

        def forward(self, pixels):
            return self.model.encode_image(pixels, normalize=False)

    pixels = torch.zeros(2, 3, *loaded.image_size, device=loaded.device)
    names = {"input_names": ["pixels"], "output_names": ["embeddings"]}
    axes = {"pixels": {0: "n"}, "embeddings": {0: "n"}}
    # The exporter that records one call takes all encoders, in every version of torch.
    options = {"dynamo": False, "dynamic_axes": axes, "opset_version": OPSET, **names}
    # The fast path of attention is one operator, which ONNX lacks.
    mha = torch.backends.mha
    is_fast = mha.get_fastpath_enabled()
    mha.set_fastpath_enabled(False)
    try:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(action="ignore"):
            path = os.path.join(folder, "encoder.onnx")
            torch.onnx.export(ImageEncoder().eval(), (pixels,), path, **options)
            return onnx.load(path)
    finally:
        mha.set_fastpath_enabled(is_fast)
