"""Labels by a person: the clicks in the live page, as a file, and lists of corrections, which have
the same first columns.

A line of the file is path and label, then size and digest of the picture that the person saw. The
last line of a picture counts. A line with the path of a table says that this command wrote the
table. One with `CHECK` has the predictions of a check.
"""

import csv
import hashlib
import io
import json
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from .._utils.files import new_file
from .._utils.validation import listed, warn_caller
from .messages import UsageError
from .user_tables import as_class, read_rows, with_formulas, without_formulas

HEADER = ["path", "label", "size", "sha256"]
HEADERS_OF_CORRECTIONS = (HEADER[:2], ["file", "label"])
# Endings of what the command writes. No picture is called so.
_WRITTEN = (".csv", ".xlsx", ".html", ".skops", ".joblib")
CHECK = "check.csv"


class Click(NamedTuple):
    path: str
    label: str
    size: str
    sha256: str
    # The file that the path leads to, None if it is gone.
    real: str | None
    # Who clicked, None in an earlier run.
    tab: str | None

    def is_of_table(self):
        return not self.label and self.path.lower().endswith(_WRITTEN)

    def is_as_seen(self):
        """Whether the file is the one that was clicked. A line without a digest, by a person, is of
        any.
        """
        if not self.sha256:
            return True
        with open(self.real, "rb") as file:
            same_size = str(os.fstat(file.fileno()).st_size) == self.size
            return same_size and hashlib.file_digest(file, "sha256").hexdigest() == self.sha256


def _click(path, label="", size="", sha256="", tab=None):
    # Tables hold bytes of a name that are no text as \\udcff.
    no_text = re.sub(r"\\udc([89a-f][0-9a-f])", lambda byte: chr(0xDC00 + int(byte[1], 16)), path)
    file = next(filter(os.path.isfile, (path, no_text)), None)
    return Click(file or path, label.strip(), size, sha256, file and os.path.realpath(file), tab)


def digest_of(content):
    """Size and digest of the content of a file, as cells."""
    return str(len(content)), hashlib.sha256(content).hexdigest()


def read_corrections(path, classes):
    """Labels by a person from a list of corrections or a file of clicks: real paths to
    `(path, label)`.

    An empty label means none of the classes.
    """
    rows = read_rows("--corrections", path)
    if rows and rows[0] == HEADER:
        return labels_of(Clicks(path).rows, classes, "--corrections")
    if rows and [cell.strip().lower() for cell in rows[0]] in HEADERS_OF_CORRECTIONS:
        del rows[0]
    for row in rows:
        if any(cell.strip() for cell in row[2:]):
            problem = (
                f"--corrections: {path!r} has a line of more than path and label, {row!r:.200}"
            )
            remedy = (
                "keep these two columns of images that you looked at; a text with commas needs"
                " quotes"
            )
            raise UsageError(f"{problem}; {remedy}")
    return labels_of(
        [_click(*map(with_formulas, row[:2])) for row in rows], classes, "--corrections"
    )


def labels_of(clicks, classes, option=None):
    """Real paths to `(path, label)`. With the name of an option, notes say what is gone, or changed
    since.
    """
    labels, gone, changed = {}, [], []
    last = {click.real or click.path: click for click in clicks if not click.is_of_table()}
    for click in last.values():
        if click.real is None:
            gone.append(click.path)
        elif not click.is_as_seen():
            changed.append(click.path)
        else:
            labels[click.real] = click.path, as_class(click.label, classes)
    for kind, found in (("changed since they were clicked", changed), ("not there", gone)):
        if found and option:
            warn_caller(f"{option}: Passed over, {kind} ({len(found)}): {listed(found)}.")
    return labels


class Clicks:
    """A file of clicks: `rows` are its lines. After `begin`, this program alone writes the file.

    Each change is on the disk before the method ends. If it fails, with an OSError, nothing is
    changed.
    """

    def __init__(self, path):
        self.path, self.rows, self._size = Path(path), [], 0
        if not self.path.exists():
            return
        header, *rows = read_rows("--labels", path, errors="replace") or [[]]
        if header != HEADER or max(map(len, rows), default=0) > len(HEADER):
            raise UsageError(
                f"--labels: {os.fspath(path)!r} is no file of clicks ({','.join(HEADER)})"
            )
        content = self.path.read_bytes()
        is_cut = not content.endswith(b"\n") or content.count(b'"') % 2
        # What was cut off before its end was never confirmed to the person.
        if rows and is_cut and len(rows[-1][-1]) < len(digest_of(b"")[1]):
            rows.pop()
        self.rows = [_click(*map(with_formulas, row)) for row in rows]

    def begin(self):
        """Keep other programs from writing, and make the file, or repair its end."""
        self._lock = FileLock(self.path.with_name(f".{self.path.name}.lock"))
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise UsageError(
                f"--labels: {str(self.path)!r} belongs to an open page; end that one"
            ) from error
        # Another program may have written it since.
        self._rewrite(Clicks(self.path).rows)

    def end(self):
        self._lock.release()

    def add(self, path, label, digest, tab=None):
        """Append a click. `digest` is the `digest_of` what the person saw."""
        click = _click(path, label, *digest, tab)
        line = _lines([click])
        self._check()
        # Without a buffer, which would keep what does not go on the disk, and try again.
        with open(self.path, "ab", buffering=0) as file:
            rest = line
            try:
                while rest:
                    rest = rest[file.write(rest) :]
                os.fsync(file.fileno())
            except OSError:
                file.truncate(self._size)
                raise
        self._size += len(line)
        self.rows.append(click)

    def add_check(self, predicted):
        """Append the predictions of a check, by path."""
        self.add(CHECK, "", ("", json.dumps(predicted, ensure_ascii=False)))

    def last_check(self):
        """The predictions of the last check, by path, and the clicks since. A line that a
        spreadsheet damaged is none.
        """
        for row in reversed([row for row, click in enumerate(self.rows) if click.path == CHECK]):
            with suppress(ValueError, AttributeError):
                return dict(json.loads(self.rows[row].sha256).items()), self.rows[row + 1 :]
        return {}, self.rows

    def remove(self, row):
        """Take a click back."""
        self._check()
        self._rewrite(self.rows[:row] + self.rows[row + 1 :])

    def owns(self, path):
        """Whether a file is as this command wrote it, now or earlier: a run may have been killed
        before it moved the new one.
        """
        real = os.path.realpath(path)
        # When the row was written, the file was not there yet.
        rows = [row._replace(real=real) for row in self.rows if os.path.realpath(row.path) == real]
        return any(row.is_of_table() and row.is_as_seen() for row in rows)

    def are_elsewhere(self, paths):
        """Whether pictures were clicked that are still there, and none of them is among these
        files.
        """
        clicked = {row.real for row in self.rows if row.real and not row.is_of_table()}
        return bool(clicked) and clicked.isdisjoint(map(os.path.realpath, paths))

    def _check(self):
        """Keep what another program may have written into the file; make it anew if it is gone."""
        if not self.path.exists():
            self._rewrite(self.rows)
        elif self.path.stat().st_size != self._size:
            raise OSError(
                f"{str(self.path)!r} was changed by another program; run the command again"
            )

    def _rewrite(self, rows):
        content = _lines([HEADER, *rows])
        with new_file(self.path, replace=True) as unfinished:
            unfinished.write_bytes(content)
        self.rows, self._size = rows, len(content)


def _lines(rows):
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([without_formulas(cell) for cell in row[: len(HEADER)]] for row in rows)
    # Names of files may be no text.
    return text.getvalue().encode(errors="backslashreplace")
