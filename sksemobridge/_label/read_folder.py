"""From all that a user gives to a `FolderJob`: pictures, classes, shots, and labels by a person."""

import os
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._few_shot_classifier import FewShotClassifier
from .._pipeline import SeMoBridgePipeline, make_few_shot_pipeline
from .._utils.validation import listed, warn_caller
from ..datasets import load_image_folder
from ..datasets._folder import COPIES_MARK, existing_folder, list_files
from .clicks import labels_of, read_corrections
from .folder_job import FolderJob, Shots, model_names
from .folder_table import embed_readable, plain
from .messages import UsageError, naming
from .options import MODEL
from .user_tables import as_class, read_classes, read_names


@dataclass(frozen=True, eq=False)
class Given:
    """What the user gave, before any picture is embedded.

    `files` are all files in PHOTOS. `paths` and `labels` are those of the images in `--shots`, and
    `classes` the labels to begin with. `corrections` and `clicked` are labels by a person, real
    paths to `(path, label)`. `params` are parameters of the classifier.
    """

    files: list[str]
    paths: list[str]
    labels: list[str]
    classes: list[str]
    corrections: dict[str, tuple[str, str]]
    clicked: dict[str, tuple[str, str]]
    params: dict[str, Any]

    @property
    def said(self):
        return self.corrections | self.clicked


def read_given(options, clicks=None):
    """`Given`, from options and from `Clicks`. A `UsageError` says what is wrong, before a model is
    loaded.
    """
    with naming("PHOTOS", ValueError):
        files = list_files(options.photos)
    # Those of an earlier run are not of the user.
    outputs = (options.out, options.report, options.save, options.labels)
    written = {os.path.realpath(path) for path in outputs if path}
    files = [path for path in files if os.path.realpath(path) not in written]
    paths, labels, classes = ([], [], []) if options.shots is None else _read_shots(options.shots)
    if options.classes is not None:
        # A folder and a name may differ in `_` and in the encoding of letters.
        found = read_classes(options.classes)
        classes = sorted({*classes, *(as_class(label, classes) for label in found)})
    corrections, clicked = {}, {}
    if options.corrections is not None:
        corrections = read_corrections(options.corrections, classes)
    if clicks is not None:
        if clicks.are_elsewhere(files):
            what = f"{options.labels!r} has labels of images elsewhere, and of none in PHOTOS"
            raise UsageError(f"--labels: {what}; give another name for --out, or for --labels")
        clicked = labels_of(clicks.rows, classes, "--labels")
    labelled = {label for _, label in (corrections | clicked).values() if label}
    if new := labelled.difference(classes):
        warn_caller(f"New classes by your clicks or corrections: {', '.join(sorted(new))}")
    known = sorted({*classes, *labelled})
    if len(known) == 1 and not options.alpha and not options.open:
        option = "--classes" if options.shots is None else "--shots"
        raise UsageError(
            f"{option}: there is one class, {known[0]!r}; give more, or --alpha for the rest"
        )
    if options.alpha and not (options.open or paths or labelled):
        raise UsageError(
            "--alpha: names alone give no p-values; these need --shots or --corrections"
        )
    params = {} if options.names is None else read_names(options.names, known)
    return Given(files, paths, labels, classes, corrections, clicked, params)


def folder_pipeline(models, cache):
    """The pipeline of these models, or of the usual one, before it is fitted."""
    first, *more = [(name, "auto") for name in models or [MODEL]]
    model = ([first, *more],) if more else first
    return make_few_shot_pipeline(*model, encoder_params={"cache": cache})


def pipeline_of(encoder, text_encoder):
    """The pipeline from any transformer of paths, before it is fitted. Without texts, labels are no
    words.
    """
    params = {"class_names": "ignore"} if text_encoder is None else {}
    classifier = FewShotClassifier(text_encoder, **params)
    return SeMoBridgePipeline([("encoder", encoder), ("classifier", classifier)])


def folder_job(options, given, pipeline, *, progress):
    """Embed the pictures: a `FolderJob`."""
    pipeline[-1].set_params(**given.params)
    paths, labels = [*given.paths], [*given.labels]
    here = {*map(os.path.realpath, [*paths, *given.files])}
    for real, (path, label) in given.said.items():
        if label and real not in here:
            paths.append(path)
            labels.append(label)
    shots, problems = None, {}
    if paths:
        shots, problems = embed_readable(pipeline[0], paths, progress=progress)
    for path, problem in problems.items():
        warn_caller(f"Skipped the shot {path}: {problem}.")
    is_read = np.array([path not in problems for path in paths], dtype=bool)
    paths, labels = (np.array(part, dtype=object)[is_read] for part in (paths, labels))
    labelled = {*labels, *(label for _, label in given.said.values() if label)}
    known = {*given.classes, *labelled}
    if pipeline[-1].text_encoder is None and (missing := known - labelled):
        models = " and ".join(model_names(pipeline)) or type(pipeline[0]).__name__
        raise UsageError(
            f"--model: {models} cannot read names; give --shots of {listed(sorted(missing))}"
        )
    embeddings, problems = embed_readable(pipeline[0], given.files, progress=progress)
    if shots is None:
        shots = embeddings[:0]
    return FolderJob(
        pipeline,
        given.files,
        problems,
        embeddings,
        given.classes,
        Shots(paths, labels, shots),
        given.corrections,
        given.clicked,
        options.alpha,
        not options.each_by_itself,
    )


def _read_shots(folder):
    """Paths and labels of the images in a folder with one sub-folder for each class, and all names
    of sub-folders.
    """
    with naming("--shots"):
        below = [path for path in existing_folder(folder).iterdir() if path.is_dir()]
    folders = [
        path.name for path in below if path.name[0] != "." and not (path / COPIES_MARK).exists()
    ]
    if not folders:
        raise UsageError(f"--shots: {folder!r} has no sub-folders, one for each class")
    if unreadable := [name for name in folders if plain(name) != name]:
        raise UsageError(
            f"--shots: the name of the folder {unreadable[0]!r} is not UTF-8; give it another"
        )
    with warnings.catch_warnings():
        # They are classes here.
        warnings.filterwarnings("ignore", ".*sub-folders without images")
        try:
            found = load_image_folder(folder)
        except ValueError:  # all are empty
            return [], [], folders
    return found.paths.tolist(), found.target_names[found.target].tolist(), folders
