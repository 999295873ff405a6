"""Labelled images, the bundled ones and folders of your own, and the bundled names of things."""

from ._emoji import load_emoji
from ._folder import load_image_folder
from ._vocabulary import load_vocabulary

__all__ = ["load_emoji", "load_image_folder", "load_vocabulary"]
