"""What classes are called, and what is said of them."""

import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from sklearn.base import clone
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.utils.fixes import parse_version

from sksemobridge import (
    CLIPImageEncoder,
    CLIPTextEncoder,
    PrecomputedTextEncoder,
    SeMoBridgeClassifier,
    ZeroShotClassifier,
)
from sksemobridge._method.prompts import name_classes
from sksemobridge.datasets import load_emoji

TEMPLATE = "a photo of a {}."


def few_shot(world, **params):
    return SeMoBridgeClassifier(world.text_encoder(), prompts=TEMPLATE, **params)


def zero_shot(world, **params):
    return ZeroShotClassifier(world.text_encoder(), prompts=TEMPLATE, **params)


def folders(y):
    """Labels as the names of folders."""
    return np.char.replace(y, " ", "_")


@pytest.fixture(params=[few_shot, zero_shot])
def make(request):
    return request.param


def test_a_pandas_series_is_a_mapping(world, make):
    X, y = world.draw(3)
    names = pd.Series({name: name for name in world.names}).iloc[::-1]
    assert make(world, class_names=names).fit(X, y).class_names_.tolist() == world.names
    codes = np.searchsorted(world.names, y)
    names = pd.Series(world.names[::-1], index=[4, 3, 2, 1, 0])
    assert make(world, class_names=names).fit(X, codes).class_names_.tolist() == world.names
    with pytest.raises(ValueError, match="no name for 'bird'"):
        make(world, class_names=pd.Series(world.names)).fit(X, y)
    with pytest.raises(ValueError, match="twice in its index"):
        make(world, class_names=pd.Series(["cat", "dog"], index=["cat", "cat"])).fit(X, y)


@pytest.mark.parametrize("sequence", [list, tuple, np.array, pl.Series, pd.Index])
def test_a_sequence_is_read_in_the_order_of_the_sorted_labels(world, make, sequence):
    X, y = world.draw(2)
    codes = np.searchsorted(world.names, y)
    for labels in (y, codes):
        fitted = make(world, class_names=sequence(world.names)).fit(X, labels)
        assert fitted.class_names_.tolist() == world.names


@pytest.mark.parametrize(
    "change", [lambda names: names[::-1], lambda names: [name.title() for name in names[1:] + names[:1]]]
)
def test_labels_in_another_order_are_refused_with_both_orders(world, make, change):
    X, y = world.draw(2)
    with pytest.raises(ValueError, match="in another order") as caught:
        make(world, class_names=change(world.names)).fit(X, y)
    message = str(caught.value)
    assert ", ".join(map(repr, world.names)) in message
    assert ", ".join(map(repr, change(world.names))) in message


@pytest.mark.parametrize("form", ["{}", "class {}"])
def test_numbers_as_text_beside_a_list_of_names_are_said(form):
    labels = [form.format(i) for i in range(11)]
    names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    with pytest.warns(UserWarning, match="sorted as text, .*10' is 'two'.*Give a mapping"):
        said = name_classes(sorted(labels), names)
    assert said == names
    for classes in (sorted(labels[:10]), range(11)):
        assert name_classes(classes, names[: len(classes)]) == names[: len(classes)]
    assert name_classes(sorted(labels), dict(zip(labels, names)))[2] == "ten"


def test_a_name_that_equals_its_label_is_read_alike_however_it_is_given(world, make):
    X, y = world.draw(2)
    labels = folders(y)
    given = sorted(set(labels))
    expected = make(world).fit(X, labels)
    assert expected.class_names_.tolist() == world.names
    for names in (given, dict(zip(given, given)), pd.Series(given, index=given)):
        fitted = make(world, class_names=names).fit(X, labels)
        assert fitted.class_names_.tolist() == world.names
        np.testing.assert_array_equal(fitted.text_embeddings_, expected.text_embeddings_)


def test_other_names_in_a_mapping_are_taken_as_they_are(world):
    X, y = world.draw(2)
    encoder = world.text_encoder()
    encoder.texts = [text.replace("cat", "a_cat") for text in encoder.texts]
    names = dict(zip(world.names, world.names)) | {"cat": "a_cat"}
    fitted = SeMoBridgeClassifier(encoder, prompts=TEMPLATE, class_names=names).fit(X, y)
    assert fitted.prompts_[world.names.index("cat")] == ["a photo of a a_cat."]


