"""The job of the command: a folder of pictures, the classes, and what a person said of some of the
pictures.

`FolderJob.fit` learns from it and from clicks, as often as the live page wants, and gives
`FolderLabels`: the classifier, and the rows of the table.
"""

import os
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from .._evaluation import ShotEvaluation, evaluate_fitted, share_right
from .._label_next import images_to_label, least_certain
from .._pipeline import SeMoBridgePipeline
from .._strangers import stranger_proba
from .._utils.validation import as_words
from .._zero_shot import ZeroShotClassifier
from .folder_table import table_rows, was_read
from .user_tables import usual_prompts

# A folder with fewer readable pictures (without a label) is not learnt from. In the mean of six
# real sets, folders of 30 pictures gain 0.3 points with names alone and 0.2 with a shot a class, of
# 50 0.7 and 0.4, of 100 1.9 and 0.9.
LEAST_POOL = 50


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

    @property
    def has_random_shots(self):
        """Whether most shots were not chosen by the model."""
        return len(self.shots.labels) > len(self.said)

    def is_predicted(self):
        """Whether each row of `embeddings` has a label that no person said."""
        by_person = {*self.shots.real(), *self.said}
        read = [row for row in self.rows if was_read(row)]
        return [
            row["label"] is not None and os.path.realpath(row["path"]) not in by_person
            for row in read
        ]

    def estimate(self, **evidence):
        """`ShareRight` of the predicted labels, or None if there are none. `evidence` are further
        arguments of `share_right`.
        """
        rest = self.is_predicted()
        if not any(rest):
            return None
        return share_right(self.proba()[rest], has_random_shots=self.has_random_shots, **evidence)

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


def model_names(pipeline):
    """Names of the models of the image encoder. Encoders of other packages have none."""
    encoders = getattr(pipeline[0], "encoders", [pipeline[0]])
    return [encoder.model_name for encoder in encoders if hasattr(encoder, "model_name")]
