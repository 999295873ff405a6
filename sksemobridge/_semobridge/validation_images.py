"""Validation images, which choose the step of the training and the hyperparameters of the score."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._utils.array_api import l2_normalize
from .._utils.rows import evenly_spaced, sum_rows
from .score import Hyperparameters, class_divergence, log_score

# Largest number of scores that judge a step, or a candidate of the search. It is 40,000 images of
# 100 classes.
MOST_SCORES = 2**22


class Validation(NamedTuple):
    """Labelled images that are no shots."""

    X: np.ndarray  # embeddings `(m, D)`
    codes: np.ndarray  # classes `(m,)`
    weight: np.ndarray  # `(m,)`

    def thinned(self, n_classes: int) -> Validation:
        """So many evenly spaced images that there are at most `MOST_SCORES` scores."""
        rows = evenly_spaced(len(self.codes), max(MOST_SCORES // n_classes, 1))
        return Validation(*(part[rows] for part in self))


class StepAccuracy:
    """The accuracy on validation images after a training step, with given hyperparameters.

    Parameters
    ----------
    loss : BridgeLoss
        The loss of the training, which has the shots and the device.
    shots : tuple of ndarrays
        `X (n, D)`, `codes (n,)` and the share of each shot in its class `(n,)`.
    bridge : Bridge
        The closed form.
    texts : ClassTexts
        Those of the classes.
    validation : Validation
        The images.
    hyperparameters : Hyperparameters
        Those of the score.
    """

    def __init__(
        self,
        loss: Any,
        shots: Any,
        bridge: Any,
        texts: Any,
        validation: Validation,
        hyperparameters: Hyperparameters,
    ):
        X, codes, share = shots
        X_val, self._codes, self._weight = validation.thinned(loss.n_classes)
        self._loss, self._hyperparameters = loss, hyperparameters
        self._queries = loss.to_tensor(l2_normalize(X_val))
        self._inputs = loss.to_tensor(bridge.inputs(X_val))
        image_means = l2_normalize(sum_rows(X, share, codes, loss.n_classes))
        self._divergence = loss.to_tensor(class_divergence(image_means, texts.embeddings))
        self._image_means = loss.to_tensor(image_means)
        self._fixed = {}
        if texts.embeddings is not None:
            self._fixed["z1"] = self._queries @ loss.to_tensor(texts.embeddings).T

    def __call__(self, prototypes: Any, bridge: Any) -> float:
        """The summed weight of the right images, for tensors `P (C, D)` and `W+ (D, d)`."""
        bridged = self._loss.unit(self._loss.joint(self._loss.unit(self._inputs @ bridge)))
        cosines = self._fixed | {
            "z2": self._queries @ prototypes.T,
            "z3": bridged @ self._image_means.T,
        }
        predicted = (
            log_score(cosines, self._hyperparameters, self._divergence).argmax(dim=1).cpu().numpy()
        )
        return float(self._weight @ (predicted == self._codes))
