"""From the containers that users have to a plain list of images or texts."""

import os
from collections.abc import Sequence

import numpy as np


def as_list(X, what):
    """The items of a sequence, one-dimensional or `(n, 1)` array, series or one-column data frame.

    Parameters
    ----------
    X : list, tuple, ndarray, pandas or polars Series or one-column DataFrame
    what : {"images", "texts"}
        For messages.

    Raises
    ------
    ValueError
        If `X` is a single item, has several columns or other dimensions.
    TypeError
        If `X` is no such container.
    """
    one = what[:-1]
    if isinstance(X, (str, bytes, bytearray, memoryview, os.PathLike)):
        raise ValueError(
            f"X is one {one if isinstance(X, str) else type(X).__name__}, not a list of {what}: write [X]."
        )
    if hasattr(X, "columns"):
        if len(X.columns) != 1:
            raise ValueError(
                f"The data frame has {len(X.columns)} columns ({', '.join(map(str, list(X.columns)[:5]))}); "
                f"select the one with the {what}, for example in a ColumnTransformer."
            )
        X = X[X.columns[0]]
    if isinstance(X, np.ndarray):
        if X.ndim == 2 and X.shape[1] == 1:
            X = X[:, 0]
        if X.ndim != 1:
            raise ValueError(f"An array of {what} has the shape (n,) or (n, 1); got {X.shape}.")
        return list(X)
    for method in ("to_list", "tolist"):
        if hasattr(X, method):
            return list(getattr(X, method)())
    if isinstance(X, Sequence):
        return list(X)
    raise TypeError(
        f"X must be a list, array, series or one-column data frame of {what}; got {type(X).__name__}."
    )
