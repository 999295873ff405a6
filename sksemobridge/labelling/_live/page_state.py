"""What the page shows, as plain values."""

from .._photos.event_kinds import ANSWERS
from .._photos.evidence import first_answers
from .._photos.folder_table import plain
from .random_check import check_so_far
from .snapshot import in_words
from .verdict import doubt_left, may_stop, share_of_all, why_no_verdict

# Pictures that the page may show next or again.
N_SENT = 12
# Likely classes that are sent of a picture. The page offers five of them.
N_LIKELY = 9
# Classes among them that the model has not learnt yet.
N_NEW = 3
# Pictures of the queue that are kept for the tab: the one that it shows, and the next.
N_RESERVED = 3


class PageState:
    """The state of a page. It keeps the next pictures for its tab, in a `Reserved`."""

    def __init__(self, reserved):
        self.reserved = reserved
        self._known_share = None, (None, [])

    def of(self, now, tab, since=None):
        """All that a tab shows of a `Snapshot`. `since` is the number of changes that it knows."""
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
        """That of `verdict`, and `doubt_left`, kept until something changes."""
        known_of, share = self._known_share
        key = now.generation, now.view.learnt, len(now.events), len(now.unread)
        if known_of != key:
            share = share_of_all(now), doubt_left(now)
            self._known_share = key, share
        return share


def queue_of(now):
    """Pictures to ask, those last that were put off."""
    skipped, number_of = now.annotations.skipped, now.pictures.number_of
    later = [number_of[real] for real in skipped if real in number_of]
    is_next = now.are_open & ~now.pictures.among(skipped)[: now.pictures.n_photos]
    order = [number for number in now.view.order if is_next[number]]
    return now.bursts.first_of_each([*order, *filter(now.is_open, later)])


def recent(now):
    """Pictures that were answered, also if that was taken back, the last first."""
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
    """What became of suggestions that are no class: name or number of the first picture, one of
    those of `KINDS`, and how it is called.
    """
    found = []
    for key, (how, name) in now.annotations.cards.items():
        key = now.pictures.number_of.get(key, key)
        is_cluster = not isinstance(key, str)
        if (is_cluster and not name) or now.annotations.names.now(name or key) is None:
            found.append([key if is_cluster else plain(key), how, plain(name)])
    return found


def _told_since(now, since, is_told):
    """Pictures that were answered since so many events, in those that `is_told` takes."""
    by_id = {event.id: event for event in now.events}
    found = {}
    for event in () if since is None else now.events[max(since, 0) :]:
        about = by_id.get(event.of) if event.kind == "undo" else event
        if is_told(event) and about is not None and about.kind in ANSWERS:
            found |= dict.fromkeys(now.numbers_of(about))
    return [*found]


def _own(now, tab, since):
    """Pictures that this tab answered, with their label by a person."""
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
    """What the page shows of pictures."""
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
