"""Files and folders on Linux, macOS and Windows."""

import os
import re
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

# On Windows these names are devices, also with a suffix such as ".txt".
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


@contextmanager
def new_file(path, replace=False):
    """Write a file completely, or not at all. Yields a temporary path, from where it is moved to `path` at the end.

    Files that are written beside it follow. If a file cannot be written, or if `path` exists at the end and is not to
    be replaced, an `OSError` names `path`, and no new file is left.
    """
    path = Path(path)
    if replace:
        path = Path(os.path.realpath(path))  # not a link to it
        if path.exists() and not path.is_file():
            raise OSError(f"{str(path)!r} could not be written: it is no regular file")
    try:
        with TemporaryDirectory(prefix=".", dir=path.absolute().parent) as folder:
            unfinished = Path(folder, path.name)
            yield unfinished
            # False sorts before True: the file itself is moved last.
            files = sorted(Path(folder).iterdir(), key=unfinished.__eq__)
            for written in files:
                with open(written, "rb+") as file:
                    os.fsync(file)
            if not replace and os.path.lexists(path):
                raise FileExistsError("it exists")
            for written in files:
                os.replace(written, path.with_name(written.name))
    except OSError as error:
        raise OSError(f"{str(path)!r} could not be written: {error}") from error


def folder_names(labels):
    """A folder name for each label. On no system, a name is a path, a device, or equal to another name.

    Names that differ only in upper and lower case get numbers, because they are equal on Windows and macOS.
    """
    names, taken = {}, set()
    for label in labels:
        name = re.sub(r'[\x00-\x1f\\/:*?"<>|]', "_", str(label)).strip(". ") or "_"
        if _DEVICES.fullmatch(name):
            name = f"_{name}"
        number, free = 1, name
        while free.casefold() in taken:
            number += 1
            free = f"{name}-{number}"
        taken.add(free.casefold())
        names[label] = free
    return names
