"""The file of answers: events as lines of JSON. The program only appends to this file.

Each line is on the disk before the page shows its event. A damaged line, or a line of a kind that
this version does not know, is skipped, and stays in the file.
"""

import hashlib
import json
import os
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from ..._utils.files import new_file
from .._messages import UsageError
from .events import Event, event_of, to_json

# Content of the first line.
FORMAT, FORMAT_VERSION = "sksemobridge answers", 1


class ChangedError(OSError):
    """The file was changed by another program, so nothing is appended to it."""


class Answers:
    """The file of events.

    `events` are the events that this version knows. `damaged` holds the numbers of damaged lines,
    and `unknown` counts lines by unknown kind. Between `begin` and `end`, no other run of this
    package writes the file.
    """

    def __init__(self, path):
        self.path = Path(path)
        self.events, self.damaged, self.unknown = [], [], Counter()
        self._lock = None
        self._read()

    def _read(self):
        self.events, self.damaged, self.unknown = [], [], Counter()
        self._content, self._stamp = bytearray(), None
        self._n_lines = self._last_id = 0
        if not self.path.exists():
            return
        if not self.path.is_file():  # a pipe would wait for a writer
            raise UsageError(f"--answers: {os.fspath(self.path)!r} is no regular file")
        with open(self.path, "rb") as file:
            self._content += file.read()
            self._stamp = _stamp(file)
        lines = bytes(self._content).split(b"\n")
        self._n_lines = len(lines) - 1
        is_ours = not self._content
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                # From bytes, json.loads would accept other encodings, too.
                data = json.loads(line.decode("utf-8-sig"))
                if number == 1 and isinstance(data, dict) and data.get("format") == FORMAT:
                    is_ours = True
                    self._check_version(data.get("version"))
                    continue
                event = event_of(data)
            except UsageError:
                raise
            except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
                self.damaged.append(number)
                continue
            if isinstance(event, Event):
                self.events.append(event)
                self._last_id = max(self._last_id, event.id)
                # A damaged first line, with the format, does not make the file another one.
                is_ours = is_ours or number > 1
            else:
                self.unknown[event] += 1
        if not is_ours:
            name = os.fspath(self.path)
            encoding = json.detect_encoding(lines[0])
            if not encoding.startswith("utf-8"):
                raise UsageError(f"--answers: {name!r} is in {encoding.upper()}; save it as UTF-8")
            raise UsageError(f"--answers: {name!r} is no file of answers")

    def _check_version(self, version):
        if version != FORMAT_VERSION:
            newer = f"is of version {version!r}; this program knows version {FORMAT_VERSION}"
            raise UsageError(f"--answers: {os.fspath(self.path)!r} {newer}; update sksemobridge")

    def notes(self):
        """Sentences on the lines that were skipped."""
        name = os.fspath(self.path)
        if self.damaged:
            lines = ", ".join(map(str, self.damaged[:10]))
            more = " ..." if len(self.damaged) > 10 else ""
            yield f"Passed over damaged lines of {name!r} ({len(self.damaged)}): {lines}{more}."
        if self.unknown:
            kinds = ", ".join(f"{kind!r} ({n})" for kind, n in self.unknown.items())
            yield f"Passed over lines of {name!r} of kinds that only others know: {kinds}."

    def begin(self):
        """Lock the file against other runs, and create it if there is none."""
        # One lock serves all links to the file.
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
            # Another program may have written the file since it was read.
            if not self._is_as_read():
                self._read()
            if not self._content:
                self._write(_line({"format": FORMAT, "version": FORMAT_VERSION}))
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
        """Append an event, and return it. The event is on the disk then. After an OSError, the file
        is unchanged.
        """
        event = self._next(kind, values)
        self._write(_line(to_json(event)))
        self.events.append(event)
        self._last_id = event.id
        return event

    def _next(self, kind, values):
        """An event with the next number and the current time."""
        # Lines that are damaged, or of other kinds, have numbers too.
        last = max(self._n_lines, self._last_id)
        when = datetime.now(UTC).isoformat(timespec="milliseconds")
        return Event(kind, last + 1, when, **values)

    def _write(self, line):
        if self._content and not self._content.endswith(b"\n"):
            # The last line was cut off: begin a new line.
            line = b"\n" + line
        if not self.path.exists():
            # The file was moved or deleted: write its whole content again.
            with new_file(self.path, replace=True) as unfinished:
                unfinished.write_bytes(self._content + line)
            with open(self.path, "rb") as file:
                self._stamp = _stamp(file)
        else:
            self._append(line)
        self._content += line
        self._n_lines += line.count(b"\n")

    def _append(self, line):
        # No buffer: a buffer would keep bytes that the disk refused, and write them later.
        with open(self.path, "ab", buffering=0) as file:
            if _stamp(file) != self._stamp:
                raise ChangedError(
                    f"{str(self.path)!r} was changed by another program, so nothing is added to it;"
                    " end this run, which still writes its files, and run the command again"
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
        """Append the event that a file with this content was written. Return whether the event is
        on the disk: if another program changed the answers, only this run knows the event.
        """
        size, sha256 = digest_of(content)
        values = {"path": self._from_here(path), "size": size, "sha256": sha256}
        try:
            self.append("wrote", **values)
        except ChangedError:
            self.events.append(self._next("wrote", values))
            return False
        return True

    def owns(self, path):
        """Whether a file is as this command wrote it, now or earlier: a run may have been killed
        before it moved the new file into place.
        """
        wrote = self._wrote(path)
        return bool(wrote) and os.path.isfile(path) and digest_of(Path(path).read_bytes()) in wrote

    def is_changed(self, path):
        """Whether this command wrote the file, and somebody else changed it since."""
        return os.path.isfile(path) and bool(self._wrote(path)) and not self.owns(path)

    def _wrote(self, path):
        """Sizes and digests of the files that this command wrote at a path."""
        name = self._from_here(path)
        written = [event for event in self.events if event.kind == "wrote" and event.path == name]
        return [(event.size, event.sha256) for event in written]

    def _from_here(self, path):
        """A path relative to the folder of the answers, so that both files can move together."""
        real, here = os.path.realpath(path), os.path.realpath(self.path.absolute().parent)
        try:
            return Path(os.path.relpath(real, here)).as_posix()
        except ValueError:  # another drive of Windows
            return Path(real).as_posix()


def digest_of(content):
    """Size and digest of the content of a file."""
    return len(content), hashlib.sha256(content).hexdigest()


def _line(data):
    # ASCII, since the name of a file may hold bytes that are no text.
    return json.dumps(data).encode("ascii") + b"\n"


def _stamp(file):
    """Values that tell whether a file was changed."""
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
