"""What onnxruntime computes from a written model is what the estimator predicts."""

import errno
import json
import os
import runpy
import sys
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.fixes import parse_version

from sksemobridge import (
    CLIPImageEncoder,
    CLIPTextEncoder,
    PaperBlend,
    SemanticBridge,
    SeMoBridgeClassifier,
    ZeroShotClassifier,
    _onnx,
    make_semobridge_pipeline,
    to_onnx,
)

from .encoder_helpers import SHRINK, small_config, some_emoji, some_pictures, write_model

onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra onnx")
pytest.importorskip("onnx", reason="needs the extra onnx")

NAMES = ["bird", "clock", "fruit", "mammal", "tool"]
SHOTS = 4
EXAMPLE = runpy.run_path(str(Path(__file__).parents[1] / "examples" / "serve_onnx.py"))
# The bundled tower is a ResNet, and two differ in their texts only.
TOWERS = [name for name in SHRINK if name not in ("RN50", "ViT-SO400M-16-SigLIP-i18n-256")]


@pytest.fixture(scope="module")
def pictures():
    """Images and labels of some classes, the shots first."""
    images, labels = some_emoji(NAMES, 12)
    order = np.argsort(np.arange(len(labels)) % 12 >= SHOTS, kind="stable")
    return images[order], labels[order]


@pytest.fixture(scope="module")
def embeddings(pictures):
    return CLIPImageEncoder("mini", "bundled").transform(pictures[0])


def run(path, **inputs):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, inputs))), session.get_modelmeta().custom_metadata_map


def assert_same(classifier, X, folder):
    to_onnx(classifier, folder / "classifier.onnx")
    result, metadata = run(folder / "classifier.onnx", embeddings=X)
    np.testing.assert_allclose(result["probabilities"], classifier.predict_proba(X), atol=1e-5)
    logits = classifier.decision_function(X)
    if logits.ndim == 1:
        result["logits"] = result["logits"][:, 1] - result["logits"][:, 0]
    np.testing.assert_allclose(result["logits"], logits, atol=1e-5 * max(1, np.abs(logits).max()))
    assert json.loads(metadata["classes"]) == classifier.classes_.tolist()


def assert_same_bridge(bridge, X, folder):
    to_onnx(bridge, folder / "bridge.onnx")
    result, metadata = run(folder / "bridge.onnx", embeddings=X)
    np.testing.assert_allclose(result["bridged"], bridge.transform(X), atol=1e-5)
    assert "classes" not in metadata


NO_TEXT = {"text_encoder": None, "class_names": "ignore"}
SETTINGS = [{}, {"priors": "shots"}, {"class_names": "ignore"}, NO_TEXT]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_classifier(settings, pictures, embeddings, tmp_path):
    settings = {"text_encoder": CLIPTextEncoder("mini", "bundled"), **settings}
    n = SHOTS * len(NAMES)
    classifier = SeMoBridgeClassifier(**settings).fit(embeddings[:n], pictures[1][:n])
    assert_same(classifier, embeddings, tmp_path)
    if classifier.class_names_ is not None:
        # One class without shots, which leans on its name alone.
        assert_same(classifier.with_classes(["clock", "fruit", "zebra"]), embeddings, tmp_path)
    assert_same(classifier.with_classes(["clock", "fruit"]), embeddings, tmp_path)
    assert_same(classifier.with_unlabeled(embeddings[n:]), embeddings, tmp_path)


@pytest.mark.parametrize("normalize", [True, False])
def test_a_projection_with_a_bias(normalize, make_world, tmp_path):
    world = make_world(bias=True, dtype=np.float32)
    X, _ = world.draw(4)
    bridge = SemanticBridge(world.text_encoder(), vocabulary=None, normalize=normalize).fit(X)
    assert_same_bridge(bridge, X, tmp_path)


def test_zero_shot(embeddings, tmp_path):
    classifier = ZeroShotClassifier(CLIPTextEncoder("mini", "bundled")).fit(None, NAMES)
    assert_same(classifier, embeddings, tmp_path)
    assert_same(classifier.with_unlabeled(embeddings), embeddings, tmp_path)


def test_a_pipeline_of_one_step_is_this_step(world, tmp_path):
    classifier = world.zero_shot().fit(None, world.names)
    for name, estimator in {"step": classifier, "pipeline": make_pipeline(classifier)}.items():
        to_onnx(estimator, tmp_path / name)
    assert (tmp_path / "step").read_bytes() == (tmp_path / "pipeline").read_bytes()


def test_a_linear_classifier_is_a_normalisation_and_one_gemm(world, tmp_path):
    classifier = world.classifier().fit(*world.draw(3))
    nodes = [node.op_type for node in _onnx.model_of(classifier).graph.node]
    assert nodes.count("Gemm") == 1
    assert nodes[-2:] == ["Gemm", "Softmax"]
    assert not {"MatMul", "ReduceLogSumExp"} & set(nodes)


def test_labels_of_other_kinds_are_json(world, tmp_path):
    X, y = world.draw(3)
    days = np.array(["2024-01-01", "2024-01-02"], dtype="datetime64[D]")[(y == "cat").astype(int)]
    classifier = SeMoBridgeClassifier().fit(X, days)
    to_onnx(classifier, tmp_path / "classifier.onnx")
    _, metadata = run(tmp_path / "classifier.onnx", embeddings=X.astype(np.float32))
    assert json.loads(metadata["classes"]) == ["2024-01-01", "2024-01-02"]


def test_rows_of_any_length(world, tmp_path):
    X, y = world.draw(3)
    classifier = SeMoBridgeClassifier(class_names="ignore").fit(X, y)
    X = (X * np.logspace(-30, 30, len(X))[:, None]).astype(np.float32)
    X[0] = 0
    assert_same(classifier, X, tmp_path)
    result, _ = run(tmp_path / "classifier.onnx", embeddings=X[:0])
    assert result["probabilities"].shape == (0, len(classifier.classes_))


