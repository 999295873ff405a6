"""Differences of Linux, macOS and Windows."""

import os
import re
import sys
from pathlib import Path

# Windows opens devices under these names, whatever follows a point.
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def user_cache_folder():
    """The user's folder for caches."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def folder_names(labels):
    """A name of a folder for each of different labels, by label, that leads nowhere else on any system.

    Names differ by more than upper and lower case, which Windows and macOS do not tell apart.
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
