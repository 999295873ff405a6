"""Files and folders on Linux, macOS and Windows."""

import os
import shutil
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from filelock import FileLock

# Prefix of the names of folders of unfinished files.
_UNFINISHED = ".sksemobridge-unfinished-"
# Lock of the process that writes into such a folder.
_LOCK = ".lock"
# Nanoseconds after a change during which a second change may leave the time of a file the same:
# some file systems have a resolution of two seconds.
SETTLED_NS = 2 * 10**9


@contextmanager
def new_file(path, replace=False):
    """Write a file completely, or not at all: yields a temporary path, whose file is moved to
    `path` at the end.

    An `OSError` names `path` if writing fails, or if `path` exists at the end and `replace` is
    false.
    """
    path = Path(path)
    if replace:
        path = Path(os.path.realpath(path))  # not a link to it
        if path.exists() and not path.is_file():
            raise OSError(f"{str(path)!r} could not be written: it is no regular file")
    try:
        with unfinished_folder(path.absolute().parent) as folder:
            unfinished = folder / path.name
            yield unfinished
            with open(unfinished, "rb+") as file:
                os.fsync(file)
            if not replace and os.path.lexists(path):
                raise FileExistsError("it exists")
            if path.exists():
                shutil.copymode(path, unfinished)
            os.replace(unfinished, path)
    except OSError as error:
        raise OSError(f"{str(path)!r} could not be written: {error}") from error


@contextmanager
def unfinished_folder(parent):
    """A hidden folder for unfinished files, which is removed at the end. Folders that killed
    processes left in `parent` are removed, too.
    """
    _clear_unfinished(parent)
    with TemporaryDirectory(prefix=_UNFINISHED, dir=parent) as folder:
        lock = FileLock(Path(folder, _LOCK))
        # Some file systems have no locks.
        with suppress(OSError, NotImplementedError):
            lock.acquire(timeout=0)
        try:
            yield Path(folder)
        finally:
            lock.release()


def _clear_unfinished(parent):
    """Remove the folders of processes that were killed, whose locks have ended with them."""
    for folder in parent.glob(f"{_UNFINISHED}*"):
        # Another process may be creating a folder that has no lock yet.
        if Path(folder, _LOCK).exists():
            # A process may still write into the folder, or the folder may belong to another user.
            with suppress(OSError, NotImplementedError):
                with FileLock(Path(folder, _LOCK), timeout=0):
                    pass
                shutil.rmtree(folder)


def changed_ns(status):
    """The time of the last change of a file in nanoseconds, from its `os.stat`. Programs can set
    the time of the content, but not the time of the change.
    """
    return max(status.st_mtime_ns, status.st_ctime_ns)


def file_state(status):
    """A text from the `os.stat` of a file that changes with its content. The text includes the time
    of change, since programs can set the time of the content.
    """
    facts = status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_dev, status.st_ino
    return " ".join(map(str, facts))


def has_settled(status):
    """Whether a later change of a file will have another time, by its `os.stat`."""
    return time.time_ns() - changed_ns(status) >= SETTLED_NS


def settled_change(before, after):
    """`changed_ns` of a file that was read between two `os.fstat`. None if this time cannot tell
    whether the file was changed later.
    """
    is_same = (before.st_size, changed_ns(before)) == (after.st_size, changed_ns(after))
    return changed_ns(after) if is_same and has_settled(after) else None
