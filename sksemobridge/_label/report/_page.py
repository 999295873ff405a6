"""A page as one file: template, style, program, and the data that the program shows."""

from __future__ import annotations

import base64
import hashlib
import io
import os
from contextlib import suppress
from importlib.resources import files
from numbers import Integral
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from jinja2 import Environment, PackageLoader
from markupsafe import Markup
from numpy.typing import ArrayLike
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import check_consistent_length, check_scalar, column_or_1d

from ..._evaluation import evaluate_shots
from ..._label_next import label_next
from ..._utils.files import new_file
from ...encoders._pictures import ImageReadError, decode, fetch
from ..folder_job import UserShots
from ..folder_table import count_files, image_pipeline, label_files, plain, was_read

# About 15 MB.
N_THUMBNAILS = 2000
# Pixels of the longer side of a thumbnail, and the quality of the JPEG: about 5 kB for each.
SIDE, QUALITY = 160, 75
# Closest shots of each picture.
N_CLOSEST = 3


def write_report(
    path: str | os.PathLike[str],
    estimator: Any,
    folder: str | os.PathLike[str],
    shots: Any = None,
    y_shots: ArrayLike | None = None,
    *,
    alpha: float = 0.0,
    n_thumbnails: int = N_THUMBNAILS,
    progress: bool = True,
) -> None:
    """Label all images in a folder, and write a page that shows the labels.

    The page is one file for a browser, and needs no network. It groups the images by label, and the most doubtful come
    first. It also shows which images to label next, images of none of the classes, and shots with a doubtful label. If
    you tick right and wrong labels, the page makes a list for `sksemobridge label --corrections`.

    Parameters
    ----------
    path : str or os.PathLike
        The page, such as `"report.html"`. It must not exist.
    estimator, folder, alpha, progress
        See `predict_folder`.
    shots, y_shots : list of str and array-like, or None, default=None
        Paths and labels of labelled images, usually those of `fit`. With them, the page says how good the classifier
        is, and shows the closest shots of each image. This needs a `SeMoBridgeClassifier` with `blend="auto"`.
    n_thumbnails : int, default=2000
        Number of small pictures inside the page (about 7 kB each). The browser reads other images from their files, so
        page and files must stay where they are.

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
    if os.path.lexists(Path(path)):
        raise FileExistsError(f"{os.fspath(path)!r} exists, and nothing is overwritten; give another name.")
    check_scalar(n_thumbnails, "n_thumbnails", Integral, min_val=0)
    if (shots is None) != (y_shots is None):
        raise ValueError("shots and y_shots, their labels, belong together.")
    estimator, user_shots = image_pipeline(estimator), None
    # A wrong shot must not become known only after a large folder.
    if y_shots is not None:
        shots = np.asarray([os.fspath(shot) for shot in shots], dtype=object)
        y_shots = column_or_1d(np.asarray(y_shots))
        check_consistent_length(shots, y_shots)
        of_shots = estimator[0].transform(shots)
        evaluation = evaluate_shots(estimator[1:], of_shots, y_shots)
        user_shots = UserShots(shots, y_shots, of_shots, evaluation)
    rows, embeddings = label_files(estimator, folder, alpha=alpha, progress=progress)
    text = [] if user_shots is None else user_shots.summary().split("\n")
    classifier = estimator[1:] if len(estimator) > 2 else estimator[-1]
    page = report(path, folder, classifier, rows, embeddings, user_shots, text, n_thumbnails, progress)
    with new_file(path) as unfinished:
        unfinished.write_text(page, encoding="utf-8")


def report(
    path, folder, classifier, rows, embeddings, user_shots, text=(), n_thumbnails=N_THUMBNAILS, progress=True
):
    """A page for a file at `path`, from the results of `label_files`, and from `UserShots` or None. `text` is its summary.

    The first `n_thumbnails` pictures, in the order of doubt, are in the page. The others are read from their files.
    """
    from tqdm.contrib.concurrent import thread_map  # the package is imported without it

    data = _page_data(classifier.classes_, rows, embeddings, user_shots)
    readable = [i for i, row in enumerate(rows) if was_read(row)]
    with suppress(TypeError):  # of a classifier that is not of this package
        data["next"] = [readable[i] for i in (label_next(classifier, embeddings) if readable else ())]
    wanted = list(dict.fromkeys(item["path"] for item in _in_order(data)))[:n_thumbnails]
    small = dict(zip(wanted, thread_map(thumbnail, wanted, desc="thumbnails", disable=not progress)))
    place = Path(path).absolute().parent
    for item in [*data["pictures"], *data["shots"]]:
        file = item["path"]
        item |= {"path": plain(file), "thumbnail": small.get(file), "address": address(file, place)}
    # Names of files may be no text.
    title = plain(f"Labels of {os.fspath(folder)}")
    lines = plain("\n".join([count_files(rows)[0], *text])).split("\n")
    page, _ = render("page.html", "page.css", "page.js", title=title, summary=lines, data=data)
    return page


def _page_data(classes, rows, embeddings, user_shots):
    """What the page shows, as plain lists and mappings: pictures, shots, rows of the doubtful shots, and corrections."""
    data = {
        "classes": [str(label) for label in classes],
        "shots": [],
        "doubtful": [],
        "corrections": {},
        "next": [],
    }
    closest, corrections = {}, {} if user_shots is None else user_shots.corrections
    paths = [row["path"] for row in rows]
    if user_shots is not None and user_shots.evaluation is not None:
        closest = _closest(rows, embeddings, user_shots)
        others, label_proba = user_shots.best_other(), user_shots.evaluation.label_proba.tolist()
        data["shots"] = [
            {"path": path, "label": str(label), "likely": str(likely)}
            | {"probability": plain(right), "readable": True}
            for path, label, likely, right in zip(user_shots.paths, user_shots.labels, others, label_proba)
        ]
        data["doubtful"] = user_shots.evaluation.doubtful.tolist()
        paths = [*user_shots.paths, *paths]
    here = {os.path.realpath(path): path for path in paths} if corrections else {}
    data["corrections"] = {plain(here.get(real, path)): label for real, (path, label) in corrections.items()}
    data["pictures"] = [
        {name: plain(value) for name, value in row.items()}
        | {
            "path": row["path"],
            "label": _text(row["label"]),
            "runner_up": _text(row["runner_up"]),
            "readable": was_read(row),
            "given": os.path.realpath(row["path"]) in corrections,
            "closest": closest.get(row["path"], []),
        }
        for row in rows
    ]
    return data


def _text(label):
    return None if label is None else str(label)


def _closest(rows, embeddings, user_shots):
    """Rows of the shots that are closest to each picture, without the picture itself, by path."""
    if not len(embeddings):
        return {}
    # One more than is shown, since a picture may be a shot.
    neighbors = NearestNeighbors(n_neighbors=min(N_CLOSEST + 1, len(user_shots.paths)), metric="cosine")
    near = neighbors.fit(user_shots.embeddings).kneighbors(embeddings, return_distance=False).tolist()
    real = [os.path.realpath(path) for path in user_shots.paths]
    return {
        path: [shot for shot in shots if real[shot] != os.path.realpath(path)][:N_CLOSEST]
        for path, shots in zip([row["path"] for row in rows if was_read(row)], near)
    }


def _in_order(data):
    """Doubtful shots, pictures that could be read, the most doubtful first, and after each its closest shots."""
    items = [data["shots"][i] for i in data["doubtful"]]
    readable = [item for item in data["pictures"] if item["readable"]]
    readable.sort(key=lambda item: item["probability"] or item["runner_up_probability"] or 0.0)
    for item in readable:
        items += [item, *(data["shots"][i] for i in item["closest"])]
    return items


def thumbnail(path):
    """The data address of a small picture, or None if it cannot be read."""
    try:
        picture = decode(fetch(path), shortest_side=SIDE)
    except ImageReadError:
        return None
    picture.thumbnail((SIDE, SIDE))
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode('ascii')}"


def address(path, folder):
    """The address of a file for a page in a folder: relative, so that both can be moved together."""
    path, folder = os.path.realpath(path), os.path.realpath(folder)
    try:
        relative = os.path.relpath(path, folder)
    except ValueError:  # another drive of Windows
        return Path(path).as_uri()
    # Names may be no text. A colon would begin the address of another kind.
    return quote(os.fsencode(relative.replace(os.sep, "/")))


def render(template, style, script, **values):
    """A page, and the hashes of its style and program: it runs no other program, and has no other style."""
    texts = {"style": style, "script": script}
    texts = {name: (files(__package__) / file).read_text(encoding="utf-8") for name, file in texts.items()}
    hashes = {name: _hash(text) for name, text in texts.items()}
    parts = {name: {"text": Markup(text), "hash": hashes[name]} for name, text in texts.items()}
    environment = Environment(loader=PackageLoader(__package__, "."), autoescape=True)
    return environment.get_template(template).render(**parts, **values), hashes


def _hash(text):
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"
