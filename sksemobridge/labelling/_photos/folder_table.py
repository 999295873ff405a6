"""Table of predictions for a folder of images, with one row for each file, and writers of this
table.
"""

import csv
import io
import os
import re
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils import Bunch, check_scalar, gen_batches
from sklearn.utils.validation import check_is_fitted

from ...datasets import is_image, list_files
from ...encoders import ImageEncoder, embed_images
from .._answers.class_names import NONE_OF_THESE
from .._bursts import proba_by_group
from .picture_bursts import find_bursts, groups_of
from .picture_index import real_paths
from .user_tables import without_formulas

# Images whose probabilities are computed at a time.
N_AT_ONCE = 256
# Columns, and their titles in a table for people.
COLUMNS = {
    "path": "File",
    "label": "Label",
    "probability": "Probability",
    "runner_up": "Second choice",
    "runner_up_probability": "Probability of second choice",
    "p_value": "p-value (low: like none of the classes)",
    "problem": "Problem",
}
# A file also has the result of a check, and the prediction for pictures that a person labelled. If
# the two labels of a row differ, somebody corrected the table.
WRITTEN = COLUMNS | {"checked": "Check", "model_label": "Label by the model"}
NUMBERS = ("probability", "runner_up_probability", "p_value")
PROBABILITY_OF = {"label": "probability", "runner_up": "runner_up_probability"}


