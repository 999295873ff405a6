"""Labelled images, bundled or in folders of your own, and the bundled names of things."""

from ._bundled import load_emoji, load_vocabulary
from ._folder import is_image, list_files, load_image_folder

__all__ = ["is_image", "list_files", "load_emoji", "load_image_folder", "load_vocabulary"]
