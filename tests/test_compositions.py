"""scikit-learn's tools around the estimators, from pictures or their embeddings to the end."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from PIL import Image
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, StackingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    TunedThresholdClassifierCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sksemobridge import (
    CLIPImageEncoder,
    CLIPTextEncoder,
    PaperBlend,
    SemanticBridge,
    SeMoBridgeClassifier,
    ZeroShotClassifier,
    make_semobridge_pipeline,
)
from sksemobridge.datasets import load_emoji

from .versions import BRIER, POLARS, TEMPERATURE, needs_sklearn

NAMES = ["clock", "fruit", "mammal"]


@pytest.fixture(scope="module")
def pictures():
    """Ten pictures of each of three classes, with their names."""
    data = load_emoji()
    labels = data.target_names[data.target]
    chosen = np.concatenate([np.flatnonzero(labels == name)[:10] for name in NAMES])
    return data.images[chosen], labels[chosen].astype(str)


@pytest.fixture(scope="module")
def embeddings(pictures):
    images, labels = pictures
    return CLIPImageEncoder("mini", "bundled").transform(images), labels


@pytest.fixture
def text():
    return CLIPTextEncoder("mini", "bundled")


@pytest.fixture(scope="module")
def table(pictures, tmp_path_factory):
    """A data frame of paths of pictures and two numbers, one of which says a little of the class."""
    folder = tmp_path_factory.mktemp("pictures")
    images, labels = pictures
    paths = [str(folder / f"{i}.png") for i in range(len(images))]
    for path, image in zip(paths, images):
        Image.fromarray(image).save(path)
    rng = np.random.default_rng(0)
    weight = np.searchsorted(NAMES, labels) + rng.normal(size=len(labels))
    return pd.DataFrame({"path": paths, "weight": weight, "noise": rng.normal(size=len(labels))}), labels


def boosting():
    return HistGradientBoostingClassifier(max_iter=10, min_samples_leaf=2, random_state=0)


def test_probabilities_as_features_of_gradient_boosting(table, text):
    frame, labels = table
    image = ColumnTransformer([("image", CLIPImageEncoder("mini", "bundled"), ["path"])])
    # The stack hands numbers on in place of labels; the sorted names say what they mean.
    few_shot = make_pipeline(image, SeMoBridgeClassifier(text, class_names=NAMES))
    numbers = make_pipeline(ColumnTransformer([("numbers", "passthrough", ["weight", "noise"])]), boosting())
    stack = StackingClassifier(
        [("images", few_shot), ("numbers", numbers)], boosting(), cv=3, stack_method="predict_proba"
    ).fit(frame, labels)
    assert stack.transform(frame).shape == (30, 6)
    np.testing.assert_allclose(
        stack.transform(frame)[:, :3], stack.named_estimators_["images"].predict_proba(frame)
    )
    assert stack.classes_.tolist() == NAMES
    assert stack.score(frame, labels) > 0.8


def test_embeddings_beside_numbers_in_one_table(table):
    frame, labels = table
    columns = ColumnTransformer(
        [("image", CLIPImageEncoder("mini", "bundled"), "path"), ("numbers", "passthrough", ["weight"])]
    ).set_output(transform="pandas")
    features = columns.fit_transform(frame)
    assert features.shape == (30, 129)
    assert list(features)[0] == "image__clipimageencoder000"
    assert list(features) == columns.get_feature_names_out().tolist()
    assert make_pipeline(columns, boosting()).fit(frame, labels).score(frame, labels) > 0.8


@pytest.mark.parametrize("method", ["sigmoid", "isotonic", TEMPERATURE])
def test_calibration(embeddings, text, method):
    X, y = embeddings
    few_shot = SeMoBridgeClassifier(text, class_names=NAMES)
    calibrated = CalibratedClassifierCV(few_shot, method=method, cv=3).fit(X, y)
    np.testing.assert_allclose(calibrated.predict_proba(X).sum(axis=1), 1, rtol=1e-5)
    assert calibrated.score(X, y) > 0.8
    frozen = FrozenEstimator(SeMoBridgeClassifier(text).fit(X[::2], y[::2]))
    assert CalibratedClassifierCV(frozen, method=method, cv=3).fit(X[1::2], y[1::2]).score(X, y) > 0.8


@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function", "predict_log_proba"])
def test_cross_val_predict(embeddings, text, method):
    X, y = embeddings
    classifier = SeMoBridgeClassifier(text, class_names=NAMES)
    predicted = cross_val_predict(classifier, X, y, cv=3, method=method)
    if method != "predict":
        predicted = np.array(NAMES)[predicted.argmax(axis=1)]
    assert np.mean(predicted == y) > 0.8


def test_grid_search_in_processes(pictures):
    images, labels = pictures
    pipeline = make_semobridge_pipeline("mini", "bundled")
    grid = {
        "semobridgeclassifier__blend": ["auto", PaperBlend()],
        "semobridgeclassifier__prompts": ["a picture of a {}.", "auto"],
        "clipimageencoder__normalize": [True],
    }
    search = GridSearchCV(pipeline, grid, cv=2, n_jobs=2).fit(list(images), labels)
    assert search.best_score_ > 0.8
    alone = GridSearchCV(pipeline, grid, cv=2).fit(list(images), labels)
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"])


@pytest.mark.parametrize("scoring", ["roc_auc_ovr", "neg_log_loss", BRIER, "balanced_accuracy"])
def test_scoring(embeddings, text, scoring):
    X, y = embeddings
    few_shot = cross_val_score(SeMoBridgeClassifier(text), X, y, cv=3, scoring=scoring)
    assert np.isfinite(few_shot).all()
    assert get_scorer(scoring)(ZeroShotClassifier(text).fit(X, y), X, y) < 1


def test_nested_pipelines(pictures, text):
    images, labels = pictures
    embed = Pipeline([("images", Pipeline([("encode", CLIPImageEncoder("mini", "bundled"))]))])
    nested = Pipeline(
        [
            ("embed", embed),
            ("classify", Pipeline([("bridge", "passthrough"), ("few", SeMoBridgeClassifier(text))])),
        ]
    )
    nested.set_params(classify__few__blend=PaperBlend(alpha=2.0), embed__images__encode__batch_size=7).fit(
        images, labels
    )
    assert nested.get_params()["classify__few__blend__alpha"] == 2.0
    flat = make_semobridge_pipeline("mini", "bundled", blend=PaperBlend(alpha=2.0)).fit(images, labels)
    np.testing.assert_allclose(nested.predict_proba(images), flat.predict_proba(images), rtol=1e-4)


def test_frozen_encoders_and_classifiers(pictures, text):
    images, labels = pictures
    frozen = FrozenEstimator(make_semobridge_pipeline("mini", "bundled").fit(images, labels))
    assert (frozen.fit(images[:2], labels[:2]).predict(images) == labels).mean() > 0.8
    pipeline = make_pipeline(FrozenEstimator(CLIPImageEncoder("mini", "bundled")), SeMoBridgeClassifier(text))
    assert pipeline.fit(images, labels).score(images, labels) > 0.8


def test_a_tuned_threshold_of_two_classes(embeddings, text):
    X, y = embeddings
    two = y != "clock"
    names = {False: "fruit", True: "mammal"}
    tuned = TunedThresholdClassifierCV(SeMoBridgeClassifier(text, class_names=names), cv=3)
    tuned.fit(X[two], y[two] == "mammal")
    assert tuned.score(X[two], y[two] == "mammal") > 0.8


def test_the_bridge_beside_the_embeddings(embeddings, text):
    X, y = embeddings
    both = FeatureUnion([("as they are", FunctionTransformer()), ("bridged", SemanticBridge(text))])
    assert make_pipeline(both, LogisticRegression()).fit(X, y).score(X, y) > 0.8


@pytest.mark.parametrize("library", ["pandas", POLARS])
def test_output_as_data_frames(pictures, text, library):
    images, labels = pictures
    pipeline = make_pipeline(
        CLIPImageEncoder("mini", "bundled"), SemanticBridge(text), SeMoBridgeClassifier(text)
    ).set_output(transform=library)
    pipeline.fit(images, labels)
    bridged = pipeline[:-1].transform(images)
    assert type(bridged).__module__.startswith(library)
    assert bridged.shape == (30, 128)
    assert list(bridged.columns) == pipeline[:-1].get_feature_names_out().tolist()
    assert list(bridged.columns)[0] == "semanticbridge0"
    assert pipeline[-1].feature_names_in_.tolist() == list(bridged.columns)
    assert pipeline.score(images, labels) > 0.8


# Metadata routing


class Recording(SeMoBridgeClassifier):
    """Remembers what `fit` and `score` were given."""

    def fit(self, X, y, sample_weight=None, groups=None):
        self.seen_ = sample_weight, groups
        return super().fit(X, y, sample_weight, groups)

    def score(self, X, y, sample_weight=None):
        assert sample_weight is not None
        return super().score(X, y, sample_weight)


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.mark.usefixtures("routing")
@needs_sklearn("1.7", "sends no weights to the score of a pipeline")
def test_weights_and_groups_reach_the_classifier_through_pipelines_and_searches(embeddings, text):
    X, y = embeddings
    weight, groups = np.linspace(1, 2, len(y)), np.arange(len(y)) // 2
    classifier = Recording(text).set_fit_request(sample_weight=True, groups=True)
    classifier.set_score_request(sample_weight=True)
    pipeline = make_pipeline(FunctionTransformer(), classifier)
    pipeline.fit(X, y, sample_weight=weight, groups=groups)
    for given, seen in zip((weight, groups), pipeline[-1].seen_):
        np.testing.assert_array_equal(seen, given)

    grid = {"recording__blend": ["auto", PaperBlend()]}
    search = GridSearchCV(pipeline, grid, cv=GroupKFold(3)).fit(X, y, sample_weight=weight, groups=groups)
    np.testing.assert_array_equal(search.best_estimator_[-1].seen_[1], groups)
    assert search.best_score_ > 0.8

    results = cross_validate(
        pipeline,
        X,
        y,
        cv=GroupKFold(3),
        params={"sample_weight": weight, "groups": groups},
        return_estimator=True,
        return_indices=True,
    )
    for fitted, train in zip(results["estimator"], results["indices"]["train"]):
        np.testing.assert_array_equal(fitted[-1].seen_[0], weight[train])
        np.testing.assert_array_equal(fitted[-1].seen_[1], groups[train])


@pytest.mark.usefixtures("routing")
def test_metadata_that_nobody_asked_for_is_an_error(embeddings, text):
    X, y = embeddings
    with pytest.raises(sklearn.exceptions.UnsetMetadataPassedError, match="set_fit_request"):
        make_pipeline(FunctionTransformer(), SeMoBridgeClassifier(text)).fit(X, y, groups=np.arange(len(y)))
