"""Tables that users hand to the command: names of classes, and corrections of labels."""

import csv
import io
import os
import re
from pathlib import Path
from unicodedata import normalize

from ._texts.prompts import ENSEMBLE_TEMPLATES

# What a text begins with that a spreadsheet takes for a formula.
FORMULA = r"(?=[=+\-@\t])"


def read_names(path, folders):
    """Parameters that say the classes in the words of a table: folder, name, and whole prompts if there are any.

    Raises
    ------
    ValueError
        If the file is no table, or names what is no class.
    """
    known = {normalize("NFC", folder): folder for folder in folders}
    names, prompts = {folder: folder.replace("_", " ") for folder in folders}, {}
    for number, row in enumerate(_read_rows("--names", path)):
        folder, *words = (cell.strip() for cell in row)
        folder = known.get(normalize("NFC", folder), folder)
        if folder in names:
            names[folder] = next(filter(None, words[:1]), names[folder])
            prompts |= {folder: own} if (own := list(filter(None, words[1:]))) else {}
        elif number:  # the first row may be a header
            raise ValueError(f"--names: {path!r} names {folder!r}, which is no class ({', '.join(folders)})")
    if prompts:
        for folder in folders:
            prompts.setdefault(folder, [text.replace("{}", names[folder]) for text in ENSEMBLE_TEMPLATES])
    return {"class_names": names, "prompts": prompts or "auto"}


def read_corrections(path, folders):
    """Labels that a person gave, by path of the image; an empty label: of none of the classes.

    Raises
    ------
    ValueError
        If the file is no table, or names a file that is not there.
    """
    known = {normalize("NFC", folder): folder for folder in folders}
    corrections, lost = {}, []
    for number, (image, *label) in enumerate(_read_rows("--corrections", path)):
        label = "".join(label[:1]).strip()
        if number == 0 and (image.lower(), label.lower()) == ("path", "label"):
            continue
        image, label = (re.sub(f"^'{FORMULA}", "", text) for text in (image, label))
        if not os.path.isfile(image):
            lost.append(image)
        corrections[image] = known.get(normalize("NFC", label), label)
    if lost:
        raise ValueError(
            f"--corrections: {path!r} names {len(lost)} files that are not there, such as {lost[0]!r}. Run the "
            "command in the folder where it ran before, or delete these lines"
        )
    return corrections


def puzzling_names(names, *, is_english):
    """Names that hold no word, or with a model that reads English only, letters of other languages."""
    return [
        name
        for name in names
        if not re.search(r"\b[^\W\d_]{2,}\b", name) or (is_english and not name.isascii())
    ]


def _read_rows(option, path):
    """Rows of cells without those that are empty; any of the usual separators."""
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
        separator = max(",;\t", key=text.partition("\n")[0].count)
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{option}: {path!r} is no table in UTF-8 (in Excel: CSV UTF-8): {error}") from error
    return [row for row in rows if any(cell.strip() for cell in row)]
