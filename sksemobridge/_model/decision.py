"""The model that is learnt from shots and names: a decision that is a sum of linear terms, also for
other classes and after unlabelled images.
"""

from dataclasses import dataclass, replace

import numpy as np

from .._utils.array_api import in_blocks, l2_normalize, namespace, to_numpy
from .class_means import KAPPA_IN_SPAN
from .discriminant import Gaussian
from .linear import Linear, total
from .typicality import Typicality


@dataclass(frozen=True, eq=False)
class LinearModel:
    """The model of `FewShotClassifier`. `ZeroShotClassifier` has the same model without shots."""

    # Before unlabelled images: `"text"` (if there is text), and with shots `"shots"` and
    # `"correction"`
    terms: dict[str, Linear]
    scales: dict[str, float]  # scales of `"text"` and `"shots"`
    trust: float  # probability that the texts help
    has_only_name: np.ndarray  # classes without shots `(C,)`
    gaussian: Gaussian | None = None  # part of the discriminant, for classes with only a name
    slope: float = 0.0  # slope of the predictions from names, see `class_means`
    text_mean: np.ndarray | None = None  # mean `(D,)` of the texts of the classes with shots
    n_images: float = 0.0  # sum of the effective numbers of the classes with shots
    share_named: float = 0.0  # share of the classes with shots that have a text
    # The following fields are None without shots.
    image_means: np.ndarray | None = None  # `r_c (C, D)`
    typicality: Typicality | None = None
    typicality_of_names: Typicality | None = None  # typicality if all classes had only a name
    # Changes by unlabelled images: the factor of all terms except the correction, and the change
    # itself.
    factor: float = 1.0
    correction: Linear | None = None

    @property
    def dtype(self):
        """The precision of the tables."""
        return next(iter(self.terms.values())).weights.dtype

    @property
    def share_only_names(self):
        """The share of the classes that have only a name, times the share of the classes with shots
        that have a text. Classes without a text are known from images alone.
        """
        return float(self.share_named * self.has_only_name.mean())

    @property
    def centre_known(self):
        """The degree to which the images tell their centre, 0 to 1. All evidence of images on
        classes with only a name depends on the centre.
        """
        # Few images hardly tell the centre. Without this factor, one right answer makes labels
        # worse (`python benchmarks/robustness.py answered --tasks FILE.npz ...`).
        return self.n_images / (self.n_images + KAPPA_IN_SPAN * self.share_only_names)

    def factors(self):
        """The factor of each term in the decision."""
        factors = dict.fromkeys(self.terms, self.factor)
        if "shots" in factors and self.has_only_name.any():
            factors["shots"] *= self.centre_known
        return factors

    def terms_with(self, log_prior):
        """The terms of the decision, by name. `log_prior (C,)` is added to the decision, and is
        None if all classes are equally frequent.
        """
        factors = self.factors()
        terms = {name: factors[name] * term for name, term in self.terms.items()}
        if self.correction is not None:
            terms["correction"] = self.correction
        if log_prior is None:
            return terms
        zeros = np.zeros_like(next(iter(terms.values())).weights)
        return terms | {"prior": Linear(zeros, log_prior)}

    def decision(self, log_prior):
        """The decision as a `Linear`."""
        return total(self.terms_with(log_prior).values())

    def affinities(self, X, log_prior):
        """The terms of the decision for queries `X (n, D)`, each of shape (n, C)."""
        return {name: term(X) for name, term in self.terms_with(log_prior).items()}

    def blend(self):
        """The weights of text and shots: `blend_` of the classifier."""
        factors = self.factors()
        scales = {name: factors[name] * scale for name, scale in self.scales.items()}
        return scales | {"trust": self.trust}

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
        values. A part that all images share thus does not add to the rounding, however large it is.
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
        """The model for the classes at `indices (K,)`. -1 is a class without shots.

        The mean of such a class is the prediction from its name, and its correction is zero. A
        class without shots needs `texts (K, D)`, the `T_c` of all classes.
        """
        terms = {name: term.for_classes(indices) for name, term in self.terms.items()}
        # -1 takes the last row here. That row is replaced below, or refused.
        means, new = None if self.image_means is None else self.image_means[indices], indices < 0
        if new.any():
            new_texts, zeros = texts[new].astype(np.float64), np.zeros(np.count_nonzero(new))
            terms_from_names = {"text": Linear(new_texts, zeros)}
            if self.gaussian is not None:
                predicted = self.slope * (new_texts - self.text_mean)
                terms_from_names["shots"] = self.gaussian.discriminant(predicted, zeros)
                means[new] = self.gaussian.centre + predicted
            for name, term in terms_from_names.items():
                terms[name].weights[new] = self.scales[name] * term.weights
                terms[name].offsets[new] = self.scales[name] * term.offsets
        typicality, of_names = self.typicality, self.typicality_of_names
        return replace(
            self,
            terms=terms,
            has_only_name=new | self.has_only_name[indices],
            image_means=means,
            typicality=typicality and typicality.for_classes(indices),
            typicality_of_names=of_names and of_names.for_classes(indices),
            correction=self.correction and self.correction.for_classes(indices),
        )


def _largest(score, X):
    """The largest value of a `Linear` for each query `(n,)`."""

    def largest(block):
        # In single precision, a large part that all images share hides their differences.
        block = block.astype(np.float64) if isinstance(block, np.ndarray) else block
        return namespace(block).max(score(block), axis=1)

    return in_blocks(largest, X)
