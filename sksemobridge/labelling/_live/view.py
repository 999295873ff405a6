"""Predictions of the model for all pictures, after it has learnt."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.utils import gen_batches

from .._answers.annotations import Annotations
from .._label_next import least_certain
from .._photos.folder_table import N_AT_ONCE

# A model with more answers and shots, or with more pictures times classes, takes longer than a
# second to learn.
MOST_SHOTS = 500
MOST_PROBABILITIES = 1_000_000


@dataclass(frozen=True, eq=False)
class ModelView:
    """Predictions of the model for all pictures, by number.

    Attributes
    ----------
    annotations : Annotations
        The annotations that the model has learnt from.
    learnt : int
        How often the model has learnt in this run, this time included.
    columns : tuple of str
        The classes that the model knows.
    proba : ndarray of shape (n, C + 1)
        Probabilities of the classes, and in the last column of none of the classes.
    predicted : list of str
        The predicted label of each picture, empty for none of the classes.
    order : list of int
        The pictures in the order in which to ask.
    drawn_first : list of int
        The pictures at the beginning of `order` that were drawn at random.
    labels : FolderLabels or None
        The labels with the classifier. None while there is no class.
    """

    annotations: Annotations
    learnt: int
    columns: tuple[str, ...]
    proba: Any
    predicted: list[str]
    order: list[int]
    drawn_first: Sequence[int] = ()
    labels: Any = field(default=None, repr=False)

    @cached_property
    def has_class(self):
        """Whether the predicted label of each picture is a class `(n,)`."""
        return np.array([*map(bool, self.predicted)], dtype=bool)

    @cached_property
    def top(self):
        """The largest probability of each picture `(n,)`."""
        return self.proba.max(axis=1)

    @cached_property
    def best(self):
        """The column of the largest probability of each picture `(n,)`."""
        return self.proba.argmax(axis=1)

    def likely(self, number, n_classes, always=""):
        """The most probable classes of a picture with their probabilities, and the class `always`
        with its probability. The name of none of the classes is empty.
        """
        names, shares = [*self.columns, ""], self.proba[number]
        best = np.argsort(-shares, kind="stable")[:n_classes].tolist()
        listed = [(names[i], float(shares[i])) for i in best if self.columns]
        if always in self.columns and always not in [name for name, _ in listed]:
            listed.append((always, float(shares[names.index(always)])))
        return listed


def view_of(job, annotations, learnt=1):
    """Learn from annotations, and predict all pictures: a `ModelView`. `learnt` counts how often
    the model has learnt.
    """
    if not job.known_classes(annotations):
        n = len(job.paths) + len(job.shown_shots)
        return ModelView(
            annotations, learnt, (), np.zeros((n, 1)), [""] * n, [*range(len(job.paths))]
        )
    return _view(job.fit(annotations), learnt)


def first_view_of(job, annotations):
    """`view_of`, and the annotations that it has learnt from. If learning takes long, the view is
    by the names alone, with None for the annotations.
    """
    n_shots = len(annotations.answers) + len(job.shots.labels)
    n_proba = len(job.paths) * len(annotations.names.current)
    is_long = n_shots > MOST_SHOTS or n_proba > MOST_PROBABILITIES
    labels = job.fit_names(annotations) if is_long and job.known_classes(annotations) else None
    if labels is None:
        return view_of(job, annotations), annotations
    return _view(labels, 1, least_certain(labels.proba).tolist()), None


def _view(labels, learnt, order=None):
    """The view of `FolderLabels`. `order` is the order in which to ask, if it is known."""
    job, annotations = labels.job, labels.annotations
    columns = tuple(map(str, labels.classifier.classes_))
    is_own, proba = labels.has_label, labels.proba
    if job.shown_shots:
        # Shots are shown in their classes, and are never of none of the classes.
        shots = labels.classifier.predict_proba(job.shots.embeddings[job.shown_shots])
        proba = np.vstack([proba, np.column_stack([shots, np.zeros(len(shots))])])
        is_own = [*is_own, *[True] * len(shots)]
    # NumPy copies an array for `argmax`, unless the array is a whole table.
    best = (
        i
        for block in gen_batches(len(proba), N_AT_ONCE)
        for i in proba[block, :-1].argmax(axis=1).tolist()
    )
    predicted = [columns[i] if own else "" for i, own in zip(best, is_own)]
    order, drawn_first = order or labels.to_label(), labels.drawn_first
    return ModelView(annotations, learnt, columns, proba, predicted, order, drawn_first, labels)
