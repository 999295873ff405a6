"""Files that are written completely or not at all."""

import os
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def new_file(path):
    """Yield a temporary name beside `path`. The file written under that name is renamed to `path` at the end.

    Raises
    ------
    OSError
        If the file cannot be written, or if `path` exists at the end; the message names `path`. Nothing is left behind.
    """
    path = Path(path)
    try:
        with TemporaryDirectory(prefix=".", dir=path.absolute().parent) as folder:
            unfinished = Path(folder, path.name)
            yield unfinished
            with open(unfinished, "rb+") as file:
                os.fsync(file)
            _rename(unfinished, path)
    except OSError as error:
        raise OSError(f"{str(path)!r} could not be written: {error}") from error


def _rename(old, new):
    """Rename a file; `FileExistsError` if the new name exists."""
    try:
        os.link(old, new)
    except FileExistsError:
        raise
    except OSError:  # file systems without links; another program may take the name after the check
        if os.path.lexists(new):
            raise FileExistsError("it exists") from None
        os.rename(old, new)
