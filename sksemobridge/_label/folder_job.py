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

from .._evaluation import ShotEvaluation, evaluate_fitted
from .._label_next import label_next, least_certain
from .._pipeline import SeMoBridgePipeline, make_semobridge_pipeline
from .._strangers import stranger_proba
from .._utils.validation import as_words, listed, warn_caller
from .._zero_shot import ZeroShotClassifier
from ..datasets import load_image_folder
from ..datasets._folder import COPIES_MARK, existing_folder, list_files
from .corrections import read_clicks, read_corrections
from .folder_table import embed_readable, table_rows
from .user_tables import (
    UsageError,
    as_class,
    naming,
    read_classes,
    read_names,
    usual_prompts,
)

# A folder with fewer readable pictures (without a label) is not learnt from. In the mean of six real sets, folders of 30 pictures
# gain 0.3 points with names alone and 0.2 with a shot a class, of 50 0.7 and 0.4, of 100 1.9 and 0.9.
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
        twice = [
            f"{self.paths[i]} ({self.labels[i]}) and {self.paths[j]} ({self.labels[j]})"
            for i, j in self.evaluation.duplicates
        ]
        text = f"{self.evaluation}: {listed(doubtful)}" if doubtful else str(self.evaluation)
        return f"{text}\nThe same picture twice: {listed(twice)}" if twice else text


@dataclass(frozen=True, eq=False)
class FolderLabels:
    """What `FolderJob.fit` learnt: `pipeline` ends in the classifier, and `rows` are those of the table, one for each file.

    `shots` are those after the clicks. `n_taught` pictures without a label were learnt from. `strangers (n,)` are the probabilities
    that the readable pictures show none of the classes, learnt from clicks.
    """

    pipeline: SeMoBridgePipeline
    rows: list[dict[str, Any]]
    shots: UserShots
    n_taught: int
    strangers: Any

    @property
    def classifier(self):
        return self.pipeline[-1]

    def proba(self, X):
        """Probabilities `(n, C + 1)` of the readable pictures: of the classes, and in the last column of none of them."""
        own, none = self.classifier.predict_proba(X), self.strangers[:, None]
        return np.hstack([own * (1 - none), none])

    def to_label(self, X):
        """Rows of the readable pictures in the order in which to label them."""
        # It does not know those of none of the classes.
        first = [] if self.strangers.any() else label_next(self.classifier, X).tolist()
        return [*dict.fromkeys([*first, *least_certain(self.proba(X)).tolist()])]


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
    # Labels by a person: those of `--corrections`, and clicks of earlier runs. `others` are embeddings of the pictures elsewhere
    # that these name. By real path.
    corrections: dict[str, tuple[str, str]] = field(default_factory=dict)
    clicked: dict[str, tuple[str, str]] = field(default_factory=dict)
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
        is_none = [path in clicks and not clicks[path][1] for path in real]
        strangers = np.zeros(len(real))
        learns = self.learns_from_photos and len(real) >= LEAST_POOL
        if learns and any(is_none) and classifier.text_embeddings_ is not None:
            strangers = stranger_proba(classifier, self.embeddings, self.embeddings[is_none])
        labelled = {*map(os.path.realpath, shots.paths), *clicks}
        is_open = np.array([path not in labelled for path in real], dtype=bool)
        pool = self.embeddings[is_open & (strangers < 0.5)]
        taught = learns and len(pool) >= LEAST_POOL
        if taught:
            classifier = classifier.with_unlabeled(pool)
        rows = table_rows(
            classifier,
            self.paths,
            self.embeddings,
            self.problems,
            alpha=self.alpha,
            corrections=clicks,
            strangers=strangers,
        )
        steps = [self.pipeline.steps[0], (self.pipeline.steps[1][0], classifier)]
        return FolderLabels(SeMoBridgePipeline(steps), rows, shots, len(pool) if taught else 0, strangers)

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
        if isinstance(names, dict):
            names = {label: names.get(label, as_words(label)) for label in classes}
            if prompts != "auto":
                prompts = {label: prompts.get(label) or usual_prompts(names[label]) for label in classes}
        return classifier.set_params(class_names=names, prompts=prompts)


