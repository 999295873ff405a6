"""Files that are there whole or not at all."""

import os
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def new_file(path):
    """A name to write to, beside `path`; what is there in the end becomes the file `path`.

    Raises
    ------
    OSError
        If it cannot be written, or `path` exists by then; the message names it. Nothing is left behind.
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
    """Rename a file to a name that nothing has."""
    try:
        os.link(old, new)
    except FileExistsError:
        raise
    except OSError:  # file systems without links; here another program may take the name in between
        if os.path.lexists(new):
            raise FileExistsError("it exists") from None
        os.rename(old, new)
