"""The job of the command: a folder of pictures, and the classes.

`FolderJob.fit` learns from it and from what persons said, as often as the live page wants, and
gives `FolderLabels`: the classifier, and the rows of the table.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from ..._evaluation import ShotEvaluation, evaluate_fitted
from ..._model.near_copies import near_copies
from ..._pipeline import ImagePipeline
from ..._utils.array_api import l2_normalize
from ..._utils.validation import as_words
from ..._zero_shot import ZeroShotClassifier
from .._bursts import first_of_each
from .._label_next import images_to_label, least_certain
from .._share_right import share_right
from .._strangers import weighted_stranger_proba
from .drawings import are_icons
from .embeddings_file import TextsOfFile
from .folder_table import has_label, proba_with_none, table_rows
from .picture_bursts import groups_of
from .picture_index import Pictures
from .said import Said
from .user_tables import usual_prompts

# A folder with fewer readable pictures (without a label) is not learnt from. In the mean of six
# real sets, folders of 30 pictures gain 0.3 points with names alone and 0.2 with a shot a class, of
# 50 0.7 and 0.4, of 100 1.9 and 0.9.
LEAST_POOL = 50
# What persons confirmed teaches if they found at least this share of the planted pictures.
LEAST_WORTH = 0.5


class LabelledImages(NamedTuple):
    """Labelled images: `paths` and `labels (n,)`, `embeddings (n, D)`, and real paths."""

    paths: Any
    labels: Any
    embeddings: Any
    real: list[str]

    def of(self, rows):
        """The shots of a mask `(n,)`."""
        real = [path for path, keep in zip(self.real, rows) if keep]
        return LabelledImages(self.paths[rows], self.labels[rows], self.embeddings[rows], real)


@dataclass(frozen=True, eq=False)
class FolderLabels:
    """The labels of a folder, and how they came about.

    `files` are all those in PHOTOS. Those that cannot be read have `problems`, the others
    `embeddings (n, D)` and `real` paths. `shots` are those after the answers, and `shot_groups` the
    numbers of those that show the same, or None. `said` is what persons said. The rows `taught_by`
    have no label, and were learnt from. `strangers (n,)` are the probabilities that the pictures
    show none of the classes, and `groups (n,)` the numbers of their bursts, or None. Of pictures
    that are not `is_known_kind` to the model, there is no estimate.
    """

    pipeline: Pipeline
    files: list[str]
    problems: dict[str, str]
    embeddings: Any
    alpha: float = 0.0
    real: list[str] = field(default_factory=list)
    shots: LabelledImages | None = None
    shot_groups: Any = None
    said: Said = field(default_factory=Said)
    evaluation: ShotEvaluation | None = None
    taught_by: Any = ()
    strangers: Any = 0.0
    groups: Any = None
    is_known_kind: bool = True

    @property
    def classifier(self):
        return self.pipeline[-1]

    def with_classifier(self, classifier):
        """The labels by another classifier."""
        steps = [*self.pipeline.steps[:-1], (self.pipeline.steps[-1][0], classifier)]
        return replace(self, pipeline=ImagePipeline(steps))

    def after_photos(self):
        """The labels by a classifier that has learnt from all pictures, where it can and they are
        enough.
        """
        if not hasattr(self.classifier, "with_unlabeled") or len(self.embeddings) < LEAST_POOL:
            return self
        taught = self.classifier.with_unlabeled(self.embeddings, self.groups)
        return replace(self.with_classifier(taught), taught_by=np.arange(len(self.embeddings)))

    @cached_property
    def rows(self):
        """Rows of the table, one for each file."""
        answers = self.said.answers
        said = [answers[path].label if path in answers else None for path in self.real]
        parts = self.classifier, self.files, self.embeddings, self.problems, self.proba
        return table_rows(*parts, alpha=self.alpha, said=said)

    @cached_property
    def proba(self):
        """`proba_with_none` of the pictures."""
        return proba_with_none(self.classifier, self.embeddings, self.strangers, self.groups)

    @property
    def has_random_shots(self):
        """Whether most shots were not chosen by the model."""
        return len(self.shots.labels) > len(self.said.answers)

    def is_predicted(self):
        """Whether each row of `embeddings` has a label that no person said `(n,)`."""
        if not self.real:
            return np.zeros(0, dtype=bool)
        by_person = {*self.shots.real, *self.said.answers}
        is_open = [path not in by_person for path in self.real]
        return np.array(is_open, dtype=bool) & has_label(
            self.classifier, self.embeddings, self.proba, self.alpha
        )

    def estimate(self, **evidence):
        """`ShareRight` of the predicted labels. None if there are none, or if a picture is of none
        of the classes. A burst counts once. `evidence` are further arguments of `share_right`.
        """
        rest = np.flatnonzero(self.is_predicted())
        if not len(rest) or self.said.has_none() or not self.is_known_kind:
            return None
        if self.groups is not None:
            rest = rest[first_of_each(self.groups[rest])]
        return share_right(self.proba[rest], **evidence)

    def to_label(self):
        """Rows of `embeddings` in the order in which to label the pictures."""
        if not len(self.embeddings):
            return []
        order = least_certain(self.proba).tolist()
        # `label_next` does not know those of none of the classes, nor classifiers of other
        # packages.
        if np.any(self.strangers) or not hasattr(self.classifier, "with_unlabeled"):
            return order
        first = images_to_label(
            self.classifier,
            self.embeddings,
            taught_by=self.taught_by,
            groups=self.groups,
            proba=self.proba[:, :-1],
        ).tolist()
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
class Given:
    """What the user gave, before any picture is embedded.

    `files` are all files in PHOTOS. `shot_paths` and `shot_labels` are of the images in `--shots`,
    and `classes` the names to begin with. `corrections` are labels of a list, real paths to `(path,
    label)`. `params` are parameters of the classifier. `pictures` finds the pictures of events.
    `bursts` are those of `find_bursts`.
    """

    files: list[str]
    shot_paths: list[str]
    shot_labels: list[str]
    classes: list[str]
    corrections: dict[str, tuple[str, str]]
    params: dict[str, Any]
    pictures: Pictures
    bursts: dict[str, Any] | None = None


@dataclass(frozen=True, eq=False)
class FolderJob:
    """Pictures to label, and what is known of the classes. It never changes.

    `given` is what the user gave. The files that cannot be read have `problems`, the others
    `embeddings (n, D)`. `shots` are the images of `--shots`, and those elsewhere that a list of
    corrections has a label of.
    """

    given: Given
    pipeline: ImagePipeline
    problems: dict[str, str]
    embeddings: Any
    shots: LabelledImages
    alpha: float
    learns_from_photos: bool

    @cached_property
    def paths(self):
        """Paths of the pictures, one for each row of `embeddings`."""
        return [path for path in self.given.files if path not in self.problems]

    @cached_property
    def real(self):
        """Real paths of the pictures."""
        return [self.given.pictures.real_of[path] for path in self.paths]

    @cached_property
    def groups(self):
        """Numbers of the bursts of the pictures `(n,)`, or None if no bursts are wanted."""
        return groups_of(self.given.bursts, self.real)

    @cached_property
    def shown_shots(self):
        """Rows of the shots that are in `--shots`, and not in PHOTOS too."""
        place, own = self.given.pictures.place, {*self.real}
        real = enumerate(self.shots.real)
        return [row for row, path in real if path in place and path not in own]

    def known_classes(self, said):
        """The classes that can be learnt: where the model has no texts, those with an image."""
        named = {name for name in said.names.current if self._has_text(said, name)}
        return sorted(named | {*self._shots_after(said).labels.tolist()})

    def fit(self, said, *, evaluate=False):
        """Learn from the shots, from what persons said, and from the pictures without a label.
        Gives `FolderLabels`.

        `said` wins over the labels of shots. There is a class at least.
        """
        shots, classes = self._shots_after(said), self.known_classes(said)
        classifier, evaluation = self._classifier(classes, said), None
        shot_groups = self._groups_of_shots(shots)
        if len(shots.labels):
            classifier.set_params(store_held_out=evaluate)
            parts = shots.embeddings, shots.labels
            classifier.partial_fit(*parts, classes=classes, groups=shot_groups)
            if evaluate:
                evaluation = evaluate_fitted(classifier, *parts, shot_groups)
                doubtful = [
                    row for row in evaluation.doubtful if shots.real[row] not in said.answers
                ]
                evaluation = replace(evaluation, doubtful=np.array(doubtful, dtype=int))
        else:
            names = {"prompts": classifier.prompts, "class_names": classifier.class_names}
            classifier = ZeroShotClassifier(classifier.text_encoder, **names).fit(None, classes)
        strangers, taught_by = np.zeros(len(self.real)), ()
        if self.learns_from_photos and len(self.real) >= LEAST_POOL:
            is_none = np.array([self._is_taught(said, path, "") for path in self.real])
            if self.groups is not None:
                # A burst is one example.
                is_none[is_none] = first_of_each(self.groups[is_none])
            if any(is_none) and classifier.text_embeddings_ is not None:
                weight = self._weights_of_none(said, np.flatnonzero(is_none))
                examples = self.embeddings[is_none]
                strangers = weighted_stranger_proba(classifier, self.embeddings, examples, weight)
            # What somebody said is known: the classifier has its shots, and nothing else teaches.
            labelled = {*shots.real, *said.answers}
            is_open = np.array([path not in labelled for path in self.real])
            pool = np.flatnonzero(is_open & (strangers < 0.5))
            if len(pool) >= LEAST_POOL:
                groups = None if self.groups is None else self.groups[pool]
                classifier = classifier.with_unlabeled(self.embeddings[pool], groups)
                taught_by = pool
        pipeline = ImagePipeline([self.pipeline.steps[0], (self.pipeline.steps[1][0], classifier)])
        return FolderLabels(
            pipeline,
            files=self.given.files,
            problems=self.problems,
            embeddings=self.embeddings,
            alpha=self.alpha,
            real=self.real,
            shots=shots,
            shot_groups=shot_groups,
            said=said,
            evaluation=evaluation,
            taught_by=taught_by,
            strangers=strangers,
            groups=self.groups,
            is_known_kind=self.is_known_kind,
        )

    @cached_property
    def is_known_kind(self):
        """Whether the pictures are of a kind that the model knows: mini knows drawn icons only."""
        return "mini" not in model_names(self.pipeline) or are_icons(self.paths)

    def _weights_of_none(self, said, rows):
        """What each picture that is none of the classes counts as an example `(k,)`. Those of one
        page are right or wrong together, so that n of them count as the root of n.
        """
        events = np.array([said.answers[self.real[row]].event for row in rows])
        _, event, counts = np.unique(events, return_inverse=True, return_counts=True)
        # A list of corrections, 0, is no page.
        return np.where(events == 0, 1.0, 1 / np.sqrt(counts[event]))

    def _groups_of_shots(self, shots):
        """Groups for `fit`: shots of one burst, and near copies among the others. None if no burst
        has two shots.
        """
        groups = groups_of(self.given.bursts, shots.real)
        if groups is None or first_of_each(groups).all():
            return None
        alone = np.bincount(groups)[groups] == 1
        _, codes = np.unique(shots.labels[alone], return_inverse=True)
        copy_of = near_copies(l2_normalize(shots.embeddings[alone]), codes)
        groups[alone] = groups[alone][copy_of]
        return groups

    @staticmethod
    def _is_taught(said, path, label=None):
        """Whether an answer teaches, and is this label. What was hardly looked at does not: the
        model would learn its own predictions, and be certain of them.
        """
        answer = said.answers.get(path)
        is_label = answer is not None and label in (None, answer.label)
        return is_label and answer.taught and said.worth(answer) >= LEAST_WORTH

    def _shots_after(self, said):
        """The shots with the labels that a person said, and the pictures with one."""
        answers, own = said.answers, {*self.shots.real}
        labels = [
            answers[path].label if path in answers else said.names.now(label)
            for path, label in zip(self.shots.real, self.shots.labels)
        ]
        further = [
            row
            for row, path in enumerate(self.real)
            if path not in own and self._is_taught(said, path)
        ]
        real = [*self.shots.real, *(self.real[row] for row in further)]
        labels += [answers[self.real[row]].label for row in further]
        paths = [*self.shots.paths, *(self.paths[row] for row in further)]
        embeddings = np.concatenate([self.shots.embeddings, self.embeddings[further]])
        paths, labels = np.array(paths, dtype=object), np.array(labels, dtype=object)
        # Neither none of the classes, nor a class that was dropped.
        return LabelledImages(paths, labels, embeddings, real).of(
            np.array([*map(bool, labels)], dtype=bool)
        )

    def _has_text(self, said, name):
        encoder = self.pipeline[-1].text_encoder
        return any(has_text(encoder, one) for one in said.names_for_text(name))

    def _classifier(self, classes, said):
        """The classifier before it is fitted. If names were given, later classes get the usual
        ones.
        """
        classifier = clone(self.pipeline[-1])
        names, prompts = classifier.class_names, classifier.prompts
        if isinstance(classifier.text_encoder, TextsOfFile):
            # A class that was given a name without a text keeps the text that it had.
            texts = {
                label: map(classifier.text_encoder.name_of, said.names_for_text(label))
                for label in classes
            }
            names = {label: next(filter(None, found), None) for label, found in texts.items()}
            return classifier.set_params(class_names=names if any(names.values()) else "ignore")
        if isinstance(names, dict):
            names = {label: names.get(label, as_words(label)) for label in classes}
            if prompts != "auto":
                prompts = {
                    label: prompts.get(label) or usual_prompts(names[label]) for label in classes
                }
        return classifier.set_params(class_names=names, prompts=prompts)


def has_text(text_encoder, name):
    """Whether a class with this name has a text."""
    if isinstance(text_encoder, TextsOfFile):
        return text_encoder.name_of(name) is not None
    return text_encoder is not None


def model_names(pipeline):
    """Names of the models of the image encoder. Encoders of other packages have none."""
    encoders = getattr(pipeline[0], "encoders", [pipeline[0]])
    return [encoder.model_name for encoder in encoders if hasattr(encoder, "model_name")]
