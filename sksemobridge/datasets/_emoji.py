"""The bundled labelled pictures."""

from importlib.resources import as_file, files

import numpy as np
from sklearn.utils import Bunch


def load_emoji() -> Bunch:
    """Load 973 emoji pictures in 29 classes, 20 or more of each.

    The bundled model `mini` was not trained on this style (Fluent Emoji Flat). The classes are subgroups of
    Unicode's emoji in plain English.

    Returns
    -------
    Bunch
        With the attributes

        images : ndarray of uint8 of shape (973, 72, 72, 3)
            RGB pictures on white.
        target : ndarray of int of shape (973,)
            Index of each picture's class.
        target_names : ndarray of str of shape (29,)
            Sorted names of the classes; `target_names[target]` are labels as text.
        names : ndarray of str of shape (973,)
            What each picture shows, such as "red apple".
        DESCR : str
            Where the pictures come from, and their licences.

    Examples
    --------
    >>> from sksemobridge.datasets import load_emoji
    >>> emoji = load_emoji()
    >>> emoji.images.shape
    (973, 72, 72, 3)
    >>> emoji.target_names[emoji.target[:2]].tolist()
    ['arrow', 'arrow']
    """
    folder = files("sksemobridge.datasets") / "data"
    with as_file(folder / "emoji.npz") as path, np.load(path, allow_pickle=False) as data:
        return Bunch(
            images=data["images"],
            target=data["target"],
            target_names=data["target_names"],
            names=data["names"],
            DESCR=(folder / "LICENSES.md").read_text(encoding="utf-8"),
        )
