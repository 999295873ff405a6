"""The fitted states of the classifiers that learn from shots, also for other classes and after
unlabelled images.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from ._base import Decision
from ._model.class_means import relative_weight
from ._model.decision import Model
from ._model.linear import Linear
from ._model.mixture import Known
from ._model.pool import sorted_sample
from ._model.shots import ShotMemory
from ._model.unlabeled import terms_with_unlabeled
from ._semobridge.bridged_classes import BridgedClasses, CosineRows
from ._texts.prompts import ClassPrompts
from ._utils.array_api import astype, l2_normalize
from ._utils.equal_rows import are_among

# With one shot of each class, images with at most this p-value are left out. With n, it is divided
# by the root of n.
LEAST_P_VALUE = 0.1


@dataclass(frozen=True, eq=False)
class ReadShots:
    """What `fit` reads, whatever it learns from it: shots and names of `C` classes."""

    classes: np.ndarray  # sorted labels
    memory: ShotMemory
    text_embeddings: np.ndarray | None  # `T_c (C, D)`
    class_prompts: ClassPrompts
    # added to the decision, `(C,)`; None if all classes are equally frequent
    log_prior: np.ndarray | None

    @property
    def dtype(self):
        """The precision of the shots."""
        return self.memory.shots.X.dtype


@dataclass(frozen=True, eq=False)
class FittedState(ReadShots, ABC):
    """The result of `fit`, and what `partial_fit` needs."""

    @property
    @abstractmethod
    def decision(self) -> Decision:
        """The decision in the precision of the shots."""

    def for_classes(
        self,
        classes: np.ndarray,
        indices: np.ndarray,
        class_prompts: ClassPrompts,
        texts: np.ndarray | None,
        log_prior: np.ndarray | None,
    ) -> Self:
        """The state for other classes: those at `indices (K,)`, and new ones at each -1. `texts`
        are the `T_c` of all.
        """
        return replace(
            self,
            classes=classes,
            memory=self.memory.for_classes(indices),
            text_embeddings=texts,
            class_prompts=class_prompts,
            log_prior=log_prior,
        )


@dataclass(frozen=True, eq=False)
class SeMoBridgeState(FittedState):
    """What `SeMoBridgeClassifier` has learnt."""

    bridged: BridgedClasses  # without the prior, which `decision` adds

    @property
    def decision(self) -> BridgedClasses:
        decision = replace(self.bridged, log_prior=self.log_prior, fast=CosineRows.of(self.bridged))
        return astype(decision, self.dtype)

    def for_classes(self, classes, indices, class_prompts, texts, log_prior):
        state = super().for_classes(classes, indices, class_prompts, texts, log_prior)
        return replace(state, bridged=self.bridged.for_classes(indices, texts))


@dataclass(frozen=True, eq=False)
class FewShotState(FittedState):
    """What `FewShotClassifier` has learnt, from `m` pooled shots."""

    labelled_model: Model  # without unlabelled images and the prior, which `decision` adds
    right: np.ndarray  # probability that the label of each shot is right `(m,)`
    omega: np.ndarray  # how much the image of each shot counts, in images `(m,)`
    rest: np.ndarray  # how much it counts as an unlabelled image, too `(m,)`
    # `(m, C)`, each by a model without the shot and the prior
    held_out_logits: np.ndarray | None = None
    # What unlabelled images have changed: the factor of all terms but the correction, and that.
    factor: float = 1.0
    correction: Linear | None = None

    @property
    def decision(self) -> Linear:
        return astype(self.model.decision(self.log_prior), self.dtype)

    @property
    def model(self):
        """The model after unlabelled images, if there were some."""
        model = self.labelled_model
        if self.correction is None:
            return model
        terms = {name: self.factor * term for name, term in model.terms.items()}
        # Classes that come later get the same scales.
        scales = {name: self.factor * scale for name, scale in model.scales.items()}
        return replace(model, terms=terms | {"correction": self.correction}, scales=scales)

    def with_unlabeled(self, X, groups=None):
        """The state after learning from unlabelled images `X (n, D)`. They replace earlier ones.
        The images of one of the `groups (n,)` are a burst.
        """
        model, factor = self.labelled_model, 1.0
        terms = model.terms
        # A shot is known, whether it is here or not.
        is_new = ~are_among(l2_normalize(X), l2_normalize(self.memory.shots.X))
        pool = sorted_sample(
            X[is_new], len(self.classes), groups if groups is None else groups[is_new]
        )
        # An image of none of the classes would count for the nearest class. With more shots, fewer
        # of the others look unusual.
        n_shots = relative_weight(self.memory.shots.codes, self.memory.shots.weight).sum()
        n_shots = max(n_shots / len(self.classes), 1.0)
        pool = pool.take(model.p_values(pool.X) > LEAST_P_VALUE / np.sqrt(n_shots))
        if len(pool.X):
            # A class without text may be "everything else".
            is_even = self.log_prior is None and None not in self.class_prompts.names
            terms, factor = terms_with_unlabeled(terms, pool, self._known(), is_even)
        correction = astype(terms["correction"], self.dtype)
        return replace(self, factor=factor, correction=correction)

    def without_unlabeled(self):
        """The state before learning from unlabelled images."""
        return replace(self, factor=1.0, correction=None)

    def _known(self):
        """What shots and texts say of the class means."""
        images = self.memory.grouped_shots.images()
        weights = np.empty((2, len(images.codes)))
        weights[:, images.image_of_shot] = self.omega, self.rest
        texts = None if self.text_embeddings is None else self.text_embeddings.astype(np.float64)
        has_text = np.array([name is not None for name in self.class_prompts.names])
        return Known(texts, has_text, self.labelled_model.trust, images.u, images.codes, *weights)

    def for_classes(self, classes, indices, class_prompts, texts, log_prior):
        kept = np.isin(self.memory.shots.codes, indices)
        state = super().for_classes(classes, indices, class_prompts, texts, log_prior)
        return replace(
            state,
            labelled_model=self.labelled_model.for_classes(indices, texts),
            right=self.right[kept],
            omega=self.omega[kept],
            rest=self.rest[kept],
            held_out_logits=None,
            correction=self.correction and self.correction.for_classes(indices),
        )

    def with_prior(self, logits):
        """Logits `(n, C)` plus the logarithm of the prior."""
        return logits if self.log_prior is None else logits + self.log_prior

    def for_rows(self, values):
        """Values of pooled shots, repeated for the rows of `fit`. They are NaN for rows of weight
        zero.
        """
        result = values[self.memory.shot_of_row]
        result[self.memory.shot_of_row < 0] = np.nan
        return result


def require_shots(classes, codes, class_prompts):
    """Refuse classes without shots `codes (n,)` and without text, and classes of which none has
    shots.
    """
    has_shots = np.isin(np.arange(len(classes)), codes)
    has_no_text = [name is None for name in class_prompts.names]
    missing = classes[~has_shots & has_no_text].tolist()
    if missing:
        raise ValueError(
            f"There are no shots of the classes {missing}, and no text. Give shots, or a"
            " text_encoder and a name in class_names."
        )
    if not has_shots.any():
        raise ValueError(
            f"None of the classes {classes.tolist()} has shots. Use ZeroShotClassifier for names"
            " alone."
        )
