"""Bursts as pages show them: pictures that are asked and answered as one."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._answers.annotations import Answer
from .picture_numbers import PictureNumbers


@dataclass(frozen=True, eq=False)
class ShownBursts:
    """Bursts of a page. Pictures of a burst with the same answer, or without an answer, are shown
    as one picture. A picture that was corrected alone is shown by itself. Without bursts, and in
    `--shots`, every picture is shown by itself.

    `groups (n,)` are the numbers of the bursts, or None, and `members` the pictures of each burst.
    """

    groups: Any
    members: dict[int, list[int]]
    pictures: PictureNumbers
    answers: dict[str, Answer]
    unread: dict[int, str]

    def of(self, number):
        """The pictures that are shown as one with this picture, which is the first."""
        key = self._key(number)
        others = self.members.get(key[0], ())
        return [number] + [
            other
            for other in others
            if other != number and other not in self.unread and self._key(other) == key
        ]

    def first_of_each(self, numbers):
        """One picture of each burst, the first of these numbers."""
        if self.groups is None:
            return [*numbers]
        first = {}
        for number in numbers:
            first.setdefault(self._key(number), number)
        return [*first.values()]

    def count(self, is_done):
        """The number of bursts that are done. A burst is done if all its pictures that can be
        shown, and at least one picture, are in `is_done (n,)`.
        """
        if self.groups is None:
            return int(is_done.sum())
        is_left = ~is_done
        is_left[[number for number in self.unread if number < len(is_left)]] = False
        n_done, n_left = (np.bincount(self.groups, part) for part in (is_done, is_left))
        return int(np.sum((n_done > 0) & (n_left == 0)))

    @property
    def total(self):
        """The number of bursts."""
        return self.pictures.n_photos if self.groups is None else len(self.members)

    def _key(self, number):
        if self.groups is None or number >= len(self.groups):
            return None, number
        answer = self.answers.get(self.pictures.real[number])
        return self.groups[number], None if answer is None else answer.label


def members_of(groups):
    """The pictures of each burst, by its number."""
    members = defaultdict(list)
    for number, group in enumerate(() if groups is None else groups.tolist()):
        members[group].append(number)
    return dict(members)
