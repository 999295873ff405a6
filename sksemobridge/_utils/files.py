"""Files that are written completely, or not at all."""

import os
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def new_file(path):
    """Yield a temporary name beside `path`. The file written under that name is renamed to `path` at the end.

    If the file cannot be written, or if `path` exists at the end, an `OSError` names `path`, and no file is left.
    """
    path = Path(path)
    try:
        with TemporaryDirectory(prefix=".", dir=path.absolute().parent) as folder:
            unfinished = Path(folder, path.name)
            yield unfinished
            with open(unfinished, "rb+") as file:
                os.fsync(file)
            try:
                # Unlike a renaming, it never replaces a file.
                os.link(unfinished, path)
            except OSError:  # or a file system without links
                if os.path.lexists(path):
                    raise FileExistsError("it exists") from None
                os.rename(unfinished, path)
    except OSError as error:
        raise OSError(f"{str(path)!r} could not be written: {error}") from error
