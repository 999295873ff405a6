"""Labelled images, bundled or in folders of your own, and the bundled names of things."""

from ._bundled import load_emoji, load_vocabulary
from ._folder import load_image_folder

__all__ = ["load_emoji", "load_image_folder", "load_vocabulary"]
