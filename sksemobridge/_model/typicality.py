"""How typical an image is of the classes, and whether it belongs to any of them (the score is not from a paper).

    score(q) = sum_k w_k max_c z_k,c / d_k

The sum has two parts without text:

- the decision without the correction. It grows with the similarity to a class, while probabilities only compare classes. (The
  correction was fitted to the labelled images. With it, they would look more typical than other images.)
- the cosine to the class mean. It is low for images of other data sets. The decision is relative to `m`, the mean of all
  classes, and may be high for an image that is far from all of them.

With text there are two more:

- the cosine to the class text, and `(u - m)` times the unit vector of the leaning mean `mu_c`. The scales of the decision were
  fitted to tell classes apart, so these terms add information. The cosine to the class mean then has the weight `w = 1/2`,
  because it is high for similar classes that are not among the known ones.

`d_k` is the standard deviation of part `k` over the held-out images.

A p-value is the share of held-out images whose score is not higher than that of the image (conformal prediction). The image
itself counts as one of them. Each class counts the same. About `alpha` of the images of the classes have a p-value of at most
`alpha`. With few shots there are fewer such images, because a class is known less well without one of its few shots.

Without some of its classes, a model gives lower scores. Then the held-out images have the scores of their own classes, which are
not higher. So at most about `alpha` of the images have such p-values.

Classes that have only a name have p-values of their own: there, the held-out images have the scores of a model in which all
classes have only a name. The p-value of an image is the larger one.

Reference: Bates, Candès, Lei, Romano, Sesia: "Testing for outliers with conformal p-values",
Annals of Statistics 2023.
"""

from dataclasses import dataclass

import numpy as np

from .._utils.array_api import apply_in_blocks, namespace
from .shots import ROUNDING, weight_in_class

# `w` of the cosines to the class means where there is text (`python benchmarks/robustness.py strangers`).
IMAGES_BESIDE_TEXT = 0.5


@dataclass(frozen=True, eq=False)
class Typicality:
    """Units of the scores, and the held-out images."""

    units: dict[str, float]  # `d_k / w_k`
    held_out_scores: np.ndarray  # `(n,)`
    own_scores: np.ndarray  # the same with `z_k,c` of the class of the image alone `(n,)`
    codes: np.ndarray  # classes of the images `(n,)`
    weight: np.ndarray  # their weights `(n,)`

    @classmethod
    def of(cls, held_out, codes, weight):
        """Make it from `z_k (n, C)` of the held-out images, their classes `codes (n,)` and weights `(n,)`."""
        largest = {name: z.max(axis=1) for name, z in held_out.items()}
        units = {name: _deviation(z) for name, z in largest.items()}
        if "text" in units:
            units["images"] /= IMAGES_BESIDE_TEXT
        scores = sum(z / units[name] for name, z in largest.items())
        own = sum(z[np.arange(len(codes)), codes] / units[name] for name, z in held_out.items())
        return cls(units, scores, own, codes, weight)

    def for_classes(self, indices):
        """The same for the classes at `indices`. -1 is a class that has no held-out images."""
        new_code = np.full(max(self.codes.max(initial=0), indices.max()) + 1, -1)
        new_code[indices[indices >= 0]] = np.flatnonzero(indices >= 0)
        codes = new_code[self.codes]
        keep = codes >= 0
        scores = self.held_out_scores if keep.all() else self.own_scores[keep]
        return Typicality(self.units, scores, self.own_scores[keep], codes[keep], self.weight[keep])

    def scores(self, X, parts):
        """The scores `(n,)` of queries `X (n, D)`. `parts` are the `z_k`, each a `Linear`."""

        def largest(values):
            return namespace(values).max(values, axis=1)

        return sum(apply_in_blocks(part, X, largest) / self.units[name] for name, part in parts.items())

    def p_values(self, scores):
        """The p-values of scores `(n,)`. They are one if no image could be held out."""
        order = np.argsort(self.held_out_scores, kind="stable")
        weight = weight_in_class(self.codes, self.weight) if len(order) else self.weight
        weight = weight * weight.sum() / max(np.square(weight).sum(), ROUNDING)
        # Total weight, in images, of those with the 0, 1, ..., n lowest scores.
        below = np.append(0.0, np.cumsum(weight[order]))
        n_below = np.searchsorted(self.held_out_scores[order], scores, side="right")
        return (1 + below[n_below]) / (1 + below[-1])


def _deviation(values):
    """The standard deviation of values, or one if they do not differ."""
    deviation = float(np.std(values)) if len(values) else 0.0
    return deviation if deviation > 1e5 * ROUNDING * np.abs(values).max(initial=0.0) else 1.0
