"""Pictures that persons look through together."""

import numpy as np

from .._review_next import best_page
from .session import MOST_TILES, Refused

# Where the pictures are from: not yet seen, or seen (a second look).
AMONG = ("rest", "seen")
# A picture with a lower p-value is hardly of any class. With it, 24 slips and 24 pictures of other
# sets beside one answer of each class have an area under the ROC curve of .97 to 1 on three real
# folders, and of .6 where the others are of the same kind.
UNUSUAL = 0.1
# Seconds a picture. Nobody has looked at those that were confirmed faster: an assumption, a page of
# 24 in less than 4 s.
QUICK = 0.15
# Pages without a correction, one after the other, before one with planted pictures.
PAGES_IN_A_ROW = 3
N_PLANTED = 2
# The pictures to plant are drawn among so many of which the model is surest: they are no hard ones.
N_SURE = 24


def next_pictures(session, tab, n_images, among="rest", name=None, without=(), of=()):
    """Numbers of the next pictures, under the label that stands over them, and how many are left.

    `name` is the label of all of them, None for any. Those of `without` are left out. With `of`,
    the pictures are those of pages with these numbers of events. They are kept for the tab, unless
    it only asks what comes after those `without`.
    """
    if type(n_images) is not int or n_images < 1 or among not in AMONG:
        raise Refused("A page has 1 or more pictures, of the rest, or of what was seen.")
    if any(type(number) is not int for number in [*without, *of]):
        raise Refused("Pictures and pages have numbers.")
    if not session.learner.view.columns:
        raise Refused(
            "The classifier knows no class yet: label a picture of each class under “Ask” first."
        )
    n_images, without = min(n_images, MOST_TILES), {*without}
    with session.lock:
        view = session.learner.view
        if among == "seen":
            numbers = session.seen()
            if of:
                of_pages = {*session.numbers_of_events(of)}
                numbers = [number for number in numbers if number in of_pages]
        else:
            is_seen = session.files.among(session.said.seen)
            numbers = [number for number in session.rest() if not is_seen[number]]
        numbers = session.strips.first_of_each(numbers)
        labels = session.labels_of([number for number in numbers if number not in without])
        if name is not None:
            wanted = session.said.names.now(name) if name else ""
            labels = {number: label for number, label in labels.items() if label == wanted}
        others = session.given_to_others(tab)
        own = [number for number in labels if number not in others]
        rows = np.array(own or [*labels], dtype=int)
        if among == "seen":
            chosen = most_doubted(session, view, labels, rows)
            chosen = quickest_first(session, chosen)[:n_images].tolist()
        else:
            chosen = best_page(view.top, view.best, rows, n_images).tolist()
        if not without:
            session.for_tab(tab, chosen, n_images)
    groups = {}
    for number in chosen:
        groups.setdefault(labels[number], []).append(number)
    return groups, len(labels)


def quickest_first(session, rows):
    """The rows with those first that were confirmed too quickly to be looked at, the quickest
    first.
    """
    answers, real = session.said.answers, session.files.real
    seconds = np.array(
        [
            answers[real[row]].seconds if answers[real[row]].confirmed else None
            for row in rows.tolist()
        ],
        dtype=float,
    )
    seconds[~(seconds < QUICK)] = np.inf
    return rows[np.argsort(seconds, kind="stable")]


def is_time_to_plant(session, tab):
    """Whether the tab confirmed some pages without a correction, and planting is on."""
    attention = session.said.attention
    return attention.is_on and len(attention.in_a_row.get(tab, ())) >= PAGES_IN_A_ROW


def draw_planted(session, groups):
    """Pictures to plant in a page of these `groups`: each number, and the label over it, which is
    wrong. Their label is known by an answer, and the model is sure of it.
    """
    said, view, files = session.said, session.learner.view, session.files
    columns = {label: column for column, label in enumerate([*view.columns, ""])}
    headings = [label for label in groups if label in columns]
    on_page = {number for numbers in groups.values() for number in numbers}
    known = []
    for real, answer in said.answers.items():
        number, others = files.numbers.get(real), [one for one in headings if one != answer.label]
        if (
            number is None
            or number >= files.n_photos
            or number in on_page
            or number in files.unread
        ):
            continue
        if answer.label and others and view.predicted[number] == answer.label:
            least = min(others, key=lambda label: view.proba[number, columns[label]])
            known.append((answer.confirmed, -view.top[number], number, least))
    # Rather what somebody answered than what somebody confirmed.
    surest = sorted(known)[:N_SURE]
    drawn = np.random.default_rng().permutation(len(surest))[:N_PLANTED]
    return [surest[i][2:] for i in drawn]


def most_doubted(session, view, labels, rows):
    """The rows whose label the model doubts most, first."""
    columns = {label: column for column, label in enumerate(view.columns)}
    sure = np.array(
        [
            view.proba[row, columns[labels[row]]] if labels[row] in columns else 0.0
            for row in rows.tolist()
        ]
    )
    is_none = np.array([not labels[row] for row in rows.tolist()], dtype=bool)
    if is_none.any():
        sure[is_none] = 1 - proba_of_answered(session, view, rows[is_none])
    return rows[np.argsort(sure, kind="stable")]


def proba_of_answered(session, view, rows):
    """How likely pictures are of a class with an answer `(k,)`, by the classifier alone: what is
    none of the classes was learnt from these pictures themselves.
    """
    classifier, proba = view.labels.classifier, view.proba[rows, :-1]
    answered = {answer.label for answer in session.said.answers.values()}
    is_answered = np.isin(view.columns, [*answered])
    if not is_answered.any() or not hasattr(classifier, "p_values"):
        return np.zeros(len(rows))
    own = proba[:, is_answered].max(axis=1) / np.maximum(proba.sum(axis=1), np.finfo(float).tiny)
    return own * np.minimum(classifier.p_values(view.labels.embeddings[rows]) / UNUSUAL, 1)
