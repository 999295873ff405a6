"""How attentively pages were confirmed, by planted pictures: ones whose label is known, shown under
another class. Who passes over them passes over errors of the model, too.
"""

from dataclasses import dataclass, field


def person_of(event):
    """Who did something: a name, or else the tab."""
    return event.who or event.tab


@dataclass
class Attention:
    """What events say of it."""

    # By tab: the last pages without a correction, since a page that had planted pictures.
    in_a_row: dict[str, tuple[int, ...]] = field(default_factory=dict)
    # By person: how many planted pictures there were, and how many were passed over.
    planted: dict[str, tuple[int, int]] = field(default_factory=dict)
    n_pages: int = 0
    is_on: bool = True  # unless somebody switched planting off

    def copy(self):
        return Attention(dict(self.in_a_row), dict(self.planted), self.n_pages, self.is_on)

    def take_page(self, event):
        self.n_pages += 1
        is_as_shown = all(part.label == part.shown for part in event.pictures if not part.by_burst)
        before = self.in_a_row.get(event.tab, ())
        self.in_a_row[event.tab] = (*before, event.id) if is_as_shown else ()

    def take_planted(self, event):
        n, n_missed = self.planted.get(person_of(event), (0, 0))
        missed = sum(part.label == part.shown for part in event.pictures)
        self.planted[person_of(event)] = n + len(event.pictures), n_missed + missed
        self.in_a_row[event.tab] = ()

    def overlooked(self, person):
        """The share of the planted pictures that a person passed over."""
        n, n_missed = self.planted.get(person, (0, 0))
        return n_missed / n if n else 0.0
