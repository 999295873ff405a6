"""The names of classes, and their prompts."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression

from sksemobridge import (
    CLIPTextEncoder,
    FewShotClassifier,
    MultilabelFewShotClassifier,
    PrecomputedTextEncoder,
    ZeroShotClassifier,
)
from sksemobridge._texts.prompts import build_prompts, name_classes

from ..made_up import TEMPLATE, World, every_model

NAMES = World().names
OWN = {name: name for name in NAMES}
FOLDERS = [name.replace(" ", "_") for name in NAMES]


@pytest.fixture(params=[World.classifier, World.zero_shot], ids=["few-shot", "zero-shot"])
def make(request):
    return request.param


# Labels and names


@pytest.mark.parametrize(
    "form", [list, np.array, pl.Series, pd.Index, lambda names: pd.Series(OWN)[::-1]]
)
def test_names_may_be_a_sequence_in_sorted_order_or_a_series(world, make, form):
    X, y = world.draw(2)
    assert make(world, class_names=form(NAMES)).fit(X, y).class_names_.tolist() == NAMES
    names = form(NAMES)
    if isinstance(names, pd.Series):
        names = pd.Series(NAMES[::-1], index=[4, 3, 2, 1, 0])
    assert make(world, class_names=names).fit(X, world.codes(y)).class_names_.tolist() == NAMES


@pytest.mark.parametrize("names", [NAMES[::-1], [name.title() for name in NAMES[1:] + NAMES[:1]]])
def test_labels_in_another_order_are_refused_with_both_orders(world, make, names):
    with pytest.raises(ValueError, match="in another order") as caught:
        make(world, class_names=names).fit(*world.draw(2))
    for order in (NAMES, names):
        assert ", ".join(map(repr, order)) in str(caught.value)


def test_numbers_as_text_beside_a_list_of_names_are_warned_of():
    labels = sorted(map(str, range(11)))
    names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    with pytest.warns(UserWarning, match="sorted as text, .*10' is 'two'.*Give a mapping"):
        assert name_classes(labels, names) == names
    for classes in (sorted(map(str, range(10))), range(11)):
        assert name_classes(classes, names[: len(classes)]) == names[: len(classes)]


def test_a_name_that_equals_its_label_is_read_alike_in_any_form(world, make):
    X, y = world.draw(2)
    labels = np.char.replace(y, " ", "_")
    expected = make(world).fit(X, labels)
    assert expected.class_names_.tolist() == NAMES
    for names in (FOLDERS, dict(zip(FOLDERS, FOLDERS))):
        fitted = make(world, class_names=names).fit(X, labels)
        assert fitted.class_names_.tolist() == NAMES
        np.testing.assert_array_equal(fitted.text_embeddings_, expected.text_embeddings_)
    # Other names are taken as they are.
    assert name_classes(["a_cat", "dog"], {"a_cat": "big_cat", "dog": "dog"}) == ["big_cat", "dog"]


def test_tools_that_number_the_labels_change_nothing_with_a_list_of_names(world, make):
    X, y = world.draw(6)
    labels = np.char.replace(y, " ", "_")
    named = make(world, class_names=FOLDERS)
    # A list may hold labels that a fold lacks.
    fold = y != "cat"
    fitted = named.fit(X[fold], labels[fold])
    assert fitted.class_names_.tolist() == [name for name in NAMES if name != "cat"]

    expected = make(world).fit(X, labels)
    voting = VotingClassifier([("named", named), ("linear", LogisticRegression())], voting="soft")
    member = voting.fit(X, labels).named_estimators_["named"]
    np.testing.assert_array_equal(member.text_embeddings_, expected.text_embeddings_)
    assert member.class_names_.tolist() == NAMES


# Labels that a tool has numbered

NAMED_BY_LABEL = {"n1": "bird", "n2": "cat", "n3": "dog", "n4": "fire truck", "n5": "hot dog"}


@pytest.mark.parametrize(
    "names", [NAMES, OWN, dict(reversed(OWN.items())), pd.Series(OWN), NAMED_BY_LABEL]
)
@pytest.mark.parametrize("kept", [[0, 1, 2, 3, 4], [0, 2], [1, 4], [2, 3, 4], [3]])
def test_a_number_is_named_by_its_place_among_the_sorted_labels(world, make, names, kept):
    X, y = world.draw(3)
    codes = world.codes(y)
    rows = np.isin(codes, kept)
    fitted = make(world, class_names=names).fit(X[rows], codes[rows])
    assert fitted.class_names_.tolist() == [NAMES[code] for code in kept]
    assert fitted.classes_.tolist() == kept


@pytest.mark.parametrize("numbered", [np.int8, np.float64])
def test_prompts_and_none_are_found_by_the_label_of_a_number(world, numbered):
    X, y = world.draw(3)
    codes = world.codes(y).astype(numbered)
    prompts = {f"n{i + 1}": [TEMPLATE.format(name)] for i, name in enumerate(NAMES)}
    names = NAMED_BY_LABEL | {"n3": None}
    fitted = world.classifier(class_names=names).set_params(prompts=prompts).fit(X, codes)
    assert fitted.class_names_.tolist() == ["bird", "cat", None, "fire truck", "hot dog"]
    assert fitted.prompts_[3] == [TEMPLATE.format("fire truck")]


def test_numbered_classes_may_come_later(world):
    X, y = world.draw(3)
    codes = world.codes(y)
    early = codes != 3
    for names in (OWN, NAMES):
        fitted = world.classifier(class_names=names).fit(X[early], codes[early])
        assert fitted.with_classes(range(5)).class_names_.tolist() == NAMES
        assert fitted.partial_fit(X, codes).class_names_.tolist() == NAMES


@pytest.mark.parametrize(
    "params",
    [
        {"class_names": OWN},
        {"class_names": NAMES},
        {"class_names": dict(enumerate(NAMES))},
        {"prompts": {i: [TEMPLATE.format(name)] for i, name in enumerate(NAMES)}},
    ],
)
@pytest.mark.parametrize("as_label", [int, bool])
def test_two_sides_of_a_tool_have_never_the_names_of_the_first_two_classes(
    world, kind, params, as_label
):
    X, y = world.draw(3)
    sides = np.array([as_label(name == "dog") for name in y])
    classifier = world.classifier(kind).set_params(**params)
    with pytest.warns(UserWarning, match="0 and 1, but 5 classes have names"):
        assert classifier.fit(X, sides).text_embeddings_ is None
    without = world.classifier(kind, class_names="ignore").fit(X, sides)
    np.testing.assert_array_equal(classifier.predict_proba(X), without.predict_proba(X))
    if as_label is int:  # with shots of the others, all have texts
        assert len(classifier.partial_fit(X, world.codes(y)).text_embeddings_) == 5
    with pytest.raises(ValueError, match="0 and 1, but 5 classes have names"):
        world.zero_shot().set_params(**params).fit(X, sides)


def test_labels_of_a_user_with_a_key_of_minus_one_are_no_sides(world, kind):
    names = {-1: "cat", 0: "dog", 1: "bird"}
    X, y = world.draw([3, 3, 0, 0, 0])
    classifier = world.classifier(kind, class_names=names)
    classifier.fit(X, np.where(y == "cat", -1, 1))
    assert classifier.class_names_.tolist() == ["cat", "bird"]


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (dict(enumerate(NAMES, start=1)), range(5)),  # number keys are no positions
        (dict(enumerate(NAMES[:4])), range(5)),
        (OWN, [0, 1, 5]),
        (OWN, [-1, 0, 1]),
        ({"a": "cat", "b": "dog"}, [False, True]),
        (OWN | {0: "zero"}, [0, 1, 2]),
    ],
)
def test_numbers_that_are_neither_keys_nor_places_are_refused_with_the_remedy(
    world, make, names, labels
):
    y = np.repeat(labels, 2)
    X = world.draw(4)[0][: len(y)]
    with pytest.raises(ValueError, match=r"no name for .* let them be text, and pass class_names"):
        make(world, class_names=names).fit(X, y)


@pytest.mark.parametrize("names", [OWN, NAMES])
def test_more_labels_than_a_tool_saw_are_warned_of(world, make, names):
    X, y = world.draw(3)
    codes = world.codes(y)
    with pytest.warns(UserWarning, match="0 to 2 are read as the first 3 of the 5 sorted") as seen:
        make(world, class_names=names).fit(X[codes < 3], codes[codes < 3])
    assert len(seen) == 1
    # Names in the order of a user's numbers are not sorted as labels are.
    make(world, class_names=[*NAMES[:3], *NAMES[:2:-1]]).fit(X[codes < 3], codes[codes < 3])


def test_names_sorted_as_labels_with_underscores_are_in_their_order(world):
    names = ["car2", "car_blue", "cat", "dog"]  # but "car blue" comes before "car2"
    texts = ["car2", "car blue", "cat", "dog"]
    encoder = PrecomputedTextEncoder.from_joint(dict(zip(texts, np.eye(4))))
    with pytest.warns(UserWarning, match="0 to 2 are read as the first 3 of the 4 sorted names"):
        ZeroShotClassifier(encoder, class_names=names).fit(None, [0, 1, 2])


@pytest.mark.parametrize("labels", [range(5), np.arange(5.0), [3, 7, 11, 13, 15], [False, True]])
def test_labels_that_are_no_text_have_no_texts_without_names(world, kind, labels):
    X, y = world.draw(3)
    y = np.asarray(labels)[world.codes(y) % len(labels)]
    classifier = world.classifier(kind)
    for learn in (classifier.fit, classifier.partial_fit):
        with pytest.warns(UserWarning, match="are not text, .* Pass class_names") as caught:
            learn(X, y)
        assert len(caught) == 1
        assert classifier.text_embeddings_ is classifier.class_names_ is None
    without = world.classifier(kind, class_names="ignore").fit(X, y).partial_fit(X, y)
    np.testing.assert_array_equal(classifier.predict_proba(X), without.predict_proba(X))
    with pytest.raises(ValueError, match="are not text, .* Pass class_names"):
        world.zero_shot().fit(X, y)


def test_words_are_not_embedded_for_labels_that_are_no_text(world, monkeypatch):
    monkeypatch.setattr(CLIPTextEncoder, "_embed", None)
    X, y = world.draw(3)
    with pytest.warns(UserWarning, match="are not text"):
        FewShotClassifier(CLIPTextEncoder("mini", "bundled")).fit(X, world.codes(y))


def test_numbers_are_not_looked_up_in_prompts_by_text(world, make):
    X, y = world.draw(2)
    classifier = make(world).set_params(prompts={name: [TEMPLATE.format(name)] for name in NAMES})
    with pytest.raises(ValueError, match="prompts has no entry for 0, .* pass class_names as"):
        classifier.fit(X, world.codes(y))
    assert classifier.set_params(class_names=NAMES).fit(X, world.codes(y)).prompts_


# Numbers as text, such as the keys of a JSON file

TWELVE = [*NAMES, "cow", "horse", "owl", "pig", "rat", "sheep", "wolf"]


@pytest.mark.parametrize(
    ("keys", "labels", "two_readings"),
    [
        ([*map(str, range(12))], range(12), "2 may be '2', or '10', 3 may be '3', or '11'"),
        ([*map(str, range(12))], [2, 5], "2 may be '2', or '10', 5 may be '5', or '3'"),
        ([f"{k}.0" for k in range(12)], np.arange(12.0), "2 may be '2.0', or '10.0'"),
        ([f" {k}" for k in range(12)], range(12), "2 may be ' 2', or ' 10'"),
        ([np.str_(k) for k in range(12)], range(12), "2 may be '2', or '10'"),
        (["1", "2", "3"], [1, 2, 3], "1 may be '1', or '2', 2 may be '2', or '3'"),
        (["-1", "1"], [-1, 1], "-1 may be '-1', or nothing"),
        ([*map(str, range(11)), "rest"], range(11), "2 may be '2', or '10'"),
    ],
)
@pytest.mark.parametrize("name", ["class_names", "prompts", "priors"])
def test_keys_that_may_be_numbers_or_sorted_text_are_refused_with_both_readings(
    world, kind, keys, labels, two_readings, name
):
    values = {"class_names": TWELVE, "prompts": TWELVE, "priors": [1.0] * 12}[name]
    classifier = world.classifier(kind).set_params(**{name: dict(zip(keys, values))})
    if name == "priors":
        classifier.set_params(class_names="ignore")
    X, y = np.tile(world.draw(3)[0], (2, 1)), np.resize(labels, 30)
    with pytest.raises(ValueError, match=two_readings) as caught:
        classifier.fit(X, y)
    assert f"{{int(key): value for key, value in {name}.items()}}" in str(caught.value)
    assert "equal length, such as '00'" in str(caught.value)


def test_tags_that_are_numbers_have_keys_that_are_numbers(world):
    X = world.draw(3)[0]
    names = {str(k): name for k, name in enumerate(TWELVE)}
    classifier = MultilabelFewShotClassifier(world.text_encoder(), class_names=names)
    with pytest.raises(ValueError, match="2 may be '2', or '10'"):
        classifier.fit(X, np.resize([0, 1], (15, 12)))


@pytest.mark.parametrize(
    ("keys", "kept"),
    [("01234", [0, 2, 4]), ("34567", range(5)), (["00", "01", "02", "10", "11"], range(5))],
)
def test_keys_that_may_be_read_in_one_way_only_name_numbers(world, make, keys, kept):
    X, y = world.draw(3)
    codes = world.codes(y)
    rows = np.isin(codes, kept)
    fitted = make(world, class_names=dict(zip(keys, NAMES))).fit(X[rows], codes[rows])
    assert fitted.class_names_.tolist() == [NAMES[code] for code in kept]


# Classes that come later


@pytest.mark.parametrize(
    "names", [None, ["bird", "dog", "fire_truck"], dict(zip(FOLDERS, FOLDERS))]
)
def test_classes_may_come_later_with_names_in_any_form(world, names):
    X, y = world.draw(3)
    labels = np.char.replace(y, " ", "_")
    early = ~np.isin(y, ["cat", "hot dog"])
    classifier = world.classifier(class_names=names).fit(X[early], labels[early])
    with_all = classifier.with_classes(FOLDERS)
    assert with_all.class_names_.tolist() == NAMES
    assert with_all.with_classes(FOLDERS[1:]).partial_fit(X, labels).class_names_.tolist() == NAMES
    grown = classifier.partial_fit(X[~early], labels[~early])
    assert grown.class_names_.tolist() == NAMES
    expected = world.classifier().fit(X, labels).predict_proba(X)
    np.testing.assert_allclose(grown.predict_proba(X), expected, rtol=1e-6)


def test_a_sequence_never_names_another_class_than_before(world):
    X, y = world.draw(3)
    codes = world.codes(y)
    classifier = world.classifier(class_names=NAMES[:4]).fit(X[codes < 4], codes[codes < 4])
    part = classifier.with_classes([0, 2])
    kept = np.isin(codes, [0, 2])
    for fitted in (part, clone(part).fit(X[kept], codes[kept])):
        assert fitted.class_names_.tolist() == [NAMES[0], NAMES[2]]
    with pytest.raises(ValueError, match="no name for 4"):
        classifier.partial_fit(X, codes)
    longer = classifier.set_params(class_names=NAMES).partial_fit(X, codes)
    assert longer.class_names_.tolist() == NAMES


def test_classes_with_one_name_warn_once(world, make):
    X, y = world.draw(2)
    with pytest.warns(UserWarning, match="'dog' and 'hot dog' have the same names") as caught:
        make(world, class_names=OWN | {"hot dog": "dog"}).fit(X, y)
    assert len(caught) == 1


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({name: name for name in NAMES if name != "hot dog"}, "no name for 'hot dog'"),
        (pd.Series(NAMES), "no name for 'bird'"),
        (pd.Series(["cat", "dog"], index=["cat", "cat"]), "twice in its index"),
        (NAMES[:4], "4 names for 5 classes"),
        ([*NAMES[:4], "cow", "horse"], "6 names for 5 classes .* Give a mapping"),
        (set("abcde"), "which has no order"),
        (dict.fromkeys(NAMES), "no name for any class"),
        *((OWN | {"cat": name}, "a name is text") for name in (np.nan, 3, " ")),
        ([*NAMES[:4], None], "a name is text"),
    ],
)
def test_names_that_do_not_fit_are_refused(world, make, names, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make(world, class_names=names).fit(*world.draw(2))


def test_labels_that_are_no_words_have_no_texts(world):
    X, y = world.draw(3)
    for labels in (y, world.codes(y)):
        fitted = world.classifier(class_names="ignore").fit(X, labels)
        assert fitted.text_embeddings_ is fitted.class_names_ is fitted.prompts_ is None
        fitted.partial_fit(X, labels).with_classes(np.unique(labels)[:2]).predict(X)


# Prompts


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ("no braces", "no '{}'"),
        *((nothing, "prompts must be 'auto', a template") for nothing in ([], {"a {}."})),
        ({"cat": ["a cat"]}, "prompts has no entry for 'bird', 'dog', 'fire truck', 'hot dog'"),
        ("an image of {}", "not among"),
        (
            OWN | {"dog": ["a photo of a {}."]},
            r"prompts\['dog'\] must be .*got \['a photo of a {}.'",
        ),
        *(
            (
                OWN | {"cat": nothing},
                r"prompts\['cat'\] must be a list of one or more whole prompts",
            )
            for nothing in ([], [" "], np.nan, [None])
        ),
    ],
)
def test_prompts_that_do_not_fit_are_refused(world, make, prompts, message):
    with pytest.raises(ValueError, match=message):
        make(world).set_params(prompts=prompts).fit(*world.draw(2))


def test_prompts_are_found_by_label_then_by_name(world):
    X, y = world.draw(2)
    by_name = {name: [TEMPLATE.format(name)] for name in NAMES}
    by_label = dict(enumerate(by_name.values()))
    expected = world.classifier().fit(X, y).text_embeddings_
    for prompts, names in ((by_label, None), (by_name, NAMES)):
        fitted = (
            world.classifier(class_names=names).set_params(prompts=prompts).fit(X, world.codes(y))
        )
        np.testing.assert_array_equal(fitted.text_embeddings_, expected)
        assert fitted.prompts_ == [*by_name.values()]


def test_only_a_pair_of_braces_is_replaced():
    assert build_prompts(["a"], ["a {} with {x} and {}{"], ["cat"]) == [["a cat with {x} and cat{"]]


# Classes without text


@every_model
def test_a_class_without_text_is_known_by_its_shots(world, params):
    X, y = world.draw(8)
    fitted = world.classifier(class_names=OWN | {"dog": None}, **params).fit(X, y)
    queries, truth = world.draw(30)
    dogs, i = truth == "dog", NAMES.index("dog")
    assert fitted.score(queries[dogs], truth[dogs]) > 0.6
    assert fitted.score(queries, truth) > 0.7
    assert fitted.class_names_[i] is fitted.prompts_[i] is None
    others = np.delete(world.zero_shot().fit(X, y).text_embeddings_, i, axis=0)
    np.testing.assert_allclose(np.delete(fitted.text_embeddings_, i, axis=0), others)
    np.testing.assert_allclose(fitted.text_embeddings_[i], others.mean(axis=0))


def test_everything_else_has_no_text_that_misleads():
    text_encoder = CLIPTextEncoder("mini", "bundled")
    X, y = text_encoder.transform(["a heart", "a clock"]), ["heart", "rest"]
    fitted = FewShotClassifier(text_encoder, class_names={"heart": "heart", "rest": None}).fit(X, y)
    assert fitted.class_names_.tolist() == ["heart", None]
    assert fitted.text_embeddings_[0] @ fitted.text_embeddings_[1] < 0.99


def test_a_class_without_text_needs_shots(world):
    X, y = world.draw(3)
    is_dog = y == "dog"
    classifier = world.classifier(class_names=OWN | {"dog": None})
    fitted = clone(classifier).fit(X[~is_dog], y[~is_dog])
    with pytest.raises(ValueError, match=r"no shots of the classes \['dog'\]"):
        fitted.with_classes(NAMES)
    grown = fitted.partial_fit(X[is_dog], y[is_dog])
    np.testing.assert_allclose(
        grown.predict_proba(X), classifier.fit(X, y).predict_proba(X), rtol=1e-6
    )
    assert grown.with_classes(["cat", "dog"]).class_names_.tolist() == ["cat", None]
