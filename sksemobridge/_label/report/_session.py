"""What the live page knows and does: clicks, what the model learnt from them, and a check. It knows
no browser.
"""

import os
import stat
import threading
from contextlib import suppress

import numpy as np
from scipy.stats import binomtest

from ..._evaluation import share_right
from ...encoders._heads import ImageReadError, read_picture
from ..clicks import digest_of, labels_of
from ..folder_table import NONE_OF_THESE, plain
from ..messages import UsageError
from ..user_tables import as_class
from ._page import jpeg

# The model learns again after so many clicks.
HANDFUL = 5
# The next run begins with so many of the last handfuls.
REPEATED = 3
# Predictions of a check.
N_CHECKED = 30
# Confidence of the interval of a check.
CONFIDENCE = 0.95
# Pictures that the page may show next or again.
N_SHOWN = 12
# Likely classes of a picture: each has a digit as its key.
N_LIKELY = 9
# Most letters of the name of a class.
N_LETTERS = 100


class Refused(ValueError):
    """A request that does not fit."""


class Session:
    """A folder that a person labels. Methods may be called from several threads.

    `job` is a `FolderJob`, and `clicks` are `Clicks` that were begun. Pictures have numbers, the
    rows of `job.embeddings`.
    """

    def __init__(self, job, clicks):
        self.job, self.clicks, self.paths = job, clicks, job.readable()
        if not self.paths:
            raise UsageError("--open: no image in PHOTOS can be read, so there is nothing to label")
        self.real = [os.path.realpath(path) for path in self.paths]
        self.numbers = {real: number for number, real in enumerate(self.real)}
        self.shots = {*job.shots.real()}
        # Labels by a person, by real path.
        self.said = job.corrections | labels_of(clicks.rows, job.classes)
        # By number: why a picture cannot be shown, those to ask later, and digests of what was
        # shown.
        self.unread, self.skipped, self.seen = {}, {}, {}
        # Of a check: predictions when it was drawn, by number.
        last = clicks.last_check()[0].items()
        here = [(self.numbers.get(os.path.realpath(path)), str(label)) for path, label in last]
        self.checked = {
            number: as_class(label, job.classes) for number, label in here if number is not None
        }
        # For each number of learnings: probabilities of pictures when they were clicked, and
        # columns of the labels, by number.
        self.asked = {}
        # What happened: tab, number and label of each click, and None for what was taken back.
        self.log, self.at_learning, self.is_learning, self.ended = [], 0, False, False
        self.problem, self.n_learnt, self.share, self.share_of = "", 0, None, None
        self.changed, self.fits = threading.Condition(threading.RLock()), threading.Lock()
        # What was said of the last clicks before they were known, as in the run before.
        said, n_before = list(self.said.items()), len(job.corrections)
        for start in range(max(n_before, len(said) - REPEATED * HANDFUL), len(said), HANDFUL):
            with suppress(ValueError):  # perhaps a class had no shot yet, and no name
                self._keep(*self._view(job.fit(dict(said[:start]))))
                for real, (_, label) in said[start : start + HANDFUL]:
                    self._note_answer(self.numbers.get(real), label)
        self._keep(*self._view(job.fit(dict(self.said))))

    def learn(self):
        """Learn again after each handful of clicks, until the session ends."""
        while True:
            with self.changed:
                self.changed.wait_for(self._is_due)
                if self.ended:
                    return
                said, self.at_learning, self.is_learning = dict(self.said), len(self.log), True
            try:
                # Clicks do not wait for it.
                with self.fits:
                    view, problem = self._view(self.job.fit(said)), ""
            # The page goes on with the model that it has.
            except Exception as error:
                view, problem = None, f"The model could not learn from the last clicks: {error}"
            with self.changed:
                self.is_learning, self.problem = False, problem
                if view is not None:
                    self._keep(*view)

    def _is_due(self):
        new = self.log[self.at_learning :]
        has_new_class = any(label and label not in self.columns for _, _, label in new)
        return self.ended or has_new_class or len(new) >= HANDFUL

    def _view(self, learnt):
        """What the page needs of `FolderLabels`."""
        rows = {row["path"]: row for row in learnt.rows}
        predicted = [rows[path]["label"] or "" for path in self.paths]
        columns = [str(label) for label in learnt.classifier.classes_]
        return columns, learnt.proba(), predicted, learnt.to_label()

    def _keep(self, *view):
        self.n_learnt += 1
        # The last column of the probabilities is none of the classes.
        self.columns, self.proba, self.predicted, self.order = view

    def end(self):
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    # What a person does

    def click(self, tab, number, label):
        """Say what a picture is. An empty label is none of the classes."""
        with self.changed:
            self._check_number(number)
            label = self._as_label(label)
            if number not in self.seen:
                self.picture(number, 8)
            self.clicks.add(self.paths[number], label, self.seen[number], tab)
            self._say(tab, number, (self.paths[number], label))
            self._note_answer(number, label)
            self.skipped.pop(number, None)

    def _note_answer(self, number, label):
        """Keep what the model said of a picture that was clicked. Those of a check were not chosen
        by it.
        """
        if number is not None and number not in self.checked and label in self.columns:
            answer = self.proba[number].copy(), self.columns.index(label)
            self.asked.setdefault((self.n_learnt, len(self.columns)), {})[number] = answer

    def undo(self, tab):
        """Take back the last click of a tab, or else of all. Return the picture."""
        with self.changed:
            rows = [row for row, click in enumerate(self.clicks.rows) if click.real in self.numbers]
            own = [row for row in rows if self.clicks.rows[row].tab == tab]
            if not rows:
                raise Refused("There is nothing to undo.")
            row = (own or rows)[-1]
            real = self.clicks.rows[row].real
            self.clicks.remove(row)
            # What was said of it before.
            earlier = [click for click in self.clicks.rows if click.real == real]
            said = labels_of(earlier, self.classes()).get(real, self.job.corrections.get(real))
            number = self.numbers[real]
            self._say(tab, number, said)
            return self._item(number, self.classes())

    def skip(self, number):
        """Ask later."""
        with self.changed:
            self._check_number(number)
            self.skipped.pop(number, None)
            self.skipped[number] = True

    def check(self, begin):
        """Draw predictions for a check, or end it."""
        with self.changed:
            rest = [number for number in range(len(self.paths)) if self._is_open(number)]
            drawn = np.random.default_rng().permutation(rest)[:N_CHECKED].tolist()
            now = {number: self.predicted[number] for number in drawn}
            checked = now if begin else {number: self.checked[number] for number in self._answers()}
            self.clicks.add_check({self.paths[number]: label for number, label in checked.items()})
            self.checked = checked

    def _check_number(self, number):
        if type(number) is not int or not 0 <= number < len(self.paths):
            raise Refused("There is no such picture.")

    def _as_label(self, text):
        """The class that a text names in any spelling, or a new one."""
        if not isinstance(text, str):
            raise Refused("The name of a class is a text.")
        known = {plain(label): label for label in self.classes()} | {"": "", NONE_OF_THESE: ""}
        name = as_class(text, known)
        if name not in known and (
            len(text) > N_LETTERS or len(text.splitlines()) > 1 or plain(text) != text
        ):
            raise Refused(f"The name of a new class is one line of at most {N_LETTERS} letters.")
        return known.get(name, name)

    def _say(self, tab, number, said):
        """Keep a label that is on the disk."""
        self.said.pop(self.real[number], None)
        if said is not None:
            self.said[self.real[number]] = said
        self.log.append((tab, number, None if said is None else said[1]))
        self.changed.notify_all()

    # What the page shows

    def classes(self):
        """All classes: those of the model, and those that were added since."""
        said = {label for _, label in self.said.values() if label}
        return sorted({*self.job.classes, *self.columns, *said})

    def picture(self, number, side):
        """A picture as a JPEG of at most `side` pixels. ImageReadError says why there is none."""
        self._check_number(number)
        try:
            content = self._content(number)
            picture = jpeg(content, side)
        except (OSError, ImageReadError) as error:
            self.unread[number] = getattr(error, "strerror", None) or str(error)
            raise ImageReadError(self.unread[number]) from error
        self.unread.pop(number, None)
        self.seen[number] = digest_of(content)
        return picture

    def _content(self, number):
        """The content of the file that was there at the beginning, not of one that a link leads to
        now.
        """
        path, real = self.paths[number], self.real[number]
        flags = [getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY")]
        with open(os.open(real, os.O_RDONLY | sum(flags)), "rb") as file:
            status = os.fstat(file.fileno())
            is_same = os.path.realpath(path) == real and os.path.samestat(status, os.lstat(real))
            if not is_same or not stat.S_ISREG(status.st_mode):
                raise ImageReadError("it leads to another file than at the beginning")
            return read_picture(file)

    def state(self, tab, since=None):
        """All that the page shows, as plain values. `since` is the number of changes that the tab
        knows.
        """
        with self.changed:
            classes, n_labelled = (
                self.classes(),
                sum(map(self._is_labelled, range(len(self.paths)))),
            )
            since = len(self.log) if since is None else max(since, 0)
            news = dict.fromkeys(number for of, number, _ in self.log[since:] if of != tab)
            # Those that were skipped come last.
            order = [
                *(number for number in self.order if number not in self.skipped),
                *self.skipped,
            ]
            clicked = [
                self.numbers[row.real] for row in self.clicks.rows if row.real in self.numbers
            ]
            rest = [
                number
                for number, label in enumerate(self.predicted)
                if label and self._is_open(number)
            ]
            if self.share_of != (now := (self.n_learnt, len(self.log), len(self.unread))):
                # Which share of the other labels is right. Of many pictures it takes a moment.
                self.share = (
                    list(share_right(self.proba[rest], **self.evidence())) if rest else None
                )
                self.share_of = now

            def items(numbers):
                return [self._item(number, classes) for number in numbers]

            return {
                "changes": len(self.log),
                "learnt": self.n_learnt,
                "learning": self.is_learning,
                "problem": self.problem,
                "labelled": n_labelled,
                "total": len(self.paths),
                "rest": self.share,
                "classes": [plain(label) for label in classes],
                "queue": items([number for number in order if self._is_open(number)][:N_SHOWN]),
                "recent": items([*dict.fromkeys(reversed(clicked))][:N_SHOWN]),
                "check": self._check_state(items),
                "news": items(news),
                "clicks": plain(os.fspath(self.clicks.path)),
            }

    def evidence(self):
        """What clicks and the check say of the predictions, for `share_right`. After N_CHECKED
        other clicks it counts half.
        """
        rounds = [
            tuple(map(np.array, zip(*answers.values())))
            for _, answers in sorted(self.asked.items())
        ]
        answers = self._answers()
        n_later = sum(
            self.numbers.get(row.real) not in self.checked for row in self.clicks.last_check()[1]
        )
        part = N_CHECKED / (N_CHECKED + n_later)
        return {
            "answers": rounds,
            "n_checked": part * len(answers),
            "n_right": part * sum(answers.values()),
        }

    def _answers(self):
        """Whether the predictions of a check are right, of the pictures with a label by a person,
        by number.
        """
        said = {number: self.said.get(self.real[number]) for number in self.checked}
        return {
            number: said[number][1] == label
            for number, label in self.checked.items()
            if said[number]
        }

    def _is_labelled(self, number):
        return self.real[number] in self.said or self.real[number] in self.shots

    def _is_open(self, number):
        return not self._is_labelled(number) and number not in self.unread

    def _item(self, number, classes):
        said = self.said.get(self.real[number])
        likely = np.argsort(-self.proba[number, :-1], kind="stable")[:N_LIKELY].tolist()
        names = [[plain(self.columns[i]), float(self.proba[number, i])] for i in likely]
        new = [[plain(label), None] for label in classes if label not in self.columns][:3]
        return {
            "number": number,
            "name": plain(self.paths[number]),
            "likely": names[: N_LIKELY - len(new)] + new,
            "predicted": plain(self.checked.get(number, self.predicted[number])),
            "label": None if said is None else plain(said[1]),
        }

    def _check_state(self, items):
        if not self.checked:
            return None
        answers = self._answers()
        right, done = sum(answers.values()), len(answers)
        interval = binomtest(right, done).proportion_ci(CONFIDENCE, "wilson") if done else (0, 1)
        left = [
            number for number in self.checked if number not in answers and number not in self.unread
        ]
        counts = {"drawn": done + len(left), "done": done, "right": right}
        return counts | {"interval": [*map(float, interval)], "queue": items(left[:N_SHOWN])}
