"""Locks on numbers, shared between processes. A lock ends with the process that holds it, if not before."""

import os
import weakref

from .._utils.platforms import call_after_fork, lock_byte, unlock_bytes


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
        return self._file is None or lock_byte(self._file, number)

    def release(self, number):
        """Unlock a number, whether we hold it or not."""
        if self._file is not None:
            unlock_bytes(self._file, number)

    def close(self):
        """Unlock all numbers."""
        if self._file is not None:
            # Closing alone would not, where a process that was forked meanwhile has the file open as well.
            unlock_bytes(self._file, 0, length=0)
        self._close_file()

    def _close_file(self):
        _opened.discard(self)
        if self._file is not None:
            os.close(self._file)
            self._file = None


_opened = weakref.WeakSet()


def _let_go_of_the_locks_of_the_parent():
    # A forked process shares them: they would outlive the parent that took them.
    for locks in list(_opened):
        locks._close_file()


call_after_fork(_let_go_of_the_locks_of_the_parent)
