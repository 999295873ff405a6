"""Strips: pictures that are shown, asked and answered as one."""

from collections import defaultdict

import numpy as np


class Strips:
    """The strips of a `Session`: the pictures of a burst with the same label by a person, or with
    none. So a picture that was corrected alone is a strip by itself. Without bursts, and of
    `--shots`, every picture is.
    """

    def __init__(self, session):
        self._session, self._groups = session, session.job.groups
        self._members = defaultdict(list)
        for number, group in enumerate(() if self._groups is None else self._groups.tolist()):
            self._members[group].append(number)

    def of(self, number):
        """The pictures of a strip that can be shown, this one first."""
        key, unread = self._key(number), self._session.files.unread
        others = self._members.get(key[0], ())
        return [number] + [
            other
            for other in others
            if other != number and other not in unread and self._key(other) == key
        ]

    def first_of_each(self, numbers):
        """One picture of each strip, the first of these numbers."""
        if self._groups is None:
            return [*numbers]
        first = {}
        for number in numbers:
            first.setdefault(self._key(number), number)
        return [*first.values()]

    def count(self, is_done):
        """How many bursts are done: a picture of theirs `is_done (n,)`, and so is each other one
        that can be shown.
        """
        if self._groups is None:
            return int(is_done.sum())
        is_left = ~is_done
        is_left[[number for number in self._session.files.unread if number < len(is_left)]] = False
        n_done, n_left = (np.bincount(self._groups, part) for part in (is_done, is_left))
        return int(np.sum((n_done > 0) & (n_left == 0)))

    @property
    def total(self):
        """How many bursts there are."""
        return self._session.files.n_photos if self._groups is None else len(self._members)

    def _key(self, number):
        if self._groups is None or number >= len(self._groups):
            return None, number
        answer = self._session.said.answers.get(self._session.files.real[number])
        return self._groups[number], None if answer is None else answer.label
