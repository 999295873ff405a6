"""What the live page knows and does: clicks, what the model learnt from them, and a check. It knows no browser."""

import io
import os
import stat
import threading
import unicodedata

import numpy as np
from scipy.stats import binomtest

from ..._evaluation import share_right
from ...encoders._pictures import ImageReadError, decode
from ..clicks import digest_of, is_as_seen
from ..folder_table import NONE_OF_THESE, plain
from ..user_tables import UsageError, as_class

# The model learns again after so many clicks.
HANDFUL = 5
# Predictions of a check, and its confidence.
N_CHECKED, CONFIDENCE = 30, 0.95
# Pictures that the page may show next or again, likely classes of each, and letters of the name of a class.
N_SHOWN, N_LIKELY, N_LETTERS = 12, 9, 100
# Bytes of a picture, and how many are decoded at a time.
MOST_BYTES = 2**28
_DECODING = threading.Semaphore(4)
# Kinds of characters that are no text of one line.
_NO_LETTERS = ("Cc", "Cs", "Zl", "Zp")


class Refused(ValueError):
    """A request that does not fit."""


class Session:
    """A folder that a person labels. Methods may be called from several threads.

    `job` is a `FolderJob`, `clicks` are `Clicks` that were begun, and `given` are other labels by the person. Pictures have
    numbers, the rows of `job.embeddings`.
    """

    def __init__(self, job, clicks, given):
        self.job, self.clicks, self.given = job, clicks, given
        self.paths = job.readable()
        if not self.paths:
            raise UsageError("--open: no image in PHOTOS can be read, so there is nothing to label")
        self.real = [os.path.realpath(path) for path in self.paths]
        self.numbers = {real: number for number, real in enumerate(self.real)}
        self.shots = {os.path.realpath(path) for path in job.shots.paths}
        # Labels by a person, by real path.
        self.said = given | clicks.labels(job.classes)[0]
        self.problem, self.n_learnt, self.unread, self.skipped, self.seen = "", 0, {}, {}, {}
        self.checked, self.answers = {}, {}
        # For each number of learnings: probabilities of pictures when they were clicked, and columns of the labels, by number.
        self.asked, self.rest, self.rest_at = {}, None, None
        # What happened: tab, number and label of each click, and None for what was taken back.
        self.log, self.at_learning, self.is_learning, self.ended = [], 0, False, False
        self.changed, self.fits = threading.Condition(threading.RLock()), threading.Lock()
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
        """What the page needs of a `FolderLabels`."""
        X, rows = self.job.embeddings, {row["path"]: row for row in learnt.rows}
        predicted = [rows[path]["label"] or "" for path in self.paths]
        columns = [str(label) for label in learnt.classifier.classes_]
        return columns, learnt.proba(X), predicted, learnt.to_label(X)

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
            self._save(lambda: self.clicks.add(self.paths[number], label, self.seen[number], tab))
            self._say(tab, number, (self.paths[number], label))
            if number in self.checked:
                self.answers[number] = label == self.checked[number]
            elif label in self.columns:
                answer = self.proba[number].copy(), self.columns.index(label)
                self.asked.setdefault((self.n_learnt, len(self.columns)), {})[number] = answer
            self.skipped.pop(number, None)

    def undo(self, tab):
        """Take back the last click of a tab, or else of all. Return the picture."""
        with self.changed:
            rows = [row for row, click in enumerate(self.clicks.rows) if click.real in self.numbers]
            own = [row for row in rows if self.clicks.rows[row].tab == tab]
            if not rows:
                raise Refused("There is nothing to undo.")
            row = (own or rows)[-1]
            real = self.clicks.rows[row].real
            self._save(lambda: self.clicks.remove(row))
            self._say(tab, self.numbers[real], self._before(real))
            self.answers.pop(self.numbers[real], None)
            return self._item(self.numbers[real], self.classes())

    def _before(self, real):
        """What was said of a picture before the click that was taken back, or None."""
        last = self.clicks.counting().get(real)
        if last is not None and is_as_seen(last):
            return last.path, as_class(last.label, self.classes())
        return self.given.get(real)

    def skip(self, number):
        """Ask later."""
        with self.changed:
            self._check_number(number)
            self.skipped.pop(number, None)
            self.skipped[number] = True

    def check(self, begin):
        """Draw predictions for a check, or end it."""
        with self.changed:
            if not begin:
                self.checked = {number: self.checked[number] for number in self.answers}
                return
            rest = [number for number in range(len(self.paths)) if self._is_open(number)]
            drawn = np.random.default_rng().permutation(rest)[:N_CHECKED].tolist()
            # The labels as they stand now are what is checked.
            self.checked, self.answers = {number: self.predicted[number] for number in drawn}, {}

    def _check_number(self, number):
        if type(number) is not int or not 0 <= number < len(self.paths):
            raise Refused("There is no such picture.")

    def _as_label(self, text):
        """The class that a text names in any spelling, or a new one."""
        if not isinstance(text, str):
            raise Refused("The name of a class is a text.")
        known = {plain(label): label for label in self.classes()} | {"": "", NONE_OF_THESE: ""}
        same = {name.casefold(): label for name, label in known.items()} | known
        for form in (text, text.strip(), text.strip().casefold()):
            if form in same:
                return same[form]
        if len(text) > N_LETTERS or any(unicodedata.category(letter) in _NO_LETTERS for letter in text):
            raise Refused(f"The name of a new class is one line of at most {N_LETTERS} letters.")
        return as_class(text, self.classes())

    def _save(self, change):
        try:
            change()
        except OSError as error:
            raise OSError(f"Not saved: {error.strerror or error}") from error

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
        return sorted(
            {*self.job.classes, *self.columns, *(label for _, label in self.said.values() if label)}
        )

    def picture(self, number, side):
        """A picture as a JPEG of at most `side` pixels. An ImageReadError says why there is none."""
        try:
            content = self._content(number)
            with _DECODING:
                picture = decode(content, shortest_side=side)
            picture.thumbnail((side, side))
        except (OSError, ImageReadError) as error:
            self.unread[number] = getattr(error, "strerror", None) or str(error)
            raise ImageReadError(self.unread[number]) from error
        self.unread.pop(number, None)
        self.seen[number] = digest_of(content)
        jpeg = io.BytesIO()
        picture.save(jpeg, "JPEG", quality=85)
        return jpeg.getvalue()

    def _content(self, number):
        """The content of the file that was there at the beginning, not of one that a link leads to now."""
        real = self.real[number]
        flags = [getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY")]
        with open(os.open(real, os.O_RDONLY | sum(flags)), "rb") as file:
            status = os.fstat(file.fileno())
            if os.path.realpath(self.paths[number]) != real or not os.path.samestat(status, os.lstat(real)):
                raise ImageReadError("it leads to another file than at the beginning")
            if not stat.S_ISREG(status.st_mode) or status.st_size > MOST_BYTES:
                raise ImageReadError(f"it is no file of at most {MOST_BYTES} bytes")
            return file.read(MOST_BYTES)

    def state(self, tab, since=None):
        """All that the page shows, as plain values. `since` is the number of changes that the tab knows."""
        with self.changed:
            # Of many pictures it takes a moment.
            now = self.n_learnt, len(self.log), len(self.unread)
            if now != self.rest_at:
                self.rest_at, self.rest = now, self._rest()
            classes, n_labelled = self.classes(), sum(map(self._is_labelled, range(len(self.paths))))
            since = len(self.log) if since is None else max(since, 0)
            news = {number: label for of, number, label in self.log[since:] if of != tab}
            return {
                "changes": len(self.log),
                "learnt": self.n_learnt,
                "learning": self.is_learning,
                "problem": self.problem,
                "labelled": n_labelled,
                "total": len(self.paths),
                "rest": self.rest,
                "classes": [plain(label) for label in classes],
                "queue": [self._item(number, classes) for number in self._queue()],
                "recent": [self._item(number, classes) for number in self._recent()],
                "check": self._check_state(classes),
                "news": [self._item(number, classes) for number in news],
                "clicks": plain(os.fspath(self.clicks.path)),
            }

    def _rest(self):
        """Which share of the other labels is right: an estimate, and an interval. None if there are none."""
        rest = [
            number for number in range(len(self.paths)) if self._is_open(number) and self.predicted[number]
        ]
        return list(share_right(self.proba[rest], **self.evidence())) if rest else None

    def evidence(self):
        """What the clicks and the check say of the predictions, for `share_right`."""
        rounds = [tuple(map(np.array, zip(*answers.values()))) for _, answers in sorted(self.asked.items())]
        return {"answers": rounds, "n_checked": len(self.answers), "n_right": sum(self.answers.values())}

    def _is_labelled(self, number):
        return self.real[number] in self.said or self.real[number] in self.shots

    def _is_open(self, number):
        return not self._is_labelled(number) and number not in self.unread

    def _queue(self):
        """Numbers of the pictures to label next. Those that were skipped come last."""
        order = [*(number for number in self.order if number not in self.skipped), *self.skipped]
        queue = []
        for number in filter(self._is_open, order):
            queue.append(number)
            if len(queue) == N_SHOWN:
                break
        return queue

    def _recent(self):
        clicked = (self.numbers.get(row.real) for row in reversed(self.clicks.rows))
        return [*dict.fromkeys(number for number in clicked if number is not None)][:N_SHOWN]

    def _item(self, number, classes):
        said = self.said.get(self.real[number])
        likely = np.argsort(-self.proba[number, :-1], kind="stable")[:N_LIKELY].tolist()
        names = [[plain(self.columns[i]), float(self.proba[number, i])] for i in likely]
        new = [[plain(label), None] for label in classes if label not in self.columns]
        return {
            "number": number,
            "name": plain(self.paths[number]),
            "likely": names[: N_LIKELY - min(len(new), 3)] + new[:3],
            "predicted": plain(self.checked.get(number, self.predicted[number])),
            "label": None if said is None else plain(said[1]),
        }

    def _check_state(self, classes):
        if not self.checked:
            return None
        right, done = sum(self.answers.values()), len(self.answers)
        interval = binomtest(right, done).proportion_ci(CONFIDENCE, "wilson") if done else (0.0, 1.0)
        left = [number for number in self.checked if number not in self.answers and number not in self.unread]
        return {
            "drawn": done + len(left),
            "done": done,
            "right": right,
            "interval": [float(share) for share in interval],
            "queue": [self._item(number, classes) for number in left[:N_SHOWN]],
        }
