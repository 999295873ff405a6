"""Checks: predictions that are drawn at random, and how many of them are right."""

import numpy as np
from scipy.stats import binomtest

from .refused import Refused

# Number of pictures of a check: of pictures that nobody labelled, and of seen pictures. The numbers
# are assumptions of what a person answers in a minute or two. If all are right, the interval of 95
# % begins at 89 % and at 86 %.
N_CHECKED = {"rest": 30, "seen": 24}
# The interval of a check holds the share in 19 of 20 cases, as is usual.
CHECK_CONFIDENCE = 0.95


def draw_check(snapshot, files, among):
    """Pictures of a new check with their predictions, as an event keeps them."""
    numbers = snapshot.bursts.first_of_each(snapshot.rest() if among == "rest" else snapshot.seen())
    drawn = np.random.default_rng().permutation(numbers)[: N_CHECKED[among]].tolist()
    if not drawn:
        raise Refused("There is no picture to check.")
    return tuple(files.event(number, shown=snapshot.shown(number)) for number in drawn)


def check_so_far(snapshot):
    """Figures of the last check, or None without a check. `queue` are the pictures that are left,
    and `later` is the number of labels after the last answer of the check. `of` is the number of
    pictures at the draw, None if no pictures were added since.
    """
    check, number_of = snapshot.annotations.check, snapshot.pictures.number_of
    if check is None:
        return None
    answers = snapshot.annotations.checked()
    right, done = sum(answers.values()), len(answers)
    interval = 0, 1
    if done:
        interval = binomtest(right, done).proportion_ci(CHECK_CONFIDENCE, "wilson")
    last = max((snapshot.annotations.answers[real].event for real in answers), default=0)
    here = [number_of[real] for real in check.shown if real in number_of and real not in answers]
    left = [*filter(snapshot.is_readable, here)]
    return {
        "among": check.among,
        "drawn": done + len(left),
        "done": done,
        "right": right,
        "interval": [*map(float, interval)],
        "of": check.drawn_from
        if snapshot.annotations.has_old_check(snapshot.pictures.n_photos)
        else None,
        "later": sum(answer.event > last for answer in snapshot.annotations.answers.values()),
        "queue": left,
    }
