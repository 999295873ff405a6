"""The job of the command: a folder of pictures, with its classes, shots and answers.

A job learns from answers as often as the live page asks. The command, the page and `label_folder`
have one job each, and `FolderLabels` refer to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from ... import ShotEvaluation, ZeroShotClassifier
from .._answers.history import fold
from .._bursts import first_of_each
from .._strangers import strangers_and_typical
from .class_texts import class_has_text, with_texts
from .drawings import are_icons
from .folder_labels import FolderLabels
from .folder_pipeline import model_names, with_classifier
from .folder_table import take_rows
from .labelled_images import (
    LabelledImages,
    groups_of_shots,
    is_taught,
    none_of_these,
    shots_after,
)
from .picture_bursts import groups_of
from .picture_index import Pictures

# Least number of readable pictures (without a label) that teach. In the mean of six real sets, 30
# pictures gain 0.3 points with names alone and 0.2 points with a shot a class, 50 pictures gain 0.7
# and 0.4, and 100 pictures 1.9 and 0.9.
LEAST_POOL = 50


@dataclass(frozen=True, eq=False)
class FolderJob:
    """The input of a user, and the content that was read. A job never changes."""

    pipeline: Pipeline  # fitted only if an earlier run saved it
    files: list[str]  # all files in PHOTOS
    problems: dict[str, str]  # of files that cannot be read
    embeddings: Any  # `(n, D)` of the pictures, which are all other files
    pictures: Pictures  # finds the pictures of events
    shots: LabelledImages  # images of `--shots`, and images elsewhere that corrections label
    classes: Sequence[str] = ()  # names to begin with
    corrections: dict[str, tuple[str, str]] = field(default_factory=dict)  # by real path
    bursts: dict[str, Any] | None = None  # see `find_bursts`
    alpha: float = 0.0
    learns_from_pictures: bool = True

    @cached_property
    def paths(self):
        """Paths of the pictures, one for each row of `embeddings`."""
        return [path for path in self.files if path not in self.problems]

    @cached_property
    def real(self):
        """Real paths of the pictures."""
        return [self.pictures.real_of[path] for path in self.paths]

    @cached_property
    def groups(self):
        """Numbers of the bursts of the pictures `(n,)`, or None if no bursts are wanted."""
        return groups_of(self.bursts, self.real)

    @cached_property
    def shown_shots(self):
        """Rows of the shots that are in `--shots`, and not in PHOTOS too."""
        place, own = self.pictures.place, {*self.real}
        real = enumerate(self.shots.real)
        return [row for row, path in real if path in place and path not in own]

    @cached_property
    def model_names(self):
        return model_names(self.pipeline[0])

    @cached_property
    def is_known_kind(self):
        """Whether the pictures are of a kind that the model knows: mini knows drawn icons only."""
        return "mini" not in self.model_names or are_icons(self.paths)

    def annotations_of(self, events, find=None):
        """`Annotations` by all these events. `find` gives the real paths of their pictures."""
        find = find or self.pictures.finder(events)
        return fold(events, find, self.classes, self.corrections)

    def known_classes(self, annotations):
        """The classes that can be learnt: classes with a text, and classes with an image."""
        encoder = self.pipeline[-1].text_encoder
        named = {
            name for name in annotations.names.current if class_has_text(encoder, annotations, name)
        }
        return sorted(named | {*shots_after(self, annotations).labels.tolist()})

    def fit(self, annotations, *, evaluate=False):
        """Learn from the shots, from answers, and from the pictures without a label. Return
        `FolderLabels`.

        An answer wins over the label of a shot. At least one class is needed.
        """
        shots, classes = shots_after(self, annotations), self.known_classes(annotations)
        classifier, evaluation = with_texts(self.pipeline[-1], classes, annotations), None
        groups = groups_of_shots(self.bursts, shots)
        if len(shots.labels):
            classifier.set_params(store_held_out=evaluate)
            parts = shots.embeddings, shots.labels
            classifier.partial_fit(*parts, classes=classes, groups=groups)
            if evaluate:
                evaluation = ShotEvaluation.from_fitted(classifier, *parts, groups=groups)
                doubtful = [
                    row for row in evaluation.doubtful if shots.real[row] not in annotations.answers
                ]
                evaluation = replace(evaluation, doubtful=np.array(doubtful, dtype=int))
        else:
            classifier = _by_names(classifier, classes)
        pipeline = with_classifier(self.pipeline, classifier)
        return self.after_pictures(
            FolderLabels(self, annotations, pipeline, shots, groups, evaluation)
        )

    def fit_names(self, annotations):
        """`FolderLabels` by the names of the classes alone, which takes no time. None if a class
        has no text.
        """
        classes, classifier = self.known_classes(annotations), self.pipeline[-1]
        if not all(class_has_text(classifier.text_encoder, annotations, name) for name in classes):
            return None
        classifier = _by_names(with_texts(classifier, classes, annotations), classes)
        pipeline, shots = with_classifier(self.pipeline, classifier), shots_after(self, annotations)
        return FolderLabels(self, annotations, pipeline, shots, strangers=np.zeros(len(self.real)))

    def after_pictures(self, labels):
        """The labels by a classifier that has also learnt from the pictures without a label: if the
        classifier can, if the user wants it, and if there are enough pictures.
        """
        annotations, classifier = labels.annotations, labels.classifier
        labels = replace(labels, strangers=np.zeros(len(self.real)))
        is_able = self.learns_from_pictures and hasattr(classifier, "with_unlabeled")
        if not is_able or len(self.real) < LEAST_POOL:
            return labels
        # Labelled pictures are left out: the classifier has learnt from labels that teach.
        labelled = {*labels.shots.real, *annotations.answers}.difference(annotations.doubted())
        teaches = np.array([real not in labelled for real in self.real])
        none, worth = self.examples_of_none(annotations)
        if len(worth) and classifier.text_embeddings_ is not None:
            strangers, typical = strangers_and_typical(classifier, self.embeddings, none, worth)
            labels = replace(labels, strangers=strangers)
            teaches &= strangers < 0.5
            # A person may call a whole page none of the classes by mistake. If then no picture of a
            # class taught, that class would take pictures of other classes. So typical pictures of
            # a page teach.
            rows, worth = self._said_none(annotations)
            of_pages = rows[worth < 1]
            teaches[of_pages] = typical[of_pages]
        pool = np.flatnonzero(teaches)
        if len(pool) < LEAST_POOL:
            return labels
        groups = None if self.groups is None else self.groups[pool]
        # Answers are no random shots, so the share that would cause a warning is not used.
        taught, _ = classifier._taught_by(take_rows(self.embeddings, pool), groups)
        return replace(labels, pipeline=with_classifier(labels.pipeline, taught), taught_by=pool)

    def examples_of_none(self, annotations):
        """Embeddings `(k, D)` of images of none of the classes, and their weights `(k,)`: pictures
        with this answer, and images that a saved classifier remembers.
        """
        rows, weight = self._said_none(annotations)
        embeddings, remembered = take_rows(self.embeddings, rows), none_of_these(self.pipeline[-1])
        if remembered is None:
            return embeddings, weight
        both = zip((np.asarray(embeddings), weight), remembered)
        return tuple(map(np.concatenate, both))

    def _said_none(self, annotations):
        """Rows `(k,)` of the pictures that were answered as none of the classes, and their weights.
        Answers of one page are right or wrong together, so that n of them count as the root of n.
        """
        is_none = np.array([is_taught(annotations, real, "") for real in self.real])
        if self.groups is not None:
            # A burst is one example.
            is_none[is_none] = first_of_each(self.groups[is_none])
        rows = np.flatnonzero(is_none)
        events = np.array([annotations.answers[self.real[row]].event for row in rows], dtype=int)
        _, event, counts = np.unique(events, return_inverse=True, return_counts=True)
        # Event 0 is a list of corrections, and no page.
        return rows, np.where(events == 0, 1.0, 1 / np.sqrt(counts[event]))


def _by_names(classifier, classes):
    """A `ZeroShotClassifier` of these classes, with the names and prompts of another classifier."""
    names = {"prompts": classifier.prompts, "class_names": classifier.class_names}
    return ZeroShotClassifier(classifier.text_encoder, **names).fit(None, classes)
