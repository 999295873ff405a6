"""What every station uses: arrays of any library, validation, devices, results kept once a process."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("sksemobridge")
except PackageNotFoundError:  # a source tree that was not installed
    __version__ = "0+unknown"
