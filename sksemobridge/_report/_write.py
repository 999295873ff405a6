"""From a folder of images to a page for a browser."""

from __future__ import annotations

import os
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_consistent_length, check_scalar, column_or_1d

from .._evaluation import evaluate_shots
from .._folder_table import image_pipeline, label_files
from .._user_shots import UserShots
from ._page import MOST_THUMBNAILS, report


def write_report(
    path: str | os.PathLike[str],
    estimator: Any,
    folder: str | os.PathLike[str],
    shots: Any = None,
    y_shots: ArrayLike | None = None,
    *,
    alpha: float = 0.0,
    n_thumbnails: int = MOST_THUMBNAILS,
    progress: bool = True,
) -> None:
    """Label all images in a folder, and write a page that shows the labels.

    The page is one file for a browser, and needs no network. It groups the images by label, and the most doubtful come first.
    It also shows which images to label next, images of none of the classes, and shots with a doubtful label. If you tick right
    and wrong labels, the page makes a list for `sksemobridge label --corrections`.

    Parameters
    ----------
    path : str or os.PathLike
        The page, such as `"report.html"`. It must not exist.
    estimator, folder, alpha, progress
        See `predict_folder`.
    shots, y_shots : list of str and array-like, or None, default=None
        Paths and labels of the labelled images, usually those of `fit`. With them, the page says how good the classifier
        is, and shows the closest shots of each image. This needs a `SeMoBridgeClassifier` with `blend="auto"`.
    n_thumbnails : int, default=2000
        Number of small pictures inside the page (about 7 kB each). The browser reads other images from their files, so page
        and files must stay where they are.

    Raises
    ------
    OSError
        If the page exists, or cannot be written.
    FileNotFoundError, NotADirectoryError, PermissionError, ValueError, TypeError, ImageReadError
        See `predict_folder`, `evaluate_shots` and, for shots, `CLIPImageEncoder`.

    Examples
    --------
    >>> from sksemobridge import make_semobridge_pipeline, write_report
    >>> pipeline = make_semobridge_pipeline("mini", "bundled")
    >>> write_report("report.html", pipeline.fit(images, labels), "photos")  # doctest: +SKIP
    """
    if os.path.lexists(path):
        raise FileExistsError(f"{os.fspath(path)!r} exists, and nothing is overwritten; give another name.")
    check_scalar(n_thumbnails, "n_thumbnails", Integral, min_val=0)
    if (shots is None) != (y_shots is None):
        raise ValueError("shots and y_shots, their labels, belong together.")
    estimator, known = image_pipeline(estimator), None
    # A wrong shot must not become known only after a large folder.
    if y_shots is not None:
        shots = np.asarray([os.fspath(shot) for shot in shots], dtype=object)
        y_shots = column_or_1d(np.asarray(y_shots))
        check_consistent_length(shots, y_shots)
        of_shots = estimator[0].transform(shots)
        evaluation = evaluate_shots(estimator[1:], of_shots, y_shots)
        known = UserShots(estimator, shots, y_shots, of_shots, evaluation)
    table, paths, embeddings = label_files(estimator, folder, alpha=alpha, progress=progress)
    report(path, folder, estimator, table, paths, embeddings, known, n_thumbnails, progress)
