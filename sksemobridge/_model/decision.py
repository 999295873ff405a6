"""The fitted classifier as the terms of its decision, also for other classes."""

from dataclasses import dataclass, replace

import numpy as np

from .._utils.array_api import in_blocks, l2_normalize, namespace, to_numpy
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
    gaussian: Gaussian | None  # of the discriminant, for classes with only a name
    slope: float  # of the predictions from names, see `class_means`
    text_mean: np.ndarray | None  # mean `(D,)` of the texts of the classes with shots
    image_means: np.ndarray  # `r_c (C, D)`
    typicality: Typicality
    typicality_of_names: Typicality | None  # if all classes had only a name
    has_only_name: np.ndarray  # classes without shots `(C,)`

    def terms_with(self, log_prior):
        """The terms of the decision, by name. `log_prior (C,)` is added to it; None if all classes
        are equally frequent.
        """
        if log_prior is None:
            return self.terms
        return self.terms | {"prior": Linear(np.zeros_like(self.terms["shots"].weights), log_prior)}

    def decision(self, log_prior):
        """The decision as a `Linear`."""
        return total(self.terms_with(log_prior).values())

    def affinities(self, X, log_prior):
        """The terms of the decision for queries `X (n, D)`, each of shape (n, C)."""
        return {name: term(X) for name, term in self.terms_with(log_prior).items()}

    def blend(self):
        """How much text and shots weigh: `blend_` of the classifier."""
        return self.scales | {"trust": self.trust}

    def parts(self):
        """The `z_k` of `typicality`, each a `Linear`."""
        terms = {name: term for name, term in self.terms.items() if name != "correction"}
        means = l2_normalize(self.image_means.astype(np.float64, copy=False))
        images = Linear(means, np.zeros(len(means)))
        parts = {"decision": total(terms.values()), "images": images}
        return parts | {"text": terms["text"]} if "text" in terms else parts

    def typicality_scores(self, X):
        """The scores `(n,)` of queries `X (n, D)`."""
        return _largest(self.typicality.score(self.parts()), X)

    def p_values(self, X):
        """The p-values `(n,)` of queries `X (n, D)`."""
        result, kinds = np.zeros(X.shape[0]), (self.typicality, self.typicality_of_names)
        for typicality, is_kind in zip(kinds, (~self.has_only_name, self.has_only_name)):
            if is_kind.any():
                score = typicality.score(self.parts()).for_classes(np.flatnonzero(is_kind))
                result = np.maximum(result, typicality.p_values(to_numpy(_largest(score, X))))
        return result

    def rounded(self, dtype):
        """The model with tables of another precision. At the mean of the classes, terms keep their
        values. So a part that all images share does not add to the rounding, however large it is.
        """
        centre = self.image_means.mean(axis=0)

        def rounded(term):
            weights = term.weights.astype(dtype)
            return Linear(weights, term.offsets + (term.weights - weights) @ centre)

        names = self.typicality_of_names
        return replace(
            self,
            terms={name: rounded(term) for name, term in self.terms.items()},
            gaussian=self.gaussian and self.gaussian.rounded(dtype),
            image_means=self.image_means.astype(dtype),
            typicality=self.typicality.rounded(dtype),
            typicality_of_names=names and names.rounded(dtype),
        )

    def for_classes(self, indices, texts):
        """The model for other classes: those at `indices (K,)`. -1 is a class without shots.

        The mean of such a class is the prediction from its name, and its correction is zero. This
        needs `texts (K, D)`, the `T_c` of all classes.
        """
        terms = {name: term.for_classes(indices) for name, term in self.terms.items()}
        # -1 takes the last row here. It is replaced below, or refused.
        means, new = self.image_means[indices], indices < 0
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
        return replace(
            self,
            terms=terms,
            image_means=means,
            typicality=self.typicality.for_classes(indices),
            typicality_of_names=self.typicality_of_names
            and self.typicality_of_names.for_classes(indices),
            has_only_name=new | self.has_only_name[indices],
        )


def _largest(score, X):
    """The largest value of a `Linear` for each query `(n,)`."""

    def largest(block):
        # In single precision, a large part that all images share hides where they differ.
        block = block.astype(np.float64) if isinstance(block, np.ndarray) else block
        return namespace(block).max(score(block), axis=1)

    return in_blocks(largest, X)
