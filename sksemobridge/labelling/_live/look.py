"""Pictures that persons look through together."""

from functools import partial

import numpy as np

from .._photos.folder_table import plain
from .._review_next import best_page
from .confirmed_page import MOST_TILES
from .page_state import items
from .planted import N_PLANTED, draw_planted, is_time_to_plant
from .refused import Refused

# Kinds of pages: of pictures that are not yet seen, of seen pictures (a second look), and of
# pictures that were confirmed on a page although the model takes the label for wrong.
AMONG = ("rest", "seen", "doubted")
LEAST_SURE = 0.5
# A picture with a lower p-value is hardly of any class. On three real folders with one answer a
# class, this limit tells 24 slips from 24 pictures of other sets with an area under the ROC curve
# of .97 to 1, and of .6 if the other pictures are of the same kind.
UNUSUAL = 0.1
# Seconds a picture. Pictures that were confirmed faster were not looked at: an assumption, for a
# page of 24 in less than 4 s.
QUICK = 0.15


def look(session, tab, who, n_images, among="rest", name=None, without=(), of=(), plant=False):
    """The next page as plain values: the pictures of `next_pictures`, and with `plant` now and then
    planted pictures.
    """
    snapshot, reserved = session.snapshot(), session.reserved
    plant = plant is True and among == "rest" and is_time_to_plant(snapshot.annotations, tab)
    if plant and type(n_images) is int:
        n_images = max(n_images - N_PLANTED, 1)
    by_label, left = next_pictures(snapshot, reserved, tab, n_images, among, name, without, of)
    shown = [
        {"label": plain(label), "pictures": items(snapshot, numbers)}
        for label, numbers in by_label.items()
    ]
    if plant:
        rng = np.random.default_rng()
        for number, label in draw_planted(snapshot, by_label):
            pictures = next(page for page in shown if page["label"] == plain(label))["pictures"]
            (item,) = items(snapshot, [number])
            at = rng.integers(len(pictures) + 1)
            pictures.insert(at, item | {"planted": True, "burst": [number]})
    return {"look": {"groups": shown, "left": left, "knew": len(snapshot.events)}}


def next_pictures(snapshot, reserved, tab, n_images, among="rest", name=None, without=(), of=()):
    """Numbers of the next pictures by the label that the page shows over them, and how many are
    left.

    `name` is the label of all pictures, None for any label. Pictures of `without` are left out.
    `of` are numbers of events: with it, pictures are from these pages. The pictures are reserved
    for the tab, unless `without` is given: then the tab only asks which pictures come after these
    pictures.
    """
    if type(n_images) is not int or n_images < 1 or among not in AMONG:
        raise Refused("A page has 1 or more pictures, of the rest, or of what was seen or doubted.")
    if any(type(number) is not int for number in [*without, *of]):
        raise Refused("Pictures and pages have numbers.")
    if not snapshot.view.columns:
        raise Refused(
            "The classifier knows no class yet: label a picture of each class under “Ask” first."
        )
    n_images, without = min(n_images, MOST_TILES), {*without}
    numbers = {
        "rest": _not_seen,
        "seen": partial(_of_pages, ids=of),
        "doubted": _doubted,
    }
    numbers = snapshot.bursts.first_of_each(numbers[among](snapshot))
    labels = snapshot.labels_of([number for number in numbers if number not in without])
    if name is not None:
        wanted = snapshot.annotations.names.current_name(name) if name else ""
        labels = {number: label for number, label in labels.items() if label == wanted}
    others = reserved.of_others(tab)
    own = [number for number in labels if number not in others]
    rows = np.array(own or [*labels], dtype=int)
    if among == "rest":
        chosen = full_page(snapshot.view, rows, n_images)
    else:
        chosen = quickest_first(snapshot, most_doubted(snapshot, labels, rows))[:n_images].tolist()
    if not without:
        reserved.order(tab, chosen, len(chosen))
    by_label = {}
    for number in chosen:
        by_label.setdefault(labels[number], []).append(number)
    return by_label, len(labels)


def full_page(view, rows, n_images):
    """The best page of these rows, filled up with the next best pages, so that the last pages are
    not short.
    """
    chosen = []
    while len(chosen) < n_images and len(chosen) < len(rows):
        left = rows[~np.isin(rows, chosen)]
        chosen += best_page(view.top, view.best, left, n_images - len(chosen)).tolist()
    return chosen


def _not_seen(snapshot):
    is_seen = snapshot.pictures.among(snapshot.annotations.seen)
    return [number for number in snapshot.rest() if not is_seen[number]]


def _of_pages(snapshot, ids):
    """Seen pictures, on pages with these numbers of events, or on any page."""
    of_pages = {
        number
        for event in snapshot.events
        if event.id in ids
        for number in snapshot.numbers_of(event)
    }
    return [number for number in snapshot.seen() if not ids or number in of_pages]


def _doubted(snapshot):
    """Pictures that were confirmed on a page, and whose label the model takes for wrong."""
    answers, real = snapshot.annotations.answers, snapshot.pictures.real
    numbers = [number for number in snapshot.seen() if answers[real[number]].confirmed]
    is_doubted = (
        how_sure(snapshot, snapshot.labels_of(numbers), np.array(numbers, dtype=int)) < LEAST_SURE
    )
    return np.array(numbers, dtype=int)[is_doubted].tolist()


def quickest_first(snapshot, rows):
    """The rows, with pictures first that were confirmed too quickly to be looked at, the quickest
    first.
    """
    answers = [snapshot.annotations.answers[snapshot.pictures.real[row]] for row in rows.tolist()]
    seconds = [answer.seconds if answer.confirmed else None for answer in answers]
    seconds = np.array(seconds, dtype=float)
    seconds[~(seconds < QUICK)] = np.inf
    return rows[np.argsort(seconds, kind="stable")]


def most_doubted(snapshot, labels, rows):
    """The rows in order of doubt: first the label that the model doubts most."""
    return rows[np.argsort(how_sure(snapshot, labels, rows), kind="stable")]


def how_sure(snapshot, labels, rows):
    """The probability of the label of each row `(k,)`."""
    view, columns = (
        snapshot.view,
        {label: column for column, label in enumerate(snapshot.view.columns)},
    )
    sure = np.array(
        [
            view.proba[row, columns[labels[row]]] if labels[row] in columns else 0.0
            for row in rows.tolist()
        ]
    )
    is_none = np.array([not labels[row] for row in rows.tolist()], dtype=bool)
    if is_none.any():
        sure[is_none] = 1 - proba_of_answered(snapshot, rows[is_none])
    return sure


def proba_of_answered(snapshot, rows):
    """The probability `(k,)` that pictures are of a class with an answer, by the classifier alone:
    the model of none of the classes has learnt from these pictures themselves.
    """
    view = snapshot.view
    classifier, proba = view.labels.classifier, view.proba[rows, :-1]
    answered = {answer.label for answer in snapshot.annotations.answers.values()}
    is_answered = np.isin(view.columns, [*answered])
    if not is_answered.any() or not hasattr(classifier, "p_values"):
        return np.zeros(len(rows))
    own = proba[:, is_answered].max(axis=1) / np.maximum(proba.sum(axis=1), np.finfo(float).tiny)
    return own * np.minimum(classifier.p_values(view.labels.job.embeddings[rows]) / UNUSUAL, 1)
