"""The state of a session at one moment."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .._answers.annotations import Annotations
from .._answers.event_kinds import ANSWERS, KINDS
from .._answers.events import Event
from .._answers.history import last_undoable
from .._photos.folder_job import FolderJob
from .._photos.folder_table import plain
from .picture_numbers import PictureNumbers
from .shown_bursts import ShownBursts
from .view import ModelView


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The state that a request reads. A snapshot never changes, so it needs no lock.

    Attributes
    ----------
    job : FolderJob
    pictures : PictureNumbers
        The pictures by number.
    generation : int
        How often new pictures were read. Each time, pictures get other numbers.
    annotations : Annotations
    events : tuple of Event
        All events. The first `n_before` are of earlier runs.
    find : callable
        Function from a picture of an event to its real paths.
    view : ModelView
    is_learning : bool
    problem : str
        The reason why the model could not learn, or empty.
    unread : dict
        The reason why a picture cannot be shown, by number.
    bursts : ShownBursts
    n_arrived : int
        Number of new pictures, which are not read yet.
    """

    job: FolderJob
    pictures: PictureNumbers
    generation: int
    annotations: Annotations
    events: tuple[Event, ...]
    n_before: int
    find: Callable
    view: ModelView
    is_learning: bool
    problem: str
    unread: dict[int, str]
    bursts: ShownBursts
    n_arrived: int

    @cached_property
    def classes(self):
        """Sorted names of all classes."""
        return self.annotations.names.current

    def shown(self, number):
        """The label that the page shows under a picture."""
        self.pictures.check(number)
        check, real = self.annotations.check, self.pictures.real[number]
        if check is not None and real in check.shown:
            return self.annotations.current_name(check.shown[real]) or ""
        answer = self.annotations.answers.get(real)
        return self.view.predicted[number] if answer is None else answer.label

    def labels_of(self, numbers):
        """The labels that the page shows under pictures, by number."""
        predicted = self.view.predicted
        labels = {number: predicted[number] for number in numbers}
        check = () if self.annotations.check is None else self.annotations.check.shown
        # Predictions of a check stay as they were when it began.
        is_fixed = self.pictures.among([*self.annotations.answers, *check])
        return labels | {number: self.shown(number) for number in numbers if is_fixed[number]}

    def is_labelled(self, number):
        is_photo = number < self.pictures.n_photos
        return not is_photo or self.pictures.real[number] in self.annotations.answers

    def is_readable(self, number):
        return number not in self.unread

    def is_open(self, number):
        """Whether a picture may be asked for."""
        return not self.is_labelled(number) and self.is_readable(number)

    @cached_property
    def are_open(self):
        """`is_open` of each picture of PHOTOS `(n,)`."""
        is_open = ~self.pictures.among(self.annotations.answers)[: self.pictures.n_photos]
        is_open[[number for number in self.unread if number < len(is_open)]] = False
        return is_open

    def rest(self):
        """Pictures that nobody labelled."""
        return np.flatnonzero(self.are_open).tolist()

    def seen(self):
        """Pictures with a label at which somebody looked."""
        annotations, pictures = self.annotations, self.pictures
        is_seen = pictures.among(annotations.seen.keys() & annotations.answers.keys())[
            : pictures.n_photos
        ]
        return [*filter(self.is_readable, np.flatnonzero(is_seen).tolist())]

    def numbers_of(self, event):
        """Numbers of the pictures that an event is about."""
        found = (real for picture in event.pictures for real in self.find(picture))
        number_of = self.pictures.number_of
        return [number_of[real] for real in found if real in number_of]

    def undoable(self, tab):
        """The event that a tab would undo: its own last event, or else the last event of an earlier
        run. None if no event is left.
        """
        return last_undoable(self.events, tab, self.n_before, self._is_here)

    def _is_here(self, event):
        return event.kind not in ANSWERS or bool(self.numbers_of(event))


def in_words(event):
    """An event in words, as part of a sentence."""
    return plain(KINDS[event.kind].words(event))
