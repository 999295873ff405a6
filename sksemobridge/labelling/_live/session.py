"""What persons do: each request becomes an event, or is refused. This knows no browser."""

import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace

import numpy as np

from ..._utils.validation import plural
from ...encoders._heads import ImageReadError
from .._photos.class_names import NONE_OF_THESE, spoken
from .._photos.events import ANSWERS, CARDS, KINDS
from .._photos.folder_table import plain
from .._photos.messages import CONTROL, UsageError
from .._photos.said import fold, last_undoable
from .learner import Learner
from .picture_files import PictureFiles
from .strips import Strips

# Predictions of a check, of pictures that nobody labelled, and of those that were seen. An
# assumption of what a person answers in a minute or two. Where all are right, the interval of 95 %
# begins at 89 % and at 86 %.
N_CHECKED = {"rest": 30, "seen": 24}
# Probabilities that an event keeps, so that its line stays short with many classes: an assumption.
# The estimate has the other columns share the rest.
N_LISTED = 5
# Pictures that are looked through together: the page shows no more, see `SIZES` of fit.js.
MOST_TILES = 60
# Seconds that a page may be on the screen: a year.
MOST_SECONDS = 366 * 86400
# What is said of each of them.
PARTS = ("number", "label", "shown")
# Pictures that are chosen for one label: a request with their numbers is short.
MOST_CHOSEN = 500
# Letters of the name of a class. A longer text is a slip, such as a list in one line.
MOST_LETTERS = 100
# Classes of one request: as many as ImageNet has.
MOST_NAMES = 1000
# Digits of the number of a picture.
MOST_DIGITS = 10
# Seconds for which a picture is reserved for the tab that it was given to.
RESERVED_FOR = 60


class Refused(ValueError):
    """A request that does not fit."""


