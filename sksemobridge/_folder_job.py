"""The job of the command: a folder of pictures, the classes, and what a person said of some of the pictures.

`read_job` reads all that the user gives, and embeds the pictures. `FolderJob.fit` learns from it and from clicks, as often as
the live page wants, and gives `FolderLabels`: the classifier, the rows of the table, and the shots.
"""

import os
import warnings
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from sklearn.base import clone

from ._evaluation import ShotEvaluation, evaluate_fitted
from ._folder_table import embed_readable, table_rows
from ._pipeline import SeMoBridgePipeline, make_semobridge_pipeline
from ._texts.prompts import as_words
from ._user_tables import UsageError, naming, read_classes, read_corrections, read_names, usual_prompts
from ._utils.validation import listed, warn_caller
from ._zero_shot import ZeroShotClassifier
from .datasets import load_image_folder
from .datasets._folder import COPIES_MARK, existing_folder, list_files

# A folder with fewer readable pictures without a label is not learnt from.
LEAST_POOL = 50


@dataclass(frozen=True, eq=False)
class UserShots:
    """Labelled images: `paths` and `labels (n,)`, `embeddings (n, D)`, and their evaluation, or None.

    `corrections` are labels by a person: real paths to `(path, label)`.
    """

    paths: Any
    labels: Any
    embeddings: Any
    evaluation: ShotEvaluation | None = None
    corrections: dict[str, tuple[str, str]] = field(default_factory=dict)

    def best_other(self):
        """The most probable class of each shot apart from its label, by a model without the shot."""
        others = np.nan_to_num(self.evaluation.held_out_proba)
        others[self.evaluation.classes == self.labels[:, None]] = -1
        return self.evaluation.classes[others.argmax(axis=1)]

    def summary(self):
        """Text on the shots."""
        other = self.best_other()
        doubtful = [
            f"{self.paths[i]} ({self.labels[i]}, looks like {other[i]})" for i in self.evaluation.doubtful
        ]
        return f"{self.evaluation}{after_colon(doubtful)}"


@dataclass(frozen=True, eq=False)
class FolderLabels:
    """What `FolderJob.fit` learnt: `pipeline` ends in the classifier, and `rows` are those of the table, one for each file.

    `shots` are those after the clicks. `n_taught` pictures without a label were learnt from.
    """

    pipeline: SeMoBridgePipeline
    rows: list[dict[str, Any]]
    shots: UserShots
    n_taught: int

    @property
    def classifier(self):
        return self.pipeline[-1]


@dataclass(frozen=True, eq=False)
class FolderJob:
    """Pictures to label, and what is known of the classes. It never changes.

    paths : all files in PHOTOS, sorted
    problems : why a file cannot be read, by path
    embeddings (n, D) : of the other files, in the order of `paths`
    classes : labels to begin with, from folders and `--classes`
    shots : the readable images of `--shots`, with their labels
    """

    pipeline: SeMoBridgePipeline
    paths: list[str]
    problems: dict[str, str]
    embeddings: Any
    classes: list[str]
    shots: UserShots
    # Labels by a person before the first click, and embeddings of the pictures elsewhere that these name, by real path.
    corrections: dict[str, tuple[str, str]] = field(default_factory=dict)
    others: dict[str, Any] = field(default_factory=dict)
    alpha: float = 0.0
    learns_from_photos: bool = True

    def readable(self):
        """Paths of the pictures, one for each row of `embeddings`."""
        return [path for path in self.paths if path not in self.problems]

    def fit(self, clicks=None, *, evaluate=False):
        """Learn from the shots, from `clicks`, and from the pictures without a label. Gives `FolderLabels`.

        `clicks` are real paths to `(path, label)`, and win over corrections and shots. An empty label means none of the
        classes. With `evaluate`, the shots of the result have an evaluation.
        """
        clicks = self.corrections | (clicks or {})
        real = [os.path.realpath(path) for path in self.readable()]
        shots = self._with_clicks(clicks, dict(zip(real, self.embeddings)) | self.others)
        classes = sorted({*self.classes, *shots.labels.tolist()})
        classifier = self._classifier(classes)
        if len(shots.labels):
            classifier.set_params(store_held_out=evaluate)
            classifier.partial_fit(shots.embeddings, shots.labels, classes=classes)
            if evaluate:
                shots = replace(shots, evaluation=_evaluated(classifier, shots))
        else:
            classifier = ZeroShotClassifier(
                classifier.text_encoder, prompts=classifier.prompts, class_names=classifier.class_names
            ).fit(None, classes)
        labelled = {*map(os.path.realpath, shots.paths), *clicks}
        pool = self.embeddings[[path not in labelled for path in real]]
        taught = self.learns_from_photos and len(pool) >= LEAST_POOL
        if taught:
            classifier = classifier.with_unlabeled(pool)
        rows = table_rows(
            classifier, self.paths, self.embeddings, self.problems, alpha=self.alpha, corrections=clicks
        )
        steps = [self.pipeline.steps[0], (self.pipeline.steps[1][0], classifier)]
        return FolderLabels(SeMoBridgePipeline(steps), rows, shots, len(pool) if taught else 0)

    def _with_clicks(self, clicks, known):
        """The shots after the clicks, whose embeddings are `known`, by real path."""
        real = [os.path.realpath(path) for path in self.shots.paths]
        of_shots = [
            clicks[path][1] if path in clicks else label for path, label in zip(real, self.shots.labels)
        ]
        further = [path for path in clicks if path in known and path not in {*real}]
        labels = np.array(of_shots + [clicks[path][1] for path in further], dtype=object)
        paths = np.array([*self.shots.paths, *(clicks[path][0] for path in further)], dtype=object)
        embeddings = np.concatenate(
            [
                self.shots.embeddings,
                np.reshape([known[path] for path in further], (-1, self.embeddings.shape[1])),
            ]
        )
        kept = labels != ""
        return UserShots(paths[kept], labels[kept], embeddings[kept], corrections=clicks)

    def _classifier(self, classes):
        """The classifier before it is fitted. If names were given, later classes get the usual ones."""
        classifier = clone(self.pipeline[-1])
        names, prompts = classifier.class_names, classifier.prompts
        if names is not None:
            names = {label: names.get(label, as_words(label)) for label in classes}
            if prompts != "auto":
                prompts = {label: prompts.get(label) or usual_prompts(names[label]) for label in classes}
        return classifier.set_params(class_names=names, prompts=prompts)