@pytest.mark.parametrize(
    "settings", [{}, {"vocabulary": None}, {"normalize": False}, {"direction": "text_to_image"}], ids=str
)
def test_a_bridge(settings, embeddings, tmp_path):
    bridge = SemanticBridge(CLIPTextEncoder("mini", "bundled"), **settings).fit(embeddings)
    assert_same_bridge(bridge, embeddings, tmp_path)


@pytest.fixture(scope="module")
def pipeline(pictures):
    n = SHOTS * len(NAMES)
    return make_semobridge_pipeline("mini", "bundled").fit(pictures[0][:n], pictures[1][:n])


@pytest.fixture
def in_one_call(monkeypatch):
    """torch's older exporter, which is faster."""
    monkeypatch.setattr(_onnx, "EXPORTS_PROGRAMS", "99")
    monkeypatch.setitem(sys.modules, "onnxscript", None)


@pytest.fixture(params=["programs", "one call"])
def exporter(request):
    """Both of torch's exporters, where this version of torch has both that work."""
    if request.param == "one call":
        request.getfixturevalue("in_one_call")
    elif parse_version(torch.__version__) < parse_version(_onnx.EXPORTS_PROGRAMS):
        pytest.skip("this torch is older")
    else:
        pytest.importorskip("onnxscript", reason="needs the extra onnx")


def assert_same_from_pixels(pipeline, images, path):
    """The example prepares images from the description in the metadata, and nothing else."""
    to_onnx(pipeline, path)
    predict_proba, classes = EXAMPLE["serve"](path)
    assert classes == pipeline.classes_.tolist()
    for n in (1, len(images)):
        np.testing.assert_allclose(predict_proba(images[:n]), pipeline.predict_proba(images[:n]), atol=1e-5)


@pytest.mark.usefixtures("exporter")
def test_a_whole_pipeline(pipeline, pictures, tmp_path):
    path = tmp_path / "pipeline.onnx"
    assert_same_from_pixels(pipeline, pictures[0], path)
    metadata = onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map
    how = json.loads(metadata["preprocessing"])
    assert (how["mode"], how["resize"], how["layout"]) == ("RGB", "shortest", "NCHW")


@pytest.mark.usefixtures("in_one_call")
def test_weights_too_large_for_one_file_lie_beside_it(pipeline, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(_onnx, "LARGEST_FILE", 0)
    assert_same_from_pixels(pipeline, pictures[0], tmp_path / "large.onnx")
    assert (tmp_path / "large.onnx").stat().st_size < (tmp_path / "large.onnx.data").stat().st_size


@pytest.mark.usefixtures("exporter")
@pytest.mark.parametrize("architecture", TOWERS)
def test_every_kind_of_image_tower(architecture, tmp_path):
    name = write_model(tmp_path / "model", small_config(architecture))
    images, labels = some_pictures(7, size=(43, 57)), list("aabbaba")
    classifier = SeMoBridgeClassifier(class_names="ignore")
    pipeline = make_pipeline(CLIPImageEncoder(name), classifier).fit(images, labels)
    fast_attention = torch.backends.mha.get_fastpath_enabled()
    assert_same_from_pixels(pipeline, images, tmp_path / "pipeline.onnx")
    assert torch.backends.mha.get_fastpath_enabled() == fast_attention


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (LogisticRegression(), "not LogisticRegression"),
        (make_pipeline(StandardScaler(), SeMoBridgeClassifier()), "StandardScaler, SeMoBridgeClassifier"),
        (
            make_pipeline(CLIPImageEncoder("mini", "bundled"), LogisticRegression()),
            "not CLIPImageEncoder, LogisticR",
        ),
        (SeMoBridgeClassifier(), "not fitted"),
        (
            SeMoBridgeClassifier(blend=PaperBlend()).fit(np.eye(2), [0, 1]),
            'needs a classifier with blend="auto"',
        ),
    ],
    ids=["foreign", "steps", "foreign step", "not fitted", "paper"],
)
def test_what_cannot_be_written_is_an_error(estimator, message, tmp_path):
    with pytest.raises((TypeError, ValueError), match=message):
        to_onnx(estimator, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_the_model_that_was_there(world, tmp_path, monkeypatch):
    classifier, path = SeMoBridgeClassifier(class_names="ignore").fit(*world.draw(3)), tmp_path / "a.onnx"
    to_onnx(classifier, path)
    before = path.read_bytes()
    no_space = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(os, "fsync", Mock(side_effect=no_space))
    with pytest.raises(OSError, match=r"a\.onnx' could not be written: .*No space left"):
        to_onnx(classifier, path)
    assert [*tmp_path.iterdir()] == [path]
    assert path.read_bytes() == before


@pytest.mark.skipif(os.name == "nt", reason="a device and links")
def test_a_device_stays_one_and_a_link_leads_to_the_model(world, tmp_path):
    classifier, link = SeMoBridgeClassifier(class_names="ignore").fit(*world.draw(3)), tmp_path / "link.onnx"
    with pytest.raises(OSError, match="'/dev/null' could not be written: it is no regular file"):
        to_onnx(classifier, "/dev/null")
    link.symlink_to("model.onnx")
    to_onnx(classifier, link)
    assert link.is_symlink()
    assert (tmp_path / "model.onnx").stat().st_size > 100


def test_a_missing_package_is_named(without, tmp_path):
    without("onnx")
    with pytest.raises(ImportError, match=r"sksemobridge\[onnx\]"):
        to_onnx(SeMoBridgeClassifier(), tmp_path / "model.onnx")
