"""Attention of persons who confirm pages, measured by planted pictures: pictures of a known label,
shown under another class. A person who misses planted pictures misses errors of the model, too.
"""

from dataclasses import dataclass, field, replace


def person_of(event):
    """The person of an event: a name, or else the tab."""
    return event.who or event.tab


@dataclass
class Attention:
    """The state of attention after all events."""

    # The last pages without a correction, since a page with planted pictures, by tab.
    in_a_row: dict[str, tuple[int, ...]] = field(default_factory=dict)
    # The last page, by tab.
    last: dict[str, int] = field(default_factory=dict)
    # Pages at which nobody seems to have looked, by the numbers of their events. A label that such
    # a page left as shown is in doubt, until somebody looks again.
    doubted: frozenset[int] = frozenset()
    n_pages: int = 0
    is_on: bool = True  # whether pictures are planted

    def copy(self):
        return replace(self, in_a_row=dict(self.in_a_row), last=dict(self.last))

    def take_page(self, event):
        self.n_pages += 1
        is_as_shown = all(
            picture.label == picture.shown for picture in event.pictures if not picture.by_burst
        )
        before = self.in_a_row.get(event.tab, ())
        self.in_a_row[event.tab] = (*before, event.id) if is_as_shown else ()
        self.last[event.tab] = event.id

    def take_planted(self, event):
        """Doubt the page of these planted pictures if any of them was missed. If all were missed,
        doubt also the pages without a correction before it.
        """
        n_missed = sum(picture.label == picture.shown for picture in event.pictures)
        row, last = self.in_a_row.pop(event.tab, ()), self.last.pop(event.tab, None)
        if n_missed == len(event.pictures):
            self.doubted |= {*row}
        if n_missed and last is not None:
            self.doubted |= {last}
