"""Pictures that persons look through together."""

import numpy as np

from ..._review_next import best_page
from .session import MOST_TILES, Refused

# Where the pictures are from: not yet seen, or seen (a second look).
AMONG = ("rest", "seen")
# A picture with a lower p-value is hardly of any class. With it, 24 slips and 24 pictures of other
# sets beside one answer of each class have an area under the ROC curve of .97 to 1 on three real
# folders, and of .6 where the others are of the same kind.
UNUSUAL = 0.1


def next_pictures(session, tab, n_images, among="rest", name=None, without=()):
    """Numbers of the next pictures, under the label that stands over them, and how many are left.

    `name` is the label of all of them, None for any. Those of `without` are left out. The pictures
    are kept for the tab, unless it only asks what comes after those `without`.
    """
    if type(n_images) is not int or n_images < 1 or among not in AMONG:
        raise Refused("A page has 1 or more pictures, of the rest, or of what was seen.")
    if any(type(number) is not int for number in without):
        raise Refused("A page leaves out pictures by their numbers.")
    if not session.learner.view.columns:
        raise Refused(
            "The classifier knows no class yet: label a picture of each class under “Ask” first."
        )
    n_images, without = min(n_images, MOST_TILES), {*without}
    with session.lock:
        view = session.learner.view
        if among == "seen":
            numbers = session.seen()
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
            chosen = most_doubted(session, view, labels, rows)[:n_images].tolist()
        else:
            chosen = best_page(view.top, view.best, rows, n_images).tolist()
        if not without:
            session.for_tab(tab, chosen, n_images)
    groups = {}
    for number in chosen:
        groups.setdefault(labels[number], []).append(number)
    return groups, len(labels)


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
