"""Differences of Linux, macOS and Windows."""

import os
import re
import sys
from pathlib import Path

# On Windows these names are devices, also with a suffix such as ".txt".
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def user_cache_folder():
    """The user's folder for caches."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def folder_names(labels):
    """A folder name for each label. On no system, a name is a path, a device, or equal to another name.

    Names that differ only in upper and lower case get numbers, because they are equal on Windows and macOS.
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
