"""Images in one folder per class."""

import os
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

from .._utils.validation import warn_caller
from ..encoders._pictures import ImageReadError, decode, fetch

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})


def load_image_folder(root: str | os.PathLike[str], *, check: bool = False) -> Bunch:
    """List the images in a folder that has one sub-folder per class.

    An image is known by the ending of its name (jpg, jpeg, png, webp, gif, bmp, tif, tiff; upper or lower
    case), and may lie in a folder below that of its class. Hidden files and folders (with a leading dot) are
    passed over. `CLIPImageEncoder` takes the paths as they are.

    Parameters
    ----------
    root : str or os.PathLike
        The folder. Files directly in it belong to no class and are passed over. Links to folders are followed.
    check : bool, default=False
        Whether to open every image, and to pass over those that cannot be read. By default only names are read, and a
        broken image is an error of whatever embeds it.

    Returns
    -------
    Bunch
        With the attributes

        paths : ndarray of str (dtype object) of shape (n,)
            Sorted by class, then by path.
        target : ndarray of int of shape (n,)
            Index of each image's class.
        target_names : ndarray of str (dtype object) of shape (C,)
            Sorted names of the sub-folders; `target_names[target]` are labels as text.

    Raises
    ------
    FileNotFoundError
        If `root` does not exist.
    NotADirectoryError
        If `root` is a file.
    PermissionError
        If a folder may not be read.
    ValueError
        If `root` has no sub-folders, or one of them no images.

    Warns
    -----
    UserWarning
        If a sub-folder has files that are not images, with their number; with `check`, if images cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sksemobridge.datasets import load_image_folder
    >>> with tempfile.TemporaryDirectory() as root:
    ...     for name in ["cat/1.jpg", "cat/2.jpg", "dog/1.png"]:
    ...         path = Path(root, name)
    ...         path.parent.mkdir(exist_ok=True)
    ...         path.touch()
    ...     pets = load_image_folder(root)
    >>> pets.target_names[pets.target].tolist()
    ['cat', 'cat', 'dog']
    >>> [Path(path).name for path in pets.paths]
    ['1.jpg', '2.jpg', '1.png']
    """
    parent = _existing(root)
    folders = sorted(path for path in parent.iterdir() if path.is_dir() and not _is_hidden(path.name))
    if not folders:
        raise ValueError(
            f"The folder {str(parent)!r} has no sub-folders. Put the images of each class into a sub-folder "
            "with the name of the class. This is for labelled images only: to label a folder of images, give it to "
            "sksemobridge.predict_folder, or to the command `sksemobridge label` as PHOTOS."
        )
    paths, target, others = [], [], []
    broken: dict[Path, str] = {}
    for code, folder in enumerate(folders):
        files = _files_below(folder)
        images = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
        others += [path for path in files if path.suffix.lower() not in IMAGE_SUFFIXES]
        if check:
            problems = {path: _problem(path) for path in images}
            images = [path for path in images if problems[path] is None]
            broken |= {path: problem for path, problem in problems.items() if problem is not None}
        if not images:
            endings = ", ".join(sorted(suffix[1:] for suffix in IMAGE_SUFFIXES))
            kind = "readable images" if check else "images"
            raise ValueError(f"The folder {str(folder)!r} has no {kind} (files that end in {endings}).")
        paths += [str(path) for path in images]
        target += [code] * len(images)
    if others:
        warn_caller(
            f"{len(others)} of the files in {str(parent)!r} are no images by their names and were passed over, "
            f"the first is {str(others[0])!r}.",
        )
    if broken:
        named = "; ".join(f"{str(path)!r} ({problem})" for path, problem in list(broken.items())[:5])
        warn_caller(
            f"{len(broken)} of {len(broken) + len(paths)} images in {str(parent)!r} cannot be read and were passed over: "
            f"{named}{'; ...' if len(broken) > 5 else ''}.",
        )
    return Bunch(
        paths=np.array(paths, dtype=object),
        target=np.array(target, dtype=np.int64),
        target_names=np.array([folder.name for folder in folders], dtype=object),
    )


def list_files(folder):
    """Paths (str) of all files in a folder and below it, sorted; hidden ones are passed over.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        If `folder` is no folder.
    PermissionError
        If a folder may not be read.
    ValueError
        If there are no files.
    """
    files = _files_below(_existing(folder))
    if not files:
        raise ValueError(f"The folder {str(folder)!r} has no files.")
    return [str(path) for path in files]


def _problem(path):
    """Why an image cannot be read, or None."""
    try:
        decode(fetch(path))
    except ImageReadError as error:
        return str(error)
    return None


def _existing(folder):
    folder = Path(folder)
    if not folder.exists():
        raise FileNotFoundError(f"There is no folder {str(folder)!r}.")
    if not folder.is_dir():
        raise NotADirectoryError(f"{str(folder)!r} is a file, not a folder.")
    return folder


def _files_below(folder):
    """All files that are not hidden. A folder that several links lead to, circles among them, counts once."""
    files, roots = [], [folder]
    seen = {os.path.realpath(above) for above in folder.absolute().parents}
    while roots:
        links = []
        for root in roots:
            for parent, subfolders, names in os.walk(root, onerror=_raise):
                if (place := os.path.realpath(parent)) in seen:
                    subfolders.clear()
                    continue
                seen.add(place)
                subfolders[:] = [name for name in subfolders if not _is_hidden(name)]
                links += [path for name in subfolders if os.path.islink(path := os.path.join(parent, name))]
                files += [Path(parent, name) for name in names if not _is_hidden(name)]
        # Behind what lies here itself, so that files are named by their own folders where they have one.
        roots = sorted(links)
    return sorted(files)


def _raise(error):
    raise error


def _is_hidden(name):
    return name.startswith(".")
