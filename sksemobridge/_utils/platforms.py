"""Differences of Linux, macOS and Windows. Where a system lacks something, the package goes on without it.

Byte locks are those of Linux: elsewhere all are granted, so that two processes may embed the same image twice. Without
`fork` no child inherits them. The memory of a child process is limited on Linux only.
"""

import errno
import os
import re
import struct
import sys
from contextlib import suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
try:
    import resource
except ImportError:  # Windows
    resource = None

# Locks of an open file, not of a process, so that two threads cannot hold the same one either. Other systems may
# have them with another layout of the structure below.
_SET_LOCK = getattr(fcntl, "F_OFD_SETLK", None) if sys.platform == "linux" else None
_MEMORY = "/proc/self/statm"
# Windows opens devices under these names, whatever follows a point.
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def lock_byte(file, position):
    """Lock a byte of an open file; return whether nobody else holds it. The byte need not exist.

    The system ends the lock with the process, or when the file is closed. Without such locks it is granted.
    """
    try:
        _lock(file, "F_WRLCK", position, 1)
    except OSError as error:
        # Any other error says that this file system has no locks.
        return error.errno not in (errno.EAGAIN, errno.EACCES)
    return True


def unlock_bytes(file, position, length=1):
    """Unlock bytes, whether we hold them or not; of length zero all that follow."""
    # As above: where nothing can be locked, nothing is to be unlocked.
    with suppress(OSError):
        _lock(file, "F_UNLCK", position, length)


def _lock(file, kind, position, length):
    if _SET_LOCK is not None:
        # The structure flock of fcntl(2) on 64-bit Linux: kind, whence, start, length and owner.
        flock = struct.pack("hhqqi4x", getattr(fcntl, kind), os.SEEK_SET, position, length, 0)
        fcntl.fcntl(file, _SET_LOCK, flock)


def call_after_fork(function):
    """Call a function in each child process that is forked from now on."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=function)


def limit_memory(n_bytes):
    """Limit the memory that this process may take from now on; return whether the system can."""
    try:
        with open(_MEMORY) as file:
            taken = int(file.read().split()[0]) * resource.getpagesize()
    except (AttributeError, FileNotFoundError):
        return False
    resource.setrlimit(resource.RLIMIT_AS, (taken + n_bytes, taken + n_bytes))
    return True


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
