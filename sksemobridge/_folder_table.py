"""From a folder of images to a table of predictions with one row for each file, and from the table to a file."""

import csv
import io
import json
import os
import re
import warnings
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted

from ._user_tables import FORMULA
from ._utils.files import new_file
from ._utils.sklearn import best_of
from .datasets._folder import list_files
from .encoders import CLIPImageEncoder, ImageReadError

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
NUMBERS = ("probability", "runner_up_probability", "p_value")
NONE_OF_THESE = "none of these"


def predict_folder(
    estimator: Any, folder: str | os.PathLike[str], *, alpha: float = 0.0, progress: bool = True
) -> Any:
    """Label all images in a folder and in its sub-folders.

    If a file cannot be read, its row has no label, and says why.

    Parameters
    ----------
    estimator : Pipeline
        Fitted pipeline that begins with a `CLIPImageEncoder` and has `predict_proba`, or a search over one.
    folder : str or os.PathLike
        Links to folders are followed. Hidden files and folders (with a leading dot) are left out, and so are the copies
        of `sksemobridge label --sort-into`.
    alpha : float, default=0.0
        Images with a p-value of at most `alpha` get no label. This needs a classifier with `p_values`.
    progress : bool, default=True
        Whether to show a progress bar.

    Returns
    -------
    pandas.DataFrame, or sklearn.utils.Bunch of lists without pandas
        One row for each file, sorted by path. The columns are:

        path : str
            Begins with `folder`.
        label, runner_up
            The most probable class, and the second one. They are missing if the file cannot be read.
        probability, runner_up_probability : float
            Their probabilities.
        p_value : float
            See `SeMoBridgeClassifier.p_values`. NaN if the classifier has none.
        problem : str
            Why there is no label, or empty. If it is `"none of these"`, the runner-up is the most probable class.

    Raises
    ------
    FileNotFoundError, NotADirectoryError, PermissionError
        If `folder` is no folder, or may not be read.
    ValueError
        If `folder` has no files, or `alpha` is not between 0 and 1.
    TypeError
        If `estimator` does not begin with a `CLIPImageEncoder`, or has no `p_values` and `alpha` is given.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> from sksemobridge import make_semobridge_pipeline, predict_folder
    >>> from sksemobridge.datasets import load_emoji
    >>> emoji = load_emoji()
    >>> labels = emoji.target_names[emoji.target]
    >>> pipeline = make_semobridge_pipeline("mini", "bundled").fit(emoji.images[::5], labels[::5])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.fromarray(emoji.images[1]).save(f"{folder}/1.png")
    ...     table = predict_folder(pipeline, folder, progress=False)
    >>> list(table["problem"])
    ['']
    """
    columns, *_ = label_files(image_pipeline(estimator), folder, alpha=alpha, progress=progress)
    try:
        import pandas
    except ImportError:
        return _Columns(**columns)
    try:
        return pandas.DataFrame(columns)
    except UnicodeEncodeError:
        # Strings of pandas must be text. Names of files in another encoding are not.
        return pandas.DataFrame(columns, dtype=object).astype(dict.fromkeys(NUMBERS, float))


class _Columns(Bunch):
    """Lists by name, where pandas is not installed."""

    def __getattr__(self, name):
        if name in self:
            return self[name]
        raise AttributeError(
            f"Without pandas, the table is a Bunch of lists and has no {name!r}. For a data frame: pip install pandas"
        )


def image_pipeline(estimator):
    """The pipeline from images to predictions, or that of a search. It is an error if it is none, or not fitted."""
    estimator = best_of(estimator)
    if not (isinstance(estimator, Pipeline) and isinstance(estimator[0], CLIPImageEncoder)):
        raise TypeError(
            "Images need a pipeline that begins with a CLIPImageEncoder, such as make_semobridge_pipeline makes, or a "
            f"search over one that was fitted with refit=True; got {type(estimator).__name__}."
        )
    if not hasattr(estimator, "predict_proba"):
        raise TypeError(
            "Labels need a pipeline that ends in a classifier with predict_proba; this one ends in "
            f"{type(estimator[-1]).__name__}."
        )
    check_is_fitted(estimator[1:])
    return estimator


def label_files(pipeline, folder, *, alpha=0.0, progress=True, given=None):
    """The columns of `predict_folder`, the paths of readable images, and their embeddings `(n, D)`.

    `given` maps real paths to labels by a person, which the model does not change. An empty label: none of the classes.
    """
    if not (isinstance(alpha, Real) and 0 <= alpha <= 1):
        raise ValueError(f"alpha={alpha!r} is not a number between 0 and 1.")
    if alpha > 0 and not hasattr(pipeline[-1], "p_values"):
        raise TypeError(
            f"alpha needs a classifier with p_values, and {type(pipeline[-1]).__name__} has none."
        )
    paths = list_files(folder)
    embeddings, problems = embed_readable(pipeline[0], paths, progress=progress)
    rows = _rows(pipeline, paths, embeddings, problems, alpha, given or {})
    columns = {name: list(values) for name, values in zip(COLUMNS, zip(*rows))}
    return columns, [path for path in paths if path not in problems], embeddings


