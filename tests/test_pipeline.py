"""The pipeline from images to predictions: it grows, has one model, and writes nothing where it is
loaded.
"""

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.preprocessing import StandardScaler

from sksemobridge import (
    ImagePipeline,
    make_few_shot_pipeline,
    make_multilabel_pipeline,
    make_semobridge_pipeline,
)

from .encoder_helpers import some_emoji

CLASSES = ("bird", "clock", "fruit", "mammal")


@pytest.fixture(scope="module")
def pictures():
    """Images and labels of four classes, four of each; those of the last come later."""
    return some_emoji(CLASSES, 4)


def pipeline_of(**params):
    return make_few_shot_pipeline("mini", "bundled", **params)


def test_shots_and_classes_can_come_later(pictures):
    images, labels = pictures
    late = labels == CLASSES[-1]
    options = {
        "classes": ["rainbow"],
        "sample_weight": np.arange(1.0, 17),
        "groups": np.arange(16) // 2,
    }
    pipeline = pipeline_of()
    classifier = clone(pipeline[-1])
    for X, y, more in ((images[~late], labels[~late], {}), (images, labels, options)):
        assert pipeline.partial_fit(X, y, **more) is pipeline
        classifier.partial_fit(pipeline[0].transform(X), y, **more)
    assert pipeline.classes_.tolist() == [*CLASSES, "rainbow"]
    expected = classifier.predict_proba(pipeline[0].transform(images))
    np.testing.assert_array_equal(pipeline.predict_proba(images), expected)


def test_other_classes_and_unlabeled_images_give_another_pipeline(pictures):
    images, labels = pictures
    pipeline = pipeline_of().fit(images[::2], labels[::2])
    classifier, embeddings = pipeline[-1], pipeline[0].transform(images)
    classes, unlabeled = ["clock", "rainbow"], images[1::2]
    for other, expected in (
        (pipeline.with_classes(classes), classifier.with_classes(classes)),
        (
            pipeline.with_unlabeled(unlabeled),
            classifier.with_unlabeled(pipeline[0].transform(unlabeled)),
        ),
    ):
        assert type(other) is ImagePipeline
        assert other.classes_.tolist() == expected.classes_.tolist()
        np.testing.assert_array_equal(
            other.predict_proba(images), expected.predict_proba(embeddings)
        )
        other.set_params(clipimageencoder__batch_size=1)
    assert pipeline.classes_.tolist() == list(CLASSES)
    assert pipeline[0].batch_size == 64


def test_what_the_classifier_knows_is_read_from_the_pipeline(pictures):
    pipeline = pipeline_of(store_held_out=True).fit(*pictures)
    embeddings = pipeline[0].transform(pictures[0])
    for method in ("p_values", "score_samples"):
        expected = getattr(pipeline[-1], method)(embeddings)
        np.testing.assert_array_equal(getattr(pipeline, method)(pictures[0]), expected)
    assert not hasattr(make_semobridge_pipeline("mini", "bundled"), "p_values")
    assert pipeline.held_out_proba_ is pipeline[-1].held_out_proba_
    assert pipeline.label_proba_ is pipeline[-1].label_proba_
    assert not hasattr(pipeline_of().fit(*pictures), "held_out_proba_")


def test_a_pipeline_of_other_steps_offers_what_they_can():
    pipeline = ImagePipeline([("scaler", StandardScaler()), ("classifier", LogisticRegression())])
    for name in ("partial_fit", "with_classes", "with_unlabeled", "p_values"):
        assert not hasattr(pipeline, name)


@pytest.mark.parametrize("solver", ["closed_form", "lbfgs"])
def test_validation_images_are_embedded_too(pictures, solver):
    images, labels = pictures
    params = {"solver": solver, "tol": 1e-2}
    pipeline = make_semobridge_pipeline("mini", "bundled", **params)
    validation = {"X_val": images[1::2], "y_val": labels[1::2]}
    expected = clone(pipeline[-1]).fit(
        pipeline[0].transform(images[::2]),
        labels[::2],
        X_val=pipeline[0].transform(images[1::2]),
        y_val=labels[1::2],
    )
    assert pipeline.fit(images[::2], labels[::2], **validation) is pipeline
    routed = clone(make_semobridge_pipeline("mini", "bundled", **params))
    by_sklearn = clone(routed).set_params(transform_input=["X_val"])
    with sklearn.config_context(enable_metadata_routing=True):
        for fitted in (routed, by_sklearn):
            fitted.fit(images[::2], labels[::2], **validation)
    partial = make_semobridge_pipeline("mini", "bundled", **params)
    partial.partial_fit(images[::2], labels[::2], **validation)
    for fitted in (pipeline, routed, by_sklearn, partial):
        assert fitted[-1].lambda2_ == expected.lambda2_
        assert fitted[-1].lambda3_ == expected.lambda3_


@pytest.mark.parametrize("make", [make_few_shot_pipeline, make_semobridge_pipeline])
def test_with_metadata_routing_the_classifier_gets_weights_and_groups(pictures, make):
    images, labels = pictures
    shots = {"sample_weight": np.linspace(1, 2, len(labels)), "groups": np.arange(len(labels)) // 2}
    pipeline = make("mini", "bundled")
    expected = clone(pipeline[-1]).fit(pipeline[0].transform(images), labels, **shots)
    with sklearn.config_context(enable_metadata_routing=True):
        pipeline[-1].set_fit_request(groups=True)
        pipeline.fit(images, labels, **shots)
        # The folds and the classifier get the groups.
        folds = {"cv": GroupKFold(2), "params": {"groups": shots["groups"]}}
        assert cross_val_score(pipeline, images, labels, **folds).mean() > 0.2
    embeddings = pipeline[0].transform(images)
    np.testing.assert_array_equal(
        pipeline.predict_proba(images), expected.predict_proba(embeddings)
    )


def test_with_metadata_routing_tags_have_weights(pictures):
    images, labels = pictures
    tags = [{label} for label in labels]
    weight = np.linspace(1, 2, len(tags))
    pipeline = make_multilabel_pipeline("mini", "bundled")
    expected = clone(pipeline[-1]).fit(pipeline[0].transform(images), tags, weight)
    with sklearn.config_context(enable_metadata_routing=True):
        pipeline.fit(images, tags, sample_weight=weight)
    np.testing.assert_array_equal(pipeline[-1].coef_, expected.coef_)


def test_a_search_begins_with_pictures(pictures):
    grid = [
        {"semobridgeclassifier__solver": ["closed_form"], "semobridgeclassifier__lambda2": [0.1]},
        {"semobridgeclassifier__solver": ["lbfgs"], "semobridgeclassifier__tol": [1e-2]},
    ]
    pipeline = make_semobridge_pipeline("mini", "bundled")
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(*pictures)
    assert len(search.cv_results_["params"]) == 2


@pytest.mark.parametrize("make", [make_few_shot_pipeline, make_semobridge_pipeline])
def test_a_model_in_the_parameters_of_encoders_is_refused_by_the_encoder(make):
    with pytest.raises(TypeError, match="CLIPImageEncoder.* multiple values .* 'model_name'"):
        make("mini", "bundled", encoder_params={"model_name": "RN50"})
