"""The job of the command, as a function."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

from sklearn.utils import check_scalar

from ... import ShotEvaluation
from .._answers.answers_file import Answers
from .._photos.folder_pipeline import pipeline_of
from .._photos.folder_table import as_table
from .._share_right import ShareRight
from .options import LabelOptions
from .pipeline_of_options import pipeline_of_embeddings, pipeline_of_models
from .read_folder import read_job

Path = str | os.PathLike[str]


@dataclass(frozen=True, eq=False)
class LabelledFolder:
    """The labels of a folder, and how they came about.

    Attributes
    ----------
    table : pandas.DataFrame, or sklearn.utils.Bunch of lists without pandas
        One row for each file, as `predict_folder` gives it. A label by a person has the probability
        1.
    pipeline : ImagePipeline
        Pipeline from paths of images to predictions, which has learnt from the folder.
    evaluation : ShotEvaluation or None
        How good the classifier is on held-out shots. None without shots.
    estimate : ShareRight or None
        The share of the predicted labels that is right, with an interval that holds it nine times
        out of ten: `estimate`, `low` and `high`. None if no label is predicted, and before five
        labels, because names alone may mislead. None, too, if a picture is of none of the classes,
        because probabilities do not say how many such pictures there are, and for photographs with
        `"mini"`, which knows drawn icons only.
    """

    table: Any
    pipeline: Any
    evaluation: ShotEvaluation | None
    estimate: ShareRight | None


def label_folder(
    photos: Path,
    *,
    classes: Sequence[str] | str | None = None,
    shots: Path | None = None,
    embeddings: Path | None = None,
    encoder: Any = None,
    text_encoder: Any = None,
    model: str | Sequence[str] | None = None,
    names: Path | None = None,
    corrections: Path | None = None,
    answers: Path | None = None,
    bursts: float | Path | None = None,
    alpha: float = 0.0,
    each_by_itself: bool = False,
    cache: str | os.PathLike[str] | None = "memory",
    progress: bool = False,
) -> LabelledFolder:
    """Label all images in a folder from names of classes, from labelled images, or from both.

    The function does the job of the command `sksemobridge label`, without a page. The classifier
    also learns from the images in the folder.

    Parameters
    ----------
    photos : str or os.PathLike
        Folder of images, with all sub-folders.
    classes : sequence of str, str or None, default=None
        Names of the classes. A text has commas between the names, or is the path of a `.txt` file
        with a name a line.
    shots : str, os.PathLike or None, default=None
        Folder of labelled images, with a sub-folder for each class. Of a class with an empty
        sub-folder, only the name is used.
    embeddings : str, os.PathLike or None, default=None
        A `.npz` file of embeddings by a model of your own, in place of `encoder`: `paths (n,)`,
        relative to `photos` or absolute, and `images (n, D)`. The file may also have `names (C,)`
        with `texts (C, D)`, which are the classes if none are given, `words (W,)` with
        `word_texts (W, D)`, and `logit_scale`. A `model` then only embeds names that the file does
        not have, if it made the texts of the file.
    encoder : transformer or None, default=None
        Any transformer from a list of paths to embeddings `(n, D)`, in place of `model`. A row of
        NaN is an image that could not be read.
    text_encoder : text encoder or None, default=None
        The text encoder that goes with `encoder`, such as a `PrecomputedTextEncoder`. Without a
        text encoder, every class needs shots.
    model : str, sequence of str or None, default=None
        Name of a model, or names of several models, whose embeddings are concatenated. By default a
        model that is accurate and fast on a CPU.
    names : str, os.PathLike or None, default=None
        A `.csv` with the folder of a class (or the class), its name, and optional prompts.
    corrections : str, os.PathLike or None, default=None
        A `.csv` with path and label. An empty label is none of the classes.
    answers : str, os.PathLike or None, default=None
        File of answers that the page of `sksemobridge label --open` wrote. The file is only read.
    bursts : float, str, os.PathLike or None, default=None
        Pictures of one burst count as one where they teach, and have the same probabilities, as
        `proba_by_group` gives them. A number is the longest time in seconds from one picture of a
        burst to the next, of the same camera and folder. A path leads to a `.csv` with the columns
        path and burst.
    alpha : float, default=0.0
        Images with a p-value of at most `alpha` get no label: in the mean over the classes, at most
        about `alpha` of their images.
    each_by_itself : bool, default=False
        Do not learn from the images in the folder, so that a label does not depend on the others.
    cache : {"memory"}, str, os.PathLike or None, default="memory"
        Place where `model` keeps embeddings, see `CLIPImageEncoder`.
    progress : bool, default=False
        Whether to show a progress bar.

    Returns
    -------
    LabelledFolder

    Raises
    ------
    ValueError
        If a value does not fit, or none of `classes`, `shots` and `embeddings` is given. Messages
        may call arguments as the command does, such as `--shots`.
    OSError
        If a file cannot be read.

    Examples
    --------
    >>> from sksemobridge.labelling import label_folder
    >>> labelled = label_folder("photos", classes=["bird", "clock"])  # doctest: +SKIP
    >>> labelled.table  # doctest: +SKIP
    """
    if classes is None and shots is None and embeddings is None:
        raise ValueError("Nothing says what the classes are; give classes, shots or embeddings.")
    if photos is None:
        raise ValueError("photos is None; give the path of a folder.")
    check_scalar(alpha, "alpha", Real, min_val=0, max_val=1)
    options = LabelOptions(
        photos=_path("photos", photos),
        classes=_classes(classes),
        shots=_path("shots", shots),
        embeddings=_path("embeddings", embeddings),
        model=(model,) if isinstance(model, str) else tuple(model or ()),
        names=_path("names", names),
        corrections=_path("corrections", corrections),
        bursts=bursts,
        alpha=alpha,
        each_by_itself=each_by_itself,
    )
    options.check()
    if encoder is None and text_encoder is not None:
        raise ValueError("text_encoder goes with encoder; give both, or a model.")
    if encoder is not None and (isinstance(encoder, type) or not hasattr(encoder, "transform")):
        raise ValueError(
            "encoder must be an object that makes rows of paths, such as CLIPImageEncoder(...); got"
            f" {encoder!r:.100}."
        )
    if encoder is not None and model is not None:
        raise ValueError("encoder is in place of model; give one of them.")
    if encoder is not None and embeddings is not None:
        raise ValueError("encoder and embeddings exclude each other; give one of them.")
    answers = _path("answers", answers)
    if answers is not None and not os.path.exists(answers):
        raise ValueError(f"answers: there is no file {answers!r}; check the path.")
    answers_file = None if answers is None else Answers(answers)

    def make_pipeline(paths):
        if embeddings is not None:
            return pipeline_of_embeddings(options)
        if encoder is not None:
            return pipeline_of(encoder, text_encoder)
        return pipeline_of_models(options.model, cache, progress=progress)

    job, annotations = read_job(options, answers_file, make_pipeline, progress=progress)
    labels = job.fit(annotations, evaluate=True)
    table = as_table(labels.rows)
    return LabelledFolder(table, labels.pipeline, labels.evaluation, labels.estimate())


def _path(name, path):
    if path is None or isinstance(path, str):
        return path
    if not isinstance(path, os.PathLike):
        raise ValueError(f"{name} is {path!r}, and must be a path; give text or a pathlib.Path.")
    return os.fspath(path)


def _classes(classes):
    if classes is None or isinstance(classes, str | os.PathLike):
        return _path("classes", classes)
    if not isinstance(classes, Iterable) or isinstance(classes, bytes):
        raise ValueError(f"classes is {classes!r}, and must be text; give a list of names.")
    if isinstance(classes, Mapping):
        raise ValueError(
            "classes is a mapping, of which only the keys would be read; give a list of classes,"
            " and their names in a file as names."
        )
    names = tuple(classes)
    if no_text := [name for name in names if not isinstance(name, str)]:
        raise ValueError(f"classes has {no_text[0]!r}, which is no text; give names as text.")
    return names
