"""Copies of images in a sub-folder for each label, for `sksemobridge label --sort-into`.

The folder is new, empty, or one that an earlier run for the same PHOTOS began. Its mark holds that
PHOTOS, and where the copies are, so that a corrected image leaves its old place. No file of a
person is touched, nor a copy that a person changed.
"""

import filecmp
import json
import os
import shutil
from contextlib import suppress

from ..._utils.files import folder_names, new_file
from ..._utils.validation import listed, warn_caller
from ...datasets._folder import COPIES_MARK
from .folder_table import was_read
from .messages import UsageError


def earlier_copies(photos, folder):
    """Sub-folder, size and time of each copy of an earlier run, by the path of its image below
    `photos`. A `UsageError` for other folders.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return {}
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        mark = json.loads((folder / COPIES_MARK).read_text(encoding="ascii"))
        if mark["photos"] == os.path.realpath(photos):
            # Another person may have written the mark: no name leads out of the folder.
            return {
                path: (name, size, changed)
                for path, (name, size, changed) in mark["copies"].items()
                if folder_names([name])[name] == name
            }
    raise UsageError(
        f"--sort-into: {str(folder)!r} is no new or empty folder, nor of copies of these PHOTOS"
    )


def sort_into(rows, photos, folder):
    """Copy images into a sub-folder for each label, and return how many were copied. A note names
    what a person put there, or changed.
    """
    earlier, source_of, wanted = earlier_copies(photos, folder), {}, {}
    names = folder_names(sorted({row["label"] for row in rows if not row["problem"]}, key=str))
    for row in filter(was_read, rows):
        path = os.path.relpath(row["path"], photos)
        source_of[path] = row["path"]
        if not row["problem"]:
            wanted[path] = names[row["label"]], *_stamp(row["path"])
    folder.mkdir(parents=True, exist_ok=True)
    # Before the first copy, so that the next run knows the copies of one that was killed.
    with new_file(folder / COPIES_MARK, replace=True) as unfinished:
        mark = {"photos": os.path.realpath(photos), "copies": earlier | wanted}
        unfinished.write_text(json.dumps(mark), encoding="ascii")
    n_copied, kept = 0, []
    for path, (name, *stamp) in earlier.items():
        copy = folder / name / path
        if path in source_of and copy.exists() and wanted.get(path, ("",))[0] != name:
            if filecmp.cmp(source_of[path], copy) or stamp == _stamp(copy):
                copy.unlink()
            else:
                kept.append(copy)
    for path, (name, *_) in wanted.items():
        copy = folder / name / path
        if copy.exists():
            if filecmp.cmp(source_of[path], copy):
                continue
            # A newer image takes the place of its copy.
            if earlier.get(path) != (name, *_stamp(copy)):
                kept.append(copy)
                continue
        _copy(source_of[path], copy, folder)
        n_copied += 1
    if kept:
        warn_caller(
            f"--sort-into: Left as they are, since they are not as this command wrote them"
            f" ({len(kept)}): {listed(map(repr, map(str, kept)))}. Move them away to have these"
            " images copied."
        )
    return n_copied


def _stamp(path):
    """What says that a file was not changed."""
    status = os.stat(path)
    return [status.st_size, status.st_mtime_ns]


def _copy(source, copy, folder):
    """Copy a file, first under another name, since the program may be ended."""
    copy.parent.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"{COPIES_MARK}.unfinished"
    try:
        shutil.copy2(source, unfinished)
        os.replace(unfinished, copy)
    finally:
        unfinished.unlink(missing_ok=True)
