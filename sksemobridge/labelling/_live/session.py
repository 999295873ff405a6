"""Actions of persons: each request becomes an event, or is refused. This module knows no
browser.
"""

import threading
from dataclasses import replace

from .._answers.event_kinds import KINDS
from .._answers.history import after
from .._messages import UsageError
from .._photos.folder_table import plain
from .answered_pictures import answered_pictures, readable
from .confirmed_page import check_page, without_newer
from .learner import Learner
from .named_class import LONGEST_NAME, as_class, as_label, known_class, new_name
from .picture_files import PictureFiles
from .picture_numbers import PictureNumbers
from .planted import planted_pictures
from .random_check import N_CHECKED, draw_check
from .refused import Refused
from .reserved import Reserved
from .shown_bursts import ShownBursts, members_of
from .snapshot import Snapshot, in_words

# Most pictures that are chosen for one label: a request with their numbers is short.
MOST_CHOSEN = 500
# Most classes of one request: as many as ImageNet has.
MOST_CLASSES = 1000


class Session:
    """A folder that persons label. Methods may be called from several threads.

    `job` is a `FolderJob`, with its `annotations`. `answers_file` are `Answers` that were begun,
    and `arrivals` counts and reads new pictures. With None, new pictures are not read.

    Attributes
    ----------
    files : PictureFiles
    learner : Learner
    annotations : Annotations
        The current annotations. The object is replaced, and never changed.
    reserved : Reserved
    generation : int
        How often new pictures were read. Each time, pictures get other numbers.
    is_done : bool
        Whether the files are being written, or the session has ended.
    """

    def __init__(self, job, annotations, answers_file, arrivals=None):
        self.answers_file, self.arrivals, self.generation = answers_file, arrivals, 0
        self.n_before, self.reserved = len(answers_file.events), Reserved()
        self.lock, self.is_done = threading.RLock(), False
        self._reading, self._writing = threading.Lock(), threading.Lock()
        self._written, self._has_ended = None, False
        if not job.paths:
            raise UsageError("--open: no image in PHOTOS can be read, so there is nothing to label")
        self._begin(job, annotations, Learner(job, annotations, begins_at_once=True))

    def _begin(self, job, annotations, learner):
        """Begin with a job, whose pictures get new numbers."""
        self.job, self.annotations, self.learner = job, annotations, learner
        self.files = PictureFiles(job, PictureNumbers(job))
        self._members = members_of(job.groups)
        self._find = job.pictures.finder(self.answers_file.events)
        self.reserved.clear()
        if self.arrivals is not None:
            self.arrivals.begin(job)

    def snapshot(self):
        """The current `Snapshot`."""
        with self.lock:
            pictures, unread = self.files.pictures, dict(self.files.unread)
            answers, groups = self.annotations.answers, self.job.groups
            return Snapshot(
                job=self.job,
                pictures=pictures,
                generation=self.generation,
                annotations=self.annotations,
                events=tuple(self.answers_file.events),
                n_before=self.n_before,
                find=self._find,
                view=self.learner.view,
                is_learning=self.learner.is_learning,
                problem=self.learner.problem,
                unread=unread,
                bursts=ShownBursts(groups, self._members, pictures, answers, unread),
                n_arrived=0 if self.arrivals is None else self.arrivals.count(),
            )

    def read_new(self, tab, who):
        """Read the pictures that came into the folder. Persons may answer meanwhile."""
        if self.arrivals is None:
            raise Refused("New pictures are read when the program is begun again.")
        with self._reading:
            job = self.arrivals.read(self.job)
            learner = Learner(job, job.annotations_of(self.answers_file.events))
            # The job must not change while its files are being written.
            with self._writing, self.lock:
                before = self.learner
                self._begin(job, job.annotations_of(self.answers_file.events), learner)
                self._written = None
                self.generation += 1
                learner.tell(self.annotations)
            learner.start()
        before.end()

    # Answers

    def answer(self, tab, who, number, label):
        """Label a picture, and with it the other pictures of its burst. An empty label is none of
        the classes.
        """
        with self.lock:
            snapshot, notes = self.snapshot(), []
            label = as_label(snapshot.annotations.names, label, notes)
            marks = [(number, label, snapshot.shown(number))]
            asked, *others = answered_pictures(snapshot, self.files, marks, notes)
            asked = replace(asked, at_random=number in snapshot.view.drawn_first)
            answered = asked, *others
            self._append("say", tab, who, pictures=answered)
            answer = {"number": number, "label": plain(label)}
            return {"answer": answer, "n_pictures": len(answered), "notes": notes}

    def answer_alike(self, tab, who, numbers, label, alone=False):
        """Label pictures that a person chose, and with them the other pictures of their bursts
        unless `alone`. The answers say nothing of the predictions, since nobody chooses at random.
        """
        with self.lock:
            snapshot, notes = self.snapshot(), []
            if not isinstance(numbers, list) or not 0 < len(numbers) <= MOST_CHOSEN:
                raise Refused(f"Choose 1 to {MOST_CHOSEN} pictures.")
            for number in numbers:
                snapshot.pictures.check(number)
            label = as_label(snapshot.annotations.names, label, notes)
            marks = [(number, label, snapshot.shown(number)) for number in dict.fromkeys(numbers)]
            answered = answered_pictures(snapshot, self.files, marks, notes, alone)
            chosen = tuple(replace(picture, likely=(), n_columns=0) for picture in answered)
            self._append("say", tab, who, pictures=chosen)
            return {"n_answered": len(marks), "n_pictures": len(answered), "notes": notes}

    def confirm_page(self, tab, who, pictures, knew=None, seconds=None):
        """Label the pictures of a page, and with them the other pictures of their bursts. Each
        picture has its `number`, the label `shown`, and `label`.

        `knew` is the number of events that the page knew when it was shown. Later answers win.
        Pictures that are `planted` get no label. `seconds` is the time for which the page was on
        the screen.
        """
        with self.lock:
            snapshot, notes = self.snapshot(), []
            names = snapshot.annotations.names
            check_page(snapshot, pictures, seconds)
            planted = [picture for picture in pictures if picture.get("planted") is True]
            pictures = [picture for picture in pictures if picture.get("planted") is not True]
            if knew is not None:
                pictures = without_newer(snapshot, pictures, knew, notes)
            marks = [
                (
                    picture["number"],
                    as_label(names, picture["label"], notes),
                    as_label(names, picture["shown"], []),
                )
                for picture in pictures
            ]
            answered = answered_pictures(snapshot, self.files, marks, notes)
            # Planted pictures are read before any event is kept, since their files may be gone.
            planted = planted_pictures(snapshot, self.files, planted)
            before = snapshot.annotations.attention.doubted
            if answered:
                seconds = None if seconds is None else round(float(seconds), 1)
                self._append("page", tab, who, pictures=answered, seconds=seconds)
            if planted:
                self._append("planted", tab, who, pictures=planted)
            again = sorted(self.annotations.attention.doubted - before)
            n_missed = sum(picture.label == picture.shown for picture in planted)
            return {
                "n_answered": len(marks),
                "n_pictures": len(answered),
                "notes": [*dict.fromkeys(notes)],
                "n_planted": len(planted),
                "n_missed": n_missed,
                "again": again,
            }

    def undo(self, tab, who):
        """Undo the last event of this tab, or else the last event of an earlier run."""
        with self.lock:
            snapshot = self.snapshot()
            event = snapshot.undoable(tab)
            if event is None:
                raise Refused("There is nothing to undo.")
            self._append("undo", tab, who, of=event.id)
            numbers = snapshot.numbers_of(event)
            return {"undone": {"kind": event.kind, "what": in_words(event), "numbers": numbers}}

    def skip(self, tab, who, number):
        """Put a picture off, to be asked later."""
        with self.lock:
            snapshot = self.snapshot()
            snapshot.pictures.check(number)
            others = readable(self.files, snapshot.bursts.of(number)[1:])
            self._append("skip", tab, who, pictures=(self.files.event(number), *others))

    def check(self, tab, who, begin, among="rest"):
        """Begin a check with pictures drawn at random, or end the check."""
        with self.lock:
            if among not in [*N_CHECKED]:
                raise Refused("A check is among the rest, or what was seen.")
            snapshot = self.snapshot()
            drawn = {"pictures": draw_check(snapshot, self.files, among)} if begin else {}
            n = snapshot.pictures.n_photos
            self._append("check", tab, who, among=among, drawn_from=n if begin else None, **drawn)

    def switch_planting(self, tab, who, on):
        """Switch planting of pictures on or off, for all persons and later runs."""
        if type(on) is not bool:
            raise Refused("Planting is on or off.")
        with self.lock:
            self._append("planting", tab, who, among="on" if on else "off")

    # Classes

    def add(self, tab, who, names):
        """Add classes with these names."""
        with self.lock:
            if not isinstance(names, list) or not 0 < len(names) <= MOST_CLASSES:
                raise Refused(f"Add 1 to {MOST_CLASSES} classes.")
            notes = []
            names = dict.fromkeys(as_class(self.annotations.names, name, notes) for name in names)
            self._append("add", tab, who, names=tuple(names))
            is_first = not self.learner.view.columns
        if is_first:
            # Until the first model, no picture has a label.
            self.learner.wait()
        return {"notes": notes}

    def rename(self, tab, who, name, into):
        """Rename a class. With the name of another class, the class joins that class."""
        with self.lock:
            names, notes = self.annotations.names, []
            known = known_class(names, name)
            # Another spelling of its own name is a new name.
            is_own = isinstance(into, str) and names.current_name(into) == known
            into = new_name(into) if is_own else as_class(names, into, notes, current=True)
            self._append("rename", tab, who, names=(known,), into=into)
            return {"notes": notes}

    def join(self, tab, who, names, into):
        """Join several classes into one."""
        with self.lock:
            if not isinstance(names, list) or not 0 < len(names) <= MOST_CLASSES:
                raise Refused(f"Join 1 to {MOST_CLASSES} classes.")
            names, notes = tuple(known_class(self.annotations.names, name) for name in names), []
            into = as_class(self.annotations.names, into, notes)
            self._append("join", tab, who, names=names, into=into)
            return {"notes": notes}

    def drop(self, tab, who, name):
        """Drop a class. Its pictures lose their labels."""
        with self.lock:
            self._append("drop", tab, who, names=(known_class(self.annotations.names, name),))

    def card(self, tab, who, how, into, name=None, number=None):
        """Keep the action of a person on a suggested name, or on a cluster, whose first picture is
        `number`.
        """
        with self.lock:
            if how not in [*KINDS["card"].among]:
                raise Refused("A name is kept, dropped or joined.")
            if not isinstance(into, str) or len(into) > LONGEST_NAME:
                raise Refused(f"A name has at most {LONGEST_NAME} letters.")
            about = {"names": (name,)}
            if name is None:
                self.files.pictures.check(number)
                about = {"pictures": (self.files.event(number),)}
            self._append("card", tab, who, among=how, into=into, **about)

    # The run

    def _append(self, kind, tab, who, **values):
        if self.is_done:
            raise Refused("The files are being written. Say it again in a moment.")
        event = self.answers_file.append(kind, tab=tab, who=who, run=self.n_before, **values)
        if kind == "undo":
            self.annotations = self.job.annotations_of(self.answers_file.events, self._find)
        else:
            self.annotations = after(self.annotations, event, self._find)
        self.learner.tell(self.annotations)
        return event

    def done(self, write, ends=False, anew=False):
        """Write the files by all annotations, and return the value of `write`, a function of
        `FolderLabels`. Without new events, the files are not written again, unless `anew`.
        Afterwards the session goes on, also after an error, unless it `ends`.
        """
        with self._writing:
            # Answers up to here are in the files. Later answers are refused.
            with self.lock:
                self.is_done = True
            try:
                before = self._written
                if anew or before is None or before[0] != len(self.answers_file.events):
                    if not self.job.known_classes(self.annotations):
                        raise UsageError("no class was named yet, so there is nothing to write")
                    labels = self.learner.learn_all(self.annotations)
                    value = write(labels)
                    self._written = len(self.answers_file.events), value
                self._has_ended = self._has_ended or ends
            finally:
                self.is_done = self._has_ended
            return self._written[1]
