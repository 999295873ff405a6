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

    def of(self, now, tab, since=None):
        """The data that a tab shows of a `Snapshot`. `since` is the number of changes that the tab
        knows.
        """
        annotations, view, n = now.annotations, now.view, now.pictures.n_photos
        queue = self.reserved.order(tab, queue_of(now), N_RESERVED)
        share, left = self._share_of_all(now)
        return {
            "changes": len(now.events),
            "generation": now.generation,
            "arrived": now.n_arrived,
            "learnt": view.learnt,
            "learning": now.is_learning,
            "problem": now.problem,
            "stage": "label" if now.classes else "names",
            "labelled": now.bursts.count(now.pictures.among(annotations.answers)[:n]),
            "seen": now.bursts.count(now.pictures.among(annotations.seen)[:n]),
            "total": now.bursts.total,
            "pictures": n,
            "right": share,
            "doubt_left": left,
            "may_stop": may_stop(now, share),
            "why_unsure": why_no_verdict(now),
            "plants": annotations.attention.is_on,
            "first": first_answers(annotations),
            "strangers": int((now.are_open & ~view.has_class[:n]).sum()),
            "classes": [plain(label) for label in now.classes],
            "cards": cards_of(now),
            "queue": items(now, queue[:N_SENT]),
            "recent": items(now, recent(now)),
            "check": _check(now),
            "news": items(now, _told_since(now, since, lambda event: event.tab != tab)),
            "own": _own(now, tab, since),
            "undoable": _undoable(now, tab),
        }

    def _share_of_all(self, now):
        """`share_of_all` and `doubt_left`, kept until something changes."""
        known_of, share = self._known_share
        key = now.generation, now.view.learnt, len(now.events), len(now.unread)
        if known_of != key:
            share = share_of_all(now), doubt_left(now)
            self._known_share = key, share
        return share


def queue_of(now):
    """Pictures to ask. Pictures that were put off come last."""
    skipped, number_of = now.annotations.skipped, now.pictures.number_of
    later = [number_of[real] for real in skipped if real in number_of]
    is_next = now.are_open & ~now.pictures.among(skipped)[: now.pictures.n_photos]
    order = [number for number in now.view.order if is_next[number]]
    return now.bursts.first_of_each([*order, *filter(now.is_open, later)])


def recent(now):
    """Pictures that were answered, the last first, also if the answer was undone."""
    told = [event for event in now.events if event.kind in ANSWERS]
    numbers = (
        number
        for event in reversed(told)
        for number in now.bursts.first_of_each(now.numbers_of(event))
    )
    found = {}
    for number in numbers:
        found.setdefault(number)
        if len(found) == N_SENT:
            break
    return now.bursts.first_of_each(found)


def cards_of(now):
    """Suggestions that are no class now: the suggested name, or the number of the first picture of
    a cluster, what became of it (see `card` in `KINDS`), and its name.
    """
    found = []
    for key, (how, name) in now.annotations.cards.items():
        key = now.pictures.number_of.get(key, key)
        is_cluster = not isinstance(key, str)
        if (is_cluster and not name) or now.annotations.names.now(name or key) is None:
            found.append([key if is_cluster else plain(key), how, plain(name)])
    return found


def _told_since(now, since, is_told):
    """Pictures that were answered or undone after the first `since` events, by events for which
    `is_told` is true.
    """
    by_id = {event.id: event for event in now.events}
    found = {}
    for event in () if since is None else now.events[max(since, 0) :]:
        about = by_id.get(event.of) if event.kind == "undo" else event
        if is_told(event) and about is not None and about.kind in ANSWERS:
            found |= dict.fromkeys(now.numbers_of(about))
    return [*found]


def _own(now, tab, since):
    """Pictures that this tab answered, with their current answer."""
    told = _told_since(now, since, lambda event: event.tab == tab)
    answers = [now.annotations.answers.get(now.pictures.real[number]) for number in told]
    return [
        [number, None if answer is None else plain(answer.label)]
        for number, answer in zip(told, answers)
    ]


def _check(now):
    check = check_so_far(now)
    return check and check | {"queue": items(now, check["queue"][:N_SENT])}


def _undoable(now, tab):
    event = now.undoable(tab)
    return event and {"kind": event.kind, "what": in_words(event)}


def items(now, numbers):
    """The data that the page shows of pictures."""
    learnt, known = {*now.view.columns}, {*now.classes}
    new = [[plain(label), None] for label in now.classes if label not in learnt][:N_NEW]
    return [_item(now, number, known, new) for number in numbers]


def _item(now, number, known, new):
    answer = now.annotations.answers.get(now.pictures.real[number])
    likely = [
        [plain(label), share]
        for label, share in now.view.likely(number, N_LIKELY + 1)
        if label in known
    ]
    return {
        "number": number,
        "name": plain(now.pictures.paths[number]),
        "likely": likely[: N_LIKELY - len(new)] + new,
        "predicted": plain(now.shown(number)),
        "label": None if answer is None else plain(answer.label),
        "who": "" if answer is None else plain(answer.who),
        "burst": sorted(now.bursts.of(number)),
    }
