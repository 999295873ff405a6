"""All events together: the annotations after them, and the events that can be undone."""

from itertools import chain

from .annotations import Annotations, Answer
from .class_names import ClassNames
from .event_kinds import KINDS


def fold(events, find, classes=(), corrections=None):
    """`Annotations` by all events together, without events that were undone.

    `classes` are the names to begin with. `corrections` are the labels of a list: a dict from real
    paths to `(path, label)`.
    """
    annotations = Annotations(ClassNames(classes))
    for real, (path, label) in (corrections or {}).items():
        label = annotations.names.add(label) if label else ""
        annotations.answers[real] = Answer(label, path)
    passed = undone(events)
    for position, event in enumerate(events):
        if position not in passed:
            KINDS[event.kind].effect(annotations, event, find)
    return annotations


def after(annotations, event, find):
    """`Annotations` with one more event, which is no undo."""
    annotations = annotations.copy()
    KINDS[event.kind].effect(annotations, event, find)
    return annotations


def undone(events):
    """Positions of the events that were undone."""
    places, taken_back = {}, set()
    for position, event in enumerate(events):
        if event.kind == "undo" and event.of in places:
            taken_back.add(places[event.of])
        places[event.id] = position
    return taken_back


def last_undoable(events, tab, n_before, is_here):
    """The event that a tab would undo: its own last event, or else the last of the `n_before`
    events of earlier runs. None if no event is left.

    `is_here` is a function that says whether pictures of an event are still in the folder.
    """
    passed = undone(events)

    def is_left(position):
        event = events[position]
        return KINDS[event.kind].words and position not in passed and is_here(event)

    own = (i for i in reversed(range(len(events))) if events[i].tab == tab and is_left(i))
    earlier = (i for i in reversed(range(n_before)) if is_left(i))
    last = next(chain(own, earlier), None)
    return None if last is None else events[last]
