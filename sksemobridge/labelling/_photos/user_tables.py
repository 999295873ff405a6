"""Tables of users, as rows of cells."""

import csv
import io
import re
from datetime import date, time
from pathlib import Path

from .._messages import UsageError, naming
from .needed_packages import check_packages

# Endings of tables.
TABLES = (".csv", ".xlsx")
# Places where a spreadsheet may begin a cell: separators differ between countries. `page.js` has
# the same two patterns.
_BEGIN = r"(?:^|(?<=[,;\t\r\n\"]))"
# The beginning of a formula at such a place, also of a formula that `'` made safe.
_FORMULA = r"(?='*[=+\-@\t＝＋－＠])"


def without_formulas(text):
    """Text that a spreadsheet does not take for a formula, whatever separates its cells."""
    return re.sub(_BEGIN + _FORMULA, "'", text)


def with_formulas(text):
    """The text from which `without_formulas` made this one."""
    return re.sub(f"{_BEGIN}'{_FORMULA}", "", text)


def read_rows(option, path):
    """Rows of cells of a text file or an Excel file, without empty rows. In a text file, commas,
    semicolons or tabs separate cells, or the separator in a first line such as `sep=;`.
    """
    if Path(path).suffix.lower() == ".xlsx":
        rows = _read_excel(option, path)
    else:
        rows = _read_csv(option, path)
    return [row for row in rows if any(cell.strip() for cell in row)]


def _read_csv(option, path):
    try:
        with naming(option), open(path, encoding="utf-8-sig", newline="") as file:
            text = file.read()
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{option}: {path!r} is no table in UTF-8 (in Excel: CSV UTF-8): {error}"
        ) from error
    if hint := re.match(r"sep=([^\w\"\r\n])\r?\n", text):  # a first line for Excel
        separator, text = hint[1], text[hint.end() :]
    else:
        separator = max(",;\t", key=text.partition("\n")[0].count)
    rows, n_before = [], int(hint is not None)
    begins = n_before + 1
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        for row in lines:
            rows.append(row)
            begins = n_before + lines.line_num + 1
    except csv.Error as error:
        raise UsageError(
            f"{option}: the cells of line {begins} of {path!r} cannot be told apart ({error}); a"
            ' cell that begins with a quote (") ends with one'
        ) from error
    return rows


def _read_excel(option, path):
    """Cells of the first sheet, as text."""
    check_packages(option, ".xlsx files need", ".xlsx")
    import openpyxl

    try:
        with naming(option), open(path, "rb") as file:
            book = openpyxl.load_workbook(file, read_only=True, data_only=True)
            cells = [*book.worksheets[0].iter_rows(values_only=True)]
    # Files of other kinds raise errors of all kinds.
    except (OSError, UsageError):
        raise
    except Exception as error:
        raise UsageError(f"{option}: {path!r} is no workbook of Excel: {error}") from error
    _refuse_dates(option, path, cells)
    return [["" if cell is None else str(cell) for cell in row] for row in cells]


def _refuse_dates(option, path, cells):
    """Refuse dates, which Excel makes of some names of classes. A burst may be a date."""
    for number, row in enumerate(cells if option != "--bursts" else (), start=1):
        for cell in row:
            if isinstance(cell, date | time):
                raise UsageError(
                    f"{option}: in {path!r}, Excel has the date {str(cell)!r} in row {number},"
                    " perhaps made of a name; make the column text, and type the cell again"
                )
