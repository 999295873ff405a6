"""The fitted state of a classifier with one label for an image, as it is saved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from ._model.decision import LinearModel
from ._model.shots import ShotMemory
from ._semobridge.bridged_classes import BridgedClasses
from ._texts.prompts import ClassPrompts
from ._utils.array_api import astype

M = TypeVar("M", bound=LinearModel | BridgedClasses)


@dataclass(frozen=True, eq=False)
class Fitted(Generic[M]):
    """`C` classes, the shots of all calls, and a model of them."""

    classes: np.ndarray  # sorted labels
    class_prompts: ClassPrompts
    text_embeddings: np.ndarray | None  # `T_c (C, D)`
    memory: ShotMemory  # without shots for names alone
    model: M  # without the prior, which `decision` adds
    log_prior: np.ndarray | None = None  # `(C,)`; None if all classes are equally frequent

    @property
    def decision(self) -> Any:
        """The decision in the precision of the shots, an object with `decide(X)`."""
        return astype(self.model.decision(self.log_prior), self.memory.shots.X.dtype)

    def for_classes(self, classes, indices, class_prompts, texts, log_prior=None):
        """The fitted state for other classes: classes at `indices (K,)`, and new classes at each
        -1. `texts` are the `T_c` of all these classes.
        """
        memory, model = self.memory.for_classes(indices), self.model.for_classes(indices, texts)
        return Fitted(classes, class_prompts, texts, memory, model, log_prior)
