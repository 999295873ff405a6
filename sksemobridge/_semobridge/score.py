"""The score of the paper: three cosines of a query and a class, and seven hyperparameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce
from typing import Any, NamedTuple

import numpy as np

from .._utils.array_api import namespace, softmax
from .._utils.rows import blocks

# `eps` of the paper's class weights.
EPS = 1e-6
# Scores of a block. In single precision they take 0.5 MB, and in double 1 MB, so that those of all
# terms fit into the cache of a processor.
SCORES_OF_BLOCK = 2**17
# Exponentials up to this are far from the limits of single precision, in both directions.
MOST_EXPONENT = 80.0


class Hyperparameters(NamedTuple):
    """The seven hyperparameters of `log_score`. Without text, `alpha` and `lambda1` are None."""

    alpha: float | None
    beta: float
    gamma: float
    lambda1: float | None
    lambda2: float
    lambda3: float
    smoothness: float


# The start of the search of the paper.
START = Hyperparameters(
    alpha=1.0, beta=1.0, gamma=1.0, lambda1=0.5, lambda2=0.5, lambda3=0.5, smoothness=0.01
)

# What a user gives who gives none.
_EACH: Any = ["auto"] * len(Hyperparameters._fields)
ALL_AUTO = Hyperparameters(*_EACH)


class LabelledCosines(NamedTuple):
    """Cosines of `n` images whose classes are known."""

    cosines: Mapping[str, np.ndarray]  # `"z1"` (if there is text), `"z2"` and `"z3"`, each `(n, C)`
    codes: np.ndarray  # own class of each image `(n,)`
    weight: np.ndarray  # `(n,)`; an image counts one
    divergence: np.ndarray  # `KL_c (C,)`, or that for each image `(n, C)`

    def in_blocks(self) -> Iterator[LabelledCosines]:
        """The images, some at a time."""
        is_of_images = self.divergence.ndim == 2
        for rows in blocks(len(self.codes), max(SCORES_OF_BLOCK // self.divergence.shape[-1], 1)):
            yield LabelledCosines(
                {name: z[rows] for name, z in self.cosines.items()},
                self.codes[rows],
                self.weight[rows],
                self.divergence[rows] if is_of_images else self.divergence,
            )


def log_score(cosines: Mapping[str, Any], hyperparameters: Hyperparameters, divergence: Any) -> Any:
    """The logarithm of the score `(n, C)`.

    `score_c = l1 exp(-alpha (1 - z1)) + [l2 exp(-beta (1 - z2)) + l3 exp(-gamma (1 - z3))] w_c`
    with `w_c = exp(smoothness * KL_c)`, for cosines `"z1"` (if there is text), `"z2"` and `"z3"`,
    each `(n, C)`, and `KL_c`, the `divergence (C,)` (or `(n, C)`).
    """
    xp, terms, largest = namespace(divergence), [], 0.0
    for name, sharpness, offset in terms_of_score(cosines, hyperparameters, divergence):
        term = sharpness * cosines[name]
        term += offset - sharpness
        terms.append(term)
        largest = max(largest, 2 * sharpness + float(xp.max(xp.abs(offset))))
    if len(terms) == 1:
        return terms[0]
    top: Any = 0.0
    if largest > MOST_EXPONENT:
        top = reduce(xp.maximum, terms)
        for term in terms:
            term -= top
    # Arrays are used again, which is faster than new ones.
    total, *others = (np.exp(term, out=term) if xp is np else xp.exp(term) for term in terms)
    for term in others:
        total += term
    total = np.log(total, out=total) if xp is np else xp.log(total)
    return total if largest <= MOST_EXPONENT else total + top


def terms_of_score(
    names: Any, hyperparameters: Hyperparameters, divergence: Any
) -> Iterator[tuple[str, float, Any]]:
    """`(name, sharpness, offset)` of each term `exp(offset - sharpness * (1 - z))` of the score,
    for the cosines with these names. Terms of weight zero are left out.
    """
    log_weight = hyperparameters.smoothness * divergence
    for name, sharpness, weight, offset in (
        ("z1", hyperparameters.alpha, hyperparameters.lambda1, 0 * divergence),
        ("z2", hyperparameters.beta, hyperparameters.lambda2, log_weight),
        ("z3", hyperparameters.gamma, hyperparameters.lambda3, log_weight),
    ):
        if name in names and weight is not None and sharpness is not None and weight > 0:
            yield name, sharpness, offset + float(np.log(weight))


def class_divergence(image_means: np.ndarray, texts: np.ndarray | None) -> np.ndarray:
    """`KL_c = log2((1 + eps) / (p_cc + eps))` of the paper, with `p = softmax_rows(F @ T.T)`. Zero
    without text. (C,)
    """
    if texts is None:
        return np.zeros(len(image_means))
    own = [
        np.diagonal(softmax(image_means[rows] @ texts.T), rows.start)
        for rows in blocks(len(image_means))
    ]
    return np.log2((1 + EPS) / (np.concatenate(own) + EPS))
