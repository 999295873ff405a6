"""A page to look at the labels of a folder, and to correct them."""

from ._page import report, write_report

__all__ = ["report", "write_report"]
