"""Validation images, which choose the step of the training and the hyperparameters of the score."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._utils.array_api import l2_normalize, map_arrays
from .._utils.rows import evenly_spaced, images_per_weight
from .bridged_classes import BridgedClasses
from .score import Hyperparameters, log_score

# Largest number of scores that judge a step, or a candidate of the search. It is 40,000 images of
# 100 classes.
MOST_SCORES = 2**22
# Accuracies that differ by less are equal: images of little weight break no ties.
HALF_AN_IMAGE = 0.5


class Validation(NamedTuple):
    """Labelled images that are no shots."""

    X: np.ndarray  # embeddings `(m, D)`
    codes: np.ndarray  # classes `(m,)`
    weight: np.ndarray  # `(m,)`

    def thinned(self, n_classes: int) -> Validation:
        """Evenly spaced images, as many as have at most `MOST_SCORES` scores."""
        rows = evenly_spaced(len(self.codes), max(MOST_SCORES // n_classes, 1))
        return Validation(*(part[rows] for part in self))


class Judge(NamedTuple):
    """What judges the steps of a training: their accuracy on validation images."""

    validation: Validation
    hyperparameters: Hyperparameters  # those of the score
    closed: BridgedClasses  # whose image means and texts no step changes

    def for_classes(self, order: np.ndarray, texts: np.ndarray | None) -> Judge:
        """The judge for the classes in another order, whose `T_c` are `texts`."""
        codes = np.argsort(order)[self.validation.codes]
        validation = self.validation._replace(codes=codes)
        return self._replace(validation=validation, closed=self.closed.for_classes(order, texts))


class StepAccuracy:
    """The accuracy of a `Judge` after a training step with a `BridgeLoss`."""

    def __init__(self, loss: Any, judge: Judge):
        validation, self._hyperparameters, classes = judge
        X, self._codes, self._weight = validation.thinned(loss.n_classes)
        self._loss = loss
        self._queries = loss.to_tensor(l2_normalize(X))
        self._inputs = loss.to_tensor(classes.bridge.inputs(X))
        self._divergence = loss.to_tensor(classes.divergence)
        rows, self._factors = classes.rows, classes.count_factors
        if self._factors is not None:
            self._factors = map_arrays(self._factors, loss.to_tensor)
        self._image_means = loss.to_tensor(rows["z3"])
        # The weight by which a better step must lead.
        self.least = HALF_AN_IMAGE / images_per_weight(self._weight)
        self._fixed = {}
        if "z1" in rows:
            self._fixed["z1"] = self._queries @ loss.to_tensor(rows["z1"]).T

    def __call__(self, prototypes: Any, bridge: Any) -> float:
        """The summed weight of the right images, for tensors `P (C, D)` and `W+ (D, d)`."""
        bridged = self._loss.unit(self._loss.joint(self._loss.unit(self._inputs @ bridge)))
        if self._factors is not None:
            prototypes = self._factors.apply(prototypes)
        cosines = self._fixed | {
            "z2": self._queries @ prototypes.T,
            "z3": bridged @ self._image_means.T,
        }
        predicted = (
            log_score(cosines, self._hyperparameters, self._divergence).argmax(dim=1).cpu().numpy()
        )
        return float(self._weight @ (predicted == self._codes))
