"""Kinds of events: the fields that each needs, its effect, and its name for a person. Another kind
is one more entry of `KINDS`.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from .annotations import Answer, Check
from .attention import person_of
from .class_names import NONE_OF_THESE

# A page is a round of answers, and so are this many single answers. The live page learns after each
# round. The number is an assumption: with fewer answers the page learns more often, with more
# answers it asks longer by an old model.
ANSWERS_OF_A_ROUND = 5


def _answer(annotations, event, find):
    for picture in event.pictures:
        for real in find(picture):
            _answer_one(annotations, event, picture, real)
    # Pictures that a person searched for say nothing of the predictions.
    if any(picture.likely for picture in event.pictures):
        annotations.n_in_round += 1
        if event.kind == "page" or annotations.n_in_round == ANSWERS_OF_A_ROUND:
            annotations.rounds, annotations.n_in_round = annotations.rounds + 1, 0


def _answer_page(annotations, event, find):
    _answer(annotations, event, find)
    annotations.attention.take_page(event)


def _answer_one(annotations, event, picture, real):
    label = annotations.names.add(picture.label) if picture.label else ""
    n_asked = max(sum(not picture.by_burst for picture in event.pictures), 1)
    answer = Answer(
        label,
        picture.path,
        taught=bool(picture.taught),
        who=event.who,
        event=event.id,
        likely=picture.likely,
        n_columns=picture.n_columns,
        round=annotations.rounds,
        by_burst=picture.by_burst,
        at_random=picture.at_random,
        person=person_of(event),
        confirmed=event.kind == "page" and picture.label == picture.shown,
        seconds=event.seconds and event.seconds / n_asked,
    )
    earlier = annotations.answers.pop(real, None)
    if earlier is not None:
        # The first prediction stays, since the model may have learnt the earlier answer.
        names = ("likely", "n_columns", "round", "at_random")
        answer = replace(answer, **{name: getattr(earlier, name) for name in names})
    annotations.answers[real] = answer
    annotations.seen[real] = True
    annotations.skipped.pop(real, None)
    _take_opinion(annotations, event, real, label)


def _take_opinion(annotations, event, real, label):
    opinions = annotations.opinions.setdefault(real, {})
    if not event.who:
        annotations.runs[event.tab] = event.run
        # A tab of an earlier run is taken for the same person, so its label goes.
        for other in [*opinions]:
            if annotations.runs.get(other, event.run) != event.run:
                del opinions[other]
    opinions[person_of(event)] = label


def _plant(annotations, event, find):
    annotations.attention.take_planted(event)


def _switch_planting(annotations, event, find):
    annotations.attention.is_on = event.among == "on"


def _put_off(annotations, event, find):
    for real in (real for picture in event.pictures for real in find(picture)):
        annotations.skipped.pop(real, None)
        annotations.skipped[real] = True


def _begin_or_end_check(annotations, event, find):
    if event.pictures:
        shown = {real: picture.shown for picture in event.pictures for real in find(picture)}
        annotations.check = Check(shown, event.among, event.id, event.drawn_from)
    elif annotations.check is not None:
        done = annotations.checked()
        shown = {real: label for real, label in annotations.check.shown.items() if real in done}
        annotations.check = replace(annotations.check, shown=shown)


def _add(annotations, event, find):
    for name in event.names:
        annotations.names.add(name)


def _rename(annotations, event, find):
    annotations.names.rename(event.names[0], event.into)
    _follow_names(annotations)


def _join(annotations, event, find):
    annotations.names.join(event.names, event.into)
    _follow_names(annotations)


def _drop(annotations, event, find):
    for name in event.names:
        dropped = annotations.current_name(name)
        for key, (_, called) in annotations.cards.items():
            if dropped is not None and annotations.names.current_name(called or key) == dropped:
                annotations.cards[key] = "dropped", called
        annotations.names.drop(name)
    _follow_names(annotations)


def _follow_names(annotations):
    """Give answers the current names of their classes. Answers of dropped classes are deleted."""
    labels = {answer.label for answer in annotations.answers.values()}
    name_of = {label: annotations.current_name(label) for label in labels}
    for real, answer in list(annotations.answers.items()):
        if name_of[answer.label] is None:
            del annotations.answers[real]
        elif name_of[answer.label] != answer.label:
            annotations.answers[real] = replace(answer, label=name_of[answer.label])


def _take_card(annotations, event, find):
    for key in event.names or (real for picture in event.pictures for real in find(picture)):
        before = annotations.cards.get(key, ("", key if event.names else ""))[1]
        annotations.cards[key] = event.among, event.into
        # Suggestions that were joined with this one follow its new name.
        for other, (how, name) in annotations.cards.items():
            if how == "joined" and other != key and before and name == before:
                annotations.cards[other] = how, event.into or before


def _nothing(annotations, event, find):
    pass


def _names(event):
    return ", ".join(f"“{name}”" for name in event.names)


class Kind(NamedTuple):
    """A kind of event, with all that is particular to the kind."""

    # Changes `Annotations` by an event, where `find` gives the real paths of a picture.
    effect: Callable[[Any, Any, Any], None] = _nothing
    words: Callable[[Any], str] | None = None  # names the event; None if it cannot be undone
    needs: tuple[str, ...] = ()  # fields that the event must have
    each_needs: tuple[str, ...] = ()  # fields that each of its pictures must have
    among: tuple[str, ...] = ()  # values that the field `among` may have


KINDS = {
    # Labels of pictures by a person.
    "say": Kind(
        _answer,
        lambda event: f"the answer “{event.pictures[0].label or NONE_OF_THESE}”",
        needs=("pictures",),
        each_needs=("label",),
    ),
    # Labels of all pictures of a page. Pictures that the person did not change are right as shown.
    "page": Kind(
        _answer_page,
        lambda event: f"a page of {len(event.pictures)}",
        needs=("pictures",),
        each_needs=("label",),
    ),
    # Labels of the pictures that were planted in the page before: see `attention`.
    "planted": Kind(_plant, needs=("pictures",), each_needs=("label", "shown")),
    # Planting of pictures is switched on or off.
    "planting": Kind(_switch_planting, among=("on", "off")),
    # An event is undone, see `undone`.
    "undo": Kind(needs=("of",)),
    # Pictures are put off, to be asked later.
    "skip": Kind(_put_off, needs=("pictures",)),
    # A check begins with these pictures, or ends, without pictures.
    "check": Kind(_begin_or_end_check, each_needs=("shown",), among=("rest", "seen")),
    # Changes of classes.
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
    # An action on a suggestion: on a name, or on a cluster, which its first picture stands for.
    # `into` is its new name, or the name with which it was joined.
    "card": Kind(_take_card, among=("kept", "dropped", "joined")),
    # A file that this command wrote.
    "wrote": Kind(needs=("path", "size", "sha256")),
}
ANSWERS = ("say", "page")


def classes_in(event):
    """All names of classes in an event."""
    # A card of a suggestion may have any text.
    named = () if event.kind == "card" else (*event.names, event.into)
    return [name for name in (*named, *(picture.label for picture in event.pictures)) if name]