def test_tools_that_number_the_labels_change_nothing_with_a_list_of_names(world, make):
    X, y = world.draw(6)
    labels = folders(y)
    named = make(world, class_names=sorted(set(labels)))
    probability = cross_val_predict(named, X, labels, cv=3, method="predict_proba")
    expected = make(world).fit(X, labels)
    assert np.mean(np.unique(labels)[probability.argmax(axis=1)] == labels) > 0.6

    voting = VotingClassifier([("named", named), ("linear", LogisticRegression())], voting="soft")
    member = voting.fit(X, labels).named_estimators_["named"]
    np.testing.assert_array_equal(member.text_embeddings_, expected.text_embeddings_)
    assert member.class_names_.tolist() == world.names


def test_a_list_may_hold_labels_that_a_fold_lacks(world):
    X, y = world.draw(3)
    there = y != "cat"
    fitted = few_shot(world, class_names=world.names).fit(X[there], y[there])
    assert fitted.class_names_.tolist() == [name for name in world.names if name != "cat"]


@pytest.mark.parametrize("form", [None, list, dict])
def test_classes_may_come_later_whatever_form_the_names_had(world, form):
    X, y = world.draw(3)
    labels = folders(y)
    early = ~np.isin(y, ["cat", "hot dog"])
    given = sorted(set(labels))
    names = {
        None: None,
        list: [name for name in given if name not in ("cat", "hot_dog")],
        dict: dict(zip(given, given)),
    }[form]
    classifier = few_shot(world, class_names=names)
    grown = clone(classifier).fit(X[early], labels[early]).partial_fit(X[~early], labels[~early])
    assert grown.class_names_.tolist() == world.names
    expected = few_shot(world).fit(X, labels)
    np.testing.assert_allclose(grown.predict_proba(X), expected.predict_proba(X), rtol=1e-6)

    told = classifier.fit(X[early], labels[early]).with_classes(given)
    assert told.class_names_.tolist() == world.names
    assert told.with_classes(given[1:]).partial_fit(X, labels).class_names_.tolist() == world.names


def test_a_sequence_never_names_another_class_than_before(world):
    X, y = world.draw(3)
    codes = np.searchsorted(world.names, y)
    classifier = few_shot(world, class_names=world.names[:4]).fit(X[codes < 4], codes[codes < 4])
    part = classifier.with_classes([0, 2])
    assert part.class_names_.tolist() == [world.names[0], world.names[2]]
    assert clone(part).fit(
        X[np.isin(codes, [0, 2])], codes[np.isin(codes, [0, 2])]
    ).class_names_.tolist() == [
        world.names[0],
        world.names[2],
    ]
    with pytest.raises(ValueError, match="no name for 4"):
        classifier.partial_fit(X, codes)
    longer = classifier.set_params(class_names=world.names).partial_fit(X, codes)
    assert longer.class_names_.tolist() == world.names


def test_names_and_prompts_are_shown(world, make):
    X, y = world.draw(2)
    fitted = make(world).fit(X, y)
    assert fitted.class_names_.tolist() == world.names
    assert fitted.prompts_ == [[f"a photo of a {name}."] for name in world.names]
    # In notebooks, from scikit-learn 1.9.
    if parse_version(sklearn.__version__) >= parse_version("1.9"):
        assert "class_names_" in fitted._repr_html_()
        assert "prompts_" in fitted._repr_html_()
    loaded = pickle.loads(pickle.dumps(fitted))
    assert loaded.class_names_.tolist() == world.names
    assert loaded.prompts_ == fitted.prompts_


@pytest.mark.parametrize("name", [float("nan"), ["cat"], 3, pd.NA])
def test_names_are_strings(world, make, name):
    X, y = world.draw(2)
    with pytest.raises(TypeError, match="a name is a string"):
        make(world, class_names=dict(zip(world.names, world.names)) | {"cat": name}).fit(X, y)
    with pytest.raises(TypeError, match="a name is a string"):
        make(world, class_names=[*world.names[:-1], name]).fit(X, y)


def test_whole_prompts_that_hold_a_placeholder_are_refused(world, make):
    X, y = world.draw(2)
    prompts = {name: [f"a photo of a {name}."] for name in world.names} | {"dog": ["a photo of a {}."]}
    with pytest.raises(ValueError, match=r"prompts\['dog'\] holds 'a photo of a {}.'"):
        make(world).set_params(prompts=prompts).fit(X, y)


def test_classes_of_one_name_warn(world, make):
    X, y = world.draw(2)
    names = dict(zip(world.names, world.names)) | {"hot dog": "dog"}
    with pytest.warns(UserWarning, match="'dog', 'hot dog' have the same names") as caught:
        make(world, class_names=names).fit(X, y)
    assert len(caught) == 1


