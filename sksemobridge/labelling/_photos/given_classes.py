"""The classes that a user gives: their names, and whole prompts."""

import os
import re
from pathlib import Path

from ..._texts.prompts import ENSEMBLE_TEMPLATES
from ..._utils.validation import as_words, warn_caller
from ...encoders._source import architecture
from .class_names import NONE_OF_THESE, comparable, refuse_control
from .messages import UsageError, naming
from .user_tables import read_rows


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
    if comparable(text) == NONE_OF_THESE:
        return ""
    if text in folders:
        return text
    known = {comparable(folder): folder for folder in sorted(folders, reverse=True)}
    return known.get(comparable(text), text.strip())


def puzzling_names(names, models):
    """Names without a word, and names with other letters where a model reads only English."""
    # What models of other packages, and from folders, read is not known. They have a scheme before
    # their name.
    configs = [architecture(model).get("text_cfg", {}) for model in models if ":" not in model]
    is_english = any("hf_tokenizer_name" not in config for config in configs)
    has_word = re.compile(r"\b[^\W\d_]{2,}\b").search
    return [name for name in names if not has_word(name) or (is_english and not name.isascii())]