class Session:
    """A folder that persons label. Methods may be called from several threads.

    `job` is a `FolderJob`, `said` what was said before, `answers_file` the `Answers` that were
    begun, and `arrivals` counts and reads new pictures (None: none are).

    Attributes
    ----------
    files : PictureFiles
    strips : Strips
    learner : Learner
    said : Said
        What is said now. It is never changed, but replaced.
    generation : int
        How often new pictures were read: then pictures have other numbers.
    is_done : bool
        Whether the files are being written, or the session has ended.
    """

    def __init__(self, job, said, answers_file, arrivals=None):
        self.answers_file, self.arrivals, self.generation = answers_file, arrivals, 0
        self.n_before = len(answers_file.events)
        self.lock, self.is_done = threading.RLock(), False
        self._reading, self._writing = threading.Lock(), threading.Lock()
        self._written, self._has_ended = None, False
        if not job.paths:
            raise UsageError("--open: no image in PHOTOS can be read, so there is nothing to label")
        self._begin(job, said, Learner(job, said))

    def _begin(self, job, said, learner):
        """Begin with a job, whose pictures have numbers of their own."""
        self.job, self.said, self.learner = job, said, learner
        self.files = PictureFiles(job)
        self.strips = Strips(self)
        self._find = job.given.pictures.finder(self.answers_file.events)
        # By number: the tab that a picture was given to, and when.
        self._given = {}
        if self.arrivals is not None:
            self.arrivals.begin(job)

    def read_new(self, tab, who):
        """Read the pictures that came since. Answers may be given meanwhile."""
        if self.arrivals is None:
            raise Refused("New pictures are read when the program is begun again.")
        with self._reading:
            job = self.arrivals.read(self.job)
            learner = Learner(job, self._fold(job))
            # Files that are being written are of one job.
            with self._writing, self.lock:
                before = self.learner
                self._begin(job, self._fold(job), learner)
                self._written = None
                self.generation += 1
                learner.tell(self.said)
            learner.start()
        before.end()

    def _fold(self, job):
        """What is said now of the pictures of a job."""
        events, given = self.answers_file.events, job.given
        return fold(events, given.pictures.finder(events), given.classes, given.corrections)

    def check_generation(self, generation):
        """Refuse numbers of pictures of another generation. None is of this one."""
        if generation not in (None, self.generation):
            raise Refused("New pictures were read, so the page is loaded again.")

    # Answers

    def say(self, tab, who, number, label, alone=False):
        """Label a picture, and with it the others of its strip unless `alone`. An empty label is
        none of the classes.
        """
        with self.lock:
            notes = []
            label = self._as_label(label, notes)
            parts = self._answers([(number, label, self.shown(number))], alone, notes)
            self._append("say", tab, who, pictures=parts)
            shown = {"number": number, "label": plain(label)}
            return {"said": shown, "n_pictures": len(parts), "notes": notes}

    def say_all(self, tab, who, pictures, alone=False, knew=None, seconds=None):
        """Label pictures that were looked through together, and with them the others of their
        strips unless `alone`. Each has its `number`, the label `shown`, and `label`.

        `knew` is the number of events that the page knew when it was shown. Later ones win. Those
        that are `planted` get no label. The page was on the screen for so many `seconds`.
        """
        with self.lock:
            notes = []
            self._check_page(pictures, seconds)
            planted = [picture for picture in pictures if picture.get("planted") is True]
            pictures = [picture for picture in pictures if picture.get("planted") is not True]
            if knew is not None:
                pictures = self._without_newer(pictures, knew, notes)
            marks = [
                (
                    picture["number"],
                    self._as_label(picture["label"], notes),
                    self._as_label(picture["shown"], []),
                )
                for picture in pictures
            ]
            parts = self._answers(marks, alone, notes)
            # Before anything is kept: these pictures may be gone.
            planted = self._planted(planted)
            again = self.said.attention.in_a_row.get(tab, ())
            if parts:
                seconds = None if seconds is None else round(float(seconds), 1)
                event = self._append("page", tab, who, pictures=parts, seconds=seconds)
                again += (event.id,)
            if planted:
                self._append("planted", tab, who, pictures=planted)
            n_missed = sum(part.label == part.shown for part in planted)
            return {
                "said": len(marks),
                "n_pictures": len(parts),
                "notes": [*dict.fromkeys(notes)],
                "n_planted": len(planted),
                "n_missed": n_missed,
                "again": again if n_missed else (),
            }

    def _check_page(self, pictures, seconds):
        if not isinstance(pictures, list) or not 0 < len(pictures) <= MOST_TILES:
            raise Refused(f"A page has 1 to {MOST_TILES} pictures.")
        if not all(isinstance(one, dict) and {*PARTS} <= {*one} for one in pictures):
            raise Refused("A picture of a page has its number, its label, and what was shown.")
        numbers = [picture["number"] for picture in pictures]
        for number in numbers:
            self._check_number(number)
        if len({*numbers}) < len(numbers):
            raise Refused("A picture is twice on the page.")
        if type(seconds) not in (int, float, type(None)) or not 0 <= (seconds or 0) < MOST_SECONDS:
            raise Refused("A page is on the screen for some seconds.")

    def _planted(self, pictures):
        """What an event keeps of planted pictures."""
        return tuple(
            self.files.event(
                picture["number"],
                label=self._as_label(picture["label"], []),
                shown=self._as_label(picture["shown"], []),
                taught=False,
            )
            for picture in pictures
        )

    def _without_newer(self, pictures, knew, notes):
        """The pictures of a page but those that were answered since it was shown, and those with a
        label that was dropped since.
        """
        if type(knew) is not int or not 0 <= knew <= len(self.answers_file.events):
            raise Refused("A page knew some of the events.")
        last = self.answers_file.events[knew - 1].id if knew else 0
        later = self.answers_file.events[knew:]
        dropped = {spoken(name) for event in later if event.kind == "drop" for name in event.names}
        kept, n_answered, n_dropped = [], 0, Counter()
        for picture in pictures:
            answer = self.said.answers.get(self.files.real[picture["number"]])
            label = self._as_label(picture["label"], [])
            if answer is not None and answer.event > last:
                n_answered += 1
            elif spoken(label) in dropped and self.said.names.now(label) is None:
                n_dropped[label] += 1
            else:
                kept.append(picture)
        if n_answered:
            notes.append(f"{n_answered} got a label since this page was shown, which stays.")
        notes += [
            f"“{plain(label)}” was dropped since, so {n} {plural(n, 'picture')} got no label."
            for label, n in n_dropped.items()
        ]
        return kept

    def say_same(self, tab, who, numbers, label):
        """Label pictures that a person chose, and with them the others of their strips. They say
        nothing of the predictions: nobody chooses at random.
        """
        with self.lock:
            if not isinstance(numbers, list) or not 0 < len(numbers) <= MOST_CHOSEN:
                raise Refused(f"Choose 1 to {MOST_CHOSEN} pictures.")
            for number in numbers:
                self._check_number(number)
            notes = []
            label = self._as_label(label, notes)
            marks = [(number, label, self.shown(number)) for number in dict.fromkeys(numbers)]
            parts = self._answers(marks, False, notes)
            chosen = tuple(replace(part, likely=(), n_columns=0) for part in parts)
            self._append("say", tab, who, pictures=chosen)
            return {"said": len(marks), "n_pictures": len(parts), "notes": notes}

    def _answers(self, marks, alone, notes):
        """What an event keeps of the pictures of `marks`, each number, label and what was shown,
        and of the others of their strips.
        """
        parts, missing = [], 0
        # Two pictures of the page may be of one strip, since another one was taken back.
        named = {number for number, _, _ in marks}
        for number, label, shown in marks:
            parts.append(self._answer(number, label, shown))
            others = [i for i in self.strips.of(number)[1:] if not (alone or i in named)]
            named.update(others)
            along = [*self._along(others, label=label, shown=shown, taught=True, along=True)]
            parts += along
            missing += len(others) - len(along)
        if missing:
            notes.append(f"{missing} of a burst could not be read and got no label.")
        return tuple(parts)

    def _answer(self, number, label, shown):
        self._check_number(number)
        if number in self.files.unread:
            raise ImageReadError(self.files.unread[number])
        view = self.learner.view
        if number < self.files.n_photos:
            likely, n_columns = view.likely(number, N_LISTED, label), len(view.columns) + 1
        else:  # a shot was taught already
            likely, n_columns = [], 0
        return self.files.event(
            number,
            label=label,
            shown=shown,
            taught=True,
            likely=tuple((name, round(share, 6)) for name, share in likely),
            n_columns=n_columns,
        )

    def _along(self, numbers, **fields):
        """What an event keeps of the other pictures of a strip that can be read."""
        for number in numbers:
            with suppress(ImageReadError):
                yield self.files.event(number, is_shown=False, **fields)

    def undo(self, tab, who):
        """Take back what this tab did last, or else what was done last in an earlier run."""
        with self.lock:
            event = self.undoable(tab)
            if event is None:
                raise Refused("There is nothing to undo.")
            self._append("undo", tab, who, of=event.id)
            numbers = self.numbers_of(event)
            return {"undone": {"kind": event.kind, "what": in_words(event), "numbers": numbers}}

    def undoable(self, tab):
        """The event that `undo` takes back, or None."""
        return last_undoable(self.answers_file.events, tab, self.n_before, self._is_here)

    def _is_here(self, event):
        return event.kind not in ANSWERS or bool(self.numbers_of(event))

    def numbers_of_events(self, ids):
        """Numbers of the pictures of events with these ids, in their order."""
        by_id = {event.id: event for event in self.answers_file.events}
        events = [by_id[one] for one in ids if one in by_id]
        return [*dict.fromkeys(number for event in events for number in self.numbers_of(event))]

    def numbers_of(self, event):
        """Numbers of the pictures that an event is about."""
        found = (real for picture in event.pictures for real in self._find(picture))
        return [self.files.numbers[real] for real in found if real in self.files.numbers]

    def skip(self, tab, who, number):
        """Ask later."""
        with self.lock:
            self._check_number(number)
            others = self._along(self.strips.of(number)[1:])
            self._append("skip", tab, who, pictures=(self.files.event(number), *others))

    def check(self, tab, who, begin, among):
        """Draw predictions for a check, or end it."""
        with self.lock:
            if among not in [*N_CHECKED]:
                raise Refused("A check is among the rest, or what was seen.")
            pictures = ()
            if begin:
                numbers = self.rest() if among == "rest" else self.seen()
                numbers = self.strips.first_of_each(numbers)
                drawn = np.random.default_rng().permutation(numbers)[: N_CHECKED[among]].tolist()
                if not drawn:
                    raise Refused("There is no picture to check.")
                pictures = tuple(
                    self.files.event(number, shown=self.shown(number)) for number in drawn
                )
            self._append("check", tab, who, pictures=pictures, among=among)

    def switch_planting(self, tab, who, on):
        """Whether pictures are planted, for all persons and later runs."""
        if type(on) is not bool:
            raise Refused("Planting is on or off.")
        with self.lock:
            self._append("planting", tab, who, among="on" if on else "off")

    # Classes

    def add(self, tab, who, names):
        """Have classes of these names."""
        with self.lock:
            if not isinstance(names, list) or not 0 < len(names) <= MOST_NAMES:
                raise Refused(f"Add 1 to {MOST_NAMES} classes.")
            notes = []
            names = tuple(dict.fromkeys(self._as_class(name, notes) for name in names))
            self._append("add", tab, who, names=names)
            is_first = not self.learner.view.columns
        if is_first:
            # Before, no picture has a label to look at.
            self.learner.wait()
        return {"notes": notes}

    def rename(self, tab, who, name, into):
        """Call a class otherwise. With the name of another class, it joins that."""
        with self.lock:
            known, notes = self.known_class(name), []
            # Another spelling of its own name is a new name.
            is_own = isinstance(into, str) and self.said.names.now(into) == known
            into = self._new_name(into) if is_own else self._as_class(into, notes)
            self._append("rename", tab, who, names=(known,), into=into)
            return {"notes": notes}

    def join(self, tab, who, names, into):
        """Make one class of several."""
        with self.lock:
            if not isinstance(names, list) or not 0 < len(names) <= MOST_NAMES:
                raise Refused(f"Join 1 to {MOST_NAMES} classes.")
            names, notes = tuple(map(self.known_class, names)), []
            self._append("join", tab, who, names=names, into=self._as_class(into, notes))
            return {"notes": notes}

    def drop(self, tab, who, name):
        """Take a class away. Its pictures have no label then."""
        with self.lock:
            self._append("drop", tab, who, names=(self.known_class(name),))

    def card(self, tab, who, how, into, name=None, number=None):
        """Keep what a person did with a suggested name, or with a group, of which `number` is the
        first picture.
        """
        with self.lock:
            if how not in [*CARDS]:
                raise Refused("A name is kept, dropped or joined.")
            if not isinstance(into, str) or len(into) > MOST_LETTERS:
                raise Refused(f"A name has at most {MOST_LETTERS} letters.")
            about = {"names": (name,)}
            if name is None:
                self._check_number(number)
                about = {"pictures": (self.files.event(number),)}
            self._append("card", tab, who, among=how, into=into, **about)

    def cards(self):
        """What became of suggestions that are no class: name or number of the first picture, one
        of `CARDS`, and how it is called.
        """
        for key, (how, name) in self.said.cards.items():
            key = self.files.numbers.get(key, key)
            if not (name or isinstance(key, str)) or self.said.names.now(name or key) is None:
                yield key, how, name

    def classes(self):
        """Names of all classes, in an order that stays."""
        return self.said.names.current

    def known_class(self, text):
        """The class of a text that the page shows."""
        if not isinstance(text, str) or (name := self.said.names.now(text)) is None:
            raise Refused("There is no such class.")
        return name

    def _as_class(self, text, notes):
        label = self._as_label(text, notes)
        if not label:
            raise Refused(f"A class cannot be called “{text}”.")
        return label

    def _as_label(self, text, notes):
        """The class that a text names in any spelling, or a new one. Empty for none of these."""
        if not isinstance(text, str):
            raise Refused("The name of a class is a text.")
        if not text or spoken(text) == NONE_OF_THESE:
            return ""
        if (name := self.said.names.now(text)) is None:
            if self.said.names.is_dropped(text):
                notes.append(f"“{text.strip()}” was dropped before, and is a class again.")
            return self._new_name(text)
        if text.strip() != plain(name).strip():
            notes.append(f"“{text.strip()}” is “{plain(name)}”.")
        return name

    @staticmethod
    def _new_name(text):
        if not text.strip() or len(text) > MOST_LETTERS or len(text.splitlines()) > 1:
            raise Refused(f"The name of a new class is one line of at most {MOST_LETTERS} letters.")
        if plain(text) != text or not spoken(text) or CONTROL.search(text.strip()):
            raise Refused("The name of a new class has letters, and no control characters.")
        return text.strip()

    # What is known of the pictures

    def shown(self, number):
        """The label that stands under a picture."""
        self._check_number(number)
        check, real = self.said.check, self.files.real[number]
        if check is not None and real in check.shown:
            return self.said.now(check.shown[real]) or ""
        answer = self.said.answers.get(real)
        return self.learner.view.predicted[number] if answer is None else answer.label

    def labels_of(self, numbers):
        """What stands under pictures, by their numbers."""
        predicted = self.learner.view.predicted
        labels = {number: predicted[number] for number in numbers}
        check = () if self.said.check is None else self.said.check.shown
        is_said = self.files.among([*self.said.answers, *check])
        return labels | {number: self.shown(number) for number in numbers if is_said[number]}

    def is_labelled(self, number):
        return number >= self.files.n_photos or self.files.real[number] in self.said.answers

    def is_readable(self, number):
        return number not in self.files.unread

    def is_open(self, number):
        """Whether a picture may be asked for."""
        return not self.is_labelled(number) and self.is_readable(number)

    def are_open(self):
        """`is_open` of each picture of PHOTOS `(n,)`."""
        is_open = ~self.files.among(self.said.answers)[: self.files.n_photos]
        is_open[[number for number in self.files.unread if number < len(is_open)]] = False
        return is_open

    def rest(self):
        """Pictures that nobody labelled."""
        return np.flatnonzero(self.are_open()).tolist()

    def seen(self):
        """Pictures with a label at which somebody looked."""
        files, said = self.files, self.said
        is_seen = files.among(said.seen.keys() & said.answers.keys())[: files.n_photos]
        return [number for number in np.flatnonzero(is_seen).tolist() if number not in files.unread]

    def for_tab(self, tab, numbers, n_reserved):
        """The pictures in this order, those last that another tab was given within a minute. The
        first are reserved for this tab.
        """
        others = self.given_to_others(tab)
        own = [number for number in numbers if number not in others]
        for number in own[:n_reserved]:
            self._given[number] = tab, time.monotonic()
        return own + [number for number in numbers if number in others]

    def given_to_others(self, tab):
        """The pictures that another tab was given within a minute."""
        now = time.monotonic()
        self._given = {
            i: given for i, given in self._given.items() if now - given[1] < RESERVED_FOR
        }
        return {number for number, (other, _) in self._given.items() if other != tab}

    def as_number(self, text):
        """The number of a picture, from an address."""
        number = int(text) if text.isdecimal() and len(text) < MOST_DIGITS else -1
        self._check_number(number)
        return number

    def _check_number(self, number):
        if type(number) is not int or not 0 <= number < len(self.files.paths):
            raise Refused("There is no such picture.")

    # The run

    def _append(self, kind, tab, who, **values):
        if self.is_done:
            raise Refused("The files are being written. Say it again in a moment.")
        event = self.answers_file.append(kind, tab=tab, who=who, run=self.n_before, **values)
        if kind == "undo":
            given = self.job.given
            self.said = fold(self.answers_file.events, self._find, given.classes, given.corrections)
        else:
            self.said = self.said.after(event, self._find)
        self.learner.tell(self.said)
        return event

    def done(self, write, ends=False, anew=False):
        """Write the files by all that was said: the value of `write`, a function of job, labels and
        what was said. If nothing was said since, they are not written again, unless `anew`. Then
        the session goes on, unless it `ends`; also after an error.
        """
        with self._writing:
            # An answer that was confirmed is in the files, and a later one is refused.
            with self.lock:
                self.is_done = True
            try:
                before = self._written
                if anew or before is None or before[0] != len(self.answers_file.events):
                    if not self.job.known_classes(self.said):
                        raise UsageError("no class was named yet, so there is nothing to write")
                    labels = self.learner.learn_all(self.said)
                    value = write(self.job, labels, self.said)
                    self._written = len(self.answers_file.events), value
                self._has_ended = self._has_ended or ends
            finally:
                self.is_done = self._has_ended
            return self._written[1]


def in_words(event):
    """What a person did, as a sentence says it."""
    return plain(KINDS[event.kind].words(event))
