"""What persons did, as lines of JSON in a file that is only ever appended to.

Each line is on the disk before anything is shown of it. A line that is damaged, or of a kind that
this version does not know, is passed over alone, and stays in the file.
"""

import json
import os
from collections import Counter
from contextlib import suppress
from dataclasses import MISSING, dataclass, fields
from datetime import UTC, datetime
from functools import cache
from pathlib import Path, PurePath

from filelock import FileLock, Timeout

from .._utils.files import digest_of, new_file
from .messages import UsageError

FORMAT, VERSION = "sksemobridge answers", 1
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
    """What a person did. `who` is a name, `tab` the window, and `learnt` how often the model had
    learnt. The other fields are those of a kind.
    """

    kind: str
    id: int = 0
    when: str = ""
    who: str = ""
    tab: str = ""
    learnt: int = 0
    pictures: tuple[PictureEvent, ...] = ()
    names: tuple[str, ...] = ()
    into: str = ""
    of: int = 0
    among: str = "rest"
    path: str = ""
    size: int | None = None
    sha256: str | None = None


_TYPES = {
    **dict.fromkeys(("id", "learnt", "of", "size", "changed", "n_columns"), int),
    **dict.fromkeys(("pictures", "names", "likely"), list),
    **dict.fromkeys(("taught", "along"), bool),
}


# The same parts of many events.
_parts = cache(fields)


def _to_json(value):
    """A value as JSON. What is as usual is left out."""
    if not isinstance(value, Event | PictureEvent):
        return [_to_json(item) for item in value] if isinstance(value, tuple) else value
    parts = {part.name: getattr(value, part.name) for part in _parts(type(value))}
    usual = {part.name: part.default for part in _parts(type(value))}
    return {name: _to_json(part) for name, part in parts.items() if part != usual[name]}


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


def _event(data):
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


