"""The job of the command: a folder of pictures, the classes, and what a person said of some of the
pictures.

`read_job` reads all that the user gives, and embeds the pictures. `FolderJob.fit` learns from it
and from clicks, as often as the live page wants, and gives `FolderLabels`: the classifier, and the
rows of the table.
"""

import os
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from .._evaluation import ShotEvaluation, evaluate_fitted
from .._label_next import images_to_label, least_certain
from .._pipeline import SeMoBridgePipeline, make_semobridge_pipeline
from .._strangers import stranger_proba
from .._utils.validation import as_words, listed, warn_caller
from .._zero_shot import ZeroShotClassifier
from ..datasets import load_image_folder
from ..datasets._folder import COPIES_MARK, existing_folder, list_files
from .clicks import labels_of, read_corrections
from .folder_table import embed_readable, plain, table_rows
from .user_tables import UsageError, as_class, naming, read_classes, read_names, say, usual_prompts

# A folder with fewer readable pictures (without a label) is not learnt from. In the mean of six
# real sets, folders of 30 pictures gain 0.3 points with names alone and 0.2 with a shot a class, of
# 50 0.7 and 0.4, of 100 1.9 and 0.9.
LEAST_POOL = 50
# Accurate and fast on a CPU.
MODEL = "ViT-B-32-256"


class Shots(NamedTuple):
    """Labelled images: `paths` and `labels (n,)`, and `embeddings (n, D)`."""

    paths: Any
    labels: Any
    embeddings: Any

    def real(self):
        return [os.path.realpath(path) for path in self.paths]


@dataclass(frozen=True, eq=False)
class FolderLabels:
    """The labels of a folder: `rows` of the table, `embeddings (n, D)` of the readable pictures,
    and how they came about.

    `shots` are those after the clicks, and `said` are labels by a person, real paths to
    `(path, label)`. The rows `taught_by` have no label, and were learnt from. `strangers (n,)` are
    the probabilities that the pictures show none of the classes.
    """

    pipeline: Pipeline
    rows: list[dict[str, Any]]
    embeddings: Any
    shots: Shots | None = None
    said: dict[str, tuple[str, str]] = field(default_factory=dict)
    evaluation: ShotEvaluation | None = None
    taught_by: Any = ()
    strangers: Any = 0.0

    @property
    def classifier(self):
        return self.pipeline[-1]

    def proba(self):
        """Probabilities `(n, C + 1)` of the pictures: of the classes, and in the last column of
        none of them.
        """
        own = self.classifier.predict_proba(self.embeddings)
        none = np.broadcast_to(self.strangers, len(own))[:, None]
        return np.hstack([own * (1 - none), none])

    def to_label(self):
        """Rows of `embeddings` in the order in which to label the pictures."""
        if not len(self.embeddings):
            return []
        order = least_certain(self.proba()).tolist()
        # `label_next` does not know those of none of the classes, nor classifiers of other
        # packages.
        if np.any(self.strangers) or not hasattr(self.classifier, "with_unlabeled"):
            return order
        first = images_to_label(self.classifier, self.embeddings, taught_by=self.taught_by).tolist()
        return [*dict.fromkeys([*first, *order])]

    def doubtful_shots(self):
        """Shots with a doubtful label, as the page shows them: `likely` is the most probable other
        class.
        """
        if self.evaluation is None:
            return []
        proba, classes = np.nan_to_num(self.evaluation.held_out_proba), self.evaluation.classes
        proba[classes == self.shots.labels[:, None]] = -1
        others, right = classes[proba.argmax(axis=1)].tolist(), self.evaluation.label_proba.tolist()
        shots = list(zip(self.shots.paths, self.shots.labels, others, right))
        names = ("path", "label", "likely", "probability")
        return [
            dict(zip(names, shots[row])) | {"readable": True} for row in self.evaluation.doubtful
        ]


