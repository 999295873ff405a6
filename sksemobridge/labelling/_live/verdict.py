"""The verdict on all labels: which share of them is right, and whether one may stop."""

import numpy as np

from ..._utils.rows import evenly_spaced
from .._photos.evidence import evidence, looked_enough, why_unsure
from .._photos.summary import NO_ICONS
from .._share_right import MOST_ESTIMATED, ShareRight, share_right

# Share of right labels at which one may stop.
GOOD = 0.95


def why_no_verdict(now):
    """Why nobody can say how many labels are right, or empty."""
    return why_unsure(now.annotations) if now.job.is_known_kind else NO_ICONS


def share_of_all(now):
    """`ShareRight` of the labels that persons said and of those that the model predicts. None while
    there is no class.

    Labels by persons count as right. What somebody confirmed who seems not to have looked is as
    right as the model says, as if nobody had confirmed it.
    """
    if not now.view.columns:
        return None
    rows, codes = _unsure_labels(now)
    if not len(rows):
        return ShareRight(1.0, 1.0, 1.0)
    # To copy the probabilities of all would take longer than the rest of an answer.
    some = evenly_spaced(len(rows), MOST_ESTIMATED)
    heard = evidence(now.annotations)
    share = share_right(now.view.proba[rows[some]], codes=codes[some], n=len(rows), **heard)
    part = len(rows) / now.bursts.total
    return ShareRight(*(1 - part + part * of_rows for of_rows in share))


def may_stop(now, share):
    """Whether the labels are good enough, for all that is known."""
    is_known = share is not None and not why_no_verdict(now)
    return is_known and share.low >= GOOD and looked_enough(now.annotations)


def _unsure_labels(now):
    """Pictures whose label is predicted, or doubted, and the columns of these labels `(k,)`."""
    view, annotations = now.view, now.annotations
    is_predicted = now.are_open & view.has_class[: len(now.are_open)]
    column = {label: code for code, label in enumerate(view.columns)}
    codes = np.where(is_predicted, view.best[: len(now.are_open)], -1)
    for real in annotations.doubted():
        number = now.pictures.number_of.get(real, len(codes))
        if number < len(codes):
            codes[number] = column.get(annotations.answers[real].label, -1)
    rows = np.array(now.bursts.first_of_each(np.flatnonzero(codes >= 0).tolist()), dtype=int)
    return rows, codes[rows]
