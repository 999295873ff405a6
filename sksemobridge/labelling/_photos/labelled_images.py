"""Images that persons labelled: which of them teach, and which count as one."""

from typing import Any, NamedTuple

import numpy as np

from .._bursts import first_of_each, with_near_copies
from .picture_bursts import groups_of


class LabelledImages(NamedTuple):
    """Labelled images: `paths` and `labels (n,)`, `embeddings (n, D)`, and real paths."""

    paths: Any
    labels: Any
    embeddings: Any
    real: list[str]

    @classmethod
    def none(cls, embeddings):
        """No images, with embeddings as wide as these."""
        nothing = np.zeros(0, dtype=object)
        return cls(nothing, nothing, embeddings[:0], [])

    def of(self, rows):
        """The images of a mask `(n,)`."""
        real = [path for path, keep in zip(self.real, rows) if keep]
        return LabelledImages(self.paths[rows], self.labels[rows], self.embeddings[rows], real)


def is_taught(annotations, real, label=None):
    """Whether an answer teaches, and is this label. A doubted answer does not teach: the model
    would learn its own predictions, and become certain of them.
    """
    answer = annotations.answers.get(real)
    is_label = answer is not None and label in (None, answer.label)
    return is_label and answer.taught and not annotations.is_doubted(answer)


def shots_after(job, annotations):
    """The shots of a job, with the labels of answers, and the pictures whose answers teach."""
    answers, own = annotations.answers, {*job.shots.real}
    labels = [
        answers[real].label if real in answers else annotations.names.current_name(label)
        for real, label in zip(job.shots.real, job.shots.labels)
    ]
    further = [
        row for row, real in enumerate(job.real) if real not in own and is_taught(annotations, real)
    ]
    real = [*job.shots.real, *(job.real[row] for row in further)]
    labels += [answers[job.real[row]].label for row in further]
    paths = [*job.shots.paths, *(job.paths[row] for row in further)]
    embeddings = np.concatenate([job.shots.embeddings, job.embeddings[further]])
    paths, labels = np.array(paths, dtype=object), np.array(labels, dtype=object)
    # Images of none of the classes, or of a dropped class, are no shots.
    is_of_class = np.array([*map(bool, labels)], dtype=bool)
    return LabelledImages(paths, labels, embeddings, real).of(is_of_class)


def none_of_these(classifier):
    """The images and weights that `remember_none` gave a classifier, or None."""
    return vars(classifier).get("_none_of_these")


def remember_none(classifier, embeddings, weight):
    """Keep images of none of the classes in a classifier, also when it is saved: their
    `embeddings (k, D)` and `weight (k,)`.
    """
    classifier._none_of_these = np.asarray(embeddings), weight


def groups_of_shots(bursts, shots):
    """Groups for `fit`: shots of one burst, and near copies among the other shots. None if no burst
    has two shots.
    """
    groups = groups_of(bursts, shots.real)
    if groups is None or first_of_each(groups).all():
        return None
    return with_near_copies(groups, shots.labels, shots.embeddings)
