"""What users say to the command: names of classes, and how tables name files and classes."""

import csv
import io
import os
import re
from datetime import date, time
from pathlib import Path

from ..._texts.prompts import ENSEMBLE_TEMPLATES
from ..._utils.validation import as_words, warn_caller
from ...encoders._source import architecture
from .class_names import NONE_OF_THESE, refuse_control, spoken
from .messages import UsageError, naming
from .options import check_packages

# Where a spreadsheet may begin a cell: other countries have other separators. `page.js` has the
# same rule, also for the next line.
_BEGIN = r"(?:^|(?<=[,;\t\r\n\"]))"
# What begins a formula there, also after it was made safe with `'`.
_FORMULA = r"(?='*[=+\-@\t＝＋－＠])"


def without_formulas(text):
    """Text that a spreadsheet does not take for a formula, whatever separates its cells."""
    return re.sub(_BEGIN + _FORMULA, "'", text)


def with_formulas(text):
    """The text that `without_formulas` had."""
    return re.sub(f"{_BEGIN}'{_FORMULA}", "", text)


def read_names(path, folders):
    """Parameters of the classifier from a table of folder, name, and (optional) whole prompts."""
    rows, header = {}, None
    for number, (cell, *words) in enumerate(read_rows("--names", path)):
        folder = as_class(cell, folders)
        if folder in rows:
            raise UsageError(f"--names: {path!r} names {folder!r} twice; delete one of the lines")
        if folder in folders:
            rows[folder] = [word.strip() for word in words]
        elif number:
            raise UsageError(
                f"--names: {path!r} names {folder!r}, which is no class ({', '.join(folders)})"
            )
        else:
            header = folder
    if not rows:
        raise UsageError(f"--names: {path!r} names no class")
    if header is not None and header.lower() != "folder":
        warn_caller(
            f"--names: {header!r}, in the first line of {path!r}, is no class; read as a header."
        )
    names = {folder: (rows.get(folder) or [""])[0] or as_words(folder) for folder in folders}
    own = {folder: list(filter(None, words[1:])) for folder, words in rows.items()}
    prompts = {folder: own.get(folder) or usual_prompts(names[folder]) for folder in folders}
    return {"class_names": names, "prompts": prompts if any(own.values()) else "auto"}


def usual_prompts(name):
    return [text.replace("{}", name) for text in ENSEMBLE_TEMPLATES]


def read_classes(text):
    """Labels from a text with commas, from a text file with one a line, or from a tuple."""
    if not isinstance(text, str):
        found = text
    elif Path(text).suffix.lower() == ".txt" or os.path.isfile(text):
        try:
            with naming("--classes"):
                found = Path(text).read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise UsageError(f"--classes: {text!r} is no text in UTF-8: {error}") from error
    else:
        found = text.split(",")
    labels = [*dict.fromkeys(filter(None, map(str.strip, found)))]
    if not labels:
        raise UsageError(f"--classes: {text!r} names no class")
    for label in labels:
        try:
            label.encode()
        except UnicodeEncodeError:
            raise UsageError(f"--classes: the name {label!r} is not UTF-8") from None
    refuse_control("--classes", labels)
    return labels


def as_class(text, folders):
    """The folder that a text names in any spelling, or else the text. None of these is empty."""
    if spoken(text) == NONE_OF_THESE:
        return ""
    if text in folders:
        return text
    known = {spoken(folder): folder for folder in sorted(folders, reverse=True)}
    return known.get(spoken(text), text.strip())


def puzzling_names(names, models):
    """Names without a word, and names with other letters where a model reads only English."""
    # What models of other packages, and from folders, read is not known. They have a scheme before
    # their name.
    configs = [architecture(model).get("text_cfg", {}) for model in models if ":" not in model]
    is_english = any("hf_tokenizer_name" not in config for config in configs)
    has_word = re.compile(r"\b[^\W\d_]{2,}\b").search
    return [name for name in names if not has_word(name) or (is_english and not name.isascii())]


def read_rows(option, path):
    """Rows of cells, without empty rows. Commas, semicolons and tabs separate cells, or what a
    first line such as `sep=;` says, or they are of Excel.
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
    if hint := re.match(r"sep=([^\w\"\r\n])\r?\n", text):  # of Excel
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
    """Where a cell is the name of a class, Excel made a date of it. A burst may be one."""
    for number, row in enumerate(cells if option != "--bursts" else (), start=1):
        for cell in row:
            if isinstance(cell, date | time):
                raise UsageError(
                    f"{option}: in {path!r}, Excel has the date {str(cell)!r} in row {number},"
                    " perhaps made of a name; make the column text, and type the cell again"
                )
