"""The labels of a folder: what a job has learnt, and what it predicts."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from ... import ShotEvaluation
from .._answers.annotations import Annotations
from .._answers.evidence import share_by_evidence
from .._bursts import first_of_each
from .._label_next import N_AT_RANDOM, draw_first, images_to_label, least_certain, shot_directions
from .folder_table import has_label, proba_with_none, table_rows
from .labelled_images import LabelledImages


@dataclass(frozen=True, eq=False)
class FolderLabels:
    """The labels of a `FolderJob`, and how they came about."""

    job: Any
    annotations: Annotations
    pipeline: Pipeline  # fitted
    shots: LabelledImages  # shots after all answers
    shot_groups: Any = None  # equal numbers for shots that show the same
    evaluation: ShotEvaluation | None = None
    taught_by: Any = ()  # rows of the pictures without a label that taught
    strangers: Any = 0.0  # probabilities `(n,)` that pictures show none of the classes

    @property
    def classifier(self):
        return self.pipeline[-1]

    @cached_property
    def proba(self):
        """`proba_with_none` of the pictures."""
        job = self.job
        return proba_with_none(self.classifier, job.embeddings, self.strangers, job.groups)

    @cached_property
    def has_label(self):
        """Whether the model gives each picture a label `(n,)`."""
        return has_label(self.classifier, self.job.embeddings, self.proba, self.job.alpha)

    @cached_property
    def rows(self):
        """Rows of the table, one for each file."""
        job, answers = self.job, self.annotations.answers
        labels = [answers[real].label if real in answers else None for real in job.real]
        parts = self.classifier, job.files, job.embeddings, job.problems, self.proba
        rows = table_rows(*parts, alpha=job.alpha, labels=labels)
        checked, real_of = self.annotations.checked(), job.pictures.real_of
        for row in rows if checked else ():
            is_right = checked.get(real_of[row["path"]])
            row["checked"] = {True: "right", False: "wrong"}.get(is_right)
        return rows

    @property
    def has_random_shots(self):
        """Whether most shots were not chosen by the model."""
        return len(self.shots.labels) > len(self.annotations.answers)

    def is_predicted(self):
        """Whether each picture has a label that no person gave `(n,)`."""
        by_person = {*self.shots.real, *self.annotations.answers}
        is_open = [real not in by_person for real in self.job.real]
        return np.array(is_open, dtype=bool) & self.has_label

    @property
    def is_by_names_alone(self):
        """Whether labels are too few to judge the names: fewer than `N_AT_RANDOM`, and no page."""
        return not self.annotations.rounds and len(self.shots.labels) < N_AT_RANDOM

    def estimate(self):
        """`ShareRight` of the predicted labels. None without predicted labels, with labels by names
        alone, if a picture is of none of the classes, or if the model does not know pictures of
        this kind. A burst counts once.
        """
        rest = np.flatnonzero(self.is_predicted())
        if not len(rest) or self.annotations.has_none() or not self.job.is_known_kind:
            return None
        if self.is_by_names_alone:
            return None
        if self.job.groups is not None:
            rest = rest[first_of_each(self.job.groups[rest])]
        return share_by_evidence(self.annotations, len(self.job.paths), self.proba[rest])

    @cached_property
    def drawn_first(self):
        """Rows of the pictures that are asked first, drawn at random as in `label_next`, until five
        pictures are answered. Given shots count as answers.
        """
        classifier, answers, job = self.classifier, self.annotations.answers, self.job
        n = N_AT_RANDOM - sum(not answer.by_burst for answer in answers.values())
        has_names = getattr(classifier, "text_embeddings_", None) is not None
        if n <= 0 or not has_names or len(shot_directions(classifier)) > len(answers):
            return []
        groups = np.arange(len(job.paths)) if job.groups is None else job.groups
        answered = groups[[real in answers for real in job.real]]
        rows = np.flatnonzero(~np.isin(groups, answered))
        return draw_first(job.embeddings, groups, rows, n)

    def to_label(self):
        """The pictures in the order in which to label them."""
        if not self.job.paths:
            return []
        order = [*self.drawn_first, *least_certain(self.proba).tolist()]
        # `label_next` knows neither pictures of none of the classes, nor classifiers of other
        # packages.
        if np.any(self.strangers) or not hasattr(self.classifier, "with_unlabeled"):
            return [*dict.fromkeys(order)]
        first = images_to_label(
            self.classifier,
            self.job.embeddings,
            taught_by=self.taught_by,
            groups=self.job.groups,
            proba=self.proba[:, :-1],
        ).tolist()
        return [*dict.fromkeys([*self.drawn_first, *first, *order])]

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
