"""Embeddings of texts: what a text encoder must offer, and what it says is checked."""

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator

from sksemobridge import (
    CLIPImageEncoder,
    CLIPTextEncoder,
    PaperBlend,
    PrecomputedTextEncoder,
    SemanticBridge,
    SeMoBridgeClassifier,
    ZeroShotClassifier,
)

from ..conftest import TEMPLATE

MINI = {"model_name": "mini", "pretrained": "bundled"}


def classifiers(text):
    return [
        SeMoBridgeClassifier(text, prompts=TEMPLATE),
        SeMoBridgeClassifier(text, prompts=TEMPLATE, blend=PaperBlend()),
        ZeroShotClassifier(text, prompts=TEMPLATE),
    ]


class Said:
    """A text encoder of one's own: `change` is what it does to the right answers."""

    def __init__(self, encoder, change=lambda rows: rows):
        self._encoder, self._change = encoder, change
        self.projection_, self.projection_bias_ = encoder.projection_, encoder.projection_bias_
        self.logit_scale_ = encoder.logit_scale_

    def encode(self, texts):
        return self._change(self._encoder.encode(texts))

    def transform(self, texts):
        return self._change(self._encoder.transform(texts))


def test_transform_and_logit_scale_are_enough(world):
    X, y = world.draw(3)
    # A text encoder that offers the least, and that cannot be pickled.
    text = SimpleNamespace(transform=lambda texts: world.text_encoder().transform(texts), logit_scale_=20.0)
    default, paper, zero_shot = classifiers(text)
    expected = world.classifier().fit(X[y != "dog"], y[y != "dog"]).with_classes(world.names)
    added = default.fit(X[y != "dog"], y[y != "dog"]).with_classes(world.names)
    np.testing.assert_allclose(added.predict_proba(X), expected.predict_proba(X), rtol=1e-9)
    expected = world.zero_shot().fit(X, y).predict_proba(X)
    np.testing.assert_allclose(zero_shot.fit(X, y).predict_proba(X), expected, rtol=1e-9)
    words = SeMoBridgeClassifier(text, class_names="ignore", vocabulary=world.texts).fit(X, y)
    expected = world.classifier(class_names="ignore", vocabulary=world.texts).fit(X, y).predict_proba(X)
    np.testing.assert_allclose(words.predict_proba(X), expected, rtol=1e-9)
    with pytest.raises(ValueError, match="must offer projection_ .*SimpleNamespace offers None and None"):
        paper.fit(X, y)


def test_an_image_encoder_in_its_place_is_refused(world):
    for estimator in (SeMoBridgeClassifier, ZeroShotClassifier):
        with pytest.raises(ValueError, match="must offer logit_scale_, .*CLIPImageEncoder offers None"):
            estimator(CLIPImageEncoder(**MINI)).fit(*world.draw(2))


def test_a_subclass_of_an_encoder_speaks_for_itself():
    class Reversed(CLIPTextEncoder):
        def encode(self, texts):
            return super().encode(texts)[::-1]

        def transform(self, texts):
            return super().transform(texts)[::-1]

    X, y = CLIPTextEncoder(**MINI).transform(["a cat", "a dog"]), ["cat", "dog"]
    for parent, child in zip(classifiers(CLIPTextEncoder(**MINI)), classifiers(Reversed(**MINI))):
        expected = parent.fit(X, y).text_embeddings_
        np.testing.assert_allclose(child.fit(X, y).text_embeddings_, expected[::-1], rtol=1e-5)


def test_a_method_that_was_replaced_is_asked(world):
    X, y = world.draw(2)
    expected = SeMoBridgeClassifier(world.text_encoder(), prompts=TEMPLATE).fit(X, y).text_embeddings_
    replaced = world.text_encoder()
    replaced.encode = lambda texts: -world.text_encoder().encode(texts)
    for encoder in (replaced, FrozenEstimator(replaced)):
        got = SeMoBridgeClassifier(encoder, prompts=TEMPLATE).fit(X, y).text_embeddings_
        np.testing.assert_allclose(got, -expected)


WRONG_ROWS = {
    "nan": (
        lambda rows: rows * np.array([[1, np.nan, 1, 1, 1]]).T,
        "gives NaN, infinity or more than .* for 1 of the texts: 'a photo of a cat.'",
    ),
    "too many": (lambda rows: np.vstack([rows, rows[:1]]), r"gives \d+ rows for \d+ texts"),
    "too large": (lambda rows: rows * 1e200, r"infinity or more than 1e\+100 for 5 of the texts"),
    "zeros": (
        lambda rows: rows * np.array([[1, 1, 0, 1, 1]]).T,
        "nothing but zeros for 1 .*'a photo of a dog.'",
    ),
    "too few": (lambda rows: rows[:-1], r"gives \d+ rows for \d+ texts"),
    "one row": (lambda rows: rows[0], "2D array"),
    "three dimensions": (lambda rows: rows[None], "dim 3"),
    "text": (lambda rows: [["a"] * 3] * len(rows), "could not convert|numeric"),
    "nothing": (lambda rows: None, "an array with one row of numbers for each text: .*2D array"),
    "generator": (lambda rows: (row for row in rows), "an array with one row of numbers for each text"),
    "masked": (lambda rows: np.ma.masked_greater(rows, 1), "is masked in rows"),
}


