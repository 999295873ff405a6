"""What users hand in by mistake or in malice gives a right answer or an error that names it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sksemobridge import (
    CLIPTextEncoder,
    PrecomputedTextEncoder,
    SemanticBridge,
    SeMoBridgeClassifier,
    ZeroShotClassifier,
    mean_average_precision,
)

from ..conftest import TEMPLATE


def embeddings(n=12, width=6, seed=0):
    return np.random.default_rng(seed).normal(size=(n, width))


TEXTS = PrecomputedTextEncoder.from_joint(dict(zip("012", embeddings(3))))

# Embeddings


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.nan, "NaN in 2 of 15 rows: 2, 7"),
        (np.inf, "infinity in 2 of 15 rows: 2, 7"),
        (np.ma.masked, r"X is masked in rows \[2, 7\]"),
    ],
)
def test_rows_that_are_not_finite_or_masked_are_named(bad, message):
    X, y = embeddings(15), np.arange(15) % 3
    nothing_masked = np.ma.array(X, mask=False)
    classifier = SeMoBridgeClassifier().fit(nothing_masked, y)
    np.testing.assert_array_equal(classifier.predict_proba(nothing_masked), classifier.predict_proba(X))
    X = nothing_masked if bad is np.ma.masked else X
    X[[2, 7], 0] = bad
    for call in (classifier.predict, SemanticBridge().fit, lambda X: classifier.fit(X, y)):
        with pytest.raises(ValueError, match=message):
            call(X)


@pytest.mark.parametrize(
    "learn",
    [
        lambda X, y: SeMoBridgeClassifier().fit(X, y),
        lambda X, y: SeMoBridgeClassifier().fit(X[5:], y[5:]).partial_fit(X, y),
        lambda X, y: SeMoBridgeClassifier().fit(X[5:], y[5:]).with_unlabeled(X),
        lambda X, y: ZeroShotClassifier(TEXTS).fit(X, y.astype(str)),
        lambda X, y: SemanticBridge().fit(X),
    ],
    ids=["fit", "partial_fit", "with_unlabeled", "zero-shot", "bridge"],
)
def test_a_warning_names_rows_of_zeros_that_are_learnt_from(learn):
    X, y = embeddings(15), np.arange(15) % 3
    X[[2, 4]] = 0
    with pytest.warns(UserWarning, match=r"nothing but zeros in 2 of 15 rows: 2, 4\..*X\.any\(axis=1\)"):
        learn(X, y)


def test_the_decision_of_a_row_of_zeros_is_the_intercept():
    classifier = SeMoBridgeClassifier().fit(embeddings(15), np.arange(15) % 3)
    np.testing.assert_allclose(classifier.decision_function(np.zeros((1, 6)))[0], classifier.intercept_)


@pytest.mark.parametrize(
    "images",
    [
        ["a.jpg", "b.jpg"],
        np.array(["a.jpg", "b.jpg"]),
        [Path("a.jpg"), Path("b.jpg")],
        [b"1", b"2"],
        [Image.new("RGB", (4, 4)), Image.new("RGB", (4, 4))],
        np.zeros((2, 4, 4, 3), dtype=np.uint8),
        [np.zeros((4, 4, 3), dtype=np.uint8), np.zeros((5, 4, 3), dtype=np.uint8)],
        "a.jpg",
    ],
)
def test_images_in_place_of_embeddings_are_named(images):
    with pytest.raises(ValueError, match="X holds images or their paths. Embed them first"):
        SeMoBridgeClassifier().fit(images, [0, 1])


def test_tensors_of_any_kind_are_embeddings(world):
    import torch

    X, y = world.draw(4)
    X = torch.tensor(X).bfloat16()
    eos, projection = (torch.tensor(part, requires_grad=True) for part in (world.eos, world.projection))
    text = PrecomputedTextEncoder(world.texts, eos.bfloat16(), projection)
    classifier = SeMoBridgeClassifier(text, prompts=TEMPLATE).fit(X.requires_grad_(), y)
    expected = classifier.predict_proba(X.float().detach().numpy())
    np.testing.assert_array_equal(classifier.predict_proba(X), expected)
    assert mean_average_precision(X, X.float(), y, y) == 1


# Text encoders


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (embeddings(3), r"is a ndarray\. Text embeddings of your own go into Precomp.*from_joint"),
        (dict(zip("abc", embeddings(3))), r"is a dict\. .*from_joint"),
        (CLIPTextEncoder, r"is the class CLIPTextEncoder, .*: write CLIPTextEncoder\(\.\.\.\)"),
        ("ViT-B-16", "offers? .*CLIPTextEncoder"),
    ],
    ids=["array", "dict", "class", "str"],
)
@pytest.mark.parametrize("kind", [SeMoBridgeClassifier, ZeroShotClassifier, SemanticBridge])
def test_what_is_no_text_encoder_is_refused_with_the_remedy(kind, given, message):
    with pytest.raises(ValueError, match=message):
        kind(given).fit(embeddings(12), np.repeat(list("abc"), 4))


# Labels and groups


def test_integers_of_two_kinds_are_one_kind_of_labels():
    X, labels = embeddings(20), np.arange(10) + 100
    classifier = SeMoBridgeClassifier().fit(X[:10], labels.astype(np.int8)).partial_fit(X[10:], labels)
    np.testing.assert_array_equal(classifier.classes_, labels)
    expected = SeMoBridgeClassifier().fit(X, np.tile(labels, 2))
    np.testing.assert_allclose(classifier.predict_proba(X), expected.predict_proba(X))
    np.testing.assert_array_equal(classifier.with_classes(labels[::3].astype(np.uint8)).classes_, labels[::3])
    classifier.partial_fit(X[:1], [100], classes=labels.astype(np.uint64))
    np.testing.assert_array_equal(classifier.classes_, labels)


def test_integers_that_numpy_would_round_to_compare_are_refused():
    X, large = embeddings(4), np.array([2**53, 2**53 + 1, 2**53 + 2, 7])
    classifier = SeMoBridgeClassifier().fit(X, large)
    other = large.astype(np.uint64)
    for call, label in (
        (lambda: classifier.partial_fit(X, other), 2**53 + 1),
        (lambda: classifier.partial_fit(X, large, classes=other), 2**53 + 1),
        (lambda: classifier.fit(X, [-1, 2**63 + 1, -1, 2**63 + 1]), 2**63 + 1),
    ):
        with pytest.raises(ValueError, match=f"NumPy would round .*{label}.* to compare them. Use one type"):
            call()


def test_true_is_not_one():
    X, y = embeddings(4), np.array([True, False, True, False])
    classifier = SeMoBridgeClassifier().fit(X, y)
    for call in (
        lambda: classifier.partial_fit(X, y.astype(int)),
        lambda: classifier.partial_fit(X, y, classes=[0, 1]),
    ):
        with pytest.raises(ValueError, match="mix booleans and other values"):
            call()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([np.nan, "a", "b"], r"y contains NaN or None in rows \[0\]"),
        (["a", "b", None], r"y contains NaN or None in rows \[2\]"),
        (np.array(["a", pd.NA, "b"], dtype=object), r"y contains NaN or None in rows \[1\]"),
        ((1, "a", "b"), "y mix text and other values .'a', 1"),
        (np.array(["a", 1, True], dtype=object), "y mix text and other values"),
        (np.ma.array([0, 1, 2], mask=[0, 1, 0]), r"y is masked in rows \[1\]"),
        (np.array(["2020-01-01", "NaT", "2021-01-01"], dtype="datetime64[s]"), r"in rows \[1\]"),
    ],
)
def test_labels_that_are_missing_or_mixed_are_named(labels, message):
    X, y = embeddings(3), [1, 2, 3]
    classifier = SeMoBridgeClassifier().fit(X, y)
    for name, call in (
        ("y", lambda: classifier.fit(X, labels)),
        ("groups", lambda: classifier.fit(X, y, groups=labels)),
        ("classes", lambda: classifier.partial_fit(X, y, classes=labels)),
        ("classes", lambda: classifier.with_classes(labels)),
        ("query_labels", lambda: mean_average_precision(X, X, labels, y)),
        ("gallery_labels", lambda: mean_average_precision(X, X, y, labels)),
    ):
        with pytest.raises(ValueError, match=message.replace("y ", f"{name} ")):
            call()


def test_labels_without_an_order_or_in_two_dimensions_are_refused():
    X, dates = embeddings(4), np.array(["2020-01-01", "2021-01-01"] * 2, dtype="datetime64[D]")
    classifier = SeMoBridgeClassifier().fit(X, [0, 1, 0, 1])
    days, numbers = dates.tolist(), [1, 2, 1, 2]
    no_order = r"cannot be compared \(date, int\); use one kind"
    for call, message in (
        (lambda: classifier.partial_fit(X, dates), no_order),
        (lambda: classifier.partial_fit(X, numbers, classes=days), no_order),
        (lambda: classifier.with_classes([days[0], 1]), no_order),
        (lambda: classifier.fit(X, numbers, groups=[days[0], 1, 1, 1]), no_order),
        (lambda: mean_average_precision(X, X, days, numbers), no_order),
        (lambda: classifier.fit(X, [*days[:3], 1]), r"y holds objects \(date\)\. .* \[str\(label\) for"),
        (
            lambda: classifier.with_classes([[0, 1]]),
            r"classes must be a flat list of labels; got \[\[0, 1\]\]",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize(
    ("of_rows", "message"),
    [
        ({"groups": [1, 2]}, "inconsistent"),
        ({"sample_weight": np.full(4, -1.0)}, "Negative"),
        ({"sample_weight": np.full(4, np.nan)}, "NaN"),
        ({"sample_weight": np.zeros(4)}, "zero"),
        *(
            ({"sample_weight": [1, extreme, 1, 1]}, "Only their ratios matter: divide all by one factor")
            for extreme in (1e308, 1e-310)
        ),
        *(
            ({"sample_weight": no_numbers}, "one real number for each row")
            for no_numbers in ([1j] * 4, ["a"] * 4, {1: 2}, [10**400, 1, 1, 1], "ab")
        ),
    ],
)
def test_groups_and_weights_that_do_not_fit_are_named(of_rows, message):
    with pytest.raises(ValueError, match=message):
        SeMoBridgeClassifier().fit(embeddings(4), [0, 0, 1, 1], **of_rows)


def test_groups_of_any_kind_are_taken():
    X, y = embeddings(6), [0, 0, 0, 1, 1, 1]
    numbers = np.array([0, 0, 1, 2, 2, 3])
    expected = SeMoBridgeClassifier().fit(X, y, groups=numbers).predict_proba(X)
    for groups in (list("aabccd"), np.array(list("aabccd")), numbers.tolist(), pd.Series(list("aabccd"))):
        fitted = SeMoBridgeClassifier().fit(X, y, groups=groups)
        np.testing.assert_array_equal(fitted.predict_proba(X), expected)


def test_days_and_texts_of_numpy_are_labels_too():
    X = embeddings(6)
    days = np.array(["2020-01-01", "2021-01-01", "2022-01-01"] * 2, dtype="datetime64[s]")
    classifier = SeMoBridgeClassifier().fit(X[:3], days[:3]).partial_fit(X[3:], days[3:])
    np.testing.assert_array_equal(classifier.classes_, days[:3])
    np.testing.assert_array_equal(classifier.with_classes(days[:2]).classes_, days[:2])
    assert classifier.predict(X).dtype == days.dtype
    y = np.array(["a", "b", "a"], dtype=np.dtypes.StringDType())
    with pytest.warns(UserWarning, match="no text_encoder"):
        assert SeMoBridgeClassifier().fit(X[:3], y).classes_.tolist() == ["a", "b"]


def test_a_label_of_minus_one_among_others_gives_a_warning():
    X, y = embeddings(12), np.arange(12) % 3 - 1
    with pytest.warns(UserWarning, match="label -1 is a class like any other.* with_unlabeled"):
        classifier = SeMoBridgeClassifier().fit(X, y)
    assert classifier.classes_.tolist() == [-1, 0, 1]
    SeMoBridgeClassifier().fit(X, np.where(y < 0, -1, 1))  # two classes are often called so
    names = {-1: "down", 0: "level", 1: "up"}
    text_encoder = PrecomputedTextEncoder.from_joint(dict(zip(names.values(), embeddings(3))))
    SeMoBridgeClassifier(text_encoder, class_names=names).fit(X, y)
