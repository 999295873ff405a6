"""Judgement of shots on the names of their classes: whether names are better than chance, and
whether each is the name of its own class.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.special import log_softmax

from .._utils.rows import sum_rows, weight_in_class
from .fit import FitInput, gather_evidence

# Below this probability that texts help, names are no better than chance. One of 1,176 fits to real
# images with their names is below (11 sets, 2 to all classes, 1 to 4 shots).
LEAST_TRUST = 0.5
# Least lead, in nats, of the hypothesis that names are exchanged over the hypothesis that they are
# not. None of these fits reaches this lead, and 98 % of them do if half of the names are exchanged.
LEAST_LEAD = 3.0


class JudgedNames(NamedTuple):
    """Judgement of shots on names."""

    is_chance: bool  # whether names are no better than chance
    # Index of each class whose name is that of another class, and index of the other
    exchanged: dict[int, int]


def judge_names(shots, class_texts):
    """`JudgedNames` of `Shots` and `ClassTexts`, as `FitInput.of` takes them."""
    given = FitInput.of(shots, class_texts, None)
    images, alone = given.images, given.texts_alone
    _, trust = alone.fit(given.omega()[given.held_rows])
    share, named = weight_in_class(images.codes, images.weight), np.flatnonzero(given.has_text)
    means = sum_rows(images.u, share, images.codes, len(given.has_text))[named]
    other = exchanged_names(class_texts.logit_scale * means @ given.texts[named].T)
    # Names that several classes share lower `distinct`, but may help nevertheless.
    return JudgedNames(
        is_chance=trust < LEAST_TRUST * alone.distinct,
        exchanged={int(c): int(named[k]) for c, k in zip(named, other) if named[k] != c},
    )


def relative_text_scale(shots, class_texts):
    """The scale of the cosines of `ClassTexts` beside the discriminant of one image of each class,
    relative to the logit scale of their model. The result is 1 if there are more images, or if all
    texts are the same.
    """
    images = shots.distinct_images()
    if np.bincount(images.codes, images.relative).max() >= 2:
        return 1.0
    given = FitInput.of(shots, class_texts, None)
    if given.texts_alone.distinct == 0:
        return 1.0
    evidence = gather_evidence(given, np.ones(len(images.codes)))
    _, regression = evidence.logits_without_correction(None)
    return regression.scales["text"] / class_texts.logit_scale


def exchanged_names(logits):
    """Index of the name that each class has by its shots `(K,)`: its own, unless exchanged names
    are far likelier. `logits (K, K)` are the logits of the mean shot of each class by all names.

    A name that is near all images says nothing of a single image, so logits are relative to the
    mean of each name. Each exchanged name costs `log K`, as there are about `K` names to choose
    from.
    """
    own = np.arange(len(logits))
    if len(own) < 2:
        return own
    log_p = log_softmax(logits - logits.mean(axis=0), axis=1)
    _, best = linear_sum_assignment(-log_p)
    lead = log_p[own, best].sum() - log_p[own, own].sum()
    cost = np.count_nonzero(best != own) * np.log(len(own))
    return best if lead > cost + LEAST_LEAD else own
