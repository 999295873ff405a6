"""How typical an image is of the classes, and whether it is of one of them at all (ours).

    score(q) = sum_k w_k max_c z_k,c / d_k

over the decision without the correction and the cosines to the class means, each in units of its standard deviation `d` over
the held-out shots. The decision grows with the likeness to a class, where probabilities only compare classes. It is relative
to the mean of all classes, and an image of another data set may be far from that mean in the direction of a class. The
cosines are not, and tell such images. The correction was fitted to the shots, and would find them more typical than other
images.

With text two more are added, as the weights of the decision were estimated to tell classes apart: the cosines to the class
texts, and those to the class means less the mean of all classes. The texts tell images of other data sets too. The other
cosines then count half (`w`), because near strangers share them.

A p-value is the share of held-out shots whose score is no higher than that of the image, which is counted among them
(conformal prediction). Each class counts the same. Of images of the classes about `alpha` have a p-value of at most
`alpha`. They are fewer where shots are few, because a class is known less well without one of its few shots.

Reference: Bates, Candès, Lei, Romano, Sesia: "Testing for outliers with conformal p-values",
Annals of Statistics 2023.
"""

from dataclasses import dataclass

import numpy as np

from .._utils.array_api import namespace

# `w` of the cosines to the class means where there is text (`python benchmarks/typicality.py`).
IMAGES_BESIDE_TEXT = 0.5
# Deviations, relative to the largest value, below which values are equal up to rounding.
EQUAL = 1e-9


@dataclass(frozen=True, eq=False)
class Typicality:
    """Units of the scores, and the scores of the held-out shots."""

    units: dict[str, float]  # `d_k / w_k`
    shots: np.ndarray  # scores of the held-out shots, sorted, `(n,)`
    below: np.ndarray  # total weight, in images, of the 0, 1, ..., n shots with the lowest scores, `(n + 1,)`

    @classmethod
    def of(cls, held_out, codes, weight):
        """From `z_k (n, C)` of the held-out shots, their classes `codes (n,)` and weights `(n,)`."""
        largest = {name: z.max(axis=1, initial=-np.inf) for name, z in held_out.items()}
        units = {name: _deviation(z) for name, z in largest.items()}
        if "text" in units:
            units["images"] /= IMAGES_BESIDE_TEXT
        scores = sum(z / units[name] for name, z in largest.items())
        order = np.argsort(scores, kind="stable")
        if len(codes):
            weight = weight / np.bincount(codes, weights=weight)[codes]
            weight = weight * weight.sum() / np.square(weight).sum()
        return cls(units, scores[order], np.concatenate([[0.0], np.cumsum(weight[order])]))

    def scores(self, X, views):
        """Of queries `X (n, D)`, from `z_k` as `Linear`; shape (n,)."""

        def largest(values):
            return namespace(values).max(values, axis=1)

        return sum(view.finished(X, largest) / self.units[name] for name, view in views.items())

    def p_values(self, scores):
        """Of scores `(n,)`: one where no shot could be held out."""
        return (1 + self.below[np.searchsorted(self.shots, scores, side="right")]) / (1 + self.below[-1])


def _deviation(values):
    """Their standard deviation; one where they do not differ, as those of two shots that are each other's class."""
    deviation = float(np.std(values)) if len(values) else 0.0
    return deviation if deviation > EQUAL * np.abs(values).max(initial=0.0) else 1.0
