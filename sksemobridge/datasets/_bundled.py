"""The bundled pictures, and the bundled names of things."""

from importlib.resources import as_file, files

import numpy as np
from sklearn.utils import Bunch

_DATA = files("sksemobridge.datasets") / "data"


def load_emoji() -> Bunch:
    """Load 973 emoji pictures in 29 classes. Each class has at least 20 pictures.

    The bundled model `mini` was not trained on this style (Fluent Emoji Flat). The classes are
    subgroups of Unicode's emoji.

    Returns
    -------
    Bunch
        The attributes are:

        images : ndarray of uint8 of shape (973, 72, 72, 3)
            RGB pictures on white.
        target : ndarray of int of shape (973,)
            Index of the class of each picture.
        target_names : ndarray of str of shape (29,)
            Sorted names of the classes. `target_names[target]` are the labels.
        names : ndarray of str of shape (973,)
            A description of each picture, such as "red apple".
        DESCR : str
            Sources and licences.

    Examples
    --------
    >>> from sksemobridge.datasets import load_emoji
    >>> emoji = load_emoji()
    >>> emoji.images.shape
    (973, 72, 72, 3)
    >>> emoji.target_names[emoji.target[:2]].tolist()
    ['arrow', 'arrow']
    """
    with as_file(_DATA / "emoji.npz") as path, np.load(path, allow_pickle=False) as data:
        return Bunch(**data, DESCR=(_DATA / "LICENSES.md").read_text(encoding="utf-8"))


def load_vocabulary() -> list[str]:
    """Load about three thousand names of things from WordNet, sorted and in lower case, which
    `vocabulary="auto"` uses.

    Returns
    -------
    list of str

    Examples
    --------
    >>> from sksemobridge.datasets import load_vocabulary
    >>> len(load_vocabulary())
    2996
    """
    return (_DATA / "vocabulary.txt").read_text(encoding="utf-8").splitlines()