def embed_readable(encoder, paths, *, progress):
    """Embeddings `(n, D)` of readable images, and a dict from the paths of other files to their problems."""
    encoder = clone(encoder).set_params(on_error="nan", progress=progress, output="numpy")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* images cannot be read")
        embeddings = encoder.transform(paths)
    readable = np.isfinite(np.asarray(embeddings)).all(axis=1)
    encoder.set_params(on_error="raise", progress=False)
    problems = {}
    for i in np.flatnonzero(~readable):
        try:
            encoder.transform([paths[i]])
        except ImageReadError as error:
            problems[paths[i]] = str(error.__cause__)
        else:
            problems[paths[i]] = "it changed while it was read, or its embedding is not finite"
    # The encoder may be set to return a data frame of pandas, which has `iloc`.
    return getattr(embeddings, "iloc", embeddings)[np.flatnonzero(readable)], problems


def _rows(pipeline, paths, embeddings, problems, alpha, given):
    """Rows of the table, with the label by a person or the two most probable classes."""
    steps, classifier = pipeline[1:-1], pipeline[-1]
    classes, nothing = np.asarray(classifier.classes_).tolist(), (None, np.nan)
    predictions = iter(())
    if len(embeddings):
        X = steps.transform(embeddings) if len(steps) else embeddings
        p_values = classifier.p_values(X) if hasattr(classifier, "p_values") else np.full(len(X), np.nan)
        predictions = zip(pipeline[1:].predict_proba(embeddings), p_values)
    for path in paths:
        if path in problems:
            yield path, *nothing, *nothing, np.nan, problems[path]
            continue
        row, p_value = next(predictions)
        best = np.argsort(-row, kind="stable")[:2].tolist()
        first, second = [*((classes[i], float(row[i])) for i in best), nothing][:2]
        label = given.get(os.path.realpath(path))
        # A classifier without p-values has NaN.
        has_label = not p_value <= alpha if label is None else label != ""
        if label is not None:
            first = (label, 1.0) if has_label else nothing
            second = nothing
        elif not has_label:
            first, second = nothing, first
        yield path, *first, *second, float(p_value), "" if has_label else NONE_OF_THESE


def write_table(table, path, *, separator=",", decimal="."):
    """Write a table of `predict_folder`. The ending of the name decides the kind of the file, one of `WRITERS`."""
    columns = {name: [plain(value) for value in table[name]] for name in COLUMNS}
    with new_file(path) as unfinished:
        WRITERS[Path(path).suffix.lower()](columns, unfinished, separator, decimal)


def plain(value):
    """A value that all kinds of files can hold: None if it is missing, and text that can be encoded."""
    if isinstance(value, str):
        # Names of files in another encoding are no text.
        return value.encode(errors="backslashreplace").decode()
    return None if value is None or value != value else value


def _to_csv(columns, path, separator, decimal):
    # The mark at the beginning tells Excel that the file is UTF-8.
    with open(path, "w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file, delimiter=separator)
        writer.writerow(COLUMNS.values())
        for name in NUMBERS:
            texts = ("" if value is None else f"{value:.4f}" for value in columns[name])
            columns[name] = [text.replace(".", decimal) for text in texts]
        writer.writerows(zip(*map(_as_text, columns.values())))


def _to_excel(columns, path, separator, decimal):
    import pandas

    named = {COLUMNS[name]: _as_text(values) for name, values in columns.items()}
    # The workbook is made in memory. On a full disk, its archive would try to close a second time.
    workbook = io.BytesIO()
    pandas.DataFrame(named).to_excel(workbook, index=False, float_format="%.4f", engine="openpyxl")
    path.write_bytes(workbook.getvalue())


def _to_parquet(columns, path, separator, decimal):
    import pandas

    pandas.DataFrame(columns).to_parquet(path, index=False)


def _to_json_lines(columns, path, separator, decimal):
    with open(path, "w", encoding="utf-8") as file:
        for row in zip(*columns.values()):
            file.write(json.dumps(dict(zip(columns, row)), ensure_ascii=False, default=str) + "\n")


def _as_text(values):
    """Text that is no formula in a spreadsheet, and has no control characters, which Excel refuses."""
    formula, control = re.compile(f"^{FORMULA}"), re.compile(r"[\x00-\x08\x0b-\x1f]")
    return [
        formula.sub("'", control.sub("?", value)) if isinstance(value, str) else value for value in values
    ]


WRITERS = {".csv": _to_csv, ".xlsx": _to_excel, ".parquet": _to_parquet, ".jsonl": _to_json_lines}
