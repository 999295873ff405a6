"""Messages of the command: text on stderr, and errors for mistakes of a user."""

import io
import os
import re
import sys
from contextlib import contextmanager, suppress

# Characters that a terminal obeys: controls, and marks that change the direction of text.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
REPORT_AT = "https://github.com/sksemobridge/sksemobridge/issues"


class UsageError(ValueError):
    """A mistake of a user. The message names the argument."""


def print_message(message):
    print(escaped(message), file=sys.stderr)


def escaped(text):
    """Text that is safe in a terminal: names of files and classes may hold anything. Line breaks
    stay.
    """
    return CONTROL.sub(lambda sign: sign[0] if sign[0] == "\n" else ascii(sign[0])[1:-1], text)


def fault(error):
    """The message for a person on an unforeseen error, whose traceback is on stderr."""
    return (
        f"This is a fault of sksemobridge ({type(error).__name__}: {error}). Please report it with"
        f" the lines in the terminal: {REPORT_AT}"
    )


class _Forgiving:
    """A stream that ignores failed writes, such as writes to a full disk."""

    def __init__(self, stream):
        self._stream = stream

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def write(self, text):
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self):
        self._try(self._stream.flush)

    def _try(self, function):
        try:
            function()
        except OSError:
            # The rest of the buffer would be written when the process ends, and fail again.
            with suppress(OSError, io.UnsupportedOperation), open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), self._stream.fileno())


@contextmanager
def forgiving_stderr():
    """Context in which text that cannot be written to stderr is lost, and the work goes on."""
    stream, sys.stderr = sys.stderr, _Forgiving(sys.stderr)
    try:
        yield
    finally:
        sys.stderr = stream


@contextmanager
def naming(argument, *kinds):
    """Context in which a missing file, and errors of these kinds, become a `UsageError` with the
    argument.
    """
    try:
        yield
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, *kinds) as error:
        raise UsageError(f"{argument}: {_reason(error)}") from error


def _reason(error):
    path = getattr(error, "filename", None)
    if path is None:
        return str(error)
    if isinstance(error, FileNotFoundError):
        return f"There is no file {os.fspath(path)!r}; check the path."
    if isinstance(error, NotADirectoryError | IsADirectoryError):
        return f"{os.fspath(path)!r} is no file; give a file."
    return f"The file {os.fspath(path)!r} cannot be read: {error.strerror}."
