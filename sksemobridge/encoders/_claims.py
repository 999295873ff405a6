"""Claims on numbers, which end at the latest with the process that made them."""

import errno
import os
import struct
import sys

try:
    import fcntl
except ImportError:
    fcntl = None

# Locks that belong to an open file, not to a process, so that threads do not share them either. Other systems may
# have them too, with another layout of what they are told.
_SET_LOCK = getattr(fcntl, "F_OFD_SETLK", None) if sys.platform == "linux" else None


class Claims:
    """Claims on numbers of up to 63 bits, one holder each among all that open the same file.

    A claim is a lock on one byte of a file, which may be empty. The system ends it with the process, however
    that ends, so that no claim outlives its holder. Where the system has no such locks (Linux has them), all
    claims are granted.

    Parameters
    ----------
    path : str or os.PathLike
        Made where it is missing.
    """

    def __init__(self, path):
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)

    def take(self, number):
        """Whether the number is ours now: nobody else holds it."""
        if _SET_LOCK is None:
            return True
        try:
            self._lock(fcntl.F_WRLCK, number)
        except OSError as error:
            # Any other error says that this file system has no locks.
            return error.errno not in (errno.EAGAIN, errno.EACCES)
        return True

    def release(self, number):
        """Give a number up, whether it is ours or not."""
        if _SET_LOCK is not None:
            try:
                self._lock(fcntl.F_UNLCK, number)
            except OSError:
                # As above; where nothing can be locked, nothing is to be unlocked.
                return

    def close(self):
        """Give all up."""
        os.close(self._file)

    def _lock(self, kind, number):
        # The structure flock of fcntl(2) on 64-bit Linux: kind, whence, start, length and owner.
        fcntl.fcntl(self._file, _SET_LOCK, struct.pack("hhqqi4x", kind, os.SEEK_SET, number, 1, 0))
