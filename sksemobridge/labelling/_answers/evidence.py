"""Evidence of the answers on the predictions: how many are right, and when an estimate can be
trusted.
"""

from collections import defaultdict
from dataclasses import replace

import numpy as np

from .._share_right import Answered, share_right, weights_of_answers

# After so many other answers, answers to a check count half, and so do the first answers.
HALF_OF_A_CHECK = 30
# Least number of pages, or of predictions drawn at random, at which somebody must look before the
# estimate says that one can stop. Both numbers are assumptions.
LEAST_PAGES = 2
LEAST_CHECKED = 10
# Reasons for no estimate.
NOBODY_LOOKED = "After a page or five answers, this line says how many labels are right."
OTHERS_AMONG_THEM = (
    "Some pictures are of none of the classes, so that only a check at random says how many labels"
    " are right."
)
# Number of the last rounds that the estimate uses. Each round counts half of the next one, so that
# all earlier rounds together count a millionth.
LAST_ROUNDS = 20


def why_unsure(annotations):
    """The reason why probabilities do not say how many labels are right, or empty. Probabilities
    are of the classes, and say nothing of pictures of none of them.
    """
    if not annotations.rounds:
        return NOBODY_LOOKED
    return OTHERS_AMONG_THEM if annotations.has_none() else ""


def looked_enough(annotations, n_pictures):
    """Whether somebody looked at enough of the `n_pictures` for the estimate to say that one can
    stop.
    """
    attention, is_old = annotations.attention, annotations.has_old_check(n_pictures)
    n_pages = attention.n_pages - len(attention.doubted)
    n_checked = 0 if is_old else len(annotations.checked())
    return n_pages >= LEAST_PAGES or n_checked >= LEAST_CHECKED


def share_by_evidence(annotations, n_pictures, proba, **params):
    """`share_right` of predictions with these probabilities, of some of the `n_pictures`, by all
    answers.

    A check that was drawn before some pictures were added may lower the share, but not raise it.
    """
    heard = [evidence(annotations)]
    if annotations.has_old_check(n_pictures):
        heard.append(evidence(replace(annotations, check=None)))
    shares = [share_right(proba, **params, **said) for said in heard]
    return min(shares, key=lambda share: share.low)


def first_answers(annotations):
    """The number of the first answers that the names alone predict, and the number of all first
    answers. Their pictures were drawn at random. None before the end of the first round, or without
    first answers.
    """
    first = [answer for answer in annotations.answers.values() if answer.at_random]
    if not annotations.rounds or not first:
        return None
    return sum(_is_right(annotations, answer) for answer in first), len(first)


def _is_right(annotations, answer):
    """Whether the model predicted the answer when the picture was asked."""
    return bool(answer.likely) and annotations.current_name(answer.likely[0][0]) == answer.label


def evidence(annotations):
    """The evidence of the answers on the predictions: arguments of `share_right`.

    Pictures of a check are drawn at random, and so are the first pictures. Their answers count
    less, the more other answers follow. A burst is one answer. A check of pictures that somebody
    has seen says nothing of predictions.
    """
    if annotations.check is not None and annotations.check.among != "rest":
        annotations = replace(annotations, check=None)
    shown = {} if annotations.check is None else annotations.check.shown
    asked = [
        answer
        for real, answer in annotations.answers.items()
        if real not in shown and not answer.by_burst and not annotations.is_doubted(answer)
    ]
    first = [answer for answer in asked if answer.at_random]
    asked = [answer for answer in asked if not answer.at_random]
    last = sorted({answer.round for answer in asked if answer.likely})[-LAST_ROUNDS:]
    heard = []
    for answer in (answer for answer in asked if answer.round in last):
        shares = shares_now(annotations, answer)
        # The model may not have known the class.
        if answer.label in shares:
            heard.append((answer, [*shares.values()], [*shares].index(answer.label)))
    rounds = [answer.round for answer, *_ in heard]
    weights = weights_of_answers(rounds, [answer.likely[0][0] for answer, *_ in heard])
    # Answers with the same number of columns go together.
    alike = defaultdict(list)
    for (answer, shares, code), weight in zip(heard, weights):
        n_others = max(answer.n_columns - len(answer.likely), 0)
        alike[len(shares), n_others].append((shares, code, weight))
    checked = annotations.checked()
    n_later = sum(
        annotations.check is not None and answer.event > annotations.check.event for answer in asked
    )
    part, part_first = (HALF_OF_A_CHECK / (HALF_OF_A_CHECK + n) for n in (n_later, len(asked)))
    n_first_right = sum(_is_right(annotations, answer) for answer in first)
    return {
        "answers": [
            Answered(*map(np.array, zip(*rows)), n_others) for (_, n_others), rows in alike.items()
        ],
        "n_checked": part * len(checked) + part_first * len(first),
        "n_right": part * sum(checked.values()) + part_first * n_first_right,
    }


def shares_now(annotations, answer):
    """The probabilities of an answer, by the names that classes have now. Probabilities of joined
    classes are added.
    """
    shares = defaultdict(float)
    for name, share in answer.likely:
        shares[annotations.current_name(name)] += share
    return dict(shares)
