"""Helpers for all modules: arrays of any library, validation, devices, files, saved estimators, and
caches of results.
"""

from importlib.metadata import version

__version__ = version("sksemobridge")
