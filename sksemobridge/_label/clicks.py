"""Clicks of a person as a file, which `sksemobridge label --open` appends to and `--corrections` reads.

One line for each click: path and label as in a list of corrections, then size and digest of the picture that the person saw.
The last line of a picture counts. A line with the path of a table says that this command wrote the table.
"""

import csv
import hashlib
import io
import os
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from .._utils.files import new_file
from .user_tables import as_class, existing_file, with_formulas, without_formulas

HEADER = ("path", "label", "size", "sha256")
# Endings of what the command writes. No picture is called so.
_WRITTEN = (".csv", ".xlsx", ".html", ".skops", ".joblib")


class Click(NamedTuple):
    path: str
    label: str
    size: str = ""
    sha256: str = ""
    # The file that the path leads to, None if it is gone.
    real: str | None = None
    # Who clicked, None in an earlier run.
    tab: str | None = None


def digest_of(content):
    """Size and digest of the content of a file, as cells."""
    return str(len(content)), hashlib.sha256(content).hexdigest()


class Clicks:
    """The lines of a file of clicks. It is a ValueError if the file is of another kind.

    After `begin`, this program alone writes the file. Each change is on the disk before the method ends. If it fails, with an
    OSError, nothing is changed.
    """

    def __init__(self, path):
        self.path, self._lock = Path(path), None
        content = self.path.read_bytes() if self.path.exists() else b""
        first, *lines = _lines(content) or [",".join(HEADER).encode() + b"\n"]
        self._separator = _separator(first)
        if self._separator is None:
            raise ValueError(
                f"{os.fspath(path)!r} is no file of clicks, which begins with {','.join(HEADER)}"
            )
        # What was cut off before its end was never confirmed to the person.
        if lines and not _is_whole(lines[-1]) and len(self._cells(lines[-1])[-1]) < len(digest_of(b"")[1]):
            lines.pop()
        self._lines = [first, *lines]
        self.rows = [self._click(*map(with_formulas, self._cells(line))) for line in lines]

    @staticmethod
    def is_one(path):
        """Whether a file begins as a file of clicks does."""
        with open(path, "rb") as file:
            return _separator(file.readline(1000)) is not None

    def begin(self):
        """Keep other programs from writing, and make the file, or repair its end."""
        self._lock = FileLock(self.path.with_name(f".{self.path.name}.lock"))
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise ValueError(
                f"{str(self.path)!r} belongs to a page that is open; end that one first, or give another --labels"
            ) from error
        lines = [line if _is_whole(line) else line + b"\n" for line in self._lines]
        if not self.path.exists() or self.path.read_bytes() != b"".join(lines):
            self._rewrite(lines)

    def end(self):
        """Let other programs write."""
        self._lock.release()

    def add(self, path, label, digest, tab=None):
        """Append a click. `digest` is the `digest_of` what the person saw."""
        click = self._click(path, label, *digest, tab=tab)
        line = self._line(click)
        self._check()
        # Without a buffer, which would keep what does not go on the disk, and try again.
        with open(self.path, "ab", buffering=0) as file:
            size, rest = file.tell(), line
            try:
                while rest:
                    rest = rest[file.write(rest) :]
                os.fsync(file.fileno())
            except OSError:
                file.truncate(size)
                raise
        self._lines.append(line)
        self.rows.append(click)

    def remove(self, row):
        """Take a click back."""
        self._check()
        # The first line is the header.
        self._rewrite(self._lines[: row + 1] + self._lines[row + 2 :])
        del self.rows[row]

    def counting(self):
        """The last row of each picture, by its real path, and those whose picture is gone, by the path."""
        return {row.real or row.path: row for row in self.rows if not self._is_of_table(row)}

    def labels(self, classes):
        """Labels as `read_corrections` gives them, and the paths of pictures that changed since, and that are gone."""
        labels, changed, gone = {}, [], []
        for row in self.counting().values():
            if row.real is None:
                gone.append(row.path)
            elif not is_as_seen(row):
                changed.append(row.path)
            else:
                labels[row.real] = row.path, as_class(row.label, classes)
        return labels, changed, gone

    def owns(self, path):
        """Whether a file is as this command wrote it, now or earlier: a run may have been killed before it moved the new one."""
        rows = [row for row in self.rows if self._is_of_table(row) and row.real == os.path.realpath(path)]
        return any(map(is_as_seen, rows))

    def own(self, path, unfinished):
        """Say that this command moves `unfinished` to `path`."""
        self.add(os.fspath(path), "", digest_of(Path(unfinished).read_bytes()))

    def _is_of_table(self, row):
        return not row.label and row.path.lower().endswith(_WRITTEN)

    def _click(self, path, label="", size="", sha256="", *more, tab=None):
        if more:
            raise ValueError(f"{str(self.path)!r} has a line of more than {len(HEADER)} cells, of {path!r}")
        file = existing_file(path)
        return Click(file or path, label.strip(), size, sha256, file and os.path.realpath(file), tab)

    def _cells(self, line):
        text = line.decode("utf-8", "backslashreplace")
        return next(csv.reader(io.StringIO(text, newline=""), delimiter=self._separator), [])

    def _line(self, click):
        text = io.StringIO(newline="")
        cells = [without_formulas(cell) for cell in click[: len(HEADER)]]
        csv.writer(text, delimiter=self._separator, lineterminator="\n").writerow(cells)
        return text.getvalue().encode(errors="backslashreplace")

    def _check(self):
        """Keep what another program may have written into the file, and make it anew if it is gone."""
        if not self.path.exists():
            self._rewrite(self._lines)
        elif self.path.stat().st_size != sum(map(len, self._lines)):
            raise OSError(
                f"{str(self.path)!r} was changed by another program; end this page, and run the command again"
            )

    def _rewrite(self, lines):
        with new_file(self.path, replace=True) as unfinished:
            unfinished.write_bytes(b"".join(lines))
        self._lines = lines


def _is_whole(line):
    return line.endswith(b"\n") and line.count(b'"') % 2 == 0


def is_as_seen(row):
    """Whether a file is the one that was clicked. A line without a digest, by a person, is of any."""
    if not row.sha256:
        return True
    with open(row.real, "rb") as file:
        same_size = str(os.fstat(file.fileno()).st_size) == row.size
        return same_size and hashlib.file_digest(file, "sha256").hexdigest() == row.sha256


def _separator(line):
    """What separates the cells of a header, None if it is another header."""
    cells = line.decode("utf-8-sig", "replace").strip().replace('"', "")
    return next((mark for mark in ",;\t" if tuple(cells.split(mark)) == HEADER), None)


def _lines(content):
    """Lines of a CSV. A line break within quotes ends none."""
    lines, line = [], b""
    for part in content.splitlines(keepends=True):
        line += part
        if _is_whole(line):
            lines.append(line)
            line = b""
    return [line for line in [*lines, line] if line.strip()]
