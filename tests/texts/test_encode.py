"""Embeddings of texts, and what a text encoder must offer."""

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.preprocessing import normalize

from sksemobridge import (
    FewShotClassifier,
    PrecomputedTextEncoder,
    SeMoBridgeClassifier,
    ZeroShotClassifier,
)

from ..made_up import TEMPLATE


def classifiers(text_encoder):
    return [
        FewShotClassifier(text_encoder, prompts=TEMPLATE),
        SeMoBridgeClassifier(text_encoder, prompts=TEMPLATE),
        ZeroShotClassifier(text_encoder, prompts=TEMPLATE),
    ]


def own_encoder(encoder, change=lambda rows: rows, **attributes):
    """A text encoder of a user's own. `change` is applied to the right embeddings."""
    offers = {
        name: getattr(encoder, name) for name in ("projection_", "projection_bias_", "logit_scale_")
    }
    methods = {
        "encode": lambda texts: change(encoder.encode(texts)),
        "transform": lambda texts: change(encoder.transform(texts)),
    }
    return SimpleNamespace(**(offers | methods | attributes))


def test_transform_and_logit_scale_are_enough(world):
    X, y = world.draw(3)
    encoder = SimpleNamespace(transform=world.text_encoder().transform, logit_scale_=20.0)
    default, paper, zero_shot = classifiers(encoder)
    is_early = y != "dog"
    for ours, theirs in ((default, world.classifier()), (zero_shot, world.zero_shot())):
        added, expected = (
            model.fit(X[is_early], y[is_early]).with_classes(world.names)
            for model in (ours, theirs)
        )
        np.testing.assert_allclose(added.predict_proba(X), expected.predict_proba(X), rtol=1e-9)
    words = {"class_names": "ignore", "vocabulary": world.texts}
    expected = world.classifier(**words).fit(X, y).predict_proba(X)
    np.testing.assert_allclose(
        default.set_params(**words).fit(X, y).predict_proba(X), expected, rtol=1e-9
    )
    with pytest.raises(
        ValueError, match=r"must offer projection_ .*SimpleNamespace offers shapes \[\]"
    ):
        paper.fit(X, y)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda rows: rows * np.array([[1, np.nan, 1, 1, 1]]).T,
            "NaN, .* for 1 texts: 'a photo of a cat.'",
        ),
        (
            lambda rows: rows * np.array([[1, 1, 0, 1, 1]]).T,
            "zeros for 1 texts: 'a photo of a dog.'",
        ),
        (lambda rows: rows[:-1], r"one row of numbers for each of 5 texts, .* shape \(4"),
        (lambda rows: None, r"gives an array of shape \(\)"),
    ],
)
def test_rows_of_a_text_encoder_are_checked(world, change, message):
    for classifier in classifiers(own_encoder(world.text_encoder(), change)):
        with pytest.raises(ValueError, match=message):
            classifier.fit(*world.draw(2))


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        (
            {"projection_": np.full((24, 16), np.nan)},
            "must offer projection_ .* without NaN or infinity",
        ),
        ({"projection_": np.ones(16)}, "must offer projection_ of shape"),
        ({"projection_bias_": np.full(16, np.inf)}, "NaN or infinity"),
        *(
            (
                {"logit_scale_": scale},
                f"must offer logit_scale_, .* SimpleNamespace offers {scale!r}",
            )
            for scale in (np.nan, np.inf, 0, None, "a")
        ),
    ],
)
def test_the_projection_and_the_scale_are_checked(world, attributes, message):
    encoder = own_encoder(world.text_encoder(), **attributes)
    with pytest.raises(ValueError, match=message):
        SeMoBridgeClassifier(encoder, prompts=TEMPLATE).fit(*world.draw(2))


# Class texts that were projected elsewhere


@pytest.mark.parametrize("prompts", ["auto", "a drawing of a {}.", {"anything": ["goes"]}])
def test_projected_texts_are_found_by_the_name_of_the_class(world, prompts):
    X, y = world.draw(4)
    texts = world.text_encoder().transform(world.texts)
    folders = [name.replace(" ", "_") for name in world.names]
    encoder = PrecomputedTextEncoder.from_joint(dict(zip(folders, texts)), logit_scale=20.0)
    zero_shot = ZeroShotClassifier(encoder, prompts=prompts).fit(X, y)
    np.testing.assert_allclose(
        zero_shot.text_embeddings_, world.zero_shot().fit(X, y).text_embeddings_
    )
    assert zero_shot.prompts_ == [[name] for name in world.names]
    few_shot = FewShotClassifier(encoder, prompts=prompts).fit(X, np.char.replace(y, " ", "_"))
    np.testing.assert_allclose(few_shot.text_embeddings_, zero_shot.text_embeddings_)
    numbered = FewShotClassifier(encoder, class_names=world.names).fit(X, world.codes(y))
    np.testing.assert_allclose(numbered.predict_proba(X), few_shot.predict_proba(X))
    semobridge = SeMoBridgeClassifier(encoder).fit(X, y)
    np.testing.assert_array_equal(semobridge.bridge_, np.eye(X.shape[1]))


def test_a_class_with_several_texts_has_the_mean_of_their_directions(world):
    X, y = world.draw(2)
    rng = np.random.default_rng(0)
    several = {name: rng.normal(size=(3, X.shape[1])) for name in world.names}
    fitted = ZeroShotClassifier(PrecomputedTextEncoder.from_joint(several)).fit(X, y)
    means = [normalize(texts).mean(axis=0) for texts in several.values()]
    np.testing.assert_allclose(fitted.text_embeddings_, normalize(means), rtol=1e-12)


@pytest.mark.parametrize(
    ("mapping", "error", "message"),
    [
        ({0: [1.0, 2.0]}, TypeError, "not a string"),
        ({"cat": [np.nan, 2.0]}, ValueError, "NaN"),
    ],
)
def test_other_mappings_are_refused(mapping, error, message):
    with pytest.raises(error, match=message):
        PrecomputedTextEncoder.from_joint(mapping)
