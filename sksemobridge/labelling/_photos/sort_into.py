"""Copies of images in a sub-folder for each label, for `sksemobridge label --sort-into`.

The folder is new, empty, or one that an earlier run for the same PHOTOS began. Its mark holds that
PHOTOS, and where the copies are, so that a corrected image leaves its old place, and no file of a
person is touched.
"""

import json
import os
import shutil
from contextlib import suppress

from ..._utils.files import folder_names, new_file
from ..._utils.validation import warn_caller
from ...datasets._folder import COPIES_MARK
from .folder_table import was_read
from .messages import UsageError


def earlier_copies(photos, folder):
    """Sub-folder of each copy of an earlier run, by the path of its image below `photos`. A
    `UsageError` for other folders.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return {}
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        mark = json.loads((folder / COPIES_MARK).read_text(encoding="ascii"))
        if mark["photos"] == os.path.realpath(photos):
            # Another person may have written the mark: no name leads out of the folder.
            return {
                path: name
                for path, name in mark["copies"].items()
                if folder_names([name])[name] == name
            }
    raise UsageError(
        f"--sort-into: {str(folder)!r} is no new or empty folder, nor of copies of these PHOTOS"
    )


def sort_into(rows, photos, folder):
    """Copy images into a sub-folder for each label, and return how many were copied."""
    earlier = earlier_copies(photos, folder)
    names = folder_names(sorted({row["label"] for row in rows if not row["problem"]}, key=str))
    below = {os.path.relpath(row["path"], photos): row for row in rows if was_read(row)}
    wanted = {path: names[row["label"]] for path, row in below.items() if not row["problem"]}
    folder.mkdir(parents=True, exist_ok=True)
    # Before the first copy, so that the next run knows the copies of one that was killed.
    with new_file(folder / COPIES_MARK, replace=True) as unfinished:
        mark = {"photos": os.path.realpath(photos), "copies": earlier | wanted}
        unfinished.write_text(json.dumps(mark), encoding="ascii")
    for path, name in earlier.items():
        if path in below and wanted.get(path) != name:
            (folder / name / path).unlink(missing_ok=True)
    return sum(
        _copy(below[path]["path"], folder / name / path, folder, earlier.get(path) == name)
        for path, name in wanted.items()
    )


def _copy(source, target, folder, is_own):
    """Copy a file, first under another name, since the program may be ended. True if it is a new or
    a newer copy.
    """
    if target.exists():
        if not is_own:
            warn_caller(
                f"--sort-into: {str(target)!r} is not a copy of this command, and stays as it is."
            )
            return False
        there, new = target.stat(), os.stat(source)
        if (there.st_size, there.st_mtime_ns) == (new.st_size, new.st_mtime_ns):
            return False
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"{COPIES_MARK}.unfinished"
    try:
        shutil.copy2(source, unfinished)
        os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)
    return True
