"""The state that all events add up to. This module knows no file, no model and no page."""

from dataclasses import dataclass, field, replace

from .attention import Attention
from .class_names import ClassNames


@dataclass(frozen=True)
class Answer:
    """The answer of a person for a picture."""

    label: str  # empty for none of the classes
    path: str  # the path as a person knows it
    taught: bool = True
    who: str = ""
    event: int = 0  # number of the event, 0 for a list of corrections
    # The prediction when the picture was first asked, and the round then: see `PictureEvent`.
    likely: tuple[tuple[str, float], ...] = ()
    n_columns: int = 0
    round: int = 0
    by_burst: bool = False
    at_random: bool = False
    person: str = ""
    confirmed: bool = False  # whether a page showed this label
    seconds: float | None = None  # time on the page, divided by its pictures


@dataclass(frozen=True)
class Check:
    """Pictures that are checked."""

    shown: dict[str, str]  # labels when the pictures were drawn
    among: str  # "rest" or "seen"
    event: int
    drawn_from: int | None = None  # number of all pictures then


@dataclass(eq=False)
class Annotations:
    """The state after all events. Pictures are real paths."""

    names: ClassNames = field(default_factory=ClassNames)
    # The last answer for each picture, in the order in which answers were given.
    answers: dict[str, Answer] = field(default_factory=dict)
    # Pictures at which somebody looked, and pictures to ask later, as keys.
    seen: dict[str, bool] = field(default_factory=dict)
    skipped: dict[str, bool] = field(default_factory=dict)
    check: Check | None = None  # the last check
    # The labels of each picture by person: by the name of the person, or else by the tab.
    opinions: dict[str, dict[str, str]] = field(default_factory=dict)
    runs: dict[str, int] = field(default_factory=dict)  # run of each tab without a name
    rounds: int = 0  # complete rounds
    n_in_round: int = 0  # single answers since the last complete round
    attention: Attention = field(default_factory=Attention)
    # By suggested name, or by picture of a cluster: what became of the suggestion (see the kind
    # `card`), and its new name, or the name with which it was joined.
    cards: dict[str, tuple[str, str]] = field(default_factory=dict)

    def copy(self):
        return replace(
            self,
            names=self.names.copy(),
            answers=dict(self.answers),
            seen=dict(self.seen),
            skipped=dict(self.skipped),
            opinions={real: dict(opinions) for real, opinions in self.opinions.items()},
            runs=dict(self.runs),
            attention=self.attention.copy(),
            cards=dict(self.cards),
        )

    def names_for_text(self, label):
        """Names whose text may stand for a class, the best first: its name now, then its earlier
        names, also as a suggestion.
        """
        cards = [
            key
            for key, (how, name) in self.cards.items()
            if how == "kept"
            and self.names.current_name(name) == label
            and self.names.current_name(key) is None
        ]
        return [label, *self.names.before(label), *cards]

    def name_of(self, person):
        """The name of a person, empty without one."""
        return "" if person in self.runs else person

    def current_name(self, label):
        """The name that the class of a label has now, None if the class was dropped. The empty
        label, for none of the classes, stays empty.
        """
        return self.names.current_name(label) if label else ""

    def labels(self):
        """Labels by picture."""
        return {real: answer.label for real, answer in self.answers.items()}

    def disputed(self):
        """The labels by person of the pictures on which persons differ."""
        now = {
            real: {who: self.current_name(label) for who, label in opinions.items()}
            for real, opinions in self.opinions.items()
            if len(opinions) > 1
        }
        return {real: labels for real, labels in now.items() if len({*labels.values()}) > 1}

    def checked(self):
        """Whether each prediction of the check is right, for pictures that were answered since the
        check was drawn.
        """
        if self.check is None:
            return {}
        found = {real: self.answers.get(real) for real in self.check.shown}
        return {
            real: answer.label == self.current_name(self.check.shown[real])
            for real, answer in found.items()
            if answer is not None and answer.event > self.check.event
        }

    def has_old_check(self, n_pictures):
        """Whether pictures were added after the check was drawn, so that the check does not stand
        for all `n_pictures`.
        """
        return self.check is not None and (self.check.drawn_from or n_pictures) < n_pictures

    def is_doubted(self, answer):
        """Whether an answer is a confirmation at which nobody seems to have looked."""
        return answer.confirmed and answer.event in self.attention.doubted

    def doubted(self):
        """Pictures whose answer `is_doubted`."""
        return [real for real, answer in self.answers.items() if self.is_doubted(answer)]

    def has_none(self):
        """Whether any answer is none of the classes."""
        return any(not answer.label for answer in self.answers.values())
