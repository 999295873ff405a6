"""The fitted state of the few-shot classifier, also for other classes and after unlabelled images."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ._model.linear import total
from ._model.model import Model
from ._model.shots import ShotMemory
from ._model.unlabeled import LEAST_P_VALUE, anchors_of_shots, distinct_images, taught
from ._paper.model import PaperModel
from ._texts.prompts import ClassPrompts
from ._utils.array_api import astype, device_of, namespace, softmax


@dataclass(frozen=True, eq=False)
class FittedState:
    """The result of `fit`, and what `partial_fit` needs, for `C` classes and `m` pooled shots (equal rows are one shot)."""

    classes: np.ndarray  # sorted labels
    model: Model | PaperModel  # without `log_prior`
    shots: ShotMemory
    text_embeddings: np.ndarray | None  # `T_c (C, D)`
    text_model: tuple | None  # name and weights of the text model
    class_prompts: ClassPrompts | None  # None without class texts
    log_prior: np.ndarray | None  # added to the decision, `(C,)`; None if all classes are equally frequent
    # Probability that the label of each shot is right, and how much the shot counts, `(m,)`. None for a `PaperModel`
    right: np.ndarray | None = None
    counted: np.ndarray | None = None
    held_out: np.ndarray | None = None  # probabilities of each shot by a model without the shot, `(m, C)`
    of_shots: Model | None = None  # the model before unlabelled images, or None without these

    @cached_property
    def linear(self):
        """The decision as a `Linear`, or None for a `PaperModel`."""
        if isinstance(self.model, PaperModel):
            return None
        linear = total(self.model.terms.values())
        if self.log_prior is None:
            return linear
        return replace(linear, offsets=(linear.offsets + self.log_prior).astype(linear.offsets.dtype))

    @property
    def model_of_shots(self):
        """The model before unlabelled images."""
        return self.of_shots or self.model

    def scores(self, X, finish):
        """`finish(decision)` for the decision `(n, C)`. `finish` must treat each row by itself."""
        if self.linear is not None:
            return self.linear.finished(X, finish)
        if self.log_prior is None:
            return self.model.decision(X, finish)
        return self.model.decision(X, lambda scores: finish(scores + self.prior_like(scores)))

    def prior_like(self, scores):
        """`log_prior` with the array library, the precision and the device of scores."""
        return namespace(scores).asarray(self.log_prior, dtype=scores.dtype, device=device_of(scores))

    def affinities(self, X):
        """The terms of the decision, or the affinities of the paper, by name."""
        if isinstance(self.model, PaperModel):
            return self.model.affinities(X)
        terms = {name: term(X) for name, term in self.model.terms.items()}
        if self.log_prior is not None:
            terms["prior"] = 0 * terms["shots"] + self.prior_like(terms["shots"])
        return terms

    @property
    def dtype(self):
        """Precision of the fitted arrays."""
        return (self.model.prototypes if isinstance(self.model, PaperModel) else self.model.class_means).dtype

    def position(self, classes):
        """Index of each label among the classes, or -1 if it is not among them."""
        of_label = {label: i for i, label in enumerate(self.classes.tolist())}
        return np.array([of_label.get(label, -1) for label in classes.tolist()])

    def over(self, classes, rows, texts, **changes):
        """The state for other classes `(K,)`, which are at `rows`. -1 is a new class. `texts (K, D)` are their `T_c`."""
        model, of_shots = (part and part.over(rows, texts) for part in (self.model, self.of_shots))
        kept = np.isin(self.shots.shots.codes, rows)
        right, counted = (part if part is None else part[kept] for part in (self.right, self.counted))
        # Held-out probabilities belong to the old set of classes.
        changes |= {
            "model": model,
            "of_shots": of_shots,
            "right": right,
            "counted": counted,
            "held_out": None,
        }
        return replace(self, classes=classes, text_embeddings=texts, **changes)

    def with_unlabeled(self, X):
        """The state after learning from unlabelled images `X (n, D)`. They replace earlier ones."""
        model = self.model_of_shots
        X = distinct_images(X, len(self.classes))
        # An image of none of the classes would count for the nearest class.
        X = X[model.typicality.p_values(model.typicality.scores(X, model.views())) > LEAST_P_VALUE]
        terms = model.terms
        if len(X):
            terms = taught(
                {name: astype(term, np.float64) for name, term in terms.items()},
                X,
                # Here anchors come from the shots. In the zero-shot classifier they come from logits and images.
                lambda logits, u: anchors_of_shots(
                    self.shots.of_images, self.counted, model, self.text_embeddings
                ),
                # A class without text may be "everything else".
                with_offsets=self.class_prompts is None or None not in self.class_prompts.names,
            )
        terms = {name: astype(term, self.dtype) for name, term in terms.items()}
        return replace(self, model=replace(model, terms=terms), of_shots=model)

    def of_rows(self, values):
        """Values of pooled shots, repeated for the rows of `fit`. They are NaN for rows of weight zero."""
        result = values[self.shots.pooled]
        result[self.shots.pooled < 0] = np.nan
        return result

    def held_out_probabilities(self, held_out, seen):
        """Probabilities `(n, C)` of pooled shots, each by a model without the shot. NaN for shots that are not held out.

        `held_out` are the held-out images, and a function that gives their logits for the classes `seen`.
        """
        images, logits = held_out[0], held_out[1]()
        index = self.shots.of_images.images()[-1]
        probabilities = np.full((index.max() + 1, len(self.classes)), np.nan)
        probabilities[images] = 0.0
        prior = 0.0 if self.log_prior is None else self.log_prior[seen]
        probabilities[np.ix_(images, seen)] = softmax(logits + prior)
        return probabilities[index]


def require_shots(classes, has_shots, names):
    """Refuse classes without shots and without a name. Also refuse a set of classes without any shots.

    `names` is None if there are no texts. A class without text has the name None.
    """
    unknown = ~has_shots & [names is None or name is None for name in names or classes]
    missing = classes[unknown].tolist()
    if missing and names is None:
        raise ValueError(
            f"There are no shots of the classes {missing}, and without a text_encoder nothing else is known of them."
        )
    if missing:
        raise ValueError(
            f"There are no shots of the classes {missing}, and class_names says that they have no text either."
        )
    if not has_shots.any():
        raise ValueError(
            f"None of the classes {classes.tolist()} has shots. Use ZeroShotClassifier for names alone."
        )
