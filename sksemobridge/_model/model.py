"""The fitted classifier as the terms of its decision, also for other classes."""

from dataclasses import dataclass, replace

import numpy as np

from .._utils.array_api import l2_normalize, to_numpy
from .discriminant import Gaussian
from .linear import Linear, total
from .typicality import Typicality


@dataclass(frozen=True, eq=False)
class Model:
    """The fitted classifier."""

    # `"text"` (if there is text), `"shots"` and `"correction"`: their sum is the decision
    terms: dict[str, Linear]
    scales: dict[str, float]  # of `"text"` and `"shots"`
    trust: float  # probability that the texts help
    gaussian: Gaussian  # of the discriminant
    slope: float  # of the predictions from names, see `class_means`
    text_mean: np.ndarray | None  # mean `(D,)` of the texts of the classes with shots
    image_means: np.ndarray  # `r_c (C, D)`
    leaning_means: np.ndarray  # `mu_c (C, D)`, relative to the centre
    typicality: Typicality
    typicality_of_names: Typicality | None  # if all classes had only a name
    has_only_name: np.ndarray  # classes without shots `(C,)`

    def terms_with(self, log_prior):
        """The terms of the decision, by name. `log_prior (C,)` is added to it; None if all classes are equally frequent."""
        if log_prior is None:
            return self.terms
        like = self.terms["shots"]
        return self.terms | {
            "prior": Linear(np.zeros_like(like.weights), log_prior.astype(like.offsets.dtype))
        }

    def decision(self, log_prior):
        """The decision as a `Linear`."""
        return total(self.terms_with(log_prior).values())

    def affinities(self, X, log_prior):
        """The terms of the decision for queries `X (n, D)`, each of shape (n, C)."""
        return {name: term(X) for name, term in self.terms_with(log_prior).items()}

    def attributes(self):
        """The fitted attributes of the classifier that only this model has, without the final `_`."""
        return {"blend": self.scales | {"trust": self.trust}}

    def parts(self):
        """The `z_k` of `typicality`, each a `Linear`."""
        terms = {name: term for name, term in self.terms.items() if name in ("text", "shots")}
        parts = {"decision": total(terms.values()), "images": products_with_directions(self.image_means)}
        if "text" in terms:
            parts["text"] = terms["text"]
            parts["centred"] = products_with_directions(self.leaning_means, self.gaussian.centre)
        return parts

    def typicality_scores(self, X):
        """The scores `(n,)` of queries `X (n, D)`."""
        return self.typicality.scores(X, self.parts())

    def p_values(self, X):
        """The p-values `(n,)` of queries `X (n, D)`."""
        parts, result = self.parts(), np.zeros(X.shape[0])
        for typicality, is_some in (
            (self.typicality, ~self.has_only_name),
            (self.typicality_of_names, self.has_only_name),
        ):
            if is_some.any():
                some = {name: part.for_classes(np.flatnonzero(is_some)) for name, part in parts.items()}
                result = np.maximum(result, typicality.p_values(to_numpy(typicality.scores(X, some))))
        return result

    def for_classes(self, indices, texts):
        """The model for other classes: those at `indices (K,)`. -1 is a class without shots.

        The mean of such a class is the prediction from its name, and its correction is zero. This needs `texts (K, D)`, the
        `T_c` of all classes.
        """
        terms = {name: term.for_classes(indices) for name, term in self.terms.items()}
        # -1 takes the last row here. It is replaced below, or refused.
        means, leaning = self.image_means[indices], self.leaning_means[indices]
        new = indices < 0
        if new.any():
            new_texts = texts[new].astype(np.float64)
            predicted = self.slope * (new_texts - self.text_mean)
            terms_from_names = {
                "text": Linear(new_texts, np.zeros(len(new_texts))),
                "shots": self.gaussian.discriminant(predicted, np.zeros(len(predicted))),
            }
            for name, term in terms_from_names.items():
                terms[name].weights[new] = self.scales[name] * term.weights
                terms[name].offsets[new] = self.scales[name] * term.offsets
            means[new] = self.gaussian.centre + predicted
            leaning[new] = predicted
        return replace(
            self,
            terms=terms,
            image_means=means,
            leaning_means=leaning,
            typicality=self.typicality.for_classes(indices),
            has_only_name=new | self.has_only_name[indices],
        )


def products_with_directions(means, centre=0.0):
    """Inner products of `u - centre` with the unit vectors of `means (C, D)`, as a `Linear`."""
    directions = l2_normalize(means)
    return Linear(directions, -directions @ (np.zeros(means.shape[1]) + centre))
