"""Helpers for all modules: arrays of any library, validation, devices, files, and caches of results."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("sksemobridge")
except PackageNotFoundError:  # a source tree that was not installed
    __version__ = "0+unknown"
