"""Hostile input: what users hand in by mistake or in malice gives a right answer or a clear error."""

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator

from sksemobridge import (
    CLIPTextEncoder,
    PrecomputedTextEncoder,
    SemanticBridge,
    SeMoBridgeClassifier,
    ZeroShotClassifier,
)

TEMPLATE = "a photo of a {}."
MINI = {"model_name": "mini", "pretrained": "bundled"}


def classifiers(text):
    return [
        SeMoBridgeClassifier(text, prompts=TEMPLATE, vocabulary=None),
        ZeroShotClassifier(text, prompts=TEMPLATE),
    ]


# Text encoders of others


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


def test_a_class_that_is_written_anew_is_asked_anew(world):
    X, y = world.draw(2)
    vocabulary = [TEMPLATE.format(name) for name in world.names]
    encoder = world.text_encoder()

    def fit_with(power):
        class Encoder:
            projection_, projection_bias_, logit_scale_ = encoder.projection_, None, 20.0

            def encode(self, texts):
                return encoder.encode(texts) ** power

            def transform(self, texts):
                return self.encode(texts) @ self.projection_

        return [
            SeMoBridgeClassifier(Encoder(), prompts=TEMPLATE).fit(X, y).text_embeddings_,
            ZeroShotClassifier(Encoder(), prompts=TEMPLATE).fit(X, y).text_embeddings_,
            SemanticBridge(Encoder(), vocabulary=vocabulary).fit(X).bridge_,
        ]

    for before, after in zip(fit_with(1), fit_with(3)):
        assert not np.allclose(before, after, atol=1e-3)


def test_a_method_that_was_replaced_is_asked(world):
    X, y = world.draw(2)
    expected = SeMoBridgeClassifier(world.text_encoder(), prompts=TEMPLATE).fit(X, y).text_embeddings_
    replaced = world.text_encoder()
    replaced.encode = lambda texts: -world.text_encoder().encode(texts)
    for encoder in (replaced, FrozenEstimator(replaced)):
        got = SeMoBridgeClassifier(encoder, prompts=TEMPLATE).fit(X, y).text_embeddings_
        np.testing.assert_allclose(got, -expected)


def nan_in_the_second(rows):
    rows = rows.copy()
    rows[1, 0] = np.nan
    return rows


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (nan_in_the_second, "gives NaN or infinity for 1 of the texts: 'a photo of a cat.'"),
        (lambda rows: np.vstack([rows, rows[:1]]), r"gives \d+ rows for \d+ texts"),
        (lambda rows: rows[:-1], r"gives \d+ rows for \d+ texts"),
        (lambda rows: rows[0], "2D array"),
        (lambda rows: rows[None], "dim 3"),
        (lambda rows: [["a"] * 3] * len(rows), "could not convert|numeric"),
        (lambda rows: None, "2D array"),
    ],
    ids=["nan", "too many", "too few", "one row", "three dimensions", "text", "nothing"],
)
def test_what_a_text_encoder_says_is_checked(world, change, message):
    X, y = world.draw(2)
    vocabulary = [TEMPLATE.format(name) for name in world.names]
    text = Said(world.text_encoder(), change)
    for estimator in (*classifiers(text), SemanticBridge(text, vocabulary=vocabulary)):
        with pytest.raises(ValueError, match=message):
            estimator.fit(X, y)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("projection_", np.full((24, 16), np.nan), "NaN or infinity"),
        ("projection_", np.ones(16), "expected .d, D."),
        ("projection_", np.ones((23, 16)), "rows of 24 values, and its projection_ takes 23"),
        ("projection_bias_", np.ones(15), "expected .d, D."),
        ("projection_bias_", np.full(16, np.inf), "NaN or infinity"),
    ],
)
def test_a_projection_is_checked(world, name, value, message):
    X, y = world.draw(2)
    text = Said(world.text_encoder())
    setattr(text, name, value)
    with pytest.raises(ValueError, match=message):
        SeMoBridgeClassifier(text, prompts=TEMPLATE).fit(X, y)


# Arrays that the caller writes to afterwards


@pytest.mark.filterwarnings("ignore:The bridge did not converge")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("solver", ["closed_form", "lbfgs"])
@pytest.mark.parametrize("blend", ["auto", "paper"])
def test_fitted_estimators_share_no_memory_with_what_was_handed_in(make_world, dtype, bias, solver, blend):
    world = make_world(bias=bias)
    X, y = world.draw(3)
    X, queries = X.astype(dtype), world.draw(2)[0]
    texts = [TEMPLATE.format(name) for name in world.names]
    eos, projection = world.eos.astype(dtype), world.projection.astype(dtype)
    projection_bias = (
        world.projection_bias if world.projection_bias is None else world.projection_bias.astype(dtype)
    )
    text = PrecomputedTextEncoder(texts, eos, projection, projection_bias=projection_bias, logit_scale=20.0)
    weight, groups = np.ones(len(X)), np.arange(len(X))
    classifier = SeMoBridgeClassifier(text, prompts=TEMPLATE, solver=solver, blend=blend, max_iter=5)
    fitted = [
        classifier.fit(X, y, sample_weight=weight, groups=groups),
        ZeroShotClassifier(text, prompts=TEMPLATE).fit(X, y),
        SemanticBridge(text).fit(X),
        SemanticBridge(text, vocabulary=texts).fit(X),
        SeMoBridgeClassifier(text, class_names="ignore", vocabulary=texts).fit(X, y),
    ]

    def results():
        return [
            getattr(estimator, "predict_proba" if hasattr(estimator, "predict_proba") else "transform")(
                queries
            )
            for estimator in fitted
        ]

    given = [X, y, eos, projection, weight, groups] + ([] if projection_bias is None else [projection_bias])
    for estimator in fitted:
        for array in arrays_of(estimator._fitted):
            assert not any(np.shares_memory(array, other) for other in given)
    before = results()
    X *= -1
    eos *= -1
    projection *= -1
    for old, new in zip(before, results()):
        np.testing.assert_array_equal(old, new)


def arrays_of(part):
    """All arrays in a fitted state."""
    if isinstance(part, np.ndarray):
        yield part
    elif isinstance(part, dict):
        yield from arrays_of(list(part.values()))
    elif isinstance(part, (list, tuple)):
        for item in part:
            yield from arrays_of(item)
    elif hasattr(part, "__dataclass_fields__"):
        yield from arrays_of(vars(part))
