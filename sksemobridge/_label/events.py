"""What persons did: the events, and their form as JSON."""

from dataclasses import MISSING, dataclass, fields
from functools import cache
from pathlib import PurePath

# Fields that an event of each kind needs. `say` and `page` are answers, the rest of a page is right
# as it was shown. `undo` takes one event back. `skip` asks later, `check` draws pictures (or none,
# at its end). Classes are added, renamed, joined and dropped. `wrote` is a file that this wrote.
KINDS = {
    "say": ("pictures",),
    "page": ("pictures",),
    "undo": ("of",),
    "skip": ("pictures",),
    "check": (),
    "add": ("names",),
    "rename": ("names", "into"),
    "join": ("names", "into"),
    "drop": ("names",),
    "wrote": ("path", "size", "sha256"),
}
ANSWERS = ("say", "page")
# Largest count of classes in an event, so that it is a number for NumPy.
MOST_COLUMNS = 2**31
# What can be taken back.
UNDOABLE = (*ANSWERS, "add", "rename", "join", "drop")


@dataclass(frozen=True)
class PictureEvent:
    """A picture in an event.

    `path` is below a root, `"photos"` or `"shots"`. `size` and `sha256` are of the content that was
    seen, and `changed` is when the file got it, in nanoseconds. `label` is what a person said of it
    (empty: none of the classes), `shown` what stood under it. A `taught` answer is learnt from.
    `likely` are classes with the probability that the model gave them, of `n_columns` in all, none
    of the classes included; the others share the rest. A picture is `along` if it got the label of
    another one of its burst, which was asked.
    """

    path: str
    root: str = "photos"
    size: int | None = None
    sha256: str | None = None
    changed: int | None = None
    label: str | None = None
    shown: str | None = None
    taught: bool | None = None
    likely: tuple[tuple[str, float], ...] = ()
    n_columns: int = 0
    along: bool = False


@dataclass(frozen=True)
class Event:
    """What a person did. `who` is a name, and `tab` the window. The other fields are those of a
    kind.
    """

    kind: str
    id: int = 0
    when: str = ""
    who: str = ""
    tab: str = ""
    pictures: tuple[PictureEvent, ...] = ()
    names: tuple[str, ...] = ()
    into: str = ""
    of: int = 0
    among: str = "rest"
    path: str = ""
    size: int | None = None
    sha256: str | None = None


_TYPES = {
    **dict.fromkeys(("id", "of", "size", "changed", "n_columns"), int),
    **dict.fromkeys(("pictures", "names", "likely"), list),
    **dict.fromkeys(("taught", "along"), bool),
}


# The same parts of many events.
_parts = cache(fields)


def to_json(value):
    """A value as JSON. What is as usual is left out."""
    if not isinstance(value, Event | PictureEvent):
        return [to_json(item) for item in value] if isinstance(value, tuple) else value
    parts = {part.name: getattr(value, part.name) for part in _parts(type(value))}
    usual = {part.name: part.default for part in _parts(type(value))}
    return {name: to_json(part) for name, part in parts.items() if part != usual[name]}


def _from_json(kind, data):
    """Values of an `Event` or `PictureEvent`, by field. A ValueError, or TypeError, if a value does
    not fit.
    """
    values = {}
    for part in _parts(kind):
        value = data.get(part.name, part.default)
        if value is MISSING:
            raise ValueError(f"no {part.name}")
        if part.name in data and type(value) is not _TYPES.get(part.name, str):
            raise TypeError(part.name)
        values[part.name] = value
    return values


def _picture(data):
    values = _from_json(PictureEvent, data)
    path = PurePath(values["path"])
    # No path leads out of its root.
    leads_out = path.is_absolute() or path.drive or ".." in path.parts
    if leads_out or not path.parts or "\0" in values["path"]:
        raise ValueError(f"path {values['path']!r}")
    likely = tuple((name, float(share)) for name, share in values["likely"])
    if not all(isinstance(name, str) and 0 <= share <= 1 for name, share in likely):
        raise ValueError("likely")
    if not 0 <= values["n_columns"] <= MOST_COLUMNS:
        raise ValueError("n_columns")
    if values["label"] is not None and values["taught"] is None:
        values["taught"] = True
    return PictureEvent(**values | {"likely": likely})


def event_of(data):
    """An `Event`, or the kind of one that this version does not know. A ValueError, or TypeError,
    if it is none.
    """
    if not isinstance(data, dict) or not isinstance(data.get("kind"), str):
        raise TypeError("kind")
    if data["kind"] not in KINDS:
        return data["kind"]
    values = _from_json(Event, data)
    pictures, names = tuple(map(_picture, values["pictures"])), tuple(values["names"])
    event = Event(**values | {"pictures": pictures, "names": names})
    has_all = all(getattr(event, name) for name in KINDS[event.kind])
    has_labels = event.kind not in ANSWERS or all(part.label is not None for part in pictures)
    is_shown = event.kind != "check" or all(part.shown is not None for part in pictures)
    if not (has_all and has_labels and is_shown and all(isinstance(name, str) for name in names)):
        raise ValueError(event.kind)
    return event


def undone(events):
    """Positions of the events that were taken back."""
    places, taken_back = {}, set()
    for position, event in enumerate(events):
        if event.kind == "undo" and event.of in places:
            taken_back.add(places[event.of])
        places[event.id] = position
    return taken_back