class Answers:
    """The file of events.

    `events` are those that this version knows. `damaged` are numbers of lines, and `unknown` counts
    kinds. Between `begin` and `end` no other program of ours writes it.
    """

    def __init__(self, path):
        self.path = Path(path)
        self.events, self.damaged, self.unknown = [], [], Counter()
        self._lock = None
        self._read()

    def _read(self):
        self.events, self.damaged, self.unknown = [], [], Counter()
        self._content, self._stamp = bytearray(), None
        if not self.path.exists():
            return
        with open(self.path, "rb") as file:
            self._content += file.read()
            self._stamp = _stamp(file)
        lines = bytes(self._content).split(b"\n")
        is_ours = not self._content
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                data = json.loads(line)
                if number == 1 and isinstance(data, dict) and data.get("format") == FORMAT:
                    is_ours = True
                    self._check_version(data.get("version"))
                    continue
                event = _event(data)
            except UsageError:
                raise
            except (ValueError, TypeError, AttributeError, RecursionError):
                self.damaged.append(number)
                continue
            if isinstance(event, Event):
                self.events.append(event)
                # Also where the first line, with the format, is damaged.
                is_ours = is_ours or number > 1
            else:
                self.unknown[event] += 1
        if not is_ours:
            raise UsageError(f"--answers: {os.fspath(self.path)!r} is no file of answers")

    def _check_version(self, version):
        if version != VERSION:
            newer = f"is of version {version!r}; this program knows version {VERSION}"
            raise UsageError(f"--answers: {os.fspath(self.path)!r} {newer}; update sksemobridge")

    def notes(self):
        """Sentences on the lines that were passed over."""
        name = os.fspath(self.path)
        if self.damaged:
            lines = ", ".join(map(str, self.damaged[:10]))
            more = " ..." if len(self.damaged) > 10 else ""
            yield f"Passed over damaged lines of {name!r} ({len(self.damaged)}): {lines}{more}."
        if self.unknown:
            kinds = ", ".join(f"{kind!r} ({n})" for kind, n in self.unknown.items())
            yield f"Passed over lines of {name!r} of kinds that only others know: {kinds}."

    def begin(self):
        """Keep other programs of ours from writing, and begin the file if there is none."""
        # One for all links to the file.
        real = Path(os.path.realpath(self.path))
        lock = FileLock(real.with_name(f".{real.name}.lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise UsageError(
                f"--answers: {str(self.path)!r} belongs to an open page; end that one"
            ) from error
        self._lock = lock
        try:
            # Another program may have written it since.
            if not self._is_as_read():
                self._read()
            if not self._content:
                self._write(_line({"format": FORMAT, "version": VERSION}))
        except BaseException:
            self.end()
            raise

    def _is_as_read(self):
        with suppress(OSError), open(self.path, "rb") as file:
            return _stamp(file) == self._stamp
        return False

    def end(self):
        self._lock.release()

    def __enter__(self):
        self.begin()
        return self

    def __exit__(self, *_):
        self.end()

    def append(self, kind, **values):
        """Append an event, and return it. It is on the disk then; with an OSError, nothing has
        changed.
        """
        # Lines that are damaged, or of other kinds, have numbers too.
        last = max(self._content.count(b"\n"), *(event.id for event in self.events), 0)
        when = datetime.now(UTC).isoformat(timespec="milliseconds")
        event = Event(kind, last + 1, when, **values)
        self._write(_line(_to_json(event)))
        self.events.append(event)
        return event

    def _write(self, line):
        if self._content and not self._content.endswith(b"\n"):
            # After a line that was cut off.
            line = b"\n" + line
        if not self.path.exists():
            # Somebody took the file away: all that was in it comes back.
            with new_file(self.path, replace=True) as unfinished:
                unfinished.write_bytes(self._content + line)
            with open(self.path, "rb") as file:
                self._stamp = _stamp(file)
        else:
            self._append(line)
        self._content += line

    def _append(self, line):
        # Without a buffer, which would keep what does not go on the disk, and try again.
        with open(self.path, "ab", buffering=0) as file:
            if _stamp(file) != self._stamp:
                raise OSError(
                    f"{str(self.path)!r} was changed by another program; run the command again"
                )
            rest = line
            try:
                while rest:
                    rest = rest[file.write(rest) :]
                os.fsync(file.fileno())
            except OSError:
                file.truncate(len(self._content))
                raise
            finally:
                self._stamp = _stamp(file)

    def append_written(self, path, content):
        """Append that a file with this content was written."""
        size, sha256 = digest_of(content)
        return self.append("wrote", path=self._from_here(path), size=size, sha256=sha256)

    def owns(self, path):
        """Whether a file is as this command wrote it, now or earlier: a run may have been killed
        before it moved the new one.
        """
        wrote = self._wrote(path)
        return bool(wrote) and os.path.isfile(path) and digest_of(Path(path).read_bytes()) in wrote

    def is_changed(self, path):
        """Whether a file was written by this command, and by somebody else since."""
        return os.path.isfile(path) and bool(self._wrote(path)) and not self.owns(path)

    def _wrote(self, path):
        """Sizes and digests of what was written at a path."""
        name = self._from_here(path)
        written = [event for event in self.events if event.kind == "wrote" and event.path == name]
        return [(event.size, event.sha256) for event in written]

    def _from_here(self, path):
        """A path from the folder of this file, so that both can be moved."""
        real, here = os.path.realpath(path), os.path.realpath(self.path.absolute().parent)
        try:
            return Path(os.path.relpath(real, here)).as_posix()
        except ValueError:  # another drive of Windows
            return Path(real).as_posix()


def _line(data):
    # In ASCII: names of files may be no text.
    return json.dumps(data).encode("ascii") + b"\n"


def _stamp(file):
    """What says that a file was not changed since."""
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def undone(events):
    """Positions of the events that were taken back."""
    places, taken_back = {}, set()
    for position, event in enumerate(events):
        if event.kind == "undo" and event.of in places:
            taken_back.add(places[event.of])
        places[event.id] = position
    return taken_back
