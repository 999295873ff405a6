"""How the command speaks: to the person on stderr, and of what a user did wrong."""

import sys
from contextlib import contextmanager


class UsageError(ValueError):
    """What a user did wrong. The message names the argument."""


def say(message):
    print(message, file=sys.stderr)


@contextmanager
def naming(argument, *kinds):
    """A missing file, and errors of these kinds, become a `UsageError` with the argument."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, *kinds) as error:
        raise UsageError(f"{argument}: {error}") from error
