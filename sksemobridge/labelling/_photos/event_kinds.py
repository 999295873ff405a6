"""Kinds of events: what each must have, what it changes, and how a person would call it. Another
kind is one more entry of `KINDS`.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from .attention import person_of
from .class_names import NONE_OF_THESE
from .said import Answer, Check

# A page is a round of answers, and so are this many single ones. The live page learns after each:
# an assumption. With fewer it learns more often, with more it asks longer by what it knew before.
ANSWERS_OF_A_ROUND = 5


def _answer(said, event, find):
    for picture in event.pictures:
        for real in find(picture):
            _answer_one(said, event, picture, real)
    # Pictures that a person searched for say nothing of the predictions.
    if any(picture.likely for picture in event.pictures):
        said.n_in_round += 1
        if event.kind == "page" or said.n_in_round == ANSWERS_OF_A_ROUND:
            said.rounds, said.n_in_round = said.rounds + 1, 0


def _answer_page(said, event, find):
    _answer(said, event, find)
    said.attention.take_page(event)


def _answer_one(said, event, picture, real):
    label = said.names.add(picture.label) if picture.label else ""
    n_asked = max(sum(not part.along for part in event.pictures), 1)
    answer = Answer(
        label,
        picture.path,
        taught=bool(picture.taught),
        who=event.who,
        event=event.id,
        likely=picture.likely,
        n_columns=picture.n_columns,
        round=said.rounds,
        along=picture.along,
        person=person_of(event),
        confirmed=event.kind == "page" and picture.label == picture.shown,
        seconds=event.seconds and event.seconds / n_asked,
    )
    earlier = said.answers.pop(real, None)
    if earlier is not None:
        # The model may have learnt the answer before.
        asked = {"likely": earlier.likely, "n_columns": earlier.n_columns}
        answer = replace(answer, round=earlier.round, **asked)
    said.answers[real] = answer
    said.seen[real] = True
    said.skipped.pop(real, None)
    _take_opinion(said, event, real, label)


def _take_opinion(said, event, real, label):
    opinions = said.opinions.setdefault(real, {})
    if not event.who:
        said.runs[event.tab] = event.run
        # As far as one knows, the same person before the program was begun again.
        for other in [*opinions]:
            if said.runs.get(other, event.run) != event.run:
                del opinions[other]
    opinions[person_of(event)] = label


def _plant(said, event, find):
    said.attention.take_planted(event)


def _switch_planting(said, event, find):
    said.attention.is_on = event.among == "on"


def _put_off(said, event, find):
    for real in (real for picture in event.pictures for real in find(picture)):
        said.skipped.pop(real, None)
        said.skipped[real] = True


def _begin_or_end_check(said, event, find):
    if event.pictures:
        shown = {real: part.shown for part in event.pictures for real in find(part)}
        said.check = Check(shown, event.among, event.id)
    elif said.check is not None:
        done = said.checked()
        shown = {real: label for real, label in said.check.shown.items() if real in done}
        said.check = replace(said.check, shown=shown)


def _add(said, event, find):
    for name in event.names:
        said.names.add(name)


def _rename(said, event, find):
    said.names.rename(event.names[0], event.into)
    _follow_names(said)


def _join(said, event, find):
    said.names.join(event.names, event.into)
    _follow_names(said)


def _drop(said, event, find):
    for name in event.names:
        dropped = said.now(name)
        for key, (_, called) in said.cards.items():
            if dropped is not None and said.names.now(called or key) == dropped:
                said.cards[key] = "dropped", called
        said.names.drop(name)
    _follow_names(said)


def _follow_names(said):
    """Give answers the names that their classes have now. A class that was dropped takes its
    answers along.
    """
    now = {answer.label: said.now(answer.label) for answer in said.answers.values()}
    for real, answer in list(said.answers.items()):
        if now[answer.label] is None:
            del said.answers[real]
        elif now[answer.label] != answer.label:
            said.answers[real] = replace(answer, label=now[answer.label])


def _take_card(said, event, find):
    for key in event.names or (real for part in event.pictures for real in find(part)):
        before = said.cards.get(key, ("", key if event.names else ""))[1]
        said.cards[key] = event.among, event.into
        # What was joined with it follows its name.
        for other, (how, name) in said.cards.items():
            if how == "joined" and other != key and before and name == before:
                said.cards[other] = how, event.into or before


def _nothing(said, event, find):
    pass


def _names(event):
    return ", ".join(f"“{name}”" for name in event.names)


class Kind(NamedTuple):
    """A kind of event: all that is particular to it."""

    # Changes a `Said` by an event, where `find` gives the real paths of a picture.
    effect: Callable[[Any, Any, Any], None] = _nothing
    words: Callable[[Any], str] | None = None  # what a person did; None if it cannot be taken back
    needs: tuple[str, ...] = ()  # fields that it must have
    each_needs: tuple[str, ...] = ()  # those of each of its pictures
    among: tuple[str, ...] = ()  # what the field of this name may be


KINDS = {
    # Labels of pictures by a person.
    "say": Kind(
        _answer,
        lambda event: f"the answer “{event.pictures[0].label or NONE_OF_THESE}”",
        needs=("pictures",),
        each_needs=("label",),
    ),
    # The same of a page: the pictures that were not changed are right as they were shown.
    "page": Kind(
        _answer_page,
        lambda event: f"a page of {len(event.pictures)}",
        needs=("pictures",),
        each_needs=("label",),
    ),
    # What was said of pictures that were planted in the page before: see `attention`.
    "planted": Kind(_plant, needs=("pictures",), each_needs=("label", "shown")),
    # Pictures are planted from now on, or none.
    "planting": Kind(_switch_planting, among=("on", "off")),
    # One event is taken back, see `undone`.
    "undo": Kind(needs=("of",)),
    # Ask later.
    "skip": Kind(_put_off, needs=("pictures",)),
    # Pictures of a check are drawn, or none, at its end.
    "check": Kind(_begin_or_end_check, each_needs=("shown",), among=("rest", "seen")),
    # Classes.
    "add": Kind(
        _add,
        lambda event: (
            f"the new class {_names(event)}" if len(event.names) == 1 else "the new classes"
        ),
        needs=("names",),
    ),
    "rename": Kind(
        _rename,
        lambda event: f"the name “{event.into}” for {_names(event)}",
        needs=("names", "into"),
    ),
    "join": Kind(
        _join,
        lambda event: f"the join of {_names(event)} into “{event.into}”",
        needs=("names", "into"),
    ),
    "drop": Kind(_drop, lambda event: f"the drop of {_names(event)}", needs=("names",)),
    # What became of a suggested name, or of a group that its first picture stands for, and what it
    # is called, or with what name it was joined.
    "card": Kind(_take_card, among=("kept", "dropped", "joined")),
    # A file that this command wrote.
    "wrote": Kind(needs=("path", "size", "sha256")),
}
ANSWERS = ("say", "page")