def read_job(
    photos,
    model,
    *,
    shots=None,
    classes=None,
    names=None,
    corrections=None,
    cache=None,
    alpha=0.0,
    learns=True,
):
    """`FolderJob` from the arguments of the command. What is wrong with one is a `UsageError` before a model is loaded.

    `model` is the name and the weights, `cache` a function that gives the folder for embeddings, `shots` a folder with one sub-folder for each class, `classes` a text or a file with
    their names, and `names` and `corrections` are tables. All but the first two may be None.
    """
    with naming("PHOTOS", ValueError):
        files = list_files(photos)
    shot_paths, shot_labels, folders = [], [], []
    if shots is not None:
        shot_paths, shot_labels, folders = _read_shots(shots)
    labels = sorted({*folders, *(read_classes(classes) if classes is not None else [])})
    corrections = {} if corrections is None else read_corrections(corrections, labels)
    _say_corrections(corrections, shot_paths, shot_labels)
    known = sorted({*labels, *(label for _, label in corrections.values() if label)})
    if len(known) == 1 and not alpha:
        raise UsageError(
            f"{'--classes' if shots is None else '--shots'}: there is one class, and all images would be labelled "
            f"{known[0]!r}. Give the folder whose sub-folders are the classes, more --classes, or --alpha to give no label "
            "to images of other things"
        )
    if alpha and not shot_paths and not any(label for _, label in corrections.values()):
        raise UsageError(
            "--alpha: names alone give no p-values; they need labelled images, in --shots or --corrections"
        )
    params = {} if names is None else read_names(names, known)

    pipeline = make_semobridge_pipeline(*model, encoder_params={"cache": cache and cache()}, **params)
    here = {*map(os.path.realpath, [*shot_paths, *files])}
    elsewhere = {real: path for real, (path, label) in corrections.items() if label and real not in here}
    labelled, problems = embed_readable(pipeline[0], [*shot_paths, *elsewhere.values()], progress=True)
    for path, problem in problems.items():
        warn_caller(f"Skipped the shot {path}: {problem}.")
    is_read = np.array([path not in problems for path in [*shot_paths, *elsewhere.values()]], dtype=bool)
    of_shots, of_elsewhere = is_read[: len(shot_paths)], is_read[len(shot_paths) :]
    n_shots = int(of_shots.sum())
    read = UserShots(
        np.array(shot_paths, dtype=object)[of_shots],
        np.array(shot_labels, dtype=object)[of_shots],
        labelled[:n_shots],
    )
    others = dict(zip(np.array(list(elsewhere), dtype=object)[of_elsewhere], labelled[n_shots:]))
    embeddings, problems = embed_readable(pipeline[0], files, progress=True)
    return FolderJob(
        pipeline,
        files,
        problems,
        embeddings,
        labels,
        read,
        corrections,
        others,
        alpha=alpha,
        learns_from_photos=learns,
    )


def _read_shots(folder):
    """Paths and labels of the images in a folder with one sub-folder for each class, and all names of sub-folders."""
    with naming("--shots"):
        below = [path for path in existing_folder(folder).iterdir() if path.is_dir()]
    folders = [path.name for path in below if path.name[0] != "." and not (path / COPIES_MARK).exists()]
    if not folders:
        raise UsageError(
            f"--shots: {folder!r} has no sub-folders. Put the images of each class into a sub-folder with the name of the "
            "class. An empty one is a class that is known by its name"
        )
    with warnings.catch_warnings():
        # They are classes here.
        warnings.filterwarnings("ignore", ".*sub-folders without images")
        try:
            found = load_image_folder(folder)
        except ValueError:  # all are empty
            return [], [], folders
    return found.paths.tolist(), found.target_names[found.target].tolist(), folders


def _say_corrections(corrections, paths, labels):
    """Warn of what the corrections change."""
    if not corrections:
        return
    before, counts = {}, Counter()
    for path, label in zip(paths, labels):
        before.setdefault(os.path.realpath(path), []).append(label)
    for real, (_, label) in corrections.items():
        if real in before:
            kind = "confirmed" if {*before[real]} == {label} else "other label"
            counts[kind if label else "taken back"] += 1
        else:
            counts["further shot" if label else "none of the classes"] += 1
    warn_caller(f"Corrections: {', '.join(f'{kind} {n}' for kind, n in sorted(counts.items()))}")
    new = {label for _, label in corrections.values()} - {*labels, ""}
    if new:
        warn_caller(f"New classes by the corrections: {', '.join(sorted(new))}")


def _evaluated(classifier, shots):
    """The evaluation of a classifier on its shots. A label by a person is not doubtful."""
    evaluation = evaluate_fitted(classifier, shots.embeddings, shots.labels)
    doubtful = [
        row for row in evaluation.doubtful if os.path.realpath(shots.paths[row]) not in shots.corrections
    ]
    return replace(evaluation, doubtful=np.array(doubtful, dtype=np.intp))


def after_colon(items):
    """A colon, and the first items. Nothing if there are none."""
    return f": {listed(items)}" if items else ""
