"""How attentively pages were confirmed, by planted pictures: ones whose label is known, shown under
another class. Who passes over them passes over errors of the model, too.
"""

from dataclasses import dataclass, field, replace


def person_of(event):
    """Who did something: a name, or else the tab."""
    return event.who or event.tab


@dataclass
class Attention:
    """What events say of it."""

    # By tab: the last pages without a correction, since a page that had planted pictures.
    in_a_row: dict[str, tuple[int, ...]] = field(default_factory=dict)
    # By tab: its last page.
    last: dict[str, int] = field(default_factory=dict)
    # Pages at which nobody seems to have looked, by the numbers of their events. What they left as
    # it was shown is in doubt, until somebody looks again.
    doubted: frozenset[int] = frozenset()
    n_pages: int = 0
    is_on: bool = True  # unless somebody switched planting off

    def copy(self):
        return replace(self, in_a_row=dict(self.in_a_row), last=dict(self.last))

    def take_page(self, event):
        self.n_pages += 1
        is_as_shown = all(part.label == part.shown for part in event.pictures if not part.by_burst)
        before = self.in_a_row.get(event.tab, ())
        self.in_a_row[event.tab] = (*before, event.id) if is_as_shown else ()
        self.last[event.tab] = event.id

    def take_planted(self, event):
        """Doubt the page of these planted pictures, if one was passed over, and the pages before it
        if nothing says that somebody looked: no correction, and no planted picture that was found.
        """
        n_missed = sum(part.label == part.shown for part in event.pictures)
        row, last = self.in_a_row.pop(event.tab, ()), self.last.pop(event.tab, None)
        if n_missed == len(event.pictures):
            self.doubted |= {*row}
        if n_missed and last is not None:
            self.doubted |= {last}
