"""What persons said, from events alone."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sksemobridge.labelling._answers.event_kinds import ANSWERS_OF_A_ROUND
from sksemobridge.labelling._answers.events import Event, PictureEvent
from sksemobridge.labelling._answers.evidence import evidence, first_answers, shares_now, why_unsure
from sksemobridge.labelling._answers.history import after, fold, last_undoable

CLASSES = ["bird", "clock"]
LIKELY = (("bird", 0.6), ("clock", 0.3))


def find(picture):
    return [picture.path]


def said_by(*events):
    return fold(numbered(events), find, CLASSES)


def numbered(events):
    """Events with numbers as they are appended."""
    return [Event(**event | {"id": number}) for number, event in enumerate(events, start=1)]


def say(path, label, kind="say", likely=(), n_columns=0, **values):
    names = path if isinstance(path, list) else [path]
    pictures = tuple(
        PictureEvent(name, label=label, taught=True, likely=likely, n_columns=n_columns)
        for name in names
    )
    return {"kind": kind, "pictures": pictures} | values


def test_the_last_answer_counts_in_the_order_of_saying():
    said = said_by(say("a", "bird"), say("b", "clock"), say("a", ""), say("c", "Owl"))
    assert [*said.labels().items()] == [("b", "clock"), ("a", ""), ("c", "Owl")]
    assert said.names.current == ["Owl", "bird", "clock"]


def test_a_page_is_said_and_taken_back_as_one():
    events = [say("a", "bird"), say(["a", "b", "c"], "clock", "page"), {"kind": "undo", "of": 2}]
    assert said_by(*events[:2]).labels() == dict.fromkeys("abc", "clock")
    said = said_by(*events)
    assert (said.labels(), [*said.seen]) == ({"a": "bird"}, ["a"])


def test_corrections_come_first_and_hold_where_nothing_is_said():
    corrections = {"a": ("a.png", "bird"), "b": ("b.png", "owl"), "c": ("c.png", "")}
    said = fold(numbered([say("a", "clock")]), find, CLASSES, corrections)
    assert said.labels() == {"a": "clock", "b": "owl", "c": ""}
    assert [*said.seen] == ["a"]


def test_class_operations_take_their_answers_along():
    events = [
        say("a", "bird"),
        say("b", "clock"),
        {"kind": "rename", "names": ("bird",), "into": "owl"},
    ]
    assert said_by(*events).labels() == {"a": "owl", "b": "clock"}
    events.append({"kind": "join", "names": ("clock",), "into": "owl"})
    assert said_by(*events).labels() == {"a": "owl", "b": "owl"}
    assert said_by(*events, {"kind": "undo", "of": 4}).labels() == {"a": "owl", "b": "clock"}
    dropped = said_by(*events, {"kind": "drop", "names": ("owl",)})
    assert (dropped.labels(), [*dropped.seen], dropped.names.current) == ({}, ["a", "b"], [])
    # Without the rename, what was said later under its name is a class of its own.
    again = said_by(*events[:3], say("c", "owl"), {"kind": "undo", "of": 3})
    assert again.labels() == {"a": "bird", "b": "clock", "c": "owl"}


def test_what_is_asked_later_comes_in_that_order_until_it_is_answered():
    skip = [{"kind": "skip", "pictures": (PictureEvent(name),)} for name in "aba"]
    assert [*said_by(*skip).skipped] == ["b", "a"]
    assert [*said_by(*skip, say("b", "bird")).skipped] == ["a"]


def test_an_answer_knows_how_it_was_given():
    pictures = (
        PictureEvent("a", label="bird", shown="bird"),
        PictureEvent("b", label="bird", shown="clock"),
        PictureEvent("c", label="bird", shown="bird", by_burst=True),
    )
    page = {"kind": "page", "pictures": pictures, "seconds": 6.0, "who": "Eve", "tab": "t"}
    said = said_by(page | {"pictures": pictures[:1]}, page)
    assert [answer.confirmed for answer in said.answers.values()] == [True, False, True]
    # A burst is one picture that somebody looks at.
    assert [answer.seconds for answer in said.answers.values()] == [3.0] * 3
    assert said_by(page | {"pictures": pictures[:1]}).answers["a"].seconds == 6
    assert [answer.by_burst for answer in said.answers.values()] == [False, False, True]
    assert {(answer.who, answer.person) for answer in said.answers.values()} == {("Eve", "Eve")}
    single = said_by(page | {"kind": "say", "who": "", "seconds": None}).answers["a"]
    assert (single.confirmed, single.seconds, single.person) == (False, None, "t")


def test_planting_is_on_until_somebody_switches_it_off():
    switch = [{"kind": "planting", "among": among} for among in ("off", "on")]
    assert said_by().attention.is_on
    assert not said_by(*switch[:1]).attention.is_on
    assert said_by(*switch).attention.is_on


def test_the_estimate_hears_what_the_model_said_before_it_learnt():
    asked = {"likely": LIKELY, "n_columns": 4}
    sure = {"likely": (("clock", 0.9),), "n_columns": 4}
    page = say(["a", "b"], "bird", "page", **asked)
    page["pictures"] = page["pictures"][0], replace(page["pictures"][1], label="owl")
    first, second = evidence(said_by(page, say("c", "clock", **sure)))["answers"]
    # The model did not know the owl.
    assert (first.proba.tolist(), first.codes.tolist(), first.n_others) == ([[0.6, 0.3]], [0], 2)
    assert (second.proba.tolist(), second.codes.tolist(), second.n_others) == ([[0.9]], [0], 3)
    # It has learnt since the first one was asked.
    assert 2 * first.weights[0] == second.weights[0]
    # Annotations again after the model had learnt a slip, and renamed.
    said = said_by(
        say("a", "bird", "page", **asked),
        say("a", "clock", **sure),
        {"kind": "rename", "names": ("clock",), "into": "watch"},
    )
    (again,) = evidence(said)["answers"]
    assert (again.proba.tolist(), again.codes.tolist()) == ([[0.6, 0.3]], [1])
    taken_back = said_by(say("a", "bird", **asked), {"kind": "undo", "of": 1})
    assert evidence(taken_back)["answers"] == []


def test_rounds_are_pages_and_handfuls_of_single_answers():
    def rounds_of(*events):
        return [answer.round for answer in said_by(*events).answers.values()]

    asked = {"likely": LIKELY, "n_columns": 3}
    n = ANSWERS_OF_A_ROUND
    single = [say(str(i), "bird", **asked) for i in range(2 * n + 1)]
    assert rounds_of(*single) == [0] * n + [1] * n + [2]
    # Pictures that somebody searched for tell nothing of the predictions.
    assert rounds_of(*(say(name, "bird") for name in "abcdef")) == [0] * 6
    page = say(["x", "y"], "bird", "page", **asked)
    assert rounds_of(single[0], page, single[1]) == [0, 0, 0, 1]
    # A picture that is asked again stays in the round of its first asking, where it was asked.
    again = say(["y", "z"], "clock", "page", **asked)
    assert rounds_of(page, again) == [0, 0, 1]
    # What is taken back ends no round.
    assert rounds_of(page, {"kind": "undo", "of": 1}, single[0]) == [0]


def test_there_is_no_estimate_before_a_look_nor_beside_pictures_of_no_class():
    single = [say(name, "bird", likely=LIKELY, n_columns=3) for name in "abcde"]
    assert "After a page" in why_unsure(said_by(*single[:4]))
    assert why_unsure(said_by(*single)) == ""
    none = say("f", "", "page", likely=LIKELY, n_columns=3)
    assert "only a check at random" in why_unsure(said_by(*single, none))
    assert why_unsure(said_by(*single, none, {"kind": "undo", "of": 6})) == ""


def test_probabilities_follow_the_names_of_the_classes():
    both = (("bird", 0.5), ("finch", 0.3))
    events = [
        say(["a", "b"], "finch", "page", likely=both, n_columns=3),
        {"kind": "join", "names": ("finch",), "into": "bird"},
        {"kind": "rename", "names": ("bird",), "into": "animal"},
    ]
    said = fold(numbered(events), find, ["bird", "finch", "clock"])
    (answered,) = evidence(said)["answers"]
    assert (answered.proba.tolist(), answered.codes.tolist()) == ([[0.8]] * 2, [0, 0])
    assert answered.n_others == 1
    (answer,) = {shares_now(said, answer)[answer.label] for answer in said.answers.values()}
    assert answer == 0.8


def check(**shown):
    pictures = tuple(PictureEvent(name, shown=label) for name, label in shown.items())
    return {"kind": "check", "pictures": pictures}


def test_a_check_counts_what_is_said_after_it():
    events = [say("a", "bird"), check(a="bird", b="clock", c="bird")]
    assert said_by(*events).checked() == {}
    events += [say("b", "clock"), say("c", "clock", likely=LIKELY, n_columns=3)]
    said = said_by(*events)
    assert said.checked() == {"b": True, "c": False}
    # Random pictures are no answers that the model chose.
    assert evidence(said) == {"answers": [], "n_checked": 2, "n_right": 1}
    assert said_by(*events, {"kind": "undo", "of": 4}).checked() == {"b": True}
    assert said_by(*events, {"kind": "check"}).check.shown == {"b": "clock", "c": "bird"}
    renamed = said_by(*events, {"kind": "rename", "names": ("clock",), "into": "watch"})
    assert renamed.checked() == {"b": True, "c": False}
    others = [say(str(i), "bird") for i in range(30)]
    assert evidence(said_by(*events, *others))["n_checked"] == 1


def at_random(path, label):
    event = say(path, label, likely=LIKELY, n_columns=3)
    return event | {"pictures": (replace(event["pictures"][0], at_random=True),)}


def test_first_answers_are_at_random_and_tell_how_good_the_names_are():
    events = [at_random("a", "bird"), *(at_random(path, "clock") for path in "bcd")]
    assert first_answers(said_by(*events)) is None
    events.append(say("e", "clock", likely=LIKELY, n_columns=3))
    said = said_by(*events)
    assert first_answers(said) == (1, 4)
    found = evidence(said)
    assert (found["n_checked"], found["n_right"]) == pytest.approx((4 * 30 / 31, 30 / 31))
    assert [part.codes.tolist() for part in found["answers"]] == [[1]]
    # Another answer to such a picture, and another name.
    events += [say("a", "clock"), {"kind": "rename", "names": ("bird",), "into": "wren"}]
    assert first_answers(said_by(*events)) == (0, 4)
    assert first_answers(said_by(*events, say("a", "wren"))) == (1, 4)
    assert first_answers(said_by(*[say(path, "bird", likely=LIKELY) for path in "abcde"])) is None


def test_who_has_no_name_is_the_same_after_a_new_start():
    first, again = say("a", "bird", tab="t"), say("a", "clock", tab="u", run=1)
    assert said_by(first, again).disputed() == {}
    assert said_by(first, again | {"run": 0}).disputed() == {"a": {"t": "bird", "u": "clock"}}
    named = first | {"who": "Eve"}
    assert said_by(named, again).disputed() == {"a": {"Eve": "bird", "u": "clock"}}


def test_who_differs_is_named():
    said = said_by(
        say("a", "bird", who="anna"),
        say("a", "Bird", who="ben"),
        say("b", "bird", who="anna"),
        say("b", "", who="ben"),
    )
    assert said.disputed() == {"b": {"anna": "bird", "ben": ""}}


def test_each_tab_takes_back_its_own_or_what_an_earlier_run_said():
    events = numbered(
        [say("a", "bird", tab="old"), say("b", "bird", tab="x"), say("c", "", tab="y")]
    )

    def last(tab, n_before=1):
        event = last_undoable(events, tab, n_before, lambda _: True)
        return event and event.id

    assert [last(tab) for tab in ("x", "y", "new")] == [2, 3, 1]
    assert last("new", 0) is None
    events.append(Event("undo", 4, of=2))
    assert last("x") == 1


def card(name, how, into):
    return {"kind": "card", "names": (name,), "among": how, "into": into}


def test_what_became_of_suggestions_is_kept():
    events = [card("dog", "joined", "animal"), card("animal", "kept", "beast")]
    # To drop what is no class changes nothing.
    gone = {"kind": "drop", "names": ("nobody",)}
    assert said_by(card("dog", "kept", ""), gone).cards == {"dog": ("kept", "")}
    # What was joined follows the name.
    assert said_by(*events).cards == {"dog": ("joined", "beast"), "animal": ("kept", "beast")}
    events.append({"kind": "add", "names": ("beast",)})
    assert said_by(*events).names_for_text("beast") == ["beast", "animal"]
    events.append({"kind": "rename", "names": ("beast",), "into": "Rex"})
    assert said_by(*events).names_for_text("Rex") == ["Rex", "beast", "animal"]
    # A class of its own has its own text.
    events.append({"kind": "add", "names": ("animal",)})
    assert said_by(*events).names_for_text("Rex") == ["Rex", "beast"]
    dropped = said_by(*events, {"kind": "drop", "names": ("Rex",)})
    assert {how for how, _ in dropped.cards.values()} == {"dropped"}
    # So is a card without a name of its own, by the name that was suggested.
    drop = {"kind": "drop", "names": ("dog",)}
    assert said_by({"kind": "add", "names": ("dog",)}, card("dog", "kept", ""), drop).cards == {
        "dog": ("dropped", "")
    }


ANY = st.one_of(
    st.builds(say, st.sampled_from("abc"), st.sampled_from(["bird", "Clock", "", "owl"])),
    st.builds(lambda label: say(["a", "b"], label, "page"), st.sampled_from(["bird", ""])),
    st.builds(lambda of: {"kind": "undo", "of": of}, st.integers(1, 8)),
    st.builds(
        lambda name, into: {"kind": "rename", "names": (name,), "into": into},
        st.sampled_from(["bird", "owl"]),
        st.sampled_from(["clock", "fowl"]),
    ),
    st.builds(lambda name: {"kind": "drop", "names": (name,)}, st.sampled_from(["bird", "owl"])),
    st.just(check(a="bird", c="clock")),
    st.just({"kind": "check"}),
    st.builds(
        card,
        st.sampled_from(["bird", "owl"]),
        st.sampled_from(["kept", "joined", "dropped"]),
        st.sampled_from(["bird", "clock", ""]),
    ),
)


@given(st.lists(ANY, max_size=10))
def test_one_event_more_is_as_all_from_the_beginning(events):
    events = numbered(events)
    said = fold([], find, CLASSES)
    for number, event in enumerate(events, start=1):
        together = fold(events[:number], find, CLASSES)
        if event.kind == "undo":
            said = together
        before = said.labels()
        later = said if event.kind == "undo" else after(said, event, find)
        assert said.labels() == before
        said = later
        for name in ("answers", "seen", "skipped", "check", "opinions", "attention", "cards"):
            assert getattr(said, name) == getattr(together, name)
        assert said.names.current == together.names.current
        assert {*said.labels().values()} <= {*said.names.current, ""}