@pytest.mark.parametrize(("change", "message"), WRONG_ROWS.values(), ids=WRONG_ROWS)
def test_what_a_text_encoder_says_is_checked(world, change, message):
    text = Said(world.text_encoder(), change)
    for estimator in (*classifiers(text), SemanticBridge(text, vocabulary=world.texts)):
        with pytest.raises(ValueError, match=message):
            estimator.fit(*world.draw(2))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("projection_", np.full((24, 16), np.nan), "NaN or infinity"),
        ("projection_", np.ones(16), "must offer projection_ of shape"),
        ("projection_", np.ones((23, 16)), "rows of 24 values, and its projection_ takes 23"),
        ("projection_bias_", np.ones(15), "must offer projection_ of shape"),
        ("projection_bias_", np.full(16, np.inf), "NaN or infinity"),
    ],
)
def test_a_projection_is_checked(world, name, value, message):
    text = Said(world.text_encoder())
    setattr(text, name, value)
    with pytest.raises(ValueError, match=message):
        SeMoBridgeClassifier(text, prompts=TEMPLATE, blend=PaperBlend()).fit(*world.draw(2))


@pytest.mark.parametrize("scale", [np.nan, np.inf, 0, -3, None, "a"])
def test_a_logit_scale_is_checked(world, scale):
    text = Said(world.text_encoder())
    text.logit_scale_ = scale
    message = f"must offer logit_scale_, a positive number. Said offers {scale!r}"
    for classifier in classifiers(text):
        with pytest.raises(ValueError, match=message):
            classifier.fit(*world.draw(2))


def test_prompts_longer_than_the_model_reads_warn_where_the_caller_is():
    encoder, fitting = CLIPTextEncoder(**MINI), "a " * 30  # and two marks
    encoder.transform([fitting])

    def classify(texts):
        ZeroShotClassifier(encoder, prompts={text: [text] for text in texts}).fit(None, texts)

    for tell in (encoder.encode, encoder.transform, classify):
        with pytest.warns(UserWarning, match="1 of . texts are longer than the 32 tokens") as caught:
            tell(["cat", fitting + "cat"])
        assert [warning.filename for warning in caught] == [__file__]


# Class texts that were projected elsewhere


def projected(world):
    """Class texts by the names of folders."""
    texts = world.text_encoder().transform(world.texts)
    return {name.replace(" ", "_"): text for name, text in zip(world.names, texts)}


@pytest.mark.parametrize("prompts", ["auto", "a drawing of a {}.", {"anything": ["goes"]}])
def test_projected_texts_are_found_by_the_name_of_the_class(world, prompts):
    X, y = world.draw(4)
    encoder = PrecomputedTextEncoder.from_joint(projected(world), logit_scale=20.0)
    zero = ZeroShotClassifier(encoder, prompts=prompts).fit(X, y)
    np.testing.assert_allclose(zero.text_embeddings_, world.zero_shot().fit(X, y).text_embeddings_)
    assert zero.prompts_ == [[name] for name in world.names]
    few = SeMoBridgeClassifier(encoder, prompts=prompts).fit(X, np.char.replace(y, " ", "_"))
    np.testing.assert_allclose(few.text_embeddings_, zero.text_embeddings_)
    codes = world.codes(y)
    numbered = SeMoBridgeClassifier(encoder, class_names=world.names).fit(X, codes)
    np.testing.assert_allclose(numbered.predict_proba(X), few.predict_proba(X))


def test_without_a_projection_the_bridge_is_the_identity(world):
    X, y = world.draw(4)
    encoder = PrecomputedTextEncoder.from_joint(projected(world))
    few = SeMoBridgeClassifier(encoder, blend=PaperBlend()).fit(X, y)
    assert few.rank_ == X.shape[1]
    np.testing.assert_array_equal(few.bridge_, np.eye(X.shape[1]))


def test_of_several_texts_of_a_class_the_directions_are_averaged(world):
    X, y = world.draw(2)
    rng = np.random.default_rng(0)
    several = {name: rng.normal(size=(3, X.shape[1])) for name in world.names}
    fitted = ZeroShotClassifier(PrecomputedTextEncoder.from_joint(several)).fit(X, y)
    unit = np.stack([texts / np.linalg.norm(texts, axis=1, keepdims=True) for texts in several.values()])
    mean = unit.mean(axis=1)
    expected = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    np.testing.assert_allclose(fitted.text_embeddings_, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("mapping", "error", "message"),
    [
        ({}, ValueError, "0 names"),
        ({"cat": [1.0, 2.0], "dog": [1.0]}, ValueError, "one width"),
        ({"cat": np.ones((2, 2, 2))}, ValueError, "dim 3|one width"),
        ({0: [1.0, 2.0]}, TypeError, "not a string"),
        ({"cat": [np.nan, 2.0]}, ValueError, "NaN"),
    ],
)
def test_what_is_no_mapping_to_vectors_is_refused(mapping, error, message):
    with pytest.raises(error, match=message):
        PrecomputedTextEncoder.from_joint(mapping)
