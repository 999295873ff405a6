"""Events, which say what persons did, and their form as JSON."""

from dataclasses import MISSING, dataclass, fields
from functools import cache
from pathlib import PurePath

from .event_kinds import KINDS

# Largest count of classes in an event: NumPy can hold this number.
MOST_COLUMNS = 2**31


@dataclass(frozen=True)
class PictureEvent:
    """A picture in an event."""

    path: str  # path below the root
    root: str = "photos"  # "photos" or "shots"
    # Size and digest of the file that was shown, and the time of its last change in nanoseconds.
    size: int | None = None
    sha256: str | None = None
    changed: int | None = None
    label: str | None = None  # the answer; empty for none of the classes
    shown: str | None = None  # the label that the page showed
    taught: bool | None = None  # whether the answer teaches the model
    # The likeliest classes with their predicted probabilities. Of `n_columns` columns, none of the
    # classes included, the others share the rest.
    likely: tuple[tuple[str, float], ...] = ()
    n_columns: int = 0
    by_burst: bool = False  # whether another picture of its burst was asked
    at_random: bool = False  # whether the picture is one of the first, drawn at random


@dataclass(frozen=True)
class Event:
    """An action of a person, or of the command."""

    kind: str
    id: int = 0
    when: str = ""
    who: str = ""  # name of the person
    tab: str = ""  # tab of the browser
    run: int = 0  # number of events when the program started
    # Fields of some kinds only, see `KINDS`.
    pictures: tuple[PictureEvent, ...] = ()
    names: tuple[str, ...] = ()
    into: str = ""
    of: int = 0
    among: str = "rest"
    seconds: float | None = None  # time for which a page was on the screen
    drawn_from: int | None = None  # number of pictures when a check was drawn
    path: str = ""
    size: int | None = None
    sha256: str | None = None


_TYPES = {
    **dict.fromkeys(("id", "run", "of", "size", "changed", "n_columns", "drawn_from"), int),
    **dict.fromkeys(("pictures", "names", "likely"), list),
    **dict.fromkeys(("taught", "by_burst", "at_random"), bool),
    "seconds": float,
}


# Cached, since many events have the same fields.
_fields = cache(fields)


def to_json(value):
    """A value as JSON. Fields that have their default are left out."""
    if not isinstance(value, Event | PictureEvent):
        return [to_json(item) for item in value] if isinstance(value, tuple) else value
    values = {field.name: getattr(value, field.name) for field in _fields(type(value))}
    usual = {field.name: field.default for field in _fields(type(value))}
    return {name: to_json(item) for name, item in values.items() if item != usual[name]}


def _from_json(kind, data):
    """Values of an `Event` or `PictureEvent`, by field. Raises a ValueError or TypeError if a value
    does not fit.
    """
    values = {}
    for field in _fields(kind):
        value = data.get(field.name, field.default)
        if value is MISSING:
            raise ValueError(f"no {field.name}")
        if field.name in data and type(value) is not _TYPES.get(field.name, str):
            raise TypeError(field.name)
        values[field.name] = value
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
    """An `Event`, or the name of a kind that this version does not know. Raises a ValueError or
    TypeError if `data` is no event.
    """
    if not isinstance(data, dict) or not isinstance(data.get("kind"), str):
        raise TypeError("kind")
    if data["kind"] not in KINDS:
        return data["kind"]
    values = _from_json(Event, data)
    pictures, names = tuple(map(_picture, values["pictures"])), tuple(values["names"])
    event = Event(**values | {"pictures": pictures, "names": names})
    kind = KINDS[event.kind]
    has_all = all(getattr(event, name) for name in kind.needs)
    has_all = has_all and event.among in (kind.among or (event.among,))
    has_parts = all(
        getattr(picture, name) is not None for picture in pictures for name in kind.each_needs
    )
    if not (has_all and has_parts and all(isinstance(name, str) for name in names)):
        raise ValueError(event.kind)
    # A lone surrogate is no text, and raises a ValueError. In the path of a picture, a lone
    # surrogate stands for a byte.
    words = *names, event.into, *(p.label for p in pictures), *(p.shown for p in pictures)
    "".join(filter(None, words)).encode()
    return event