def test_labels_that_are_no_words_are_not_asked_for(world):
    X, y = world.draw(3)
    codes = np.searchsorted(world.names, y)
    for labels in (y, codes):
        SeMoBridgeClassifier(class_names="ignore").fit(X, labels)
        encoder = world.text_encoder()
        fitted = SeMoBridgeClassifier(encoder, class_names="ignore", atol=0.9).fit(X, labels)
        assert fitted.text_embeddings_ is None
        assert fitted.class_names_ is None
        assert fitted.prompts_ is None
        assert "z1" not in fitted.affinities(X)
        assert fitted.rank_ < X.shape[1]
        fitted.partial_fit(X, labels).with_classes(np.unique(labels)[:2]).predict(X)


# Class texts that were projected elsewhere


def projected(world):
    texts = world.text_encoder().transform([f"a photo of a {name}." for name in world.names])
    return {folder: text for folder, text in zip(folders(np.array(world.names)).tolist(), texts)}


@pytest.mark.parametrize("prompts", ["auto", "a drawing of a {}.", {"anything": ["goes"]}])
def test_projected_texts_are_found_by_the_name_of_the_class(world, prompts):
    X, y = world.draw(4)
    encoder = PrecomputedTextEncoder.from_joint(projected(world), logit_scale=20.0)
    zero = ZeroShotClassifier(encoder, prompts=prompts).fit(X, y)
    np.testing.assert_allclose(zero.text_embeddings_, zero_shot(world).fit(X, y).text_embeddings_)
    assert zero.prompts_ == [[name] for name in world.names]
    few = SeMoBridgeClassifier(encoder, prompts=prompts).fit(X, folders(y))
    np.testing.assert_allclose(few.text_embeddings_, zero.text_embeddings_)
    codes = np.searchsorted(world.names, y)
    numbered = SeMoBridgeClassifier(encoder, class_names=world.names).fit(X, codes)
    np.testing.assert_allclose(numbered.predict_proba(X), few.predict_proba(X))


TWICE = """
from sksemobridge import PrecomputedTextEncoder, SeMoBridgeClassifier
for _ in range(2):
    encoder = PrecomputedTextEncoder.from_joint({"cat": [1.0, 0.0], "dog": [0.0, 1.0]})
    SeMoBridgeClassifier(encoder).fit([[1.0, 0.1], [0.1, 1.0]], ["cat", "dog"])
"""


def test_without_a_projection_the_bridge_is_the_identity_and_that_is_said_once(world):
    X, y = world.draw(4)
    done = subprocess.run([sys.executable, "-c", TWICE], capture_output=True, text=True, check=True)
    (said,) = done.stderr.splitlines()
    assert "the bridge of classifiers is the identity" in said
    few = SeMoBridgeClassifier(PrecomputedTextEncoder.from_joint(projected(world))).fit(X, y)
    assert few.rank_ == X.shape[1]
    np.testing.assert_array_equal(few.bridge_, np.eye(X.shape[1]))


def test_of_several_texts_of_a_class_the_directions_are_averaged(world):
    X, y = world.draw(2)
    rng = np.random.default_rng(0)
    several = {name: rng.normal(size=(3, X.shape[1])) for name in world.names}
    fitted = ZeroShotClassifier(PrecomputedTextEncoder.from_joint(several)).fit(X, y)
    unit = np.stack([texts / np.linalg.norm(texts, axis=1, keepdims=True) for texts in several.values()])
    mean = unit.mean(axis=1)
    np.testing.assert_allclose(
        fitted.text_embeddings_, mean / np.linalg.norm(mean, axis=1, keepdims=True), rtol=1e-12
    )


@pytest.mark.parametrize("copy", [clone, lambda encoder: pickle.loads(pickle.dumps(encoder))])
def test_an_encoder_of_projected_texts_is_copied_as_others_are(world, copy):
    encoder = PrecomputedTextEncoder.from_joint(projected(world), logit_scale=20.0)
    X, y = world.draw(2)
    copied = copy(encoder)
    assert copied.logit_scale_ == 20.0
    np.testing.assert_array_equal(
        SeMoBridgeClassifier(copied).fit(X, y).predict_proba(X),
        SeMoBridgeClassifier(encoder).fit(X, y).predict_proba(X),
    )


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


def test_a_class_without_a_projected_text_is_named(world):
    X, y = world.draw(2)
    encoder = PrecomputedTextEncoder.from_joint({"cat": np.ones(X.shape[1])})
    with pytest.raises(ValueError, match="'bird', 'dog', 'fire truck'"):
        ZeroShotClassifier(encoder).fit(X, y)


