"""Labelled images: the bundled ones, and folders of your own."""

from ._emoji import load_emoji
from ._folder import load_image_folder

__all__ = ["load_emoji", "load_image_folder"]