def read_job(args, cache):
    """`FolderJob` from the arguments of the command. A `UsageError` says what is wrong, before a model is loaded.

    `cache` is a function that gives the folder for embeddings, or None.
    """
    with naming("PHOTOS", ValueError):
        files = list_files(args.photos)
    # Those of an earlier run are not of the user.
    written = {os.path.realpath(path) for path in (args.out, args.report, args.save, args.labels) if path}
    files = [path for path in files if os.path.realpath(path) not in written]
    paths, labels, classes = ([], [], []) if args.shots is None else _read_shots(args.shots)
    if args.classes is not None:
        # A folder and a name may differ in `_` and in the encoding of letters.
        classes = sorted({*classes, *(as_class(label, classes) for label in read_classes(args.classes))})
    corrections = {} if args.corrections is None else read_corrections(args.corrections, classes)
    _say_corrections(corrections, paths, labels, classes)
    clicked = {} if args.clicks is None else read_clicks(args.clicks, "--labels", classes)
    said = corrections | clicked
    known = sorted({*classes, *(label for _, label in said.values() if label)})
    _check_classes(args, known, paths, said)
    params = {} if args.names is None else read_names(args.names, known)

    models, encoder_params = args.models, {"cache": cache and cache()}
    model = models[0] if len(models) == 1 else (models,)
    pipeline = make_semobridge_pipeline(*model, encoder_params=encoder_params, **params)
    here = {*map(os.path.realpath, [*paths, *files])}
    elsewhere = {path: label for real, (path, label) in said.items() if label and real not in here}
    n_shots, paths = len(paths), [*paths, *elsewhere]
    rows, problems = embed_readable(pipeline[0], paths, progress=True)
    for path, problem in problems.items():
        warn_caller(f"Skipped the shot {path}: {problem}.")
    read = [i for i, path in enumerate(paths) if path not in problems]
    n_read = sum(i < n_shots for i in read)
    shots = UserShots(
        np.array([paths[i] for i in read[:n_read]], dtype=object),
        np.array([labels[i] for i in read[:n_read]], dtype=object),
        rows[:n_read],
    )
    if pipeline[-1].text_encoder is None:
        _check_shots(
            known, {*shots.labels, *(said_of for _, said_of in said.values())}, model_names(pipeline)
        )
    others = {os.path.realpath(paths[i]): row for i, row in zip(read[n_read:], rows[n_read:])}
    embeddings, problems = embed_readable(pipeline[0], files, progress=True)
    return FolderJob(
        pipeline,
        files,
        problems,
        embeddings,
        classes,
        shots,
        corrections,
        clicked,
        others,
        alpha=args.alpha,
        learns_from_photos=not args.each_by_itself,
    )


def _check_classes(args, classes, paths, said):
    if len(classes) == 1 and not args.alpha and not args.open:
        option = "--classes" if args.shots is None else "--shots"
        raise UsageError(
            f"{option}: there is one class, and all images would be labelled {classes[0]!r}. Give the folder whose "
            "sub-folders are the classes, more --classes, or --alpha to give no label to images of other things"
        )
    if args.alpha and not args.open and not paths and not any(label for _, label in said.values()):
        raise UsageError(
            "--alpha: names alone give no p-values; they need labelled images, in --shots or --corrections"
        )


def _check_shots(classes, labelled, models):
    """Refuse classes without a labelled image for models without text."""
    if missing := [label for label in classes if label not in labelled]:
        raise UsageError(
            f"--model: {' and '.join(models)} cannot read names, so each class needs labelled images in --shots; without: "
            f"{listed(missing)}. Give a second --model that can"
        )


def model_names(pipeline):
    """Names of the models of the image encoder."""
    return [encoder.model_name for encoder in getattr(pipeline[0], "encoders", [pipeline[0]])]


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


def _say_corrections(corrections, paths, labels, classes):
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
    new = {label for _, label in corrections.values()} - {*classes, ""}
    if new:
        warn_caller(f"New classes by the corrections: {', '.join(sorted(new))}")


def _evaluated(classifier, shots):
    """The evaluation of a classifier on its shots. A label by a person is not doubtful."""
    evaluation = evaluate_fitted(classifier, shots.embeddings, shots.labels)
    doubtful = [
        row for row in evaluation.doubtful if os.path.realpath(shots.paths[row]) not in shots.corrections
    ]
    return replace(evaluation, doubtful=np.array(doubtful, dtype=np.intp))
