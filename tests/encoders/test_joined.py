"""Several models as one encoder."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from sklearn.base import clone

from sksemobridge import (
    FewShotClassifier,
    PrecomputedTextEncoder,
    SemanticBridge,
    SeMoBridgeClassifier,
    ZeroShotClassifier,
    make_few_shot_pipeline,
    make_semobridge_pipeline,
    to_onnx,
    trusted_types,
)
from sksemobridge._texts.words import bundled_words
from sksemobridge.encoders import (
    CLIPImageEncoder,
    CLIPTextEncoder,
    ImageReadError,
    JoinedTextEncoder,
    ModelLoadError,
    NoProjectionError,
    NoTextError,
)
from sksemobridge.labelling import predict_folder

from ..encoder_helpers import (
    n_cached,
    small_config,
    some_emoji,
    some_pictures,
    write_model,
    write_pictures,
)

MINI = ("mini", "bundled")
NAMES = ["apple", "car", "tree"]


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """A small model of random weights, with another width and logit scale."""
    return write_model(tmp_path_factory.mktemp("other"), small_config("ViT-B-16"))


@pytest.fixture
def pipeline(other):
    return make_few_shot_pipeline([MINI, (other, None)], encoder_params={"precision": "fp32"})


@pytest.fixture(scope="module")
def shots():
    return some_emoji(["bird", "clock"], 4)


def test_unit_embeddings_lie_side_by_side(pipeline, other):
    pictures, texts = some_pictures(4), ["a cat", "a dog"]
    images = pipeline[0].transform(pictures)
    parts = [
        CLIPImageEncoder(*model, precision="fp32").transform(pictures)
        for model in (MINI, (other, None))
    ]
    assert_allclose(images, np.hstack([unit(part) for part in parts]), atol=1e-5)
    assert images.shape[1] == len(pipeline[0].get_feature_names_out())
    parts = [CLIPTextEncoder(*model).transform(texts) for model in (MINI, (other, None))]
    encoded = pipeline[1].text_encoder.transform(texts)
    assert_allclose(encoded, np.hstack([unit(part) for part in parts]), atol=1e-5)


def test_logits_of_names_are_the_mean_of_those_of_the_models_with_texts(other, image_only):
    pictures, models = some_pictures(6), [MINI, (other, None)]
    expected = 0
    for model in models:
        classifier = ZeroShotClassifier(CLIPTextEncoder(*model)).fit(None, NAMES)
        X = CLIPImageEncoder(*model, precision="fp32").transform(pictures)
        expected = expected + classifier.decision_function(X) / 2
    for members in (models, [*models, (image_only, None)]):
        pipeline = make_few_shot_pipeline(members, encoder_params={"precision": "fp32"})
        X = pipeline[0].transform(pictures)
        logits = ZeroShotClassifier(pipeline[1].text_encoder).fit(None, NAMES).decision_function(X)
        assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def image_only(tmp_path_factory):
    """A folder of timm with a model of images only."""
    import timm
    import torch

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("image only")
    timm.models.save_for_hf(
        timm.create_model("test_vit", num_classes=0), folder, safe_serialization=True
    )
    return f"timm:{folder}"


@pytest.mark.filterwarnings("ignore:The names of the classes are no better than chance")
def test_precomputed_texts_of_several_models_are_joined_by_class_name():
    rng = np.random.default_rng(0)
    texts = [{name: rng.normal(size=width) for name in NAMES} for width in (4, 6)]
    members = [
        PrecomputedTextEncoder.from_joint(one, logit_scale=scale)
        for one, scale in zip(texts, (50, 100))
    ]
    parts = [unit(rng.normal(size=(5, width))) for width in (4, 6)]
    expected = [
        ZeroShotClassifier(member).fit(None, NAMES).decision_function(part)
        for member, part in zip(members, parts)
    ]
    joined = JoinedTextEncoder(members)
    logits = ZeroShotClassifier(joined).fit(None, NAMES).decision_function(np.hstack(parts))
    assert_allclose(logits, np.mean(expected, axis=0))
    FewShotClassifier(joined).fit(np.hstack(parts)[:3], NAMES)


def test_all_that_a_pipeline_does_works(pipeline, shots, tmp_path, monkeypatch):
    images, labels = shots
    fitted = pipeline.fit(images[::2], labels[::2])
    assert fitted.predict(images).shape == labels.shape
    assert fitted.with_classes(["bird", "rainbow"]).predict(images[:2]).shape == (2,)
    fitted.with_unlabeled(images[1::2]).predict_proba(images)
    fitted.partial_fit(images[1::2], labels[1::2])
    again = pickle.loads(pickle.dumps(fitted))
    assert_allclose(again.predict_proba(images), fitted.predict_proba(images))
    assert clone(pipeline).fit(images, labels).score(images, labels) > 0.9
    paths = write_pictures(tmp_path, 3)
    assert len(predict_folder(fitted, tmp_path, progress=False)["path"]) == len(paths)
    # Both models would embed all words.
    words = bundled_words()[::20]
    monkeypatch.setattr("sksemobridge._texts.words.bundled_words", lambda: words)
    SemanticBridge(fitted[1].text_encoder).fit(fitted[0].transform(images))


def test_the_head_becomes_onnx_and_a_pipeline_says_that_it_does_not(pipeline, shots, tmp_path):
    pytest.importorskip("onnx", reason="needs onnx")
    fitted = pipeline.fit(*shots)
    to_onnx(fitted[-1], tmp_path / "head.onnx")
    with pytest.raises(TypeError, match="not JoinedImageEncoder"):
        to_onnx(fitted, tmp_path / "whole.onnx")


def test_a_file_of_skops_holds_it(pipeline, shots, tmp_path):
    skops = pytest.importorskip("skops.io", reason="needs skops")
    fitted = pipeline.fit(*shots)
    skops.dump(fitted, tmp_path / "a.skops")
    again = skops.load(tmp_path / "a.skops", trusted=trusted_types())
    assert_allclose(again.predict_proba(shots[0]), fitted.predict_proba(shots[0]))


def test_each_model_has_its_own_entries_in_a_cache(other, tmp_path, passes):
    paths = write_pictures(tmp_path, 3)
    params = {"cache": tmp_path / "cache", "precision": "fp32"}
    CLIPImageEncoder(*MINI, **params).transform(paths)
    assert sum(passes) == 3
    joined = make_few_shot_pipeline([MINI, (other, None)], encoder_params=params)[0]
    X = joined.transform(paths)
    # Only the new model embeds.
    assert sum(passes) == 6
    assert_array_equal(joined.transform(paths), X)
    assert sum(passes) == 6
    assert n_cached(tmp_path / "cache") == 6


def test_an_image_that_cannot_be_read_is_bad_for_all(pipeline):
    encoder = clone(pipeline[0])
    images = [*some_pictures(2), b"no picture"]
    with pytest.raises(ImageReadError, match="Image 2"):
        encoder.transform(images)
    encoder.set_params(on_error="nan")
    with pytest.warns(UserWarning, match="1 of 3 images") as caught:
        X = encoder.transform(images)
    assert len(caught) == 1
    assert np.isnan(X).all(axis=1).tolist() == [False, False, True]
    assert not np.isnan(X[:2]).any()


def test_parameters_are_of_all_models_or_of_one(other):
    pipeline = make_few_shot_pipeline(
        [MINI, (other, None)], encoder_params=[{"batch_size": 3}, {"batch_size": 5}]
    )
    assert [encoder.batch_size for encoder in pipeline[0].encoders] == [3, 5]
    copied = clone(pipeline).set_params(joinedimageencoder__batch_size=7)
    assert [encoder.batch_size for encoder in copied[0].encoders] == [7, 7]
    assert [encoder.batch_size for encoder in pipeline[0].encoders] == [3, 5]
    with pytest.raises(ValueError, match="Invalid parameter 'nothing'"):
        copied.set_params(joinedimageencoder__nothing=1)
    with pytest.raises(ValueError, match="1 items for 2 models"):
        make_few_shot_pipeline([MINI, MINI], encoder_params=[{}])


def test_what_needs_one_model_is_refused(pipeline, shots):
    encoder = pipeline[1].text_encoder
    for use in (
        lambda: encoder.encode(["a"]),
        lambda: encoder.projection_,
        lambda: encoder.image_projection_,
        lambda: SeMoBridgeClassifier(encoder).fit(pipeline[0].transform(shots[0]), shots[1]),
        lambda: SemanticBridge(encoder, direction="text_to_image", vocabulary=None).fit(
            np.eye(160)
        ),
    ):
        with pytest.raises(NoProjectionError, match="Several models together"):
            use()


@pytest.mark.filterwarnings("ignore:.* shots are near copies")
def test_an_image_model_alone_has_no_texts_and_says_so(image_only, shots):
    pipeline = make_few_shot_pipeline(image_only)
    assert pipeline[-1].text_encoder is None
    assert pipeline.fit(*shots).predict_proba(shots[0]).shape == (8, 2)
    encoder = CLIPTextEncoder(image_only, None)
    for text_encoder in (encoder, JoinedTextEncoder([encoder])):
        for use in (
            lambda one: one.transform(["a cat"]),
            lambda one: ZeroShotClassifier(one).fit(None, NAMES),
        ):
            with pytest.raises(
                NoTextError, match="embeds images only, so names of classes say nothing"
            ):
                use(text_encoder)
    joined = make_few_shot_pipeline([image_only, image_only])
    assert joined[-1].text_encoder is None
    assert joined.fit(*shots).predict_proba(shots[0]).shape == (8, 2)


def test_embeddings_of_timm_are_its_own(image_only):
    import timm
    import torch

    model = timm.create_model(f"local-dir:{image_only[5:]}", pretrained=True, num_classes=0).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    pictures = some_pictures(3, size=(200, 300))
    with torch.inference_mode():
        expected = model(
            torch.stack([transform(Image.fromarray(pixels)) for pixels in pictures])
        ).numpy()
    got = CLIPImageEncoder(image_only, precision="fp32").transform(pictures)
    assert_allclose(got, expected, atol=1e-4)


def test_an_image_model_without_weights_is_not_made_up():
    with pytest.raises(ModelLoadError, match="could not be loaded"):
        CLIPImageEncoder("timm:test_vit2x").transform(some_pictures(1))


def test_the_bridge_needs_one_model_with_texts(image_only):
    for model in ([("mini", "bundled"), ("mini", "bundled")], image_only):
        with pytest.raises(ValueError, match="make_few_shot_pipeline"):
            make_semobridge_pipeline(model)
