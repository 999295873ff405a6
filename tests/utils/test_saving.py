"""Fitted estimators on disk: small, loadable without torch, clear about their origin."""

import io
import pickle
from importlib import import_module

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
import skops.io.exceptions
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from sksemobridge import (
    CLIPImageEncoder,
    CLIPTextEncoder,
    FewShotClassifier,
    PrecomputedTextEncoder,
    SemanticBridge,
    SeMoBridgeClassifier,
    ZeroShotClassifier,
    __version__,
    trusted_types,
)
from sksemobridge.datasets import load_emoji

from ..encoder_helpers import some_emoji
from ..made_up import arrays_of
from ..programs import run_program

pytestmark = pytest.mark.filterwarnings("ignore:There are names of classes")

CONFIGURATIONS = {
    "few shots": FewShotClassifier(CLIPTextEncoder("mini", "bundled")),
    "without text": FewShotClassifier(),
    "closed form": SeMoBridgeClassifier(CLIPTextEncoder("mini", "bundled")),
    "trained": SeMoBridgeClassifier(
        CLIPTextEncoder("mini", "bundled"), solver="lbfgs", max_iter=30, tol=1e-2
    ),
}


@pytest.fixture(scope="module")
def emoji():
    """Eight pictures of each of six classes."""
    images, labels = some_emoji(load_emoji().target_names[:6], 8)
    return list(images), labels


@pytest.fixture(scope="module")
def all_fitted(emoji):
    """A fitted pipeline over the bundled model for each configuration."""
    encoder = CLIPImageEncoder("mini", "bundled")
    return {
        name: make_pipeline(encoder, clone(classifier)).fit(*emoji)
        for name, classifier in CONFIGURATIONS.items()
    }


@pytest.fixture(params=CONFIGURATIONS)
def fitted(request, all_fitted):
    return all_fitted[request.param]


def dump_joblib(estimator):
    file = io.BytesIO()
    joblib.dump(estimator, file)
    return file.getvalue()


def test_a_saved_pipeline_is_hardly_larger_than_its_arrays(fitted):
    size = sum({id(array): array.nbytes for array in arrays_of(fitted)}.values())
    assert len(dump_joblib(fitted)) < 1.2 * size


@pytest.fixture(scope="module")
def real_size():
    """A text encoder with a projection, one with texts alone, and 8 shots of each of 37 classes, in
    single precision. The names of the classes have the form of those of users.
    """
    rng, width = np.random.default_rng(0), 256
    names = [f"class {number}" for number in range(37)]
    eos, projection = rng.normal(size=(37, width)), rng.normal(size=(width, width)) / width**0.5
    X = np.repeat(eos @ projection, 8, axis=0) + rng.normal(size=(8 * 37, width))
    X, eos, projection = (part.astype(np.float32) for part in (X, eos, projection))
    whole = PrecomputedTextEncoder([f"a {name}" for name in names], eos, projection)
    alone = PrecomputedTextEncoder.from_joint(dict(zip(names, eos @ projection)))
    return whole, alone, X, np.repeat(names, 8)


@pytest.mark.parametrize(
    ("kind", "n_matrices", "params"),
    [
        (FewShotClassifier, 0, {}),
        (SeMoBridgeClassifier, 2, {}),
        (SeMoBridgeClassifier, 2, {"solver": "lbfgs", "max_iter": 2}),
    ],
    ids=["few shots", "closed form", "trained"],
)
@pytest.mark.filterwarnings(
    "ignore:The bridge did not converge", "ignore:100% of the images are less typical"
)
def test_a_file_has_at_most_three_times_the_shots_and_the_matrices_of_the_bridge(
    kind, n_matrices, params, real_size
):
    encoder, _, X, y = real_size
    classifier = kind(encoder, prompts="a {}", **params).fit(X, y)
    matrices = n_matrices * X[0].nbytes * X.shape[1]
    # The text encoder is a parameter.
    classifier.set_params(text_encoder=None)
    assert len(dump_joblib(classifier)) < 3 * X.nbytes + matrices
    if kind is FewShotClassifier:
        assert len(dump_joblib(classifier.with_unlabeled(X + 1))) < 3.2 * X.nbytes
        nameless = FewShotClassifier(class_names="ignore").fit(X, y)
        assert len(dump_joblib(nameless)) < 2 * X.nbytes