def predict_folder(
    estimator: Any,
    folder: str | os.PathLike[str],
    *,
    alpha: float = 0.0,
    bursts: float | str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> Any:
    """Label all images in a folder and in its sub-folders. A file that cannot be read has a problem
    in place of a label.

    Parameters
    ----------
    estimator : Pipeline
        Fitted pipeline with `predict_proba`, or a search over one. The pipeline begins with a
        `CLIPImageEncoder`, or with another transformer from a list of paths to embeddings, where a
        row of NaN is an image that could not be read.
    folder : str or os.PathLike
        Links to folders are followed. Hidden files and folders (with a leading dot) are left out,
        and so are the copies of `sksemobridge label --sort-into`, and sidecars (`a.jpg.xmp` beside
        `a.jpg`).
    alpha : float, default=0.0
        Images with a p-value of at most `alpha` get no label: in the mean over the classes, at most
        about `alpha` of their images. This needs a classifier with `p_values`.
    bursts : float, str, os.PathLike or None, default=None
        Pictures of one burst have the same probabilities, as `proba_by_group` gives them. A number
        is the longest time in seconds from one picture of a burst to the next, of the same camera
        and folder. A path leads to a `.csv` with the columns path (in `folder`) and burst.
    progress : bool, default=True
        Whether to show a progress bar.

    Returns
    -------
    pandas.DataFrame, or sklearn.utils.Bunch of lists without pandas
        One row for each file, sorted by path. The columns are:

        path : str
            Begins with `folder`.
        label, runner_up, probability, runner_up_probability
            The two most probable classes, and their probabilities. All four values are missing if
            the file cannot be read.
        p_value : float
            See `FewShotClassifier.p_values`. NaN if the classifier has no p-values.
        problem : str
            The reason for no label, or empty. If the problem is `"none of these"`, the runner-up is
            the most probable class.

    Raises
    ------
    OSError, ValueError, TypeError
        If `folder` cannot be read or has no files, or if `alpha`, `bursts` or the estimator does
        not fit.

    Examples
    --------
    >>> from sksemobridge import make_few_shot_pipeline
    >>> from sksemobridge.labelling import predict_folder
    >>> from sksemobridge.datasets import load_emoji
    >>> emoji = load_emoji()
    >>> pipeline = make_few_shot_pipeline("mini", "bundled")
    >>> pipeline = pipeline.fit(emoji.images[::5], emoji.target_names[emoji.target[::5]])
    >>> table = predict_folder(pipeline, "photos")  # doctest: +SKIP
    """
    pipeline = image_pipeline(estimator)
    check_scalar(alpha, "alpha", Real, min_val=0, max_val=1)
    if alpha > 0 and not hasattr(pipeline[-1], "p_values"):
        raise TypeError(
            f"alpha needs a classifier with p_values, not {type(pipeline[-1]).__name__}."
        )
    paths = list_files(folder)
    found = find_bursts(bursts, folder, paths, progress=progress)
    X, problems = embed_folder(pipeline, paths, progress=progress)
    groups = groups_of(
        found, [*real_paths(path for path in paths if path not in problems).values()]
    )
    proba = proba_with_none(pipeline[-1], X, groups=groups)
    return as_table(table_rows(pipeline[-1], paths, X, problems, proba, alpha=alpha))


def as_table(rows):
    """Rows as a data frame of pandas, or without pandas as a `Bunch` of lists."""
    columns = {name: [row[name] for row in rows] for name in COLUMNS}
    try:
        import pandas
    except ImportError:
        return Bunch(**columns)
    # Strings of pandas must be text. Names of files in another encoding are no text.
    return pandas.DataFrame(columns, dtype=object).astype(dict.fromkeys(NUMBERS, float))


def image_pipeline(estimator):
    """The pipeline from images to predictions, also the best one of a search. Raises an error if
    the estimator is no such pipeline, or is not fitted.
    """
    estimator = getattr(estimator, "best_estimator_", estimator)
    is_pipeline = isinstance(estimator, Pipeline) and len(estimator) > 1
    if not is_pipeline or not hasattr(estimator, "predict_proba"):
        raise TypeError(
            "Images need a pipeline from a CLIPImageEncoder, or another transformer of paths, to a"
            " classifier with predict_proba, or a search over one that was fitted with refit=True;"
            f" got {type(estimator).__name__}."
        )
    check_is_fitted(estimator[1:])
    return estimator


def embed_folder(pipeline, paths, *, progress):
    """The input of the classifier `(n, D)` for the files that can be read, and the problems of the
    other files, by path.
    """
    X, problems = embed_readable(pipeline[0], paths, progress=progress)
    if len(X) and len(pipeline) > 2:
        X = pipeline[1:-1].transform(X)
    return X, problems


def embed_readable(encoder, paths, *, progress):
    """Embeddings `(n, D)` of readable images, and a dict from the paths of other files to their
    problems.
    """
    if isinstance(encoder, ImageEncoder) and hasattr(encoder, "progress"):
        encoder = clone(encoder).set_params(progress=progress)
    embeddings, problems = embed_images(encoder, paths)
    readable = [row for row in range(len(paths)) if row not in problems]
    problems = {paths[row]: problems[row] for row in sorted(problems)}
    return take_rows(embeddings, readable), problems


def take_rows(embeddings, rows):
    """Rows of embeddings, which may be a data frame of pandas."""
    return getattr(embeddings, "iloc", embeddings)[rows]


def proba_with_none(classifier, X, strangers=0.0, groups=None):
    """Probabilities `(n, C + 1)` of images: of the classes, and in the last column of none of them.
    The last column is `strangers`, one number or `(n,)`. Images of a burst, by `groups (n,)`, have
    equal probabilities.
    """
    if not len(X):  # classifiers refuse an empty X
        return np.zeros((0, len(classifier.classes_) + 1))
    # Work block by block: a second table of many classes of many images would take much memory.
    for block in gen_batches(len(X), N_AT_ONCE):
        own = classifier.predict_proba(take_rows(X, block))
        if not block.start:
            proba = np.empty((len(X), own.shape[1] + 1), dtype=own.dtype)
            proba[:, -1] = strangers
        np.multiply(own, 1 - proba[block, -1:], out=proba[block, :-1])
    return proba if groups is None else proba_by_group(proba, groups)


def table_rows(classifier, paths, X, problems, proba, *, alpha=0.0, labels=None):
    """Rows of the table: for each file the label by a person, the two most probable classes, or the
    problem.

    `X`, `proba` (see `proba_with_none`) and `labels` have a row for each file without a problem. A
    label is by a person, or None.
    """
    empty = dict.fromkeys(WRITTEN) | dict.fromkeys(NUMBERS, np.nan)
    rows = [empty | {"path": path, "problem": problems.get(path, "")} for path in paths]
    read = [row for row in rows if not row["problem"]]
    if not read:
        return rows
    labels = labels or [None] * len(read)
    classes = np.asarray(classifier.classes_).tolist()
    p_values = _p_values(classifier, X)
    is_labelled = has_label(classifier, X, proba, alpha)
    for row, probabilities, p_value, labelled, label in zip(
        read, proba[:, :-1], p_values, is_labelled, labels
    ):
        best = np.argsort(-probabilities, kind="stable")[:2]
        choices = [(classes[i], float(probabilities[i])) for i in best]
        names = list(PROBABILITY_OF)
        row["model_label"] = choices[0][0] if labelled else None
        if label is not None:
            choices = [(label, 1.0)] if label else []
        elif not labelled:
            names = ["runner_up"]
        for name, (choice, probability) in zip(names, choices):
            row |= {name: choice, PROBABILITY_OF[name]: probability}
        row |= {"p_value": float(p_value), "problem": NONE_OF_THESE if row["label"] is None else ""}
    return rows


def has_label(classifier, X, proba, alpha=0.0):
    """Whether each image has a predicted label `(n,)`. The last column of `proba` is none of the
    classes.
    """
    is_own = proba[:, -1] <= proba[:, :-1].max(axis=1)
    if alpha == 0 or not len(X):  # no p-value is zero, and classifiers refuse no images
        return is_own
    # Missing p-values are NaN, and NaN is not below any number.
    return is_own & ~(_p_values(classifier, X) <= alpha)


def _p_values(classifier, X):
    return classifier.p_values(X) if hasattr(classifier, "p_values") else np.full(len(X), np.nan)


def was_read(row):
    return row["problem"] in ("", NONE_OF_THESE)


def count_files(rows):
    """Text that counts the files, and the rows of images that could not be read."""
    problems = [row["problem"] for row in rows]
    skipped = [row for row in rows if not was_read(row) and is_image(row["path"])]
    counts = {
        "files labelled": problems.count(""),
        "of none of the classes": problems.count(NONE_OF_THESE),
    }
    counts["skipped"] = len(skipped)
    counts["no image"] = len(rows) - sum(counts.values())
    return ", ".join(f"{n} {kind}" for kind, n in counts.items() if n), skipped


def write_table(rows, path):
    """Write a table. The ending of the name decides the kind of the file, one of `WRITERS`."""
    rows = [{name: _cell(value) for name, value in row.items()} for row in rows]
    WRITERS[Path(path).suffix.lower()](rows, path)


def plain(value):
    """A value that all kinds of files can hold: None if it is missing, and text that can be
    encoded.
    """
    if isinstance(value, str):
        # Names of files in another encoding are no text.
        return value.encode(errors="backslashreplace").decode()
    return None if value is None or value != value else value


def _to_csv(rows, path):
    # The mark at the beginning tells Excel that the file is UTF-8.
    with open(path, "w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file)
        writer.writerow(WRITTEN.values())
        for row in rows:
            row |= {name: f"{row[name]:.4f}" for name in NUMBERS if row[name] is not None}
            writer.writerow(row.values())


def _to_excel(rows, path):
    import pandas

    # The workbook is made in memory. On a full disk, an archive in a file would be closed a second
    # time, and fail again.
    workbook = io.BytesIO()
    table = pandas.DataFrame(rows).rename(columns=WRITTEN)
    table.to_excel(workbook, index=False, float_format="%.4f", engine="openpyxl")
    Path(path).write_bytes(workbook.getvalue())


def _cell(value):
    """`plain`, without formulas of a spreadsheet, and without control characters, which Excel
    refuses.
    """
    value = plain(value)
    is_text = isinstance(value, str)
    return without_formulas(re.sub(r"[\x00-\x08\x0b-\x1f]", "?", value)) if is_text else value


WRITERS = {".csv": _to_csv, ".xlsx": _to_excel}
