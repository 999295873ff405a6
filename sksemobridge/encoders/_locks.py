"""Locks on numbers, shared between processes. A lock ends with the process that holds it, if not before."""

import errno
import os
import struct
import sys
import weakref
from contextlib import suppress

try:
    import fcntl
except ImportError:
    fcntl = None

# Locks of an open file, not of a process, so that two threads cannot hold the same one either. Other systems may
# have them with another layout of the structure below.
_SET_LOCK = getattr(fcntl, "F_OFD_SETLK", None) if sys.platform == "linux" else None


class NumberLocks:
    """Locks on numbers of up to 63 bits; of all that open the same file, one holds a number at a time.

    Each is a lock of the system on one byte of the file, which may be empty. The system ends it with the
    process, however that ends. Where the system has no such locks (Linux has them), all are granted.

    Parameters
    ----------
    path : str or os.PathLike
        Made where it is missing.
    """

    def __init__(self, path):
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
        _opened.add(self)

    def take(self, number):
        """Lock a number; return whether nobody else holds it."""
        if _SET_LOCK is None or self._file is None:
            return True
        try:
            self._lock(fcntl.F_WRLCK, number)
        except OSError as error:
            # Any other error says that this file system has no locks.
            return error.errno not in (errno.EAGAIN, errno.EACCES)
        return True

    def release(self, number):
        """Unlock a number, whether we hold it or not."""
        if _SET_LOCK is not None and self._file is not None:
            # As above: where nothing can be locked, nothing is to be unlocked.
            with suppress(OSError):
                self._lock(fcntl.F_UNLCK, number)

    def close(self):
        """Unlock all numbers."""
        if _SET_LOCK is not None and self._file is not None:
            # Closing alone would not, where a process that was forked meanwhile has the file open as well.
            with suppress(OSError):
                self._lock(fcntl.F_UNLCK, 0, length=0)
        self._close_file()

    def _close_file(self):
        _opened.discard(self)
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _lock(self, kind, number, length=1):
        # The structure flock of fcntl(2) on 64-bit Linux: kind, whence, start, length (zero: to the end) and owner.
        fcntl.fcntl(self._file, _SET_LOCK, struct.pack("hhqqi4x", kind, os.SEEK_SET, number, length, 0))


_opened = weakref.WeakSet()


def _let_go_of_the_locks_of_the_parent():
    # A forked process shares them: they would outlive the parent that took them.
    for locks in list(_opened):
        locks._close_file()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_of_the_locks_of_the_parent)
