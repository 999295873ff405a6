"""Text embeddings that were computed elsewhere."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sksemobridge import FewShotClassifier
from sksemobridge.encoders import PrecomputedTextEncoder


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    return {
        "texts": ["a", "b", "c"],
        "eos": rng.normal(size=(3, 4)),
        "projection": rng.normal(size=(4, 6)),
    }


def test_precomputed_embeddings_are_looked_up(table):
    encoder = PrecomputedTextEncoder(**table, projection_bias=np.arange(6.0), logit_scale=50)
    assert_array_equal(encoder.encode(["c", "a", "c"]), table["eos"][[2, 0, 2]])
    assert_allclose(
        encoder.transform(["c"]), table["eos"][[2]] @ table["projection"] + np.arange(6.0)
    )
    assert_array_equal(encoder.projection_, table["projection"])
    assert_array_equal(encoder.projection_bias_, np.arange(6.0))
    assert encoder.logit_scale_ == 50
    assert list(encoder.get_feature_names_out()[:1]) == ["precomputedtextencoder0"]
    table["texts"][2], table["eos"][2] = "a", table["eos"][0]
    twice = PrecomputedTextEncoder(**table).fit()
    assert_array_equal(twice.encode(["a"]), table["eos"][:1])
    assert twice.projection_bias_ is None
    half = {name: np.float32(table[name]) for name in ("eos", "projection")}
    assert PrecomputedTextEncoder(["a", "b", "c"], **half).transform(["a"]).dtype == np.float32


def test_missing_texts_are_named_and_counted(table):
    encoder = PrecomputedTextEncoder(**table)
    with pytest.raises(
        ValueError, match="4 of the texts are not among the 3 .*: 'w', 'x', 'y' and 1 more"
    ):
        encoder.transform(["a", "w", "x", "y", "z", "w"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"texts": ["a", "b"]}, r"2 texts, eos \(3, 4\), .* do not fit together"),
        ({"texts": ["a", "b", "a"]}, "'a' has two embeddings, in rows 0 and 2"),
        ({"texts": ["a", "b", 3]}, r"texts\[2\] is 3"),
        ({"projection": np.ones((5, 6))}, r"projection \(5, 6\) .* do not fit together"),
        ({"projection_bias": np.ones(4)}, r"projection_bias \(4,\) do not fit together"),
        ({"eos": np.full((3, 4), np.nan)}, "eos contains NaN"),
        ({"eos": np.ones(3)}, "Expected 2D array"),
        ({"projection": "identity"}, "The 'projection' parameter"),
        ({"logit_scale": 0}, "The 'logit_scale' parameter"),
        ({"logit_scale": 1e39}, "The 'logit_scale' parameter"),
    ],
)
def test_precomputed_parts_that_do_not_fit_are_named(table, changes, message):
    encoder = PrecomputedTextEncoder(**table | changes)
    with pytest.raises((ValueError, TypeError), match=message):
        encoder.transform(["a"])


def test_a_data_frame_has_a_column_for_each_name():
    embeddings = {"a cat": [1.0, 2.0], "dog": [3.0, 1.0]}
    expected, found = map(PrecomputedTextEncoder.from_joint, (embeddings, pd.DataFrame(embeddings)))
    assert_array_equal(found.transform([*embeddings]), expected.transform([*embeddings]))


def test_embeddings_of_names_have_one_width():
    with pytest.raises(ValueError, match="of one width D"):
        PrecomputedTextEncoder.from_joint({"a": [1.0, 2.0], "b": [1.0]})


def test_it_is_shown_by_its_size_and_first_texts_also_within_others():
    encoder = PrecomputedTextEncoder(list("abcd"), np.zeros((4, 64)), np.zeros((64, 32)))
    expected = "PrecomputedTextEncoder(4 texts: 'a', 'b', 'c', ...; eos (4, 64))"
    assert repr(encoder) == expected
    shown = " ".join(repr(FewShotClassifier(encoder, prompts="a photo of a {}.")).split())
    assert shown == f"FewShotClassifier(prompts='a photo of a {{}}.', text_encoder={expected})"
    assert repr(PrecomputedTextEncoder(None, None, None)).startswith("PrecomputedTextEncoder(")
