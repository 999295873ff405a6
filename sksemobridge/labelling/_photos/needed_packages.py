"""Packages that only some runs need."""

import sys
from importlib.util import find_spec

from .._messages import UsageError

# Packages that a kind of file, or the page, needs.
NEEDS = {
    ".xlsx": ["pandas", "openpyxl"],
    ".skops": ["skops"],
    "--open": ["starlette", "uvicorn"],
}


def check_packages(option: str, what: str, kind: str) -> None:
    """Raise a `UsageError` if packages of `NEEDS` are missing."""
    missing = [name for name in NEEDS.get(kind, []) if find_spec(name) is None]
    if missing:
        install = f"{sys.executable} -m pip install {' '.join(missing)}"
        raise UsageError(f"{option}: {what} {' and '.join(missing)}: {install}")