@dataclass(frozen=True, eq=False)
class FolderJob:
    """Pictures to label, and what is known of the classes. It never changes.

    `paths` are all files in PHOTOS. Those that cannot be read have `problems`, the others
    `embeddings (n, D)`. `classes` are the labels to begin with. `shots` are the images of
    `--shots`, and those elsewhere that a person gave a label. `corrections` and `clicked`, in
    earlier runs, are labels by a person, real paths to `(path, label)`.
    """

    pipeline: SeMoBridgePipeline
    paths: list[str]
    problems: dict[str, str]
    embeddings: Any
    classes: list[str]
    shots: Shots
    corrections: dict[str, tuple[str, str]]
    clicked: dict[str, tuple[str, str]]
    alpha: float
    learns_from_photos: bool

    def readable(self):
        """Paths of the pictures, one for each row of `embeddings`."""
        return [path for path in self.paths if path not in self.problems]

    def fit(self, said, *, evaluate=False):
        """Learn from the shots, from what a person said, and from the pictures without a label.
        Gives `FolderLabels`.

        `said` wins over the labels of shots. An empty label means none of the classes.
        """
        real = [os.path.realpath(path) for path in self.readable()]
        shots = self._shots_after(said, real)
        classes = sorted({*self.classes, *shots.labels.tolist()})
        classifier, evaluation = self._classifier(classes), None
        if len(shots.labels):
            classifier.set_params(store_held_out=evaluate)
            classifier.partial_fit(shots.embeddings, shots.labels, classes=classes)
            if evaluate:
                evaluation = evaluate_fitted(classifier, shots.embeddings, shots.labels)
                real_shots = shots.real()
                doubtful = [row for row in evaluation.doubtful if real_shots[row] not in said]
                evaluation = replace(evaluation, doubtful=np.array(doubtful, dtype=int))
        else:
            names = {"prompts": classifier.prompts, "class_names": classifier.class_names}
            classifier = ZeroShotClassifier(classifier.text_encoder, **names).fit(None, classes)
        strangers, taught_by = np.zeros(len(real)), ()
        if self.learns_from_photos and len(real) >= LEAST_POOL:
            is_none = [path in said and not said[path][1] for path in real]
            if any(is_none) and classifier.text_embeddings_ is not None:
                strangers = stranger_proba(classifier, self.embeddings, self.embeddings[is_none])
            labelled = {*shots.real(), *said}
            is_open = np.array([path not in labelled for path in real])
            pool = np.flatnonzero(is_open & (strangers < 0.5))
            if len(pool) >= LEAST_POOL:
                classifier, taught_by = classifier.with_unlabeled(self.embeddings[pool]), pool
        rows = table_rows(
            classifier, self.paths, self.embeddings, self.problems, self.alpha, said, strangers
        )
        pipeline = SeMoBridgePipeline(
            [self.pipeline.steps[0], (self.pipeline.steps[1][0], classifier)]
        )
        return FolderLabels(
            pipeline, rows, self.embeddings, shots, said, evaluation, taught_by, strangers
        )

    def _shots_after(self, said, real):
        """The shots with the labels that a person said, and the pictures with one. `real` are paths
        of the pictures.
        """
        real_paths = self.shots.real()
        labels = [
            said[path][1] if path in said else label
            for path, label in zip(real_paths, self.shots.labels)
        ]
        new = {*said}.difference(real_paths)
        further = [row for row, path in enumerate(real) if path in new]
        labels = np.array(labels + [said[real[row]][1] for row in further], dtype=object)
        paths = np.array(
            [*self.shots.paths, *(said[real[row]][0] for row in further)], dtype=object
        )
        embeddings = np.concatenate([self.shots.embeddings, self.embeddings[further]])
        kept = labels != ""
        return Shots(paths[kept], labels[kept], embeddings[kept])

    def _classifier(self, classes):
        """The classifier before it is fitted. If names were given, later classes get the usual
        ones.
        """
        classifier = clone(self.pipeline[-1])
        names, prompts = classifier.class_names, classifier.prompts
        if isinstance(names, dict):
            names = {label: names.get(label, as_words(label)) for label in classes}
            if prompts != "auto":
                prompts = {
                    label: prompts.get(label) or usual_prompts(names[label]) for label in classes
                }
        return classifier.set_params(class_names=names, prompts=prompts)


