"""Files and folders on Linux, macOS and Windows."""

import hashlib
import os
import re
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def new_file(path, replace=False):
    """Write a file completely, or not at all: yields a temporary path, from where it is moved to
    `path` at the end.

    An `OSError` names `path` if that fails, or if `path` exists then and is not to be replaced.
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
            with open(unfinished, "rb+") as file:
                os.fsync(file)
            if not replace and os.path.lexists(path):
                raise FileExistsError("it exists")
            os.replace(unfinished, path)
    except OSError as error:
        raise OSError(f"{str(path)!r} could not be written: {error}") from error


def folder_names(labels):
    """A folder name for each label. No name is a path or equal to another, also where case makes no
    difference.
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


def digest_of(content):
    """Size and digest of the content of a file."""
    return len(content), hashlib.sha256(content).hexdigest()
