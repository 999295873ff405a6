"""Files that are written completely, or not at all."""

import os
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


def as_path(name):
    """A name of a file or folder as a path; a TypeError where it is none."""
    if not isinstance(name, str | os.PathLike):
        raise TypeError(f"A file or folder is given as text or a path, not as {type(name).__name__}.")
    return Path(name)


@contextmanager
def new_file(path, replace=False):
    """Yield a temporary name beside `path`. The file written under that name is renamed to `path` at the end.

    Files that are written beside it follow. If a file cannot be written, or if `path` exists at the end and is not to be
    replaced, an `OSError` names `path`, and no new file is left.
    """
    path = as_path(path)
    if replace:
        path = Path(os.path.realpath(path))  # not a link to it
        if path.exists() and not path.is_file():
            raise OSError(f"{str(path)!r} could not be written: it is no regular file")
    try:
        with TemporaryDirectory(prefix=".", dir=path.absolute().parent) as folder:
            unfinished = Path(folder, path.name)
            yield unfinished
            # The file itself is the last.
            for written in sorted(Path(folder).iterdir(), key=unfinished.__eq__):
                with open(written, "rb+") as file:
                    os.fsync(file)
                if written != unfinished or replace:
                    os.replace(written, path.with_name(written.name))
                    continue
                try:
                    # Unlike a renaming, it never replaces a file.
                    os.link(written, path)
                except OSError:  # or a file system without links
                    if os.path.lexists(path):
                        raise FileExistsError("it exists") from None
                    os.rename(written, path)
    except OSError as error:
        raise OSError(f"{str(path)!r} could not be written: {error}") from error
