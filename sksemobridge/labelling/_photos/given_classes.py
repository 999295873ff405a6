"""The classes that a user gives: their names, and whole prompts."""

import json
import os
import re
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from ..._texts.prompts import ENSEMBLE_TEMPLATES
from ..._utils.validation import comparable, listed, warn_caller
from .._answers.class_names import NONE_OF_THESE, refuse_names, words_of
from .._messages import UsageError, naming
from .user_tables import read_rows


def read_names(path, classes):
    """Parameters of the classifier from a table of folder, name, and (optional) whole prompts.
    `classes` are `ClassNames`: a person may have renamed, joined or dropped classes since.
    """
    lines, header = {}, None
    for number, (cell, *words) in enumerate(read_rows("--names", path)):
        folder = cell.strip()
        if template := next((word for word in words[1:] if "{}" in word), None):
            raise UsageError(
                f"--names: {path!r} has the prompt {template!r}; write the name in place of {{}}"
            )
        if comparable(folder) in lines:
            raise UsageError(f"--names: {path!r} names {folder!r} twice; delete one of the lines")
        if classes.current_name(folder) is not None or classes.is_dropped(folder):
            lines[comparable(folder)] = folder, [word.strip() for word in words]
        elif number:
            known = ", ".join(classes.current)
            raise UsageError(f"--names: {path!r} names {folder!r}, which is no class ({known})")
        else:
            header = folder
    if not lines:
        raise UsageError(
            f"--names: {path!r} names no class; write a table with a line for each folder, such as"
            " 'clock,alarm clock'"
        )
    if header is not None and header.lower() != "folder":
        warn_caller(
            f"--names: {header!r}, in the first line of {path!r}, is no class; read as a header."
        )
    rows, folders = _rows_of_classes(path, lines.values(), classes), classes.current
    names = {folder: (rows.get(folder) or [""])[0] or words_of(folder) for folder in folders}
    own = {folder: list(filter(None, words[1:])) for folder, words in rows.items()}
    prompts = {folder: own.get(folder) or usual_prompts(names[folder]) for folder in folders}
    return {"class_names": names, "prompts": prompts if any(own.values()) else "auto"}


def _rows_of_classes(path, lines, classes):
    """Lines by the class that their folder is now. A warning names the lines that are skipped."""
    rows, passed_over = {}, []
    # Of joined classes, the line of the class that kept its name wins.
    still = {comparable(name) for name in classes.current}
    for folder, words in sorted(lines, key=lambda line: comparable(line[0]) not in still):
        label = classes.current_name(folder)
        if label is None or label in rows:
            passed_over.append(folder)
        else:
            rows[label] = words
    if passed_over:
        what = f"Passed over in {path!r}, dropped or joined since ({len(passed_over)})"
        warn_caller(f"--names: {what}: {listed(passed_over)}; undo that in the page to use them.")
    return rows


def usual_prompts(name):
    return [text.replace("{}", name) for text in ENSEMBLE_TEMPLATES]


def read_classes(text):
    """Labels from a text with commas, from a text file with a label a line, or from a tuple."""
    if not isinstance(text, str):
        found = text
    elif Path(text).suffix.lower() == ".json":
        raise UsageError(
            f"--classes: {text!r} is JSON; write a text file with a class a line, and names of"
            " folders in a table (--names)"
        )
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
    refuse_names("--classes", labels)
    return labels


def class_of_text(text, folders):
    """The folder that a text names in any spelling, or else the text. "None of these" becomes
    empty.
    """
    if comparable(text) == NONE_OF_THESE:
        return ""
    if text in folders:
        return text
    known = {comparable(folder): folder for folder in sorted(folders, reverse=True)}
    return known.get(comparable(text), text.strip())


def puzzling_names(names, models):
    """Names without a word, and names with other letters where a model reads only English."""
    # Languages of models of other packages, or from folders, are not known. Such models have a
    # scheme before their name.
    is_english = any(":" not in model and _reads_only_english(model) for model in models)
    has_word = re.compile(r"\b[^\W\d_]{2,}\b").search
    return [name for name in names if not has_word(name) or (is_english and not name.isascii())]


def _reads_only_english(model):
    """Whether a model of open_clip has the tokenizer of CLIP, which knows only English words. Its
    file says so; to import open_clip would take seconds.
    """
    configs = Path(find_spec("open_clip").origin).parent / "model_configs"
    config = {}
    with suppress(OSError, ValueError):
        config = json.loads((configs / f"{re.sub(r'/(?=[0-9])', '-', model)}.json").read_text())
    return "hf_tokenizer_name" not in config.get("text_cfg", {})
