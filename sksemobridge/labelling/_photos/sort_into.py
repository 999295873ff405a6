"""Copies of images in a sub-folder for each label, for `sksemobridge label --sort-into`.

The folder is new, empty, or made by an earlier run for the same PHOTOS. A mark file in it holds the
path of PHOTOS and the places of the copies, so that a corrected image leaves its old place. Files
of a person, and copies that a person changed, are not touched.
"""

import filecmp
import json
import os
import re
import shutil
from contextlib import suppress

from ..._utils.files import new_file
from ..._utils.validation import listed, warn_caller
from ...datasets._folder import COPIES_MARK
from .._messages import UsageError
from .folder_table import was_read

# Most bytes in the name of a folder. Windows and macOS count in other units, of which a name has no
# more.
LONGEST_FOLDER_NAME = 255


def earlier_copies(photos, folder):
    """The copies of earlier runs: a set of tuples of sub-folder, path below `photos`, size and
    time. Raises a `UsageError` if no earlier run for these PHOTOS made the folder.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return set()
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        mark = json.loads((folder / COPIES_MARK).read_text(encoding="ascii"))
        if mark["photos"] == os.path.realpath(photos):
            # Another person may have written the mark: names that lead out of the folder are left
            # out.
            return {
                (name, path, size, changed)
                for name, path, size, changed in mark["copies"]
                if folder_names([name])[name] == name
            }
    raise UsageError(
        f"--sort-into: {str(folder)!r} is no new or empty folder, nor of copies of these PHOTOS"
    )


def sort_into(rows, photos, folder):
    """Copy images into a sub-folder for each label, and return how many were copied. A warning
    names files that a person put there, or changed.
    """
    earlier, source_of, wanted = earlier_copies(photos, folder), {}, {}
    names = sub_folders(rows)
    for row in filter(was_read, rows):
        path = os.path.relpath(row["path"], photos)
        source_of[path] = row["path"]
        if not row["problem"]:
            wanted[path] = names[row["label"]]
    folder.mkdir(parents=True, exist_ok=True)
    # If this run is killed, the next run knows its copies, which have the times of their images,
    # and the earlier copies that this run did not reach.
    begun = {(name, path, *_stamp(source_of[path])) for path, name in wanted.items()}
    _write_mark(photos, folder, earlier | begun)
    n_copied, kept = 0, []
    for name, path in {(name, path) for name, path, *_ in earlier}:
        copy = folder / name / path
        if path in source_of and copy.exists() and wanted.get(path) != name:
            if filecmp.cmp(source_of[path], copy) or (name, path, *_stamp(copy)) in earlier:
                copy.unlink()
            else:
                kept.append(copy)
    copies = {copy for copy in earlier if copy[1] not in source_of}
    for path, name in wanted.items():
        copy = folder / name / path
        if not copy.exists() or not filecmp.cmp(source_of[path], copy):
            # A newer image replaces its copy, unless a person changed the copy.
            if copy.exists() and (name, path, *_stamp(copy)) not in earlier:
                kept.append(copy)
                continue
            _copy(source_of[path], copy, folder)
            n_copied += 1
        copies.add((name, path, *_stamp(copy)))
    # The times of copies may differ from `begun`: some file systems round times, and an image may
    # have changed since.
    _write_mark(photos, folder, copies)
    if kept:
        warn_caller(
            f"--sort-into: Left as they are, since they are not as this command wrote them"
            f" ({len(kept)}): {listed(sorted(map(repr, map(str, kept))))}. Move them away to have"
            " these images copied."
        )
    return n_copied


def sub_folders(rows):
    """The name of the sub-folder of each label. A name that is too long is a `UsageError`."""
    names = folder_names(sorted({row["label"] for row in rows if not row["problem"]}, key=str))
    for label, name in names.items():
        if len(os.fsencode(name)) > LONGEST_FOLDER_NAME:
            raise UsageError(
                f"--sort-into: the label {str(label)[:40] + '…'!r} is too long for the name of a"
                f" folder (at most {LONGEST_FOLDER_NAME} bytes); give this class a shorter name"
            )
    return names


def folder_names(labels):
    """A folder name for each label. No name is a path, and no two names are equal, also on file
    systems without case.
    """
    names, taken = {}, set()
    for label in labels:
        name = re.sub(r'[\x00-\x1f\\/:*?"<>|]', "_", str(label)).strip(". ") or "_"
        number, free = 1, name
        while free.casefold() in taken:
            number += 1
            free = f"{name}-{number}"
        taken.add(free.casefold())
        names[label] = free
    return names


def _write_mark(photos, folder, copies):
    with new_file(folder / COPIES_MARK, replace=True) as unfinished:
        mark = {"photos": os.path.realpath(photos), "copies": sorted(copies)}
        unfinished.write_text(json.dumps(mark), encoding="ascii")


def _stamp(path):
    """Values that tell whether a file was changed."""
    status = os.stat(path)
    return [status.st_size, status.st_mtime_ns]


def _copy(source, copy, folder):
    """Copy a file, first under another name, since the program may be killed."""
    copy.parent.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"{COPIES_MARK}.unfinished"
    try:
        shutil.copy2(source, unfinished)
        os.replace(unfinished, copy)
    finally:
        unfinished.unlink(missing_ok=True)
