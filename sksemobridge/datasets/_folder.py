"""Images in one folder for each class."""

import os
import warnings
from collections import defaultdict
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

from .._utils.validation import listed, warn_caller
from ..encoders._heads import begins_as_image

_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
# Pillow reads these kinds with a plug-in, or only in newer versions.
_SUFFIXES |= {".avif", ".heic", ".heif", ".jxl"}
# A folder with this file holds copies that `--sort-into` made. Such a folder is left out, unless
# the user names it.
COPIES_MARK = ".sksemobridge-copies"


def load_image_folder(root: str | os.PathLike[str]) -> Bunch:
    """List the images in a folder that has one sub-folder for each class.

    Images are found by the ending of the name, or by the content. Images may lie in folders below
    the folder of the class. Hidden files and folders (with a leading dot) are left out, and so are
    the copies of `sksemobridge label --sort-into`, and sidecars (`a.jpg.xmp` beside `a.jpg`).

    Parameters
    ----------
    root : str or os.PathLike
        The folder. Files directly in it belong to no class, and are left out. Links to folders are
        followed.

    Returns
    -------
    Bunch
        The attributes are:

        paths : ndarray of str (dtype object) of shape (n,)
            Sorted by class, then by path.
        target : ndarray of int of shape (n,)
            Index of the class of each image.
        target_names : ndarray of str (dtype object) of shape (C,)
            Sorted names of the sub-folders. `target_names[target]` are the labels.

    Raises
    ------
    OSError, ValueError
        If `root` cannot be read, or has no sub-folder with images. Other things that are left out
        give warnings.
    """
    parent = existing_folder(root)
    entries = sorted(path for path in parent.iterdir() if not path.name.startswith("."))
    folders = [path for path in entries if path.is_dir() and not os.path.exists(path / COPIES_MARK)]
    if not folders:
        raise ValueError(
            f"The folder {str(parent)!r} has no sub-folders. Put the images of each class into a"
            " sub-folder with the name of the class. To label a folder of images, give it to"
            " sksemobridge.labelling.predict_folder."
        )
    images_by_class = {}
    passed_over: dict[str, list] = defaultdict(list)
    for folder in folders:
        files, locked = files_below(folder)
        images = [path for path in files if is_image(path)]
        passed_over["files that are no images"] += sorted(set(files).difference(images))
        passed_over["folders that may not be read"] += locked
        if images:
            images_by_class[folder.name] = images
        elif folder not in locked:
            passed_over["sub-folders without images"].append(folder)
    if not images_by_class:
        raise ValueError(
            f"No sub-folder of {str(parent)!r} has images, such as {str(folders[0])!r}."
        )
    loose = [path for path in entries if path.is_file() and is_image(path)]
    passed_over["images that lie in no sub-folder, and so are of no class"] = loose
    for kind, found in passed_over.items():
        warn_passed_over(parent, kind, found)
    n_images = [len(images) for images in images_by_class.values()]
    return Bunch(
        paths=np.array(
            [str(path) for images in images_by_class.values() for path in images], dtype=object
        ),
        target=np.repeat(np.arange(len(n_images)), n_images),
        target_names=np.array(list(images_by_class), dtype=object),
    )


def list_files(folder: str | os.PathLike[str]) -> list[str]:
    """List the files of a folder and of the folders in it.

    Hidden files, sidecars (`a.jpg.xmp` beside `a.jpg`), and copies that `sort_into` made are left
    out. Folders that may not be read are left out with a warning.

    Parameters
    ----------
    folder : path

    Returns
    -------
    list of str
        Sorted paths, which begin with `folder`.

    Raises
    ------
    OSError
        If the folder is missing, or may not be read.
    ValueError
        If the folder has no files.
    """
    files, locked = files_below(existing_folder(folder))
    warn_passed_over(folder, "folders that may not be read", locked)
    if not files:
        raise ValueError(f"The folder {str(folder)!r} has no files.")
    return [str(path) for path in files]


def is_image(path: str | os.PathLike[str]) -> bool:
    """Tell whether a file is an image, by its name, or else by its content.

    Parameters
    ----------
    path : path

    Returns
    -------
    bool
        True also for an image that is broken. Films and folders are no images.
    """
    if Path(path).suffix.lower() in _SUFFIXES:
        return True
    # For large images, readers warn.
    with warnings.catch_warnings(action="ignore"):
        return begins_as_image(path)


def warn_passed_over(folder, kind, found):
    """Warn of files or folders that were left out, and name the first."""
    if found:
        named = listed(item if isinstance(item, str) else repr(str(item)) for item in found)
        warn_caller(f"Passed over in {str(folder)!r}, {kind} ({len(found)}): {named}.")


def existing_folder(name):
    """A folder as a path. A folder that is missing, or that may not be read, is an error."""
    try:
        # Scan the name itself: as a path, an empty name would be the working folder.
        os.scandir(os.fspath(name)).close()
    except OSError as error:
        raise type(error)(_why_unread(error)) from None
    return Path(name)


def _why_unread(error):
    """What an `OSError` says of a folder, and what to do."""
    path = repr(os.fspath(error.filename))
    if isinstance(error, FileNotFoundError):
        return f"There is no folder {path}; check the path."
    if isinstance(error, NotADirectoryError):
        return f"{path} is no folder; give a folder."
    return f"The folder {path} cannot be read: {error.strerror}."


def _is_sidecar(parent, name, names):
    """Whether a file has notes on the file beside it: `a.jpg.xmp` on `a.jpg`."""
    stem, ending = os.path.splitext(name)
    is_named = ending.lower() == ".xmp" and stem in names
    return is_named and not begins_as_image(Path(parent, name))


def files_below(folder):
    """All files that are neither hidden, nor copies of `--sort-into`, nor sidecars, and the folders
    that may not be read.
    """
    files, errors = [], []
    # The absolute path has no "..": the parents of a/../a would include a itself.
    seen = {os.path.realpath(above) for above in Path(os.path.abspath(folder)).parents}
    for parent, subfolders, names in os.walk(folder, onerror=errors.append, followlinks=True):
        place = os.path.realpath(parent)
        if place in seen or (COPIES_MARK in names and Path(parent) != folder):
            subfolders.clear()
            continue
        seen.add(place)
        # Links come last, so that most files are named by their own path.
        visible = [name for name in subfolders if not name.startswith(".")]
        subfolders[:] = sorted(
            visible, key=lambda name: (os.path.islink(os.path.join(parent, name)), name)
        )
        own = {*names}
        files += [
            Path(parent, name)
            for name in names
            if not name.startswith(".") and not _is_sidecar(parent, name, own)
        ]
    return sorted(files), [Path(error.filename) for error in errors]
