"""What users hand in by mistake gives a right answer or an error that names it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.dtypes import StringDType
from PIL import Image

from sksemobridge import (
    CLIPTextEncoder,
    FewShotClassifier,
    PrecomputedTextEncoder,
    SemanticBridge,
    ZeroShotClassifier,
    mean_average_precision,
)
from sksemobridge._utils.validation import group_codes

from ..made_up import TEMPLATE


def embeddings(n=12, width=6, seed=0):
    return np.random.default_rng(seed).normal(size=(n, width))


TEXTS = PrecomputedTextEncoder.from_joint(dict(zip("012", embeddings(3))))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.nan, "X contains NaN.* in 2 of 15 rows: 2, 7"),
        (np.inf, "X contains infinity.* in 2 of 15 rows: 2, 7"),
        (np.ma.masked, "X has masked values"),
    ],
)
def test_rows_that_are_not_finite_or_masked_are_named(bad, message):
    X, y = embeddings(15), np.arange(15) % 3
    nothing_masked = np.ma.array(X, mask=False)
    classifier = FewShotClassifier().fit(nothing_masked, y)
    np.testing.assert_array_equal(
        classifier.predict_proba(nothing_masked), classifier.predict_proba(X)
    )
    X = nothing_masked if bad is np.ma.masked else X
    X[[2, 7], 0] = bad
    for call in (classifier.predict, SemanticBridge().fit, lambda X: classifier.fit(X, y)):
        with pytest.raises(ValueError, match=message):
            call(X)


@pytest.mark.parametrize(
    "learn",
    [
        lambda X, y: FewShotClassifier().fit(X, y),
        lambda X, y: FewShotClassifier().fit(X[5:], y[5:]).partial_fit(X, y),
        lambda X, y: FewShotClassifier().fit(X[5:], y[5:]).with_unlabeled(X),
        lambda X, y: ZeroShotClassifier(TEXTS).fit(X, y.astype(str)),
        lambda X, y: SemanticBridge().fit(X),
    ],
    ids=["fit", "partial_fit", "with_unlabeled", "zero-shot", "bridge"],
)
def test_a_warning_names_rows_of_zeros_that_are_learnt_from(learn):
    X, y = embeddings(15), np.arange(15) % 3
    X[[2, 4]] = 0
    with pytest.warns(UserWarning, match="nothing but zeros in 2 of 15 rows: 2, 4"):
        learn(X, y)


def test_the_decision_of_a_row_of_zeros_is_the_intercept():
    classifier = FewShotClassifier().fit(embeddings(15), np.arange(15) % 3)
    np.testing.assert_allclose(
        classifier.decision_function(np.zeros((1, 6)))[0], classifier.intercept_
    )


@pytest.mark.parametrize(
    "images",
    [
        [Image.new("RGB", (4, 4)), Image.new("RGB", (4, 4))],
        np.zeros((2, 4, 4, 3), dtype=np.uint8),
    ],
)
def test_for_images_in_place_of_embeddings_the_error_says_to_embed_them(images):
    with pytest.raises(
        (TypeError, ValueError),
        match="If X holds images, embed them first",
    ):
        FewShotClassifier().fit(images, [0, 1])


def test_tensors_of_any_kind_are_embeddings(world):
    import torch

    X, y = world.draw(4)
    X = torch.tensor(X).bfloat16().requires_grad_()
    eos, projection = (
        torch.tensor(part, requires_grad=True) for part in (world.eos, world.projection)
    )
    text = PrecomputedTextEncoder(world.texts, eos, projection)
    classifier = FewShotClassifier(text, prompts=TEMPLATE).fit(X, y)
    expected = classifier.predict_proba(X.float().detach().numpy())
    np.testing.assert_array_equal(classifier.predict_proba(X), expected)
    assert mean_average_precision(X, X.float(), y, y) == 1


@pytest.mark.parametrize(
    "given", [embeddings(3), dict(zip("abc", embeddings(3))), CLIPTextEncoder, "ViT-B-16"], ids=type
)
@pytest.mark.parametrize("kind", [FewShotClassifier, ZeroShotClassifier, SemanticBridge])
def test_what_is_no_text_encoder_is_refused(kind, given):
    with pytest.raises(ValueError, match="must (be an object that )?offer.* CLIPTextEncoder"):
        kind(given).fit(embeddings(12), np.repeat(list("abc"), 4))


def test_integers_of_several_types_are_one_kind_of_labels_unless_they_would_change():
    X, labels = embeddings(20), np.arange(10) + 100
    classifier = FewShotClassifier().fit(X[:10], labels.astype(np.int8)).partial_fit(X[10:], labels)
    np.testing.assert_array_equal(classifier.classes_, labels)
    for other, message in (
        (np.uint64, "with and without sign, which NumPy would round"),
        (bool, "The labels mix kinds"),
    ):
        with pytest.raises(ValueError, match=message):
            classifier.partial_fit(X[:1], [100], classes=labels.astype(other))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([np.nan, "a", "b"], "y contains NaN or None in 1 of 3 rows: 0"),
        (["a", "b", None], "y contains NaN or None in 1 of 3 rows: 2"),
        (np.array(["a", pd.NA, "b"], dtype=object), "y contains NaN or None in 1 of 3 rows: 1"),
        (np.array(["a", None, "b"], dtype=StringDType(na_object=None)), "y contains NaN or None"),
        ((1, "a", "b"), "y mix text and other values, such as 'a' and 1"),
        (np.array([[0, 1], [1, 2]]), "y must be a flat list of labels"),
        (np.ma.array([0, 1, 2], mask=[0, 1, 0]), "y has masked values"),
    ],
)
def test_labels_that_are_missing_or_mixed_are_named(labels, message):
    X, y = embeddings(3), [1, 2, 3]
    classifier = FewShotClassifier().fit(X, y)
    for name, call in (
        ("y", lambda: classifier.fit(X, labels)),
        ("classes", lambda: classifier.partial_fit(X, y, classes=labels)),
        ("classes", lambda: classifier.with_classes(labels)),
        ("query_labels", lambda: mean_average_precision(X, X, labels, y)),
        ("gallery_labels", lambda: mean_average_precision(X, X, y, labels)),
    ):
        with pytest.raises(ValueError, match=message.replace("y ", f"{name} ")):
            call()


def test_labels_and_groups_may_be_new_strings_of_numpy():
    X, labels = embeddings(4), np.array(list("abab"))
    expected = FewShotClassifier(class_names="ignore").fit(X, labels, groups=labels)
    strings = labels.astype(StringDType())
    found = FewShotClassifier(class_names="ignore").fit(X, strings, groups=strings)
    assert found.predict(X).tolist() == expected.predict(X).tolist()
    np.testing.assert_array_equal(found.predict_proba(X), expected.predict_proba(X))


def test_an_error_of_labels_that_are_objects_says_so():
    with pytest.raises(ValueError, match="Unknown label type") as error:
        FewShotClassifier().fit(embeddings(3), np.array([1, 2, True], dtype=object))
    assert error.value.__notes__ == [
        "y holds Python objects, such as 1; give text, or numbers of one type of NumPy."
    ]


def test_an_error_of_several_labels_names_their_classifier():
    remedy = "If images have several labels, use MultilabelFewShotClassifier."
    for y in (np.eye(3, dtype=int), [["a"], ["a", "b"], []]):
        with pytest.raises(ValueError, match=f"(?s)y must be a flat list of labels.* {remedy}"):
            FewShotClassifier().fit(embeddings(3), y)
    with pytest.raises(ValueError, match="Unknown label type") as error:
        FewShotClassifier().fit(embeddings(3), [{"a"}, {"b"}, set()])
    assert error.value.__notes__ == [remedy]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("red", r"columns that cannot be numbers: 'extra' \(such as 'red'\)"),
        (1j, r"columns that cannot be numbers: 'extra' \(such as 1j\)"),
        (pd.Categorical(["red"] * 3), r"columns that cannot be numbers: 'extra' \(such as 'red'\)"),
        ([{}] * 3, r"columns that cannot be numbers: 'extra' \(such as {}\)"),
        (pd.Timestamp("2026-01-01"), r"dates or times \(datetime64.*\) in the column 'extra'"),
        (pd.Timedelta("1D"), r"dates or times \(timedelta64.*\) in the column 'extra'"),
    ],
    ids=["text", "complex", "categories", "objects", "date", "time"],
)
def test_a_column_that_cannot_be_numbers_is_named(column, message):
    frame = pd.DataFrame(embeddings(3)).rename(columns=str).assign(extra=column)
    first = frame[["extra", "0"]]  # so that a table which begins with text is no list of paths
    for X in (frame, first):
        with pytest.raises(ValueError, match=message):
            FewShotClassifier(class_names="ignore").fit(X, list("aba"))


def test_an_array_of_dates_is_refused():
    with pytest.raises(ValueError, match=r"X has dates or times \(datetime64\[D\]\), and no"):
        FewShotClassifier().fit(np.full((3, 2), "2026-01-01", dtype="datetime64[D]"), list("aba"))


def test_groups_may_be_missing_but_not_mixed():
    X, y = embeddings(3), [1, 2, 3]
    for groups in ([np.nan, 1, 1], ["a", None, "b"], np.array(["a", pd.NA, "a"], dtype=object)):
        FewShotClassifier().fit(X, y, groups=groups)
    for groups, message in (
        ((1, "a", None), "groups mix text and other values"),
        (np.array([[0, 1], [1, 2]]), "groups must be a flat list of labels"),
        (np.ma.array([0, 1, 2], mask=[0, 1, 0]), "groups has masked values"),
    ):
        with pytest.raises(ValueError, match=message):
            FewShotClassifier().fit(X, y, groups=groups)


@pytest.mark.parametrize(
    ("of_rows", "message"),
    [
        ({"groups": [1, 2]}, r"groups has the shape \(2,\); give \(4,\)"),
        ({"sample_weight": [1, 2]}, r"sample_weight has the shape \(2,\); give \(4,\)"),
        ({"sample_weight": np.ones((4, 1))}, r"sample_weight has the shape \(4, 1\)"),
        ({"sample_weight": [1, 1, 1, -2]}, "sample_weight has negative values: the least is -2"),
        ({"sample_weight": np.full(4, np.nan)}, "NaN"),
        ({"sample_weight": np.zeros(4)}, "zero"),
        ({"sample_weight": "balanced"}, "sample_weight has a number for each image, and is not '"),
        ({"sample_weight": [1, 1e308, 1, 1]}, "Divide all by one factor"),
        ({"sample_weight": [1, 1e-310, 1, 1]}, "Divide all by one factor"),
    ],
)
def test_groups_and_weights_that_do_not_fit_are_named(of_rows, message):
    with pytest.raises(ValueError, match=message):
        FewShotClassifier().fit(embeddings(4), [0, 0, 1, 1], **of_rows)


def test_one_weight_is_that_of_each_row():
    X, y = embeddings(4), [0, 0, 1, 1]
    weighted, plain = (FewShotClassifier().fit(X, y, weight) for weight in (2.0, None))
    np.testing.assert_allclose(weighted.coef_, plain.coef_)


@pytest.mark.parametrize("as_input", [list, np.array, lambda p: np.array(p)[:, None], pd.Series])
@pytest.mark.parametrize("item", ["a.jpg", Path("a.jpg"), b"bytes"])
def test_paths_instead_of_embeddings_are_told_what_embeds_them(world, kind, as_input, item):
    with pytest.raises(ValueError, match="embed them first: make_semobridge_pipeline"):
        kind().fit(as_input([item, item]), [0, 1])
    fitted = world.classifier(kind).fit(*world.draw(2))
    with pytest.raises(ValueError, match="embed them first: make_semobridge_pipeline"):
        fitted.predict(as_input([item, item]))


@pytest.mark.parametrize(
    "groups",
    [
        [7.0, np.nan, 7.0, 3.0, np.nan],
        ["b", None, "b", "a", None],
        ["b", np.nan, "b", "a", None],
        pd.Series([7, None, 7, 3, None]),
        pd.Series([7, None, 7, 3, None], dtype="Int64"),
    ],
)
def test_a_row_whose_group_is_missing_is_a_group_by_itself(groups):
    codes = group_codes(groups, 5)
    assert codes[0] == codes[2]
    assert len(set(codes.tolist())) == 4
    assert sorted(set(codes.tolist())) == [0, 1, 2, 3]
    assert group_codes(None, 3).tolist() == [0, 1, 2]
