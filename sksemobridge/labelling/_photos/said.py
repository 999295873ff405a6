"""What persons said: this knows no file, no model and no page."""

from dataclasses import dataclass, field, replace

from .attention import Attention
from .class_names import ClassNames


@dataclass(frozen=True)
class Answer:
    """What was said of a picture. An empty label is none of the classes.

    `path` is as a person knows it. `event` is the number of the event, 0 for a list of corrections.
    `likely` and `n_columns` say what the model said of it when it was asked first, in this `round`,
    and `along` that another picture of its burst was asked, see `events`. `person` gave it. It is
    `confirmed` if it stood so on a page, after so many `seconds` a picture.
    """

    label: str
    path: str
    taught: bool = True
    who: str = ""
    event: int = 0
    likely: tuple[tuple[str, float], ...] = ()
    n_columns: int = 0
    round: int = 0
    along: bool = False
    person: str = ""
    confirmed: bool = False
    seconds: float | None = None


@dataclass(frozen=True)
class Check:
    """A check: `shown` are the labels of pictures when they were drawn, among `"rest"` or
    `"seen"`.
    """

    shown: dict[str, str]
    among: str
    event: int


@dataclass(eq=False)
class Said:
    """What all events say together. Pictures are real paths.

    Attributes
    ----------
    names : ClassNames
        The classes.
    answers : dict of Answer
        The last of each picture, in the order in which they were given.
    seen, skipped : dict
        Pictures at which somebody looked, and those to ask later, as keys.
    check : Check or None
        The last check.
    opinions : dict of dict
        What each person said of a picture: by name, or else by tab.
    runs : dict
        Tabs of persons without a name, and in which run they were.
    rounds : int
        The complete rounds of answers.
    n_in_round : int
        Single answers since the last of them.
    attention : Attention
    cards : dict of (str, str)
        What became of suggested names, by these, or by pictures of groups: see the kind `card`, and
        how it is called, or with which name it was joined.
    """

    names: ClassNames = field(default_factory=ClassNames)
    answers: dict[str, Answer] = field(default_factory=dict)
    seen: dict[str, bool] = field(default_factory=dict)
    skipped: dict[str, bool] = field(default_factory=dict)
    check: Check | None = None
    opinions: dict[str, dict[str, str]] = field(default_factory=dict)
    runs: dict[str, int] = field(default_factory=dict)
    rounds: int = 0
    n_in_round: int = 0
    attention: Attention = field(default_factory=Attention)
    cards: dict[str, tuple[str, str]] = field(default_factory=dict)

    def copy(self):
        return replace(
            self,
            names=self.names.copy(),
            answers=dict(self.answers),
            seen=dict(self.seen),
            skipped=dict(self.skipped),
            opinions={real: dict(said) for real, said in self.opinions.items()},
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
            real: {who: self.now(label) for who, label in said.items()}
            for real, said in self.opinions.items()
            if len(said) > 1
        }
        return {real: said for real, said in now.items() if len({*said.values()}) > 1}

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

    def worth(self, answer):
        """What an answer counts in the estimate: a confirmation as much as its person noticed."""
        return 1 - self.attention.overlooked(answer.person) if answer.confirmed else 1.0

    def has_none(self):
        """Whether a picture is of none of the classes."""
        return any(not answer.label for answer in self.answers.values())