def read_job(args):
    """`FolderJob` from the arguments of the command. A `UsageError` says what is wrong, before a
    model is loaded.
    """
    with naming("PHOTOS", ValueError):
        files = list_files(args.photos)
    # Those of an earlier run are not of the user.
    written = {
        os.path.realpath(path) for path in (args.out, args.report, args.save, args.labels) if path
    }
    files = [path for path in files if os.path.realpath(path) not in written]
    paths, labels, classes = ([], [], []) if args.shots is None else _read_shots(args.shots)
    if args.classes is not None:
        # A folder and a name may differ in `_` and in the encoding of letters.
        classes = sorted(
            {*classes, *(as_class(label, classes) for label in read_classes(args.classes))}
        )
    corrections = {} if args.corrections is None else read_corrections(args.corrections, classes)
    clicked = {}
    if args.clicks is not None:
        if args.clicks.are_elsewhere(files):
            what = f"{args.labels!r} has labels of images elsewhere, and of none in PHOTOS"
            raise UsageError(f"--labels: {what}; give another name for --out, or for --labels")
        clicked = labels_of(args.clicks.rows, classes, "--labels")
    said = corrections | clicked
    labelled = {label for _, label in said.values() if label}
    if new := labelled.difference(classes):
        warn_caller(f"New classes by your clicks or corrections: {', '.join(sorted(new))}")
    known = sorted({*classes, *labelled})
    if len(known) == 1 and not args.alpha and not args.open:
        option = "--classes" if args.shots is None else "--shots"
        raise UsageError(
            f"{option}: there is one class, {known[0]!r}; give more, or --alpha for the rest"
        )
    if args.alpha and not (args.open or paths or labelled):
        raise UsageError(
            "--alpha: names alone give no p-values; these need --shots or --corrections"
        )
    params = {} if args.names is None else read_names(args.names, known)

    first, *more = [(name, "auto") for name in args.model or [MODEL]]
    model = ([first, *more],) if more else first
    pipeline = make_semobridge_pipeline(
        *model, encoder_params={"cache": cache_folder(args)}, **params
    )
    here = {*map(os.path.realpath, [*paths, *files])}
    for real, (path, label) in said.items():
        if label and real not in here:
            paths.append(path)
            labels.append(label)
    embeddings, problems = embed_readable(pipeline[0], paths, progress=True)
    for path, problem in problems.items():
        warn_caller(f"Skipped the shot {path}: {problem}.")
    is_read = np.array([path not in problems for path in paths], dtype=bool)
    shots = Shots(
        np.array(paths, dtype=object)[is_read], np.array(labels, dtype=object)[is_read], embeddings
    )
    if pipeline[-1].text_encoder is None and (missing := {*known} - {*shots.labels, *labelled}):
        models = " and ".join(model_names(pipeline))
        raise UsageError(
            f"--model: {models} cannot read names; give --shots of {listed(sorted(missing))}"
        )
    embeddings, problems = embed_readable(pipeline[0], files, progress=True)
    given = classes, shots, corrections, clicked
    return FolderJob(
        pipeline, files, problems, embeddings, *given, args.alpha, not args.each_by_itself
    )


def cache_folder(args):
    """The folder that keeps embeddings between runs, in the user's folder for caches. None if it
    cannot be made.
    """
    if args.no_cache:
        return None
    try:
        caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(caches, "sksemobridge", "embeddings")
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:  # the latter if there is no home folder
        say(f"Note: Embeddings are not kept for the next run: {error}.")
        return None
    say(f"Embeddings are kept in {str(folder)!r}.")
    return folder


def model_names(pipeline):
    """Names of the models of the image encoder."""
    return [encoder.model_name for encoder in getattr(pipeline[0], "encoders", [pipeline[0]])]


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
