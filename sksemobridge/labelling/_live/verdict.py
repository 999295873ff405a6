"""The verdict on all labels: the share of right labels, and whether a person may stop."""

import numpy as np

from .._answers.evidence import looked_enough, share_by_evidence, why_unsure
from .._photos.summary import NO_ICONS
from .._share_right import MOST_ESTIMATED, ShareRight
from .random_check import check_so_far

# Share of right labels at which a person may stop.
GOOD = 0.95
# Pictures in a step of `doubt_left`, and number of steps. Five pages of any size in fit.js are a
# whole number of steps.
STEP, N_STEPS = 15, 20


def why_no_verdict(snapshot):
    """The reason why the share of right labels is not known, or empty."""
    return why_unsure(snapshot.annotations) if snapshot.job.is_known_kind else NO_ICONS


def share_of_all(snapshot):
    """`ShareRight` of all labels, by persons and by the model. None while there is no class.

    Labels by persons count as right. A label that a person confirmed without looking counts as a
    prediction. If a check of seen pictures found wrong labels, the labels from which it was drawn
    are right with the share in the check, until somebody looks again.
    """
    if not snapshot.view.columns:
        return None
    rows, codes = _unsure_labels(snapshot)
    shares = [(len(rows), _share_of_unsure(snapshot, rows, codes))] if len(rows) else []
    if wrong_among_seen(snapshot):
        check = check_so_far(snapshot)
        of_seen = check["right"] / check["done"], *check["interval"]
        shares.append((_n_checked_from(snapshot), of_seen))
    wrong = np.zeros(3)
    for n, share in shares:
        wrong += n / snapshot.bursts.total * (1 - np.array(share))
    return ShareRight(*np.maximum(1 - wrong, 0).tolist())


def doubt_left(snapshot):
    """The share of the expected wrong labels that is left after a person looks through `STEP`
    further pictures, twice as many, and so on. Empty if no picture is left to look through.
    """
    if not snapshot.view.columns:
        return []
    rows, codes = _unsure_labels(snapshot)
    doubt = 1 - snapshot.view.proba[rows, codes].astype(float)
    is_seen = snapshot.pictures.among(snapshot.annotations.seen)[rows]
    # Pages have the most doubted pictures first.
    unseen = -np.sort(-doubt[~is_seen])
    if not len(unseen) or doubt.sum() <= 0:
        return []
    found = np.cumsum(unseen)[np.minimum(STEP * np.arange(1, N_STEPS + 1), len(unseen)) - 1]
    return (1 - found / doubt.sum()).clip(0).tolist()


def wrong_among_seen(snapshot):
    """The number of wrong labels that a check of seen pictures found."""
    check = snapshot.annotations.check
    is_of_seen = check is not None and check.among == "seen"
    return [*snapshot.annotations.checked().values()].count(False) if is_of_seen else 0


def _n_checked_from(snapshot):
    """The number of labels that were last answered before the check."""
    annotations, n = snapshot.annotations, snapshot.pictures.n_photos
    before = [
        real
        for real, answer in annotations.answers.items()
        if answer.event < annotations.check.event and not annotations.is_doubted(answer)
    ]
    return snapshot.bursts.count(snapshot.pictures.among(before)[:n])


def _share_of_unsure(snapshot, rows, codes):
    """`ShareRight` of these labels."""
    # Copying the probabilities of all pictures would take longer than the rest of a response.
    some = np.linspace(0, len(rows) - 1, min(len(rows), MOST_ESTIMATED), dtype=int)
    proba, n = snapshot.view.proba[rows[some]], snapshot.pictures.n_photos
    return share_by_evidence(snapshot.annotations, n, proba, codes=codes[some], n=len(rows))


def may_stop(snapshot, share):
    """Whether the labels are good enough, by all evidence."""
    if share is None or why_no_verdict(snapshot):
        return False
    return share.low >= GOOD and looked_enough(snapshot.annotations, snapshot.pictures.n_photos)


def _unsure_labels(snapshot):
    """Pictures whose label is predicted, or doubted, and the columns of these labels `(k,)`."""
    view, annotations = snapshot.view, snapshot.annotations
    is_predicted = snapshot.are_open & view.has_class[: len(snapshot.are_open)]
    column = {label: code for code, label in enumerate(view.columns)}
    codes = np.where(is_predicted, view.best[: len(snapshot.are_open)], -1)
    for real in annotations.doubted():
        number = snapshot.pictures.number_of.get(real, len(codes))
        if number < len(codes):
            codes[number] = column.get(annotations.answers[real].label, -1)
    rows = np.array(snapshot.bursts.first_of_each(np.flatnonzero(codes >= 0).tolist()), dtype=int)
    return rows, codes[rows]
