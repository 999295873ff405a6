"""What persons said, from their events alone: this knows no file, no model and no page."""

from collections import defaultdict
from dataclasses import dataclass, field, replace

import numpy as np

from .._share_right import Answered, weights_of_answers
from .attention import Attention, person_of
from .class_names import ClassNames
from .events import KINDS, undone

# After so many other answers, those to a check count half.
HALF_OF_A_CHECK = 30
# A page is a round of answers, and so are this many single ones. The live page learns after each:
# an assumption. With fewer it learns more often, with more it asks longer by what it knew before.
ANSWERS_OF_A_ROUND = 5
# Pages, or predictions that were drawn at random, at which somebody looked before the estimate says
# that one can stop: an assumption.
LEAST_PAGES = 2
LEAST_CHECKED = 10
# Why there is no estimate.
NOBODY_LOOKED = "After a page or five answers, this line says how many labels are right."
OTHERS_AMONG_THEM = (
    "Some pictures are of none of the classes, so that only a check at random says how many labels"
    " are right."
)
# Rounds of which the estimate hears. Each counts half of the next one, so that all earlier ones
# together count a millionth.
LAST_ROUNDS = 20


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
        What became of suggested names, by these, or by pictures of groups: one of `CARDS`, and how
        it is called, or with which name it was joined.
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

    def after(self, event, find):
        """What is said with one more event, which takes none back. `find` gives the real paths of a
        picture.
        """
        said = replace(
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
        said.take(event, find)
        return said

    # What events do. A `Said` that somebody else has is not changed.

    def take(self, event, find):
        KINDS[event.kind].effect(self, event, find)

    def answer(self, event, find):
        for picture in event.pictures:
            for real in find(picture):
                self._answer(event, picture, real)
        # Pictures that a person searched for say nothing of the predictions.
        if any(picture.likely for picture in event.pictures):
            self._count(event)
        if event.kind == "page":
            self.attention.take_page(event)

    def put_off(self, event, find):
        for real in (real for picture in event.pictures for real in find(picture)):
            self.skipped.pop(real, None)
            self.skipped[real] = True

    def begin_or_end_check(self, event, find):
        if event.pictures:
            shown = {real: part.shown for part in event.pictures for real in find(part)}
            self.check = Check(shown, event.among, event.id)
        elif self.check is not None:
            done = self.checked()
            shown = {real: label for real, label in self.check.shown.items() if real in done}
            self.check = replace(self.check, shown=shown)

    def add(self, names):
        for name in names:
            self.names.add(name)

    def rename(self, name, into):
        self.names.rename(name, into)
        self._follow_names()

    def join(self, names, into):
        self.names.join(names, into)
        self._follow_names()

    def drop(self, names):
        for name in names:
            dropped = self.now(name)
            for key, (_, called) in self.cards.items():
                if dropped is not None and self.names.now(called or key) == dropped:
                    self.cards[key] = "dropped", called
            self.names.drop(name)
        self._follow_names()

    def switch_planting(self, to):
        self.attention.is_on = to == "on"

    def take_card(self, event, find):
        for key in event.names or (real for part in event.pictures for real in find(part)):
            before = self.cards.get(key, ("", key if event.names else ""))[1]
            self.cards[key] = event.among, event.into
            # What was joined with it follows its name.
            for other, (how, name) in self.cards.items():
                if how == "joined" and other != key and before and name == before:
                    self.cards[other] = how, event.into or before

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

    def _answer(self, event, picture, real):
        label = self.names.add(picture.label) if picture.label else ""
        answer = Answer(
            label,
            picture.path,
            bool(picture.taught),
            event.who,
            event.id,
            picture.likely,
            picture.n_columns,
            self.rounds,
            picture.along,
            person_of(event),
            event.kind == "page" and picture.label == picture.shown,
            event.seconds
            and event.seconds / max(sum(not part.along for part in event.pictures), 1),
        )
        earlier = self.answers.pop(real, None)
        if earlier is not None:
            # The model may have learnt the answer before.
            asked = {"likely": earlier.likely, "n_columns": earlier.n_columns}
            answer = replace(answer, round=earlier.round, **asked)
        self.answers[real] = answer
        self.seen[real] = True
        self.skipped.pop(real, None)
        self._take_opinion(event, real, label)

    def _take_opinion(self, event, real, label):
        opinions = self.opinions.setdefault(real, {})
        if not event.who:
            self.runs[event.tab] = event.run
            # As far as one knows, the same person before the program was begun again.
            for other in [*opinions]:
                if self.runs.get(other, event.run) != event.run:
                    del opinions[other]
        opinions[person_of(event)] = label

    def name_of(self, person):
        """The name of a person, empty without one."""
        return "" if person in self.runs else person

    def _count(self, event):
        self.n_in_round += 1
        if event.kind == "page" or self.n_in_round == ANSWERS_OF_A_ROUND:
            self.rounds, self.n_in_round = self.rounds + 1, 0

    def _follow_names(self):
        """Give answers the names that their classes have now. A class that was dropped takes its
        answers along.
        """
        now = {answer.label: self.now(answer.label) for answer in self.answers.values()}
        for real, answer in list(self.answers.items()):
            if now[answer.label] is None:
                del self.answers[real]
            elif now[answer.label] != answer.label:
                self.answers[real] = replace(answer, label=now[answer.label])

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

    def labels_right(self):
        """The expected share of the answers that is right. What was passed over is as right as the
        model said.
        """
        asked = [answer for answer in self.answers.values() if not answer.along]
        if not any(missed for _, missed in self.attention.planted.values()) or not asked:
            return 1.0
        right = [
            worth + (1 - worth) * self._shares(answer).get(answer.label, 0.0)
            for answer, worth in ((answer, self.worth(answer)) for answer in asked)
        ]
        return float(np.mean(right))

    def why_unsure(self):
        """Why the probabilities do not say how many labels are right, or empty. They are of the
        classes, and know nothing of pictures of others.
        """
        if not self.rounds:
            return NOBODY_LOOKED
        return OTHERS_AMONG_THEM if self.has_none() else ""

    def has_none(self):
        """Whether a picture is of none of the classes."""
        return any(not answer.label for answer in self.answers.values())

    def may_stop(self):
        """Whether somebody looked at enough for the estimate to say that one can stop."""
        return self.attention.n_pages >= LEAST_PAGES or len(self.checked()) >= LEAST_CHECKED

    def _shares(self, answer):
        """The probabilities of an answer by the classes of now. Those of joined classes are
        added.
        """
        shares = defaultdict(float)
        for name, share in answer.likely:
            shares[self.now(name)] += share
        return dict(shares)

    def evidence(self):
        """What the answers say of the predictions: arguments of `share_right`.

        Pictures of a check are drawn at random. The more other answers follow, the less it counts.
        A burst is one answer.
        """
        shown = {} if self.check is None else self.check.shown
        asked = [
            answer
            for real, answer in self.answers.items()
            if real not in shown and not answer.along
        ]
        last = sorted({answer.round for answer in asked if answer.likely})[-LAST_ROUNDS:]
        known = []
        for answer in (answer for answer in asked if answer.round in last):
            shares = self._shares(answer)
            # The model may not have known the class.
            if answer.label in shares:
                known.append((answer, [*shares].index(answer.label)))
        rounds = [answer.round for answer, _ in known]
        weights = weights_of_answers(rounds, [answer.likely[0][0] for answer, _ in known])
        weights *= [self.worth(answer) for answer, _ in known]
        # Those of as many columns together.
        alike = defaultdict(list)
        for (answer, code), weight in zip(known, weights):
            shares = [*self._shares(answer).values()]
            n_others = max(answer.n_columns - len(answer.likely), 0)
            alike[len(shares), n_others].append((shares, code, weight))
        checked = self.checked()
        n_later = sum(
            self.check is not None and answer.event > self.check.event for answer in asked
        )
        part = HALF_OF_A_CHECK / (HALF_OF_A_CHECK + n_later)
        return {
            "answers": [
                Answered(*map(np.array, zip(*rows)), n_others)
                for (_, n_others), rows in alike.items()
            ],
            "n_checked": part * len(checked),
            "n_right": part * sum(checked.values()),
        }


def fold(events, find, classes=(), corrections=None):
    """`Said` by all events together, without those that were taken back.

    `classes` are there to begin with. `corrections` are labels of a list, real paths to `(path,
    label)`.
    """
    said = Said(ClassNames(classes))
    for real, (path, label) in (corrections or {}).items():
        label = said.names.add(label) if label else ""
        said.answers[real] = Answer(label, path)
    passed = undone(events)
    for position, event in enumerate(events):
        if position not in passed:
            said.take(event, find)
    return said


def last_undoable(events, tab, n_before, is_here):
    """The event that a tab takes back: its own last one, or else the last of an earlier run, which
    had `n_before` events. None if there is none.

    `is_here` says whether an event is about something that is here.
    """
    passed = undone(events)
    left = [
        (position, event)
        for position, event in reversed([*enumerate(events)])
        if KINDS[event.kind].words and position not in passed
    ]
    own = (event for _, event in left if event.tab == tab and is_here(event))
    earlier = (event for position, event in left if position < n_before and is_here(event))
    return next(own, None) or next(earlier, None)
