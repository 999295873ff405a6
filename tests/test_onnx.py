"""What onnxruntime computes from a written model is what the estimator predicts."""

import json
import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

from sksemobridge import (
    CLIPImageEncoder,
    CLIPTextEncoder,
    FewShotClassifier,
    MultilabelFewShotClassifier,
    SeMoBridgeClassifier,
    ZeroShotClassifier,
    to_onnx,
)

from .encoder_helpers import SHRINK, small_config, some_emoji, some_pictures, write_model
from .made_up import NAMES as CLASSES

onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra onnx")
pytest.importorskip("onnx", reason="needs the extra onnx")

NAMES = ["bird", "clock", "fruit", "mammal", "tool"]
EXAMPLE = runpy.run_path(str(Path(__file__).parents[1] / "examples" / "serve_onnx.py"))
# One differs from another in its texts only.
ARCHITECTURES = [name for name in SHRINK if name != "ViT-SO400M-16-SigLIP-i18n-256"]


def run(path, X):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    result = dict(
        zip(
            ("logits", "probabilities"), session.run(["logits", "probabilities"], {"embeddings": X})
        )
    )
    return result, json.loads(session.get_modelmeta().custom_metadata_map["classes"])


def assert_same(classifier, X, folder):
    to_onnx(classifier, folder / "classifier.onnx")
    result, classes = run(folder / "classifier.onnx", X)
    np.testing.assert_allclose(result["probabilities"], classifier.predict_proba(X), atol=1e-5)
    logits = classifier.decision_function(X)
    if logits.ndim == 1:  # two classes
        result["logits"] = result["logits"][:, 1] - result["logits"][:, 0]
    np.testing.assert_allclose(result["logits"], logits, atol=1e-5 * max(1, np.abs(logits).max()))
    assert classes == [str(label) for label in classifier.classes_]


@pytest.mark.parametrize("settings", [{}, {"text_encoder": None, "class_names": "ignore"}], ids=str)
def test_a_classifier(settings, tmp_path):
    images, y = some_emoji(NAMES, 12)
    X, is_shot = CLIPImageEncoder("mini", "bundled").transform(images), np.arange(len(y)) % 3 == 0
    text_encoder = CLIPTextEncoder("mini", "bundled")
    classifier = FewShotClassifier(**{"text_encoder": text_encoder, **settings}).fit(
        X[is_shot], y[is_shot]
    )
    assert_same(classifier, X, tmp_path)
    assert_same(classifier.with_classes(["clock", "fruit"]), X, tmp_path)
    assert_same(classifier.with_unlabeled(X[~is_shot]), X, tmp_path)
    assert_same(ZeroShotClassifier(text_encoder).fit(None, NAMES), X, tmp_path)


@pytest.mark.filterwarnings("ignore:The bridge did not converge")
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"solver": "lbfgs", "max_iter": 5},
        {"priors": "shots", "lambda3": 0},
        {"class_names": "ignore"},
        {"text_encoder": None, "class_names": "ignore"},
        {"class_names": {name: name if name < "f" else None for name in CLASSES}},
    ],
    ids=str,
)
def test_the_bridge(any_world, params, tmp_path):
    X, y = any_world.draw(3)
    X = X.astype(np.float32)
    classifier = any_world.classifier(SeMoBridgeClassifier).set_params(**params).fit(X, y)
    assert_same(classifier, X, tmp_path)
    assert_same(classifier.with_classes(["cat", "dog"]), X, tmp_path)


@pytest.mark.parametrize("n_tags", [1, 2, 3])
def test_several_labels(n_tags, tmp_path):
    images, y = some_emoji(NAMES, 6)
    X, tags = CLIPImageEncoder("mini", "bundled").transform(images), NAMES[:n_tags]
    classifier = MultilabelFewShotClassifier(CLIPTextEncoder("mini", "bundled"))
    assert_same(classifier.fit(X, pd.DataFrame({tag: y == tag for tag in tags})), X, tmp_path)
    session = onnxruntime.InferenceSession(
        tmp_path / "classifier.onnx", providers=["CPUExecutionProvider"]
    )
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["thresholds"]) == classifier.thresholds_.tolist()


def test_rows_of_any_length_and_number(world, tmp_path):
    X, y = world.draw(3)
    days = np.array(["2024-01-01", "2024-01-02"], dtype="datetime64[D]")[(y == "cat").astype(int)]
    classifier = FewShotClassifier().fit(X, days)
    X = (X * np.logspace(-30, 30, len(X))[:, None]).astype(np.float32)
    X[0] = 0
    assert_same(classifier, X, tmp_path)
    result, classes = run(tmp_path / "classifier.onnx", X[:0])
    assert result["probabilities"].shape == (0, len(classes))


def test_rows_are_divided_by_their_length_where_a_step_does_it(any_world, tmp_path):
    X, y = any_world.draw(3)
    X = (3 * X).astype(np.float32)
    classifier = any_world.classifier(SeMoBridgeClassifier)
    assert_same(make_pipeline(Normalizer(), classifier).fit(X, y), X, tmp_path)


def test_of_a_search_the_best_estimator_is_written(world, tmp_path):
    X, y = world.draw(4)
    search = GridSearchCV(world.classifier(), {"priors": [None, "shots"]}, cv=2).fit(X, y)
    assert_same(search, X.astype(np.float32), tmp_path)


def assert_same_from_pixels(pipeline, images, path):
    """The example prepares images from the description in the metadata, and nothing else."""
    to_onnx(pipeline, path)
    predict_proba, classes = EXAMPLE["serve"](path)
    assert classes == pipeline.classes_.tolist()
    for n in (1, len(images)):
        np.testing.assert_allclose(
            predict_proba(images[:n]), pipeline.predict_proba(images[:n]), atol=1e-5
        )


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_kind_of_image_encoder(architecture, tmp_path):
    name = write_model(tmp_path / "model", small_config(architecture))
    images, classifier = some_pictures(7, size=(43, 57)), FewShotClassifier(class_names="ignore")
    pipeline = make_pipeline(CLIPImageEncoder(name), classifier).fit(images, list("aabbaba"))
    fast_attention = torch.backends.mha.get_fastpath_enabled()
    assert_same_from_pixels(pipeline, images, tmp_path / "pipeline.onnx")
    assert torch.backends.mha.get_fastpath_enabled() == fast_attention


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (LogisticRegression(), "not LogisticRegression"),
        (
            make_pipeline(StandardScaler(), FewShotClassifier()),
            "StandardScaler, FewShotClassifier",
        ),
        (
            make_pipeline(Normalizer("max"), FewShotClassifier()),
            r'after CLIPImageEncoder and Normalizer\(norm="l2"\), not Normalizer, FewShot',
        ),
        (
            make_pipeline(CLIPImageEncoder(), LogisticRegression()),
            "not CLIPImageEncoder, LogisticR",
        ),
        (FewShotClassifier(), "not fitted"),
        (
            GridSearchCV(FewShotClassifier(), {"priors": [None]}),
            r"a fitted search \(refit=True\), .* not GridSearchCV",
        ),
    ],
    ids=["foreign", "steps", "other length", "foreign step", "not fitted", "search not fitted"],
)
def test_what_cannot_be_written_is_an_error(estimator, message, tmp_path):
    with pytest.raises((TypeError, ValueError), match=message):
        to_onnx(estimator, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
