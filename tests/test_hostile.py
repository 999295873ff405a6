"""Hostile input: what users hand in by mistake or in malice gives a right answer or a clear error."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from sksemobridge import (
    CLIPTextEncoder,
    PrecomputedTextEncoder,
    SemanticBridge,
    SeMoBridgeClassifier,
    ZeroShotClassifier,
    mean_average_precision,
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
        (nan_in_the_second, "gives NaN, infinity or more than .* for 1 of the texts: 'a photo of a cat.'"),
        (lambda rows: np.vstack([rows, rows[:1]]), r"gives \d+ rows for \d+ texts"),
        (lambda rows: rows * 1e200, r"infinity or more than 1e\+100 for 5 of the texts"),
        (
            lambda rows: rows * (np.arange(len(rows)) != 2)[:, None],
            "nothing but zeros for 1 .*'a photo of a dog.'",
        ),
        (lambda rows: rows[:-1], r"gives \d+ rows for \d+ texts"),
        (lambda rows: rows[0], "2D array"),
        (lambda rows: rows[None], "dim 3"),
        (lambda rows: [["a"] * 3] * len(rows), "could not convert|numeric"),
        (lambda rows: None, "must give an array with one row of numbers for each text: .*2D array"),
        (lambda rows: (row for row in rows), "must give an array with one row of numbers for each text"),
        (lambda rows: np.ma.masked_greater(rows, 1), "is masked in rows"),
    ],
    ids=[
        "nan",
        "too many",
        "too large",
        "zeros",
        "too few",
        "one row",
        "three dimensions",
        "text",
        "nothing",
        "generator",
        "masked",
    ],
)
def test_what_a_text_encoder_says_is_checked(world, change, message):
    X, y = world.draw(2)
    vocabulary = [TEMPLATE.format(name) for name in world.names]
    text = Said(world.text_encoder(), change)
    for estimator in (*classifiers(text), SemanticBridge(text, vocabulary=vocabulary)):
        with pytest.raises(ValueError, match=message):
            estimator.fit(X, y)


@pytest.mark.parametrize("nothing", [[], "", [" "], 3, np.nan, {"a photo of a cat.": 1}, [None]])
def test_a_class_of_which_nothing_is_said_is_named(world, nothing):
    X, y = world.draw(2)
    prompts = {name: [TEMPLATE.format(name)] for name in world.names} | {"cat": nothing}
    for classifier in classifiers(world.text_encoder()):
        with pytest.raises(ValueError, match=r"prompts\['cat'\] must be a list of one or more strings"):
            classifier.set_params(prompts=prompts).fit(X, y)
        with pytest.raises(ValueError, match="class_names holds ' ', which says nothing"):
            classifier.set_params(
                prompts=TEMPLATE, class_names={name: name for name in y} | {"cat": " "}
            ).fit(X, y)


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


def test_tensors_of_any_kind_are_embeddings(world):
    import torch

    X, y = world.draw(4)
    X = torch.tensor(X).bfloat16()
    eos, projection = (torch.tensor(part, requires_grad=True) for part in (world.eos, world.projection))
    texts = [TEMPLATE.format(name) for name in world.names]
    text = Said(
        PrecomputedTextEncoder(texts, eos.bfloat16(), projection), lambda rows: torch.tensor(rows).bfloat16()
    )
    classifier = SeMoBridgeClassifier(text, prompts=TEMPLATE).fit(X.requires_grad_(), y)
    np.testing.assert_array_equal(
        classifier.predict_proba(X), classifier.predict_proba(X.float().detach().numpy())
    )
    assert mean_average_precision(X, X.float(), y, y) == 1


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


# Labels


def embeddings(n=12, width=6, seed=0):
    return np.random.default_rng(seed).normal(size=(n, width))


@pytest.mark.parametrize("blend", ["auto", "paper"])
@pytest.mark.parametrize(
    ("first", "second"), [(np.uint64, np.int64), (np.int64, np.uint64), (np.int8, np.uint64)]
)
def test_integers_of_two_kinds_stay_what_they_are(blend, first, second):
    X, start = embeddings(20), 100 if first is np.int8 else 2**60
    labels = np.arange(10) + start
    classifier = SeMoBridgeClassifier(blend=blend).fit(X[:10], labels.astype(first))
    classifier.partial_fit(X[10:], labels.astype(second))
    assert classifier.classes_.tolist() == labels.tolist()
    expected = SeMoBridgeClassifier(blend=blend).fit(X, np.tile(labels, 2))
    np.testing.assert_allclose(classifier.predict_proba(X), expected.predict_proba(X))
    np.testing.assert_array_equal(classifier.with_classes(labels[::3].astype(second)).classes_, labels[::3])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (np.array([2**63, 2**63 + 1], dtype=np.uint64), np.array([-1, -2])),
        (np.array([2**60, 2**60 + 1]), np.array([0.0, 1.0])),
        (np.array(["2020-01-01", "2021-01-01"], dtype="datetime64[s]"), np.array([0, 1])),
        (np.array(["2020-01-01", "2021-01-01"], dtype="datetime64[s]"), np.array([0, 1], dtype="m8[s]")),
        (np.array([0, 1]), np.array([0, 1], dtype="m8[s]")),
    ],
)
def test_labels_that_no_one_type_holds_are_refused(first, second):
    X = embeddings(2)
    classifier = SeMoBridgeClassifier().fit(X, first)
    with pytest.raises(ValueError, match="cannot be compared without loss"):
        classifier.partial_fit(X, second)
    assert classifier.classes_.tolist() == first.tolist()


def test_lists_of_integers_are_not_rounded():
    with pytest.raises(ValueError, match="y are integers that no one type"):
        SeMoBridgeClassifier().fit(embeddings(3), [2**63, 2**63 + 1, -1])
    assert SeMoBridgeClassifier().fit(embeddings(2), [2**63, 2**63 + 1]).classes_.tolist() == [
        2**63,
        2**63 + 1,
    ]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([np.nan, "a", "b"], r"y contains NaN or None in rows \[0\]"),
        (["a", "b", None], r"y contains NaN or None in rows \[2\]"),
        ((1, "a", "b"), "y mix text and other values .'a', 1"),
        (np.array(["a", 1, True], dtype=object), "y mix text and other values"),
        (np.ma.array([0, 1, 2], mask=[0, 1, 0]), r"y is masked in rows \[1\]"),
        (np.array(["2020-01-01", "NaT", "2021-01-01"], dtype="datetime64[s]"), r"in rows \[1\]"),
    ],
)
def test_labels_that_are_missing_or_mixed_are_named(labels, message):
    X = embeddings(3)
    classifier = SeMoBridgeClassifier()
    with pytest.raises(ValueError, match=message):
        classifier.fit(X, labels)
    fitted = classifier.fit(X, [1, 2, 3])
    for add in (fitted.with_classes, lambda classes: fitted.partial_fit(X, [1, 2, 3], classes=classes)):
        with pytest.raises(ValueError, match=message.replace("y ", "classes ")):
            add(labels)


def test_groups_that_are_missing_are_named():
    X, y = embeddings(4), [0, 0, 1, 1]
    for groups in ([np.nan, np.nan, "a", "b"], np.ma.array([1, 1, 2, 3], mask=[1, 1, 0, 0])):
        with pytest.raises(ValueError, match=r"groups .* in rows \[0, 1\]"):
            SeMoBridgeClassifier().fit(X, y, groups=groups)


def test_days_are_labels_too():
    X = embeddings(6)
    days = np.array(["2020-01-01", "2021-01-01", "2022-01-01"] * 2, dtype="datetime64[s]")
    classifier = (
        SeMoBridgeClassifier().fit(X[:3], days[:3]).partial_fit(X[3:], days[3:].astype("datetime64[ns]"))
    )
    expected = SeMoBridgeClassifier().fit(X, days)
    np.testing.assert_array_equal(classifier.predict(X), expected.predict(X))
    np.testing.assert_allclose(classifier.predict_proba(X), expected.predict_proba(X))
    assert len(expected.with_classes(days[:2].astype("datetime64[ns]")).classes_) == 2


# Weights


@pytest.mark.filterwarnings("ignore:The bridge did not converge")
@pytest.mark.parametrize("params", [{}, {"blend": "paper"}, {"solver": "lbfgs", "max_iter": 5}])
@pytest.mark.parametrize("ratio", [1e3, 1e12, 1e24, 1e100, 1e200])
@pytest.mark.parametrize("with_groups", [False, True])
def test_weights_of_any_ratio(world, params, ratio, with_groups):
    X, y = world.draw(4)
    queries, truth = world.draw(20)
    groups = np.arange(len(X)) // 2 if with_groups else None
    for heavy in (np.arange(len(X)) % 3 == 0, np.isin(y, ["cat", "dog"]), np.arange(len(X)) == 3):
        weight = np.where(heavy, min(ratio, 1e100), min(1, 1e100 / ratio))
        classifier = SeMoBridgeClassifier(world.text_encoder(), prompts=TEMPLATE, **params)
        classifier.fit(X, y, sample_weight=weight, groups=groups)
        assert np.isfinite(classifier.predict_proba(queries)).all()
        assert np.mean(classifier.predict(queries) == truth) > 0.7


@pytest.mark.parametrize("weight", [1e308, 1e-310])
def test_weights_without_room_for_sums_are_refused(world, weight):
    X, y = world.draw(2)
    weights = np.ones(len(X))
    weights[1] = weight
    with pytest.raises(ValueError, match="Only their ratios matter: divide all by one factor"):
        SeMoBridgeClassifier().fit(X, np.arange(len(X)), sample_weight=weights)


# Embeddings


@pytest.mark.filterwarnings("ignore:The bridge did not converge")
@pytest.mark.parametrize("solver", ["lbfgs", "adamw"])
def test_a_class_bias_beside_embeddings_of_strange_length_is_warned_of(world, solver):
    X, y = world.draw(3)
    classifier = SeMoBridgeClassifier(world.text_encoder(), prompts=TEMPLATE, solver=solver, max_iter=3)
    classifier.fit(X, y)
    classifier.fit(X * 10, y)
    for factor in (1e-6, 1e4, 1e15):
        with pytest.warns(UserWarning, match="Scale X, or set class_bias=False"):
            classifier.fit(X * factor, y)
        assert np.isfinite(classifier.predict_proba(X * factor)).all()
        clone(classifier).set_params(class_bias=False).fit(X * factor, y)


# Another text encoder between calls


@pytest.mark.filterwarnings("ignore:The bridge did not converge")
@pytest.mark.parametrize(
    "params", [{}, {"solver": "lbfgs"}, {"solver": "adamw"}, {"solver": "lbfgs", "blend": "paper"}]
)
@pytest.mark.parametrize("d", [24, 20])
def test_more_shots_with_another_text_encoder_are_all_shots_with_it(make_world, params, d):
    world, other = make_world(), make_world(seed=1, d=d)
    X, y = world.draw(4)
    classifier = SeMoBridgeClassifier(world.text_encoder(), prompts=TEMPLATE, max_iter=5, **params)
    expected = clone(classifier).set_params(text_encoder=other.text_encoder()).fit(X, y)
    classifier.fit(X[:12], y[:12]).set_params(text_encoder=other.text_encoder()).partial_fit(X[12:], y[12:])
    np.testing.assert_allclose(classifier.predict_proba(X), expected.predict_proba(X), rtol=1e-4)
    classifier.fit(X[:12], y[:12]).set_params(text_encoder=None, prompts="auto")
    with pytest.warns(UserWarning, match="no text_encoder"):
        classifier.partial_fit(X[12:], y[12:])
    with pytest.warns(UserWarning, match="no text_encoder"):
        expected = clone(classifier).fit(X, y)
    np.testing.assert_allclose(classifier.predict_proba(X), expected.predict_proba(X), rtol=1e-4)


def test_new_names_of_another_text_encoder_are_refused(make_world):
    world = make_world()
    X, y = world.draw(4)
    shown = y != "cat"
    classifier = SeMoBridgeClassifier(world.text_encoder(), prompts=TEMPLATE).fit(X[shown], y[shown])
    expected = classifier.with_classes(world.names).predict_proba(X)
    for other in (make_world(seed=1), make_world(d=20), make_world(width=20)):
        classifier.set_params(text_encoder=other.text_encoder())
        with pytest.raises(
            ValueError, match="text_encoder has changed: it says something else of 'a photo of"
        ):
            classifier.with_classes(world.names)
        classifier.with_classes(["dog", "bird"])
    classifier.set_params(text_encoder=Said(world.text_encoder()))
    np.testing.assert_allclose(classifier.with_classes(world.names).predict_proba(X), expected)


def test_masked_embeddings_are_named(world):
    X, y = world.draw(2)
    masked = np.ma.array(X, mask=np.zeros_like(X, dtype=bool))
    classifier, bridge = (
        SeMoBridgeClassifier(world.text_encoder(), prompts=TEMPLATE).fit(masked, y),
        SemanticBridge(),
    )
    expected = classifier.predict_proba(X)
    np.testing.assert_array_equal(classifier.predict_proba(masked), expected)
    masked[3, 2] = np.ma.masked
    for call in (classifier.predict, bridge.fit, lambda X: classifier.fit(X, y)):
        with pytest.raises(ValueError, match=r"X is masked in rows \[3\]"):
            call(masked)


def test_texts_of_numpy_are_labels_too():
    y = np.array(["a", "b", "a"], dtype=np.dtypes.StringDType())
    with pytest.warns(UserWarning, match="no text_encoder"):
        assert SeMoBridgeClassifier().fit(embeddings(3), y).classes_.tolist() == ["a", "b"]


@pytest.mark.parametrize("weight", [[1j, 1j], ["a", "b"], {1: 2}, [10**400, 1], "ab"])
def test_weights_that_are_no_numbers_are_refused(weight):
    with pytest.raises(ValueError, match="sample_weight must be one real number for each row"):
        SeMoBridgeClassifier().fit(embeddings(2), [0, 1], sample_weight=weight)


@pytest.mark.parametrize("scale", [np.nan, np.inf, 0, -3, None, "a"])
def test_a_logit_scale_is_checked(world, scale):
    X, y = world.draw(2)
    text = Said(world.text_encoder())
    text.logit_scale_ = scale
    for classifier in classifiers(text):
        with pytest.raises(ValueError, match="offers (a )?logit_scale_"):
            classifier.fit(X, y)


@pytest.mark.parametrize(
    ("vocabulary", "message"),
    [
        ([], "vocabulary is empty"),
        (["a dog", 1], r"vocabulary\[1\] is 1"),
        ([["a dog"]], r"vocabulary\[0\] is \['a dog'\]"),
        ([None], r"vocabulary\[0\] is None"),
    ],
)
def test_a_vocabulary_of_other_things_is_refused(world, vocabulary, message):
    X, y = world.draw(2)
    for estimator in (
        SeMoBridgeClassifier(world.text_encoder(), prompts=TEMPLATE, vocabulary=vocabulary),
        SemanticBridge(world.text_encoder(), vocabulary=vocabulary),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            estimator.fit(X, y)


def test_more_shots_of_another_precision_keep_their_range(world):
    X, y = world.draw(4)
    classifier = SeMoBridgeClassifier(world.text_encoder(), prompts=TEMPLATE)
    classifier.fit(X[:10].astype(np.float32), y[:10]).partial_fit(X[10:] * 1e200, y[10:])
    assert np.isfinite(classifier.predict_proba(X)).all()