@pytest.mark.filterwarnings("ignore:In closed form")
def test_the_identity_is_in_no_file(real_size):
    _, encoder, X, y = real_size
    classifier = SeMoBridgeClassifier(encoder).fit(X, y)
    assert len(dump_joblib(classifier)) < 2 * X.nbytes
    loaded = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_array_equal(loaded.bridge_, np.eye(X.shape[1]))
    assert loaded.bridge_.dtype == X.dtype


def assert_loaded_ones_are_equal(estimator, method, X):
    saved = skops.io.dumps(estimator)
    assert set(skops.io.get_untrusted_types(data=saved)) <= set(trusted_types())
    for loaded in (
        pickle.loads(pickle.dumps(estimator)),
        joblib.load(io.BytesIO(dump_joblib(estimator))),
        skops.io.loads(saved, trusted=trusted_types()),
    ):
        np.testing.assert_array_equal(getattr(loaded, method)(X), getattr(estimator, method)(X))
        assert vars(loaded).keys() == vars(estimator).keys()


def test_a_loaded_classifier_predicts_the_same_and_all_that_it_holds_is_trusted(fitted, emoji):
    assert_loaded_ones_are_equal(fitted[-1], "predict_proba", fitted[:-1].transform(emoji[0]))


def test_series_as_parameters_are_saved_by_their_labels(world):
    X, y = world.draw(2)
    names, priors = (
        pd.Series(values, index=world.names)[::-1] for values in (world.names, range(1, 6))
    )
    classifier = world.classifier(class_names=names, priors=priors)
    assert_loaded_ones_are_equal(classifier.fit(X, y), "predict_proba", X)
    loaded = skops.io.loads(skops.io.dumps(classifier), trusted=trusted_types())
    np.testing.assert_array_equal(
        loaded.fit(X, y).predict_proba(X), classifier.fit(X, y).predict_proba(X)
    )


def test_other_estimators_are_the_same_after_loading(all_fitted, emoji, world):
    images, labels = emoji
    pipeline = all_fitted["few shots"]
    X = pipeline[:-1].transform(images)
    zero_shot = ZeroShotClassifier(CLIPTextEncoder("mini", "bundled")).fit(X, labels)
    others = [zero_shot, zero_shot.with_unlabeled(X), pipeline[-1].with_unlabeled(X[::2])]
    for classifier in (*others, pipeline[-1].with_classes([*labels[:2], "boat"])):
        assert_loaded_ones_are_equal(classifier, "predict_proba", X)
    for text in (CLIPTextEncoder("mini", "bundled"), None):
        assert_loaded_ones_are_equal(SemanticBridge(text).fit(X), "transform", X)
    X, y = world.draw(4)
    groups = np.array([f"image {i // 2}" for i in range(len(y))])
    classifier = world.classifier(store_held_out=True).fit(X, y, groups=groups)
    assert_loaded_ones_are_equal(classifier, "predict_proba", X)


def test_prediction_needs_no_torch(all_fitted, emoji, tmp_path, monkeypatch):
    X = all_fitted["trained"][:-1].transform(emoji[0])
    np.save(tmp_path / "X.npy", X)
    joblib.dump(all_fitted, tmp_path / "pipelines.joblib")
    script = """
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "open_clip", "tqdm"):
            raise ImportError(name)

sys.meta_path.insert(0, NoTorch())
import joblib, numpy as np

X = np.load("X.npy")
for name, pipeline in joblib.load("pipelines.joblib").items():
    np.save(f"{name}.npy", pipeline[-1].predict_proba(X))
"""
    monkeypatch.chdir(tmp_path)
    ended = run_program(script)
    assert ended.returncode == 0, ended.stderr
    for name, pipeline in all_fitted.items():
        expected = pipeline[-1].predict_proba(X)
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.npy"), expected, rtol=1e-5)


def test_another_version_warns(world):
    for estimator in (world.classifier().fit(*world.draw(2)), SemanticBridge().fit(np.eye(2))):
        saved = pickle.dumps(estimator)
        pickle.loads(saved)
        state = estimator.__getstate__() | {"_version": "0.0.1"}
        with pytest.warns(
            UserWarning, match=rf"saved with sksemobridge 0\.0\.1 .* loaded with {__version__}"
        ):
            type(estimator).__new__(type(estimator)).__setstate__(state)


def test_trusted_types_are_classes_that_this_package_defines():
    for name in trusted_types():
        module, _, kind = name.rpartition(".")
        assert getattr(import_module(module), kind).__module__ == module
        assert module.startswith("sksemobridge.")
