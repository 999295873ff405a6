"""Lists of labels by a person: path and label, or the command's own table after somebody corrected
it. Of several lines for a picture, the last counts.
"""

import os
import re
from contextlib import suppress
from typing import NamedTuple

from ..._utils.validation import comparable, listed, warn_caller
from .._answers.class_names import NONE_OF_THESE, refuse_names
from .._messages import UsageError
from .folder_table import WRITTEN
from .given_classes import class_of_text
from .user_tables import read_rows, with_formulas

# Columns of a table of this command.
COLUMNS_OF_OURS = ("path", "label", "model_label", "problem")
HEADERS = ({"path", "label"}, {"file", "label"})


class Line(NamedTuple):
    path: str
    label: str
    # The real path of the file, None if the file is gone.
    real: str | None


def _line(path, label=""):
    # In tables, a byte of a file name that is no text stands as \\udcff.
    no_text = re.sub(r"\\udc([89a-f][0-9a-f])", lambda byte: chr(0xDC00 + int(byte[1], 16)), path)
    file = next(filter(os.path.isfile, (path, no_text)), None)
    return Line(file or path, label.strip(), file and os.path.realpath(file))


def read_corrections(path, classes, table=None):
    """Labels by a person from a list of corrections, or a table of this command: real paths to
    `(path, label)`. An empty label means none of the classes. `table` is the path of the table of
    the last run.
    """
    rows = read_rows("--corrections", path)
    header = _header(rows)
    if _is_own(header):
        rows = _corrected(path, rows)
    else:
        is_turned = header[:1] == ["label"]
        if {*header} in HEADERS and len(header) == 2:
            del rows[0]
        rows = [row[1::-1] if is_turned else row for row in _path_and_label(path, rows)]
        if not rows:
            what = f"{path!r} has no image and no label"
            warn_caller(f"--corrections: {what}, so it corrects nothing.")
    labels = _labels_of([_line(*map(with_formulas, row)) for row in rows], classes)
    refuse_names("--corrections", [label for _, label in labels.values() if label])
    if table is not None and not _is_own(header):
        _refuse_predictions(path, labels, table)
    return labels


def is_own_table(path):
    """Whether a file is a table of this command."""
    # A file that cannot be read as a table is no table.
    with suppress(UsageError, OSError):
        return _is_own(_header(read_rows("--corrections", path)))
    return False


def _header(rows):
    return [cell.strip().casefold() for cell in rows[0]] if rows else []


def _is_own(header):
    return {WRITTEN[name].casefold() for name in COLUMNS_OF_OURS} <= {*header}


def _columns(rows, *names):
    """Cells of columns of a table of this command, row by row. The cells of a missing column are
    empty.
    """
    header, titles = _header(rows), [WRITTEN[name].casefold() for name in names]
    for row in rows[1:]:
        # A spreadsheet leaves out empty cells at the end.
        cells = dict(zip(header, row))
        yield [cells.get(title, "") for title in titles]


def _corrected(path, rows):
    """Path and label of the rows of a table whose label differs from the label by the model.

    An empty label means none of the classes only if the problem says so. In other rows, somebody
    emptied a cell.
    """
    corrected, emptied = [], []
    for file, label, model, problem in _columns(rows, *COLUMNS_OF_OURS):
        if label.strip() == model.strip():
            continue
        if label.strip() or comparable(problem) == NONE_OF_THESE:
            corrected.append([file, label])
        else:
            emptied.append(file)
    if emptied:
        none = f"for none of the classes write {NONE_OF_THESE!r}"
        what = f"--corrections: Passed over, the label in {path!r} is empty ({len(emptied)})"
        warn_caller(f"{what}: {listed(emptied)}; {none}.")
    return corrected


def _path_and_label(path, rows):
    """Rows of a list: path and label. A `UsageError` says which row has other cells."""
    for row in rows:
        if len(row) < 2:
            raise UsageError(
                f"--corrections: {path!r} has a line without a label, {row!r:.200}; for none of the"
                f" classes write {NONE_OF_THESE!r}, and leave out images that are right"
            )
        if any(cell.strip() for cell in row[2:]):
            problem = (
                f"--corrections: {path!r} has a line of more than path and label, {row!r:.200}"
            )
            remedy = (
                "keep these two columns of images that you looked at; a text with commas needs"
                " quotes"
            )
            raise UsageError(f"{problem}; {remedy}")
    return [row[:2] for row in rows]


def _refuse_predictions(path, labels, table):
    """Refuse a list that labels every picture just as the last table of this command: predictions
    would become answers. Labels of probability 1 may be by a person, and do not count.
    """
    if not os.path.isfile(table) or not is_own_table(table):
        return
    rows, n_predicted = read_rows("--corrections", table), 0
    label_of = {real: label for real, (_, label) in labels.items()}
    for file, label, share, problem in _columns(rows, "path", "label", "probability", "problem"):
        if label.strip() or comparable(problem) == NONE_OF_THESE:
            given = label_of.get(_line(with_formulas(file)).real)
            if given is None or comparable(given) != comparable(with_formulas(label)):
                return
            n_predicted += bool(label.strip()) and not re.fullmatch("1([.,]0*)?", share.strip())
    if n_predicted:
        raise UsageError(
            f"--corrections: {path!r} labels every image as {table!r} does, so these are"
            f" predictions and no answers; keep the lines of images that you looked at, or correct"
            f" the table itself: --corrections {table}"
        )


def _labels_of(lines, classes):
    """A dict from real paths to `(path, label)`. Warnings name missing files, and files with
    different labels.
    """
    labels, differ = {}, {}
    for line in lines:
        label = class_of_text(line.label, classes)
        if line.real is not None:
            _, before = labels.get(line.real, ("", label))
            if comparable(before) != comparable(label):
                differ.setdefault(line.real, [before]).append(label)
            labels[line.real] = line.path, label
    gone = [*dict.fromkeys(line.path for line in lines if line.real is None)]
    if gone:
        warn_caller(
            f"--corrections: Passed over, not there ({len(gone)}): {listed(gone)}. Relative paths"
            f" start from the current folder, {os.getcwd()!r}."
        )
    if differ:
        named = [
            f"{labels[real][0]} ({', '.join(label or NONE_OF_THESE for label in said)})"
            for real, said in differ.items()
        ]
        warn_caller(
            f"--corrections: Lines with different labels ({len(differ)}), the last counts:"
            f" {listed(named)}."
        )
    return labels
