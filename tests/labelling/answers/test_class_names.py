"""Names of classes: spellings, and what becomes of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sksemobridge._utils.validation import comparable
from sksemobridge.labelling._answers.class_names import ClassNames

from ..spellings import COMPARED_AS


@pytest.mark.parametrize("text", COMPARED_AS)
def test_spellings_are_one_class(text):
    same = COMPARED_AS[text]
    assert comparable(text) == same
    names = ClassNames([same])
    assert names.add(text) == same
    assert names.current == [same]


def test_names_that_differ_in_a_letter_are_two_classes():
    assert ClassNames(["Masse", "Maße", "m²", "m2"]).current == ["Masse", "Maße", "m2", "m²"]


def test_a_renamed_name_means_the_new_one():
    names = ClassNames(["brid", "clock"])
    assert names.rename("brid", "bird") == "bird"
    assert names.current == ["bird", "clock"]
    assert names.current_name("brid") == names.add("Brid") == "bird"
    # Back again: no name goes in a circle.
    assert names.rename("bird", "brid") == "brid"
    assert names.current_name("bird") == names.current_name("brid") == "brid"
    assert names.rename("brid", "Brid") == "Brid"
    assert names.current == ["Brid", "clock"]


def test_the_name_of_another_class_joins_it():
    names = ClassNames(["bird", "birds", "owl", "clock"])
    assert names.rename("birds", "Bird") == "bird"
    assert names.join(["owl", "bird"], "fowl") == "fowl"
    assert names.current == ["clock", "fowl"]
    assert {names.current_name(name) for name in ("bird", "birds", "owl")} == {"fowl"}
    # A name that was joined means the one that stays.
    assert names.rename("clock", "owl") == "fowl"


def test_earlier_names_come_the_last_first():
    names = ClassNames(["bird", "wren", "owl"])
    names.rename("bird", "birds")
    names.join(["wren"], "birds")
    names.join(["owl"], "birds")
    assert names.before("Birds") == ["owl", "wren", "bird"]


def test_a_dropped_name_means_nothing_until_it_is_given_again():
    names = ClassNames(["bird", "clock"])
    assert names.drop("Bird") == "bird"
    assert (names.current_name("bird"), names.current, names.drop("bird")) == (
        None,
        ["clock"],
        None,
    )
    assert names.rename("bird", "x") is None
    assert names.add("bird") == "bird"
    assert names.current == ["bird", "clock"]


NAMES = st.sampled_from(["a", "A", "b", "c", "d", "e_f", "e f"])
STEPS = st.one_of(
    st.tuples(st.just("add"), NAMES),
    st.tuples(st.just("drop"), NAMES),
    st.tuples(st.just("rename"), NAMES, NAMES),
    st.tuples(st.just("join"), st.lists(NAMES, min_size=1, max_size=3), NAMES),
)


@given(st.lists(STEPS, max_size=12))
def test_every_name_means_one_class_or_none_whatever_was_done(steps):
    names = ClassNames(["a", "b", "c"])
    for step, *values in steps:
        before = names.copy()
        getattr(names, step)(*values)
        assert before.current == before.copy().current
        current = names.current
        assert len({comparable(name) for name in current}) == len(current)
        for name in current:
            assert names.current_name(name) == name
        for name in ("a", "b", "c", "d", "e f"):
            assert names.current_name(name) in {*current, None}
