"""The pipeline from images to predictions: it grows, has one model, and writes nothing where it is loaded."""

import copy
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
import skops.io
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler

from sksemobridge import PaperBlend, SeMoBridgePipeline, clear_model_cache, make_semobridge_pipeline

from .encoder_helpers import small_config, some_emoji, write_model

CLASSES = ("bird", "clock", "fruit", "mammal")


@pytest.fixture(scope="module")
def pictures():
    """Images and labels of four classes, four of each; those of the last come later."""
    return some_emoji(CLASSES, 4)


def pipeline_of(**params):
    return make_semobridge_pipeline("mini", "bundled", **params)


def test_shots_and_classes_can_come_later(pictures):
    images, labels = pictures
    late = labels == CLASSES[-1]
    options = {"classes": ["rainbow"], "sample_weight": np.arange(1.0, 17), "groups": np.arange(16) // 2}
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
        (pipeline.with_unlabeled(unlabeled), classifier.with_unlabeled(pipeline[0].transform(unlabeled))),
    ):
        assert type(other) is SeMoBridgePipeline
        assert other.classes_.tolist() == expected.classes_.tolist()
        np.testing.assert_array_equal(other.predict_proba(images), expected.predict_proba(embeddings))
        other.set_params(clipimageencoder__batch_size=1)
    assert pipeline.classes_.tolist() == list(CLASSES)
    assert pipeline[0].batch_size == 64


def test_what_the_classifier_knows_is_read_from_the_pipeline(pictures):
    pipeline = pipeline_of(store_held_out=True).fit(*pictures)
    embeddings = pipeline[0].transform(pictures[0])
    for method in ("p_values", "score_samples"):
        expected = getattr(pipeline[-1], method)(embeddings)
        np.testing.assert_array_equal(getattr(pipeline, method)(pictures[0]), expected)
    assert not hasattr(pipeline_of(blend=PaperBlend()), "p_values")
    assert pipeline.held_out_proba_ is pipeline[-1].held_out_proba_
    assert pipeline.label_proba_ is pipeline[-1].label_proba_
    assert not hasattr(pipeline_of().fit(*pictures), "held_out_proba_")


# The model of both encoders


@pytest.fixture(scope="module")
def another_model(tmp_path_factory):
    """A name of a small model with random weights."""
    return write_model(tmp_path_factory.mktemp("model"), small_config("ViT-B-16"))


def models(pipeline):
    return [(encoder.model_name, encoder.pretrained) for encoder in (pipeline[0], pipeline[-1].text_encoder)]


def test_one_parameter_sets_the_model_of_both_encoders(pictures, another_model):
    images, _ = pictures
    pipeline = pipeline_of(vocabulary=None, encoder_params={"device": "cpu"})
    assert pipeline[0].device == pipeline[1].text_encoder.device == "cpu"
    assert (pipeline.model_name, pipeline.pretrained) == ("mini", "bundled")
    assert pipeline.set_params(model_name=another_model) is pipeline
    assert models(pipeline) == [(another_model, "bundled")] * 2
    assert pipeline.get_params()["model_name"] == another_model
    expected = make_semobridge_pipeline(another_model, vocabulary=None).fit(*pictures).predict_proba(images)
    np.testing.assert_array_equal(pipeline.fit(*pictures).predict_proba(images), expected)
    pipeline.set_params(model_name="ViT-L-14", pretrained="openai", clipimageencoder__model_name="ViT-B-16")
    assert models(pipeline) == [("ViT-B-16", "openai"), ("ViT-L-14", "openai")]


def test_a_grid_search_finds_the_better_model(pictures, another_model):
    grid = {"model_name": [another_model, "mini"]}
    search = GridSearchCV(pipeline_of(vocabulary=None), grid, cv=2, error_score="raise").fit(*pictures)
    assert search.best_params_ == {"model_name": "mini"}
    assert models(search.best_estimator_) == [("mini", "bundled")] * 2
    assert search.cv_results_["mean_test_score"].tolist()[0] < search.best_score_


