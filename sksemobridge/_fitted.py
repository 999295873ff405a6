"""The fitted state of the few-shot classifier, also over other classes and after unlabelled images."""

from dataclasses import dataclass, replace

import numpy as np

from ._model.linear import Linear, total
from ._model.model import Model
from ._model.shots import ShotMemory
from ._model.unlabeled import LEAST_P_VALUE, anchors_of_shots, distinct_images, taught
from ._paper.model import PaperModel
from ._texts.prompts import ClassPrompts
from ._utils.array_api import astype, device_of, namespace, softmax


@dataclass(frozen=True, eq=False)
class FittedState:
    """All that `fit` learns, and all that more shots need.

    Attributes
    ----------
    classes : ndarray of shape (C,)
        Sorted labels.
    model : Model or PaperModel
        Without `log_prior`.
    shots : ShotMemory
    text_embeddings : ndarray of shape (C, D) or None
        `T_c`.
    text_model : tuple of (str, str or None) or None
        Name and weights of the text model.
    class_prompts : ClassPrompts or None
        Names and prompts of the classes; None without texts of the classes.
    log_prior : ndarray of shape (C,) or None
        Added to the decision; None where all classes are equally frequent.
    right, counted : ndarray of shape (m,) or None
        Probability that the label of each pooled shot is right, and how much of it counts; None for a `PaperModel`.
    held_out : ndarray of shape (m, C) or None
        Probabilities of each pooled shot by the model without it; None if they were not asked for.
    of_shots : Model or None
        The model before unlabelled images; None if `model` has seen none.
    linear : Linear or None
        The decision with `log_prior`; None for a `PaperModel`.
    """

    classes: np.ndarray
    model: Model | PaperModel
    shots: ShotMemory
    text_embeddings: np.ndarray | None
    text_model: tuple | None
    class_prompts: ClassPrompts | None = None
    log_prior: np.ndarray | None = None
    right: np.ndarray | None = None
    counted: np.ndarray | None = None
    held_out: np.ndarray | None = None
    of_shots: Model | None = None
    linear: Linear | None = None

    def with_decision(self):
        """The same state with `linear`, which is made of its model and prior."""
        if isinstance(self.model, PaperModel):
            return self
        linear = total(self.model.terms.values())
        if self.log_prior is not None:
            linear = replace(linear, offsets=(linear.offsets + self.log_prior).astype(linear.offsets.dtype))
        return replace(self, linear=linear)

    def scores(self, X, finish):
        """`finish(decision)` for the decision `(n, C)`. `finish` treats each row by itself."""
        if self.linear is not None:
            return self.linear.finished(X, finish)
        if self.log_prior is None:
            return self.model.decision(X, finish)
        return self.model.decision(X, lambda scores: finish(scores + self.prior_like(scores)))

    def prior_like(self, scores):
        """`log_prior` in the library, in the precision and on the device of scores."""
        return namespace(scores).asarray(self.log_prior, dtype=scores.dtype, device=device_of(scores))

    @property
    def dtype(self):
        """Precision of the fitted arrays."""
        return (self.model.prototypes if isinstance(self.model, PaperModel) else self.model.class_means).dtype

    def position(self, classes):
        """Index of each label among the classes; -1 if it is not among them."""
        of_label = {label: i for i, label in enumerate(self.classes.tolist())}
        return np.array([of_label.get(label, -1) for label in classes.tolist()])

    def with_classes(self, classes, text_embeddings, log_prior):
        """The state over other classes `(K,)`. If some are new, their `T_c (K, D)` are needed.

        Raises
        ------
        ValueError
            If a class has neither shots nor text (names it), or none of them has shots.
        """
        rows = self.position(classes)
        has_text = (rows >= 0) | (text_embeddings is not None)
        shots = self.shots.take(rows)
        require_shots(classes, np.bincount(shots.shots.codes, minlength=len(classes)) > 0, known=has_text)
        texts = self.text_embeddings
        if text_embeddings is None and texts is not None:
            text_embeddings = texts[rows]
        if isinstance(self.model, PaperModel):
            model, of_shots = self.model.take(rows, text_embeddings), None
        else:
            model, of_shots = (
                None if part is None else part.over(rows, text_embeddings)
                for part in (self.model, self.of_shots)
            )
        kept = np.isin(self.shots.shots.codes, rows)
        return replace(
            self,
            classes=classes,
            model=model,
            shots=shots,
            text_embeddings=text_embeddings,
            log_prior=log_prior,
            right=None if self.right is None else self.right[kept],
            counted=None if self.counted is None else self.counted[kept],
            # Probabilities are those of the classes that were compared.
            held_out=None,
            of_shots=of_shots,
        ).with_decision()

    def with_unlabeled(self, X):
        """The state that has also learnt from unlabelled images `X (n, D)`, instead of earlier ones."""
        model = self.of_shots or self.model
        X = distinct_images(X, len(self.classes))
        # An image of no class would count for the class nearest to it.
        X = X[model.typicality.p_values(self.typical_scores(X)) > LEAST_P_VALUE]
        if not len(X):
            return replace(self, model=model, of_shots=model).with_decision()
        terms = taught(
            {name: astype(term, np.float64) for name, term in model.terms.items()},
            X,
            lambda logits, u: anchors_of_shots(
                self.shots.of_images, self.counted, model, self.text_embeddings
            ),
            with_offsets=self.class_prompts is None or None not in self.class_prompts.names,
        )
        terms = {name: astype(term, self.dtype) for name, term in terms.items()}
        return replace(self, model=replace(model, terms=terms), of_shots=model).with_decision()

    @property
    def typicality(self):
        """The typicality of the shots, also after unlabelled images."""
        return (self.of_shots or self.model).typicality

    def typical_scores(self, X):
        """See `Typicality.scores`."""
        return self.typicality.scores(X, (self.of_shots or self.model).views())

    def of_rows(self, values):
        """Values of pooled shots, for the rows of `fit`; NaN for rows of weight zero."""
        pooled = self.shots.pooled
        result = values[pooled]
        result[pooled < 0] = np.nan
        return result

    def held_out_probabilities(self, held_out, seen):
        """Probabilities `(n, C)` of pooled shots by the model without them; NaN for shots that are not held out.

        `held_out` are the held-out images and their logits over the classes `seen`.
        """
        images, logits = held_out
        index = self.shots.of_images.images()[-1]
        probabilities = np.full((index.max() + 1, len(self.classes)), np.nan)
        probabilities[images] = 0.0
        prior = 0.0 if self.log_prior is None else self.log_prior[seen]
        probabilities[np.ix_(images, seen)] = softmax(logits + prior)
        return probabilities[index]


def require_shots(classes, has_shots, known):
    """Refuse classes that have neither shots nor text, and a set of classes without any shots.

    `known` says whether there is text: one value for all classes, or one for each.
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
