"""The fitted state of a classifier, also over other classes and after unlabelled images."""

from dataclasses import dataclass, replace

import numpy as np

from .._utils.array_api import astype, constants_like, in_blocks
from .affinities import Model
from .prompts import ClassPrompts
from .shots import ClassSums, ShotMemory
from .typicality import Typicality
from .unlabeled import LEAST_P_VALUE, anchors_of_shots, distinct_images, learn_unlabeled


@dataclass(frozen=True, eq=False)
class FittedState:
    """All that `fit` learns, and all that more shots need.

    Attributes
    ----------
    classes : ndarray of shape (C,)
        Sorted labels.
    model : Model
        What prediction needs.
    shots : ShotMemory or ClassSums
        Sums over each class where they are enough: in closed form with the paper's blend, without words.
    rank : int
        Directions that the closed-form bridge keeps.
    text_model : tuple of (str, str or None) or None
        Name and weights of the text model.
    loss_curve : list of float or None
    n_iter : int
    class_prompts : ClassPrompts or None
        Names and prompts of the classes; None without texts of the classes.
    typicality : Typicality or None
        None with the paper's blend.
    held_out : ndarray of shape (n, C) or None
        Probabilities of each pooled shot by the model without it; None where they were not asked for.
    of_shots : Model or None
        The model before unlabelled images; None where `model` has seen none.
    """

    classes: np.ndarray
    model: Model
    shots: ShotMemory | ClassSums
    rank: int
    text_model: tuple | None
    loss_curve: list | None
    n_iter: int
    class_prompts: ClassPrompts | None = None
    typicality: Typicality | None = None
    held_out: np.ndarray | None = None
    of_shots: Model | None = None

    def scores(self, X, finish):
        """See `Model.scores`."""
        return self.model.scores(X, finish)

    def position(self, classes):
        """Index of each of other labels among the classes; -1 where it is none of them."""
        known = self.classes
        if known.dtype.kind in "mM":  # days and seconds become other Python objects
            known, classes = (labels.astype(np.result_type(known, classes)) for labels in (known, classes))
        of_label = {label: i for i, label in enumerate(known.tolist())}
        return np.array([of_label.get(label, -1) for label in classes.tolist()])

    def with_classes(self, classes, text_embeddings=None):
        """The state over other classes; bridge and blend are kept.

        Parameters
        ----------
        classes : ndarray of shape (K,)
            Sorted labels.
        text_embeddings : ndarray of shape (K, D) or None
            `T_c` of these classes; None takes those at hand.

        Raises
        ------
        ValueError
            If a class has neither shots nor text (names it), or none of them has shots.
        """
        rows = self.position(classes)
        model = self.model.take(rows, text_embeddings)
        require_shots(classes, model.has_shots, known=(rows >= 0) | (text_embeddings is not None))
        of_shots = self.of_shots and self.of_shots.take(rows, text_embeddings)
        # Probabilities are those of the classes that were compared.
        return replace(
            self, classes=classes, model=model, shots=self.shots.take(rows), held_out=None, of_shots=of_shots
        )

    def with_unlabeled(self, X):
        """The state that has learnt from unlabelled images `X (n, D)` too, in place of earlier ones."""
        model = self.of_shots or self.model
        X = distinct_images(X, len(self.classes))
        # Images of no class would count for the class that they are least unlike.
        p_values = self.typicality.p_values(self.typical_scores(X))
        X = X[p_values > LEAST_P_VALUE]
        if not len(X):
            return replace(self, model=model, of_shots=model)
        learnt = learn_unlabeled(
            model.scores(X, lambda logits: logits),
            model.bridge.compared(X),
            anchors_of_shots(self.shots.shots, astype(model, np.float64)),
            with_offsets=self.class_prompts is None or None not in self.class_prompts.names,
        )
        blend = {
            name: scale if name == "correction" else learnt.factor * scale
            for name, scale in model.blend.items()
        }
        correction = learnt.change.added_to(model.correction, learnt.factor)
        taught = replace(model, blend=blend, correction=astype(correction, model.prototypes.dtype))
        return replace(self, model=taught, of_shots=model)

    def typical_scores(self, X):
        """See `Typicality.scores`."""
        model = self.of_shots or self.model
        constants = constants_like(X, model, replace)
        return in_blocks(
            lambda block: self.typicality.scores(constants.leaning_affinities_of_block(block), model.blend), X
        )


def require_shots(classes, has_shots, known):
    """Refuse classes without shots and text, and a set of classes none of which has shots.

    `known` tells whether there is text: of all classes, or of each.
    """
    missing = classes[~(has_shots | known)].tolist()
    if missing:
        raise ValueError(
            f"There are no shots of the classes {missing}, and without a text_encoder nothing else is known of them."
        )
    if not has_shots.any():
        raise ValueError(
            f"None of the classes {classes.tolist()} has shots. Use ZeroShotClassifier for names alone."
        )
