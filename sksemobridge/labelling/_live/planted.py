"""Planted pictures: pictures of a known label, shown on a page under another class. A person who
confirms them did not look.
"""

import numpy as np

from .named_class import as_label

# Number of pages in a row without a correction before a page with planted pictures.
PAGES_IN_A_ROW = 3
N_PLANTED = 2
# Planted pictures are drawn from this many pictures of which the model is surest, so they are easy.
N_SURE = 24


def is_time_to_plant(annotations, tab):
    """Whether the tab confirmed some pages without a correction, and planting is on."""
    attention = annotations.attention
    return attention.is_on and len(attention.in_a_row.get(tab, ())) >= PAGES_IN_A_ROW


def draw_planted(snapshot, labels):
    """Pictures to plant in a page with these `labels`, each with a wrong label of the page. The
    right label is known by an answer, and the model is sure of it.
    """
    view, columns = (
        snapshot.view,
        {label: i for i, label in enumerate([*snapshot.view.columns, ""])},
    )
    headings = [label for label in labels if label in columns]
    known = []
    for number, answer in _answered_photos(snapshot):
        others = [label for label in headings if label != answer.label]
        if others and view.predicted[number] == answer.label:
            least = min(others, key=lambda label: view.proba[number, columns[label]])
            known.append((answer.confirmed, -view.top[number], number, least))
    # Pictures that somebody labelled singly come before pictures that somebody confirmed on a page.
    surest = sorted(known)[:N_SURE]
    drawn = np.random.default_rng().permutation(len(surest))[:N_PLANTED]
    return [surest[i][2:] for i in drawn]


def _answered_photos(snapshot):
    """Pictures of PHOTOS with an answer that is a class, and can be shown."""
    for real, answer in snapshot.annotations.answers.items():
        number = snapshot.pictures.number_of.get(real, snapshot.pictures.n_photos)
        if answer.label and number < snapshot.pictures.n_photos and snapshot.is_readable(number):
            yield number, answer


def planted_pictures(snapshot, files, pictures):
    """The planted pictures of a confirmed page, as an event keeps them."""
    names = snapshot.annotations.names
    return tuple(
        files.event(
            picture["number"],
            label=as_label(names, picture["label"], []),
            shown=as_label(names, picture["shown"], []),
            taught=False,
        )
        for picture in pictures
    )