def test_the_model_is_no_parameter_of_its_own():
    pipeline = pipeline_of().set_params(model_name="ViT-L-14", pretrained="openai")
    assert "model_name" not in pipeline.get_params(deep=False)
    assert models(clone(pipeline)) == models(pipeline)
    text = repr(pipeline)
    assert text.count("ViT-L-14") == 2
    assert text.startswith("SeMoBridgePipeline(steps=[")


def test_a_pipeline_of_other_steps_offers_what_they_can():
    pipeline = SeMoBridgePipeline([("scaler", StandardScaler()), ("classifier", LogisticRegression())])
    with pytest.raises(ValueError, match="Invalid parameter 'model_name'"):
        pipeline.set_params(model_name="mini")
    for name in ("model_name", "partial_fit", "with_classes", "with_unlabeled", "p_values"):
        assert not hasattr(pipeline, name)


# Caches of pipelines that are loaded, copied, and handed to other processes


def caches(pipeline):
    return pipeline[0].cache, pipeline[-1].text_encoder.cache


LOAD = """
import os
import joblib
import numpy as np
import skops.io
from sksemobridge import trusted_types

images, expected = np.load("images.npy"), np.load("expected.npy")
served = [joblib.load("pipeline.joblib"), skops.io.load("pipeline.skops", trusted=trusted_types())]
os.mkdir("elsewhere")
os.chdir("elsewhere")
for pipeline in served:
    np.testing.assert_allclose(pipeline.predict_proba(images), expected, atol=1e-5)
    pipeline.with_classes([*pipeline.classes_, "rainbow"]).predict(images)
    print(pipeline[0].cache, pipeline[-1].text_encoder.cache, os.listdir())
pipeline.set_params(clipimageencoder__cache="here").predict(images)
print(os.listdir())
"""


def test_a_pipeline_has_no_cache_in_another_program_until_it_is_given_one(pictures, tmp_path, monkeypatch):
    images, labels = pictures
    monkeypatch.chdir(tmp_path)
    pipeline = pipeline_of(encoder_params={"cache": "embeddings"}).fit(images, labels)
    joblib.dump(pipeline, "pipeline.joblib")
    skops.io.dump(pipeline, "pipeline.skops")
    np.save("images.npy", images)
    np.save("expected.npy", pipeline.predict_proba(images))
    assert caches(pipeline) == ("embeddings", "embeddings")
    done = subprocess.run([sys.executable, "-c", LOAD], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["None None []", "None None []", "['here']"], done.stderr


def test_copies_and_worker_processes_keep_the_cache():
    pipeline = pipeline_of(encoder_params={"cache": "embeddings"})
    with Parallel(2) as parallel:
        there = parallel(delayed(caches)(pipeline) for _ in range(2))
        back = parallel(delayed(clone)(pipeline) for _ in range(2))
    others = [copy.copy(pipeline), copy.deepcopy(pipeline), clone(pipeline), *back]
    assert [*there, *map(caches, others)] == [("embeddings", "embeddings")] * 7


def test_several_threads_predict_at_once(pictures):
    images, labels = pictures
    served = pickle.loads(pickle.dumps(pipeline_of().fit(images, labels)))
    expected = served.predict_proba(images)
    clear_model_cache()
    with ThreadPoolExecutor(4) as threads:
        answers = threads.map(lambda image: served.predict_proba([image])[0], images)
        np.testing.assert_allclose(list(answers), expected, atol=1e-5)


# Slips


def test_slips_are_answered_with_the_way_out():
    with pytest.raises(TypeError, match=r"cache is a parameter .*: write encoder_params=\{'cache'"):
        pipeline_of(cache="embeddings")
    with pytest.raises(TypeError, match="makes the text_encoder itself"):
        pipeline_of(text_encoder=None)


def test_labels_of_another_length_are_refused_before_the_work(pictures, passes):
    images, labels = pictures
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        pipeline_of().fit(images, labels[1:])
    assert passes == []
