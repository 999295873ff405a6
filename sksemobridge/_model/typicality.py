"""Scores of how typical an image is of the classes, and p-values of whether it belongs to any of
them (the score is not from a paper).

The score is `max_c sum_k z_k,c / d_k`. `d_k` is the standard deviation of `max_c z_k,c` over the
held-out images. Parts are

- the decision without the correction, which was fitted to the labelled images, so that they would
  look more typical,
- the cosine to the class mean. This cosine is low for images of other data sets, while the decision
  is relative to the mean of all classes, and may be high for an image that is far from all of them.
- with text, the cosine to the class text. The scales of the decision were fitted to tell classes
  apart, so this cosine adds information. The cosine to the class mean then counts half, because it
  is high for similar classes that are not known.

A p-value is the share of held-out images whose score is not higher than the score of the image
(conformal prediction). The image itself counts as one of them. Each class counts the same. About
`alpha` of the images of the classes have a p-value of at most `alpha`. With few shots there are
fewer, because a class is known less well without one of its few shots.

Reference: Bates, Candès, Lei, Romano, Sesia: "Testing for outliers with conformal p-values", Annals
of Statistics 2023.
"""

from dataclasses import dataclass, replace

import numpy as np

from .._utils.rows import images_per_weight, weight_in_class
from .class_means import LEAST_NEIGHBOUR
from .linear import total
from .shots import renumbered

# Least relative difference of scores. Two single shots have the same scores, and an image of hardly
# any weight beside one of them moves scores by more than rounding does.
LEAST_DEVIATION = 1e-6


@dataclass(frozen=True, eq=False)
class Typicality:
    """Units of the scores, and the held-out images."""

    units: dict[str, float]  # `d_k`, divided by the weight of the part
    held_out: np.ndarray  # `sum_k z_k,c / d_k (n, C)`, minus the level
    codes: np.ndarray  # classes of the images `(n,)`
    weight: np.ndarray  # weights of the images `(n,)`
    level: float = 0.0

    @classmethod
    def of(cls, parts, images, rows):
        """The `Typicality` by `z_k (n, C)` of the `Images` at `rows (n,)`, which are held out."""
        relative = images.relative[rows]
        # Equal values would differ by an image of hardly any weight, and have another unit.
        relative = np.where(relative < LEAST_NEIGHBOUR, 0.0, relative)
        units = {name: _unit(z, relative) for name, z in parts.items()}
        if "text" in units:
            units["images"] *= 2
        scores = sum(z / units[name] for name, z in parts.items())
        return cls(units, scores, images.codes[rows], images.weight[rows])

    def rounded(self, dtype):
        """The typicality in another precision. The level is subtracted first, since rounding of a
        large common part would hide differences.
        """
        level = float(self.held_out.mean()) if self.held_out.size else 0.0
        return replace(self, held_out=(self.held_out - level).astype(dtype), level=level)

    def for_classes(self, indices):
        """The typicality for the classes at `indices`. -1 is a class without held-out images."""
        codes = renumbered(self.codes, indices)
        keep = codes >= 0
        held_out = np.where(indices < 0, -np.inf, self.held_out[keep][:, indices])
        return replace(self, held_out=held_out, codes=codes[keep], weight=self.weight[keep])

    def score(self, parts):
        """`sum_k z_k,c / d_k` of queries as a `Linear`. `parts` are the `z_k`, each a `Linear`."""
        return total(1 / self.units[name] * part for name, part in parts.items())

    def p_values(self, scores):
        """The p-values of scores `(n,)`. The p-values are one if no image could be held out."""
        if not len(self.codes):
            return np.ones(len(scores))
        held_out = self.held_out.max(axis=1)
        order, weight = (
            np.argsort(held_out, kind="stable"),
            weight_in_class(self.codes, self.weight),
        )
        weight *= images_per_weight(weight)
        # Total weight, in images, of the images with the 0, 1, ..., n lowest scores.
        below = np.append(0.0, np.cumsum(weight[order]))
        n_below = np.searchsorted(held_out[order], scores - self.level, side="right")
        return (1 + below[n_below]) / (1 + below[-1])


def _unit(z, weight):
    """The standard deviation of `max_c z (n, C)` of images that count as `weight (n,)`, or one if
    all images have the same value.
    """
    if not len(z):
        return 1.0
    values = z.max(axis=1)
    squares = np.square(values - np.average(values, weights=weight))
    deviation = float(np.sqrt(np.average(squares, weights=weight)))
    return deviation if deviation > LEAST_DEVIATION * np.abs(z).max() else 1.0
