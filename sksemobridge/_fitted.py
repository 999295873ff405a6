"""What a classifier with one label for an image has learnt: all that is saved of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ._model.class_means import relative_weight
from ._model.decision import LinearModel
from ._model.linear import Linear
from ._model.mixture import Known
from ._model.shots import ShotMemory
from ._semobridge.bridged_classes import BridgedClasses
from ._texts.prompts import ClassPrompts
from ._utils.array_api import astype


@dataclass(frozen=True, eq=False)
class Fitted:
    """`C` classes, the shots of all calls, and a model of them."""

    classes: np.ndarray  # sorted labels
    class_prompts: ClassPrompts
    text_embeddings: np.ndarray | None  # `T_c (C, D)`
    memory: ShotMemory  # with names alone it has no shots
    model: LinearModel | BridgedClasses  # without the prior, which `decision` adds
    log_prior: np.ndarray | None = None  # `(C,)`; None if all classes are equally frequent

    @property
    def decision(self) -> Linear | BridgedClasses:
        """What classifies, in the precision of the shots."""
        return astype(self.model.decision(self.log_prior), self.memory.shots.X.dtype)

    def known(self) -> Known:
        """What texts and shots say of the class means of a `LinearModel`."""
        memory, texts = self.memory, self.text_embeddings
        images, shots, judged = memory.grouped_shots.images(), memory.shots, memory.judged
        weights = np.empty((2, len(images.codes)))
        weights[:, images.image_of_shot] = judged.omega, judged.rest
        return Known(
            None if texts is None else texts.astype(np.float64),
            np.array([name is not None for name in self.class_prompts.names]),
            self.model.trust,
            images.u,
            images.codes,
            *weights,
            n_shots=relative_weight(shots.codes, shots.weight).sum(),
        )

    def for_classes(self, classes, indices, class_prompts, texts, log_prior=None) -> Fitted:
        """The same for other classes: those at `indices (K,)`, and new ones at each -1. `texts` are
        the `T_c` of all.
        """
        memory, model = self.memory.for_classes(indices), self.model.for_classes(indices, texts)
        return Fitted(classes, class_prompts, texts, memory, model, log_prior)
