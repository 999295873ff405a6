"""The state of the page, as plain values."""

from .._answers.event_kinds import ANSWERS
from .._answers.evidence import first_answers
from .._photos.folder_table import plain
from .random_check import check_so_far
from .snapshot import in_words
from .verdict import doubt_left, may_stop, share_of_all, why_no_verdict

# Number of pictures that are sent, to be shown next or again.
N_SENT = 12
# Number of likely classes that are sent with a picture. The page offers five of them.
N_LIKELY = 9
# Number of classes among them that the model has not learnt yet.
N_NEW = 3
# Number of pictures of the queue that are reserved for the tab: the picture that it shows, and the
# next ones.
N_RESERVED = 3


class PageState:
    """The state of a page. The next pictures are reserved for its tab."""

    def __init__(self, reserved):
        self.reserved = reserved
        self._known_share = None, (None, [])

    def of(self, snapshot, tab, since=None):
        """The data that a tab shows of a `Snapshot`. `since` is the number of changes that the tab
        knows.
        """
        annotations, view, n = snapshot.annotations, snapshot.view, snapshot.pictures.n_photos
        queue = self.reserved.order(tab, queue_of(snapshot), N_RESERVED)
        share, left = self._share_of_all(snapshot)
        return {
            "changes": len(snapshot.events),
            "generation": snapshot.generation,
            "arrived": snapshot.n_arrived,
            "learnt": view.learnt,
            "learning": snapshot.is_learning,
            "problem": snapshot.problem,
            "stage": "label" if snapshot.classes else "names",
            "labelled": snapshot.bursts.count(snapshot.pictures.among(annotations.answers)[:n]),
            "seen": snapshot.bursts.count(snapshot.pictures.among(annotations.seen)[:n]),
            "total": snapshot.bursts.total,
            "pictures": n,
            "right": share,
            "doubt_left": left,
            "may_stop": may_stop(snapshot, share),
            "why_unsure": why_no_verdict(snapshot),
            "plants": annotations.attention.is_on,
            "first": first_answers(annotations),
            "strangers": int((snapshot.are_open & ~view.has_class[:n]).sum()),
            "classes": [plain(label) for label in snapshot.classes],
            "cards": cards_of(snapshot),
            "queue": items(snapshot, queue[:N_SENT]),
            "recent": items(snapshot, recent(snapshot)),
            "check": _check(snapshot),
            "news": items(
                snapshot, _numbers_since(snapshot, since, lambda event: event.tab != tab)
            ),
            "own": _own(snapshot, tab, since),
            "undoable": _undoable(snapshot, tab),
        }

    def _share_of_all(self, snapshot):
        """`share_of_all` and `doubt_left`, kept until something changes."""
        known_of, share = self._known_share
        key = snapshot.generation, snapshot.view.learnt, len(snapshot.events), len(snapshot.unread)
        if known_of != key:
            share = share_of_all(snapshot), doubt_left(snapshot)
            self._known_share = key, share
        return share


def queue_of(snapshot):
    """Pictures to ask. Pictures that were put off come last."""
    skipped, number_of = snapshot.annotations.skipped, snapshot.pictures.number_of
    later = [number_of[real] for real in skipped if real in number_of]
    is_next = snapshot.are_open & ~snapshot.pictures.among(skipped)[: snapshot.pictures.n_photos]
    order = [number for number in snapshot.view.order if is_next[number]]
    return snapshot.bursts.first_of_each([*order, *filter(snapshot.is_open, later)])


def recent(snapshot):
    """Pictures that were answered, the last first, also if the answer was undone."""
    answered = [event for event in snapshot.events if event.kind in ANSWERS]
    numbers = (
        number
        for event in reversed(answered)
        for number in snapshot.bursts.first_of_each(snapshot.numbers_of(event))
    )
    found = {}
    for number in numbers:
        found.setdefault(number)
        if len(found) == N_SENT:
            break
    return snapshot.bursts.first_of_each(found)


def cards_of(snapshot):
    """Suggestions that are no class now: the suggested name, or the number of the first picture of
    a cluster, what became of it (see `card` in `KINDS`), and its name.
    """
    found, names = [], snapshot.annotations.names
    for key, (how, name) in snapshot.annotations.cards.items():
        key = snapshot.pictures.number_of.get(key, key)
        is_cluster = not isinstance(key, str)
        if (is_cluster and not name) or names.current_name(name or key) is None:
            found.append([key if is_cluster else plain(key), how, plain(name)])
    return found


def _numbers_since(snapshot, since, is_of):
    """Pictures that were answered or undone after the first `since` events, by events for which
    `is_of` is true.
    """
    by_id = {event.id: event for event in snapshot.events}
    found = {}
    for event in () if since is None else snapshot.events[max(since, 0) :]:
        about = by_id.get(event.of) if event.kind == "undo" else event
        if is_of(event) and about is not None and about.kind in ANSWERS:
            found |= dict.fromkeys(snapshot.numbers_of(about))
    return [*found]


def _own(snapshot, tab, since):
    """Pictures that this tab answered, with their current answer."""
    numbers = _numbers_since(snapshot, since, lambda event: event.tab == tab)
    answers, real = snapshot.annotations.answers, snapshot.pictures.real
    answers = [answers.get(real[number]) for number in numbers]
    return [
        [number, None if answer is None else plain(answer.label)]
        for number, answer in zip(numbers, answers)
    ]


def _check(snapshot):
    check = check_so_far(snapshot)
    return check and check | {"queue": items(snapshot, check["queue"][:N_SENT])}


def _undoable(snapshot, tab):
    event = snapshot.undoable(tab)
    return event and {"kind": event.kind, "what": in_words(event)}


def items(snapshot, numbers):
    """The data that the page shows of pictures."""
    learnt, known = {*snapshot.view.columns}, {*snapshot.classes}
    new = [[plain(label), None] for label in snapshot.classes if label not in learnt][:N_NEW]
    return [_item(snapshot, number, known, new) for number in numbers]


def _item(snapshot, number, known, new):
    answer = snapshot.annotations.answers.get(snapshot.pictures.real[number])
    likely = [
        [plain(label), share]
        for label, share in snapshot.view.likely(number, N_LIKELY + 1)
        if label in known
    ]
    return {
        "number": number,
        "name": plain(snapshot.pictures.paths[number]),
        "likely": likely[: N_LIKELY - len(new)] + new,
        "predicted": plain(snapshot.shown(number)),
        "label": None if answer is None else plain(answer.label),
        "who": "" if answer is None else plain(answer.who),
        "burst": sorted(snapshot.bursts.of(number)),
    }
