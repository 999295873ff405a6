"""Copies of images in a sub-folder for each label, for `sksemobridge label --sort-into`."""

import filecmp
import itertools
import shutil
from pathlib import Path

from ._utils.files import folder_names
from .datasets._folder import COPIES_MARK


def is_of_copies(folder):
    """True if a folder is empty, or holds only copies that this command made."""
    return (folder / COPIES_MARK).exists() or not folder.exists() or not any(folder.iterdir())


def sort_into(rows, folder):
    """Copy images into a sub-folder for each label, and return how many were copied."""
    if is_of_copies(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / COPIES_MARK).touch()
    labelled = [row for row in rows if not row["problem"]]
    copied, names = 0, folder_names(sorted({row["label"] for row in labelled}, key=str))
    for row in labelled:
        target = _free_name(Path(row["path"]), folder / names[row["label"]])
        if target is not None:
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copy2(row["path"], target)
            except BaseException:
                target.unlink(missing_ok=True)
                raise
            copied += 1
    return copied


def _free_name(path, folder):
    """A free path for a copy of a file, or None if there is an equal copy already."""
    for number in itertools.count(1):
        target = folder / (path.name if number == 1 else f"{path.stem}-{number}{path.suffix}")
        if not target.exists():
            return target
        if filecmp.cmp(path, target, shallow=False):
            return None
