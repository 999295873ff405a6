"""What all events add up to: this knows no file, no model and no page."""

from dataclasses import dataclass, field, replace

from .attention import Attention
from .class_names import ClassNames


@dataclass(frozen=True)
class Answer:
    """What a person said of a picture."""

    label: str  # empty for none of the classes
    path: str  # as a person knows it
    taught: bool = True
    who: str = ""
    event: int = 0  # its number, 0 for a list of corrections
    # What the model said when the picture was asked first, in this round: see `PictureEvent`.
    likely: tuple[tuple[str, float], ...] = ()
    n_columns: int = 0
    round: int = 0
    by_burst: bool = False
    at_random: bool = False
    person: str = ""
    confirmed: bool = False  # it stood so on a page
    seconds: float | None = None  # of that page, by picture


@dataclass(frozen=True)
class Check:
    """Pictures that are checked."""

    shown: dict[str, str]  # their labels when they were drawn
    among: str  # "rest" or "seen"
    event: int
    drawn_from: int | None = None  # how many pictures there were


@dataclass(eq=False)
class Annotations:
    """What all events say together. Pictures are real paths."""

    names: ClassNames = field(default_factory=ClassNames)
    # The last of each picture, in the order in which they were given.
    answers: dict[str, Answer] = field(default_factory=dict)
    # Pictures at which somebody looked, and those to ask later, as keys.
    seen: dict[str, bool] = field(default_factory=dict)
    skipped: dict[str, bool] = field(default_factory=dict)
    check: Check | None = None  # the last one
    # What each person said of a picture: by name, or else by tab.
    opinions: dict[str, dict[str, str]] = field(default_factory=dict)
    runs: dict[str, int] = field(default_factory=dict)  # of tabs of persons without a name
    rounds: int = 0  # complete ones
    n_in_round: int = 0  # single answers since the last of them
    attention: Attention = field(default_factory=Attention)
    # By suggested name, or by picture of a cluster: what became of it (see the kind `card`), and
    # how it is called, or with which name it was joined.
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
        """Names whose text is that of a class, the best first: its own, and how it was called
        before, also as a suggestion.
        """
        cards = [
            key
            for key, (how, name) in self.cards.items()
            if how == "kept" and self.names.now(name) == label and self.names.now(key) is None
        ]
        return [label, *self.names.before(label), *cards]

    def name_of(self, person):
        """The name of a person, empty without one."""
        return "" if person in self.runs else person

    def now(self, label):
        """The class that a label is now, None if it was dropped. None of the classes stays what it
        is.
        """
        return self.names.now(label) if label else ""

    def labels(self):
        """Labels by picture."""
        return {real: answer.label for real, answer in self.answers.items()}

    def disputed(self):
        """What each person said of the pictures on which they differ."""
        now = {
            real: {who: self.now(label) for who, label in opinions.items()}
            for real, opinions in self.opinions.items()
            if len(opinions) > 1
        }
        return {real: labels for real, labels in now.items() if len({*labels.values()}) > 1}

    def checked(self):
        """Whether the predictions of the check are right, of the pictures that were answered
        since.
        """
        if self.check is None:
            return {}
        found = {real: self.answers.get(real) for real in self.check.shown}
        return {
            real: answer.label == self.now(self.check.shown[real])
            for real, answer in found.items()
            if answer is not None and answer.event > self.check.event
        }

    def has_old_check(self, n_pictures):
        """Whether pictures joined the `n_pictures` since the check was drawn, of which it says
        nothing.
        """
        return self.check is not None and (self.check.drawn_from or n_pictures) < n_pictures

    def is_doubted(self, answer):
        """Whether an answer is a confirmation at which nobody seems to have looked."""
        return answer.confirmed and answer.event in self.attention.doubted

    def doubted(self):
        """Pictures with such an answer."""
        return [real for real, answer in self.answers.items() if self.is_doubted(answer)]

    def has_none(self):
        """Whether a picture is of none of the classes."""
        return any(not answer.label for answer in self.answers.values())