def test_zero_shot_needs_no_images_to_fit(world):
    X, y = world.draw(2)
    fitted = zero_shot(world).fit(None, world.names)
    assert fitted.n_features_in_ == X.shape[1]
    np.testing.assert_array_equal(fitted.predict_proba(X), zero_shot(world).fit(X, y).predict_proba(X))
    with pytest.raises(ValueError, match="y is None|requires y"):
        zero_shot(world).fit(None, None)


def test_prompts_longer_than_the_model_reads_warn():
    encoder = CLIPTextEncoder("mini", "bundled")
    fitting = "a " * 30  # and two marks
    encoder.transform([fitting])
    for tell in (encoder.encode, encoder.transform, zero_shot_of_prompt(encoder)):
        with pytest.warns(UserWarning, match="1 of . texts are longer than the 32 tokens") as caught:
            tell(["cat", fitting + "cat"])
        assert len(caught) == 1
        assert caught[0].filename == __file__


def zero_shot_of_prompt(encoder):
    def fit(texts):
        classifier = ZeroShotClassifier(encoder, prompts={text: [text] for text in texts})
        return classifier.fit(None, texts)

    return fit


# Classes without text


@pytest.mark.parametrize("solver", ["closed_form", "lbfgs"])
@pytest.mark.parametrize("blend", ["auto", "paper"])
def test_a_class_without_text_is_known_by_its_shots(world, solver, blend):
    X, y = world.draw(8)
    names = dict(zip(world.names, world.names)) | {"dog": None}
    fitted = few_shot(world, class_names=names, solver=solver, blend=blend, tol=1e-3).fit(X, y)
    queries, truth = world.draw(30)
    dogs = truth == "dog"
    assert fitted.score(queries[dogs], truth[dogs]) > 0.6
    assert fitted.score(queries, truth) > 0.7
    i = world.names.index("dog")
    assert fitted.class_names_[i] is None
    assert fitted.prompts_[i] is None
    texts = few_shot(world).fit(X, y).text_embeddings_
    np.testing.assert_allclose(np.delete(fitted.text_embeddings_, i, axis=0), np.delete(texts, i, axis=0))
    np.testing.assert_allclose(fitted.text_embeddings_[i], np.delete(texts, i, axis=0).mean(axis=0))


def test_everything_else_has_no_text_that_misleads():
    emoji = load_emoji()
    is_heart = emoji.target_names[emoji.target] == "heart"
    X = CLIPImageEncoder("mini", "bundled").transform(
        [*emoji.images[is_heart], *emoji.images[~is_heart][::6]]
    )
    y = np.where(np.arange(len(X)) < is_heart.sum(), "heart", "rest")
    shots = np.concatenate([np.flatnonzero(y == "heart")[:4], np.flatnonzero(y == "rest")[::4][:40]])
    text_encoder = CLIPTextEncoder("mini", "bundled")
    fitted = SeMoBridgeClassifier(text_encoder, class_names={"heart": "heart", "rest": None})
    fitted.fit(X[shots], y[shots])
    assert fitted.class_names_.tolist() == ["heart", None]
    assert fitted.text_embeddings_[0] @ fitted.text_embeddings_[1] < 0.99
    queries = np.setdiff1d(np.arange(len(X)), shots)
    assert fitted.score(X[queries], y[queries]) > np.mean(y[queries] == "rest")


def test_a_class_without_text_needs_shots(world):
    X, y = world.draw(3)
    names = dict(zip(world.names, world.names)) | {"dog": None}
    there = y != "dog"
    with pytest.raises(ValueError, match=r"no shots of the classes \['dog'\]"):
        few_shot(world, class_names=names).partial_fit(X[there], y[there], classes=world.names)
    fitted = few_shot(world, class_names=names).fit(X[there], y[there])
    with pytest.raises(ValueError, match=r"no shots of the classes \['dog'\]"):
        fitted.with_classes(world.names)
    grown = fitted.partial_fit(X[~there], y[~there])
    expected = few_shot(world, class_names=names).fit(X, y)
    np.testing.assert_allclose(grown.predict_proba(X), expected.predict_proba(X), rtol=1e-6)
    assert grown.with_classes(["cat", "dog"]).class_names_.tolist() == ["cat", None]


def test_text_of_no_class_at_all_is_refused(world):
    X, y = world.draw(2)
    with pytest.raises(ValueError, match="'ignore'"):
        few_shot(world, class_names=dict.fromkeys(world.names)).fit(X, y)
    with pytest.raises(ValueError, match="every class needs a name"):
        zero_shot(world, class_names=dict(zip(world.names, world.names)) | {"dog": None}).fit(X, y)
    with pytest.raises(TypeError, match="a name is a string"):
        few_shot(world, class_names=[*world.names[:-1], None]).fit(X, y)
