"""What the page shows, as plain values."""

import os

import numpy as np
from scipy.stats import binomtest

from ..._utils.rows import evenly_spaced
from .._photos.events import ANSWERS
from .._photos.folder_table import plain
from .._photos.summary import NO_ICONS
from .._share_right import MOST_ESTIMATED, share_right
from .session import in_words

# Pictures that the page may show next or again.
N_SHOWN = 12
# Likely classes that are sent of a picture. The page offers five of them.
N_LIKELY = 9
# Pictures of the queue that are kept for the tab: the one that it shows, and the next.
N_RESERVED = 3
# The interval of a check holds the share in 19 of 20 cases, as is usual.
CHECK_CONFIDENCE = 0.95


class PageState:
    """The state of the page of a `Session`."""

    def __init__(self, session):
        self.session = session
        self._share, self._share_of = None, None

    def of(self, tab, since=None):
        """All that a tab shows. `since` is the number of changes that it knows."""
        session = self.session
        with session.lock:
            said, files, events = session.said, session.files, session.answers_file.events
            view, learner = session.learner.view, session.learner
            n, is_open, strips = files.n_photos, session.are_open(), session.strips
            return {
                "changes": len(events),
                "generation": session.generation,
                "arrived": 0 if session.arrivals is None else session.arrivals.count(),
                "learnt": view.learnt,
                "learning": learner.is_learning,
                "problem": learner.problem,
                "stage": "label" if session.classes() else "names",
                "labelled": strips.count(files.among(said.answers)[:n]),
                "seen": strips.count(files.among(said.seen)[:n]),
                "total": strips.total,
                "pictures": n,
                "rest": self._rest(view, is_open),
                "plants": said.attention.is_on,
                "labels_right": said.labels_right(),
                "may_stop": said.may_stop(),
                "why_unsure": said.why_unsure() if session.job.is_known_kind else NO_ICONS,
                "strangers": int((is_open & ~view.has_class[:n]).sum()),
                "classes": [plain(label) for label in session.classes()],
                "cards": [
                    [key if isinstance(key, int) else plain(key), how, plain(name)]
                    for key, how, name in session.cards()
                ],
                "queue": self.items(
                    session.for_tab(tab, self._queue(view, is_open), N_RESERVED)[:N_SHOWN]
                ),
                "recent": self.items(self._recent()[:N_SHOWN]),
                "check": self._check(),
                "news": self.items(self._news(since, lambda event: event.tab != tab)),
                "own": [
                    [number, None if label is None else plain(label)]
                    for number, label in self._own(tab, since)
                ],
                "undoable": self._undoable(tab),
                "answers": plain(os.fspath(session.answers_file.path)),
            }

    def _queue(self, view, is_open):
        """Pictures to ask, those last that were put off."""
        files, skipped = self.session.files, self.session.said.skipped
        later = [files.numbers[path] for path in skipped if path in files.numbers]
        is_next = is_open & ~files.among(skipped)[: files.n_photos]
        order = [number for number in view.order if is_next[number]]
        order += [number for number in later if self.session.is_open(number)]
        return self.session.strips.first_of_each(order)

    def _recent(self):
        """Pictures that were answered, also if that was taken back, the last first."""
        session = self.session
        told = [event for event in session.answers_file.events if event.kind in ANSWERS]
        numbers = (
            number
            for event in reversed(told)
            for number in session.strips.first_of_each(session.numbers_of(event))
        )
        recent = {}
        for number in numbers:
            recent.setdefault(number)
            if len(recent) == N_SHOWN:
                break
        return session.strips.first_of_each(recent)

    def _own(self, tab, since):
        """Pictures of which this tab said something, with their label by a person."""
        answers, real = self.session.said.answers, self.session.files.real
        for number in self._news(since, lambda event: event.tab == tab):
            answer = answers.get(real[number])
            yield number, None if answer is None else answer.label

    def _news(self, since, is_news):
        """Pictures of which something was said since so many events, by those that are news."""
        session = self.session
        events = session.answers_file.events
        by_id = {event.id: event for event in events}
        found = {}
        for event in () if since is None else events[max(since, 0) :]:
            about = by_id.get(event.of) if event.kind == "undo" else event
            if is_news(event) and about is not None and about.kind in ANSWERS:
                found |= dict.fromkeys(session.numbers_of(about))
        return [*found]

    def _rest(self, view, is_open):
        """Which share of the predicted labels is right, with its interval. None if there are
        none.
        """
        session = self.session
        n_events, n_unread = len(session.answers_file.events), len(session.files.unread)
        now = session.generation, view.learnt, n_events, n_unread
        if self._share_of != now:
            rest = np.flatnonzero(is_open & view.has_class[: len(is_open)]).tolist()
            rest = np.array(session.strips.first_of_each(rest), dtype=int)
            evidence = session.said.evidence()
            # To copy the probabilities of all would take longer than the rest of an answer.
            some = rest[evenly_spaced(len(rest), MOST_ESTIMATED)]
            share = share_right(view.proba[some], n=len(rest), **evidence) if len(rest) else None
            self._share, self._share_of = share and [*share], now
        return self._share

    def _check(self):
        session = self.session
        check, numbers = session.said.check, session.files.numbers
        if check is None:
            return None
        answers = session.said.checked()
        right, done = sum(answers.values()), len(answers)
        interval = 0, 1
        if done:
            interval = binomtest(right, done).proportion_ci(CHECK_CONFIDENCE, "wilson")
        here = [numbers[real] for real in check.shown if real in numbers and real not in answers]
        left = [number for number in here if number not in session.files.unread]
        return {
            "among": check.among,
            "drawn": done + len(left),
            "done": done,
            "right": right,
            "interval": [*map(float, interval)],
            "queue": self.items(left[:N_SHOWN]),
        }

    def _undoable(self, tab):
        event = self.session.undoable(tab)
        return event and {"kind": event.kind, "what": in_words(event)}

    def items(self, numbers):
        """What the page shows of pictures."""
        classes, learnt = self.session.classes(), {*self.session.learner.view.columns}
        new = [[plain(label), None] for label in classes if label not in learnt][:3]
        known = {*classes}
        return [self._item(number, known, new) for number in numbers]

    def _item(self, number, known, new):
        session = self.session
        view, answer = session.learner.view, session.said.answers.get(session.files.real[number])
        likely = [
            [plain(label), share]
            for label, share in view.likely(number, N_LIKELY + 1)
            if label in known
        ]
        return {
            "number": number,
            "name": plain(session.files.paths[number]),
            "likely": likely[: N_LIKELY - len(new)] + new,
            "predicted": plain(session.shown(number)),
            "label": None if answer is None else plain(answer.label),
            "who": "" if answer is None else plain(answer.who),
            "burst": sorted(session.strips.of(number)),
        }
