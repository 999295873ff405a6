"""What makes the cosines of classes with unequal numbers of shots comparable (not from the paper).

The mean of `n` unit shots is shorter than they are. Its squared length is

    L(n)^2 = rho + (1 - rho) / n

in the mean, with the mean cosine `rho` of two shots of a class. Scaled to unit length, a mean of
many shots is nearer to every image, and its class wins too often. So the cosines of a class count
`L(n) / L(n_ref)` times, and the harmonic mean of the numbers is the reference `n_ref`: as if the
means had not been scaled.

Means of few shots also vary more, so that without text their classes win too often then. Deviations
from the mean of all classes have the variance `B + W / n`, with `B` between classes and
`W = 1 - rho` within one. Each class has those of the reference,
`sqrt((B + W / n_ref) / (B + W / n))` times its own. Beside texts, this harms.

A trained bridge fits few shots of a class more closely than many, so that its factors are powers of
these lengths, and deviations stay.

Nothing changes where all numbers are equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

# Power of the lengths for a trained bridge. With texts, 1 and 3 are as good, but with 1 some
# classes of one shot are 3 points below their names. Without texts, 1 loses 1.9 points, and 3 loses
# points on fine classes.
TRAINED_POWER = 2


@dataclass(frozen=True, eq=False)
class CountFactors:
    """Factors of the rows of classes, of which products with queries are cosines."""

    length: np.ndarray  # `L(n_c) / L(n_ref) (C,)`
    deviation: np.ndarray | None = None  # of a row from the mean of all `(C,)`; None with text

    @classmethod
    def of(
        cls,
        counts: np.ndarray,
        resultants: np.ndarray,
        image_means: np.ndarray,
        has_text: bool,
    ) -> CountFactors | None:
        """Factors of classes with `counts (C,)` shots, whose means have the lengths `resultants
        (C,)` relative to their shots, and the directions `image_means (C, D)`. None if counts are
        equal.
        """
        if np.allclose(counts, counts[0], rtol=1e-9, atol=0):
            return None
        rho = np.sum(counts * resultants**2 - 1) / np.sum(counts - 1)
        rho, reference = float(np.clip(rho, 0, 1)), 1 / np.mean(1 / counts)

        def squared_length(n: Any) -> Any:
            return rho + (1 - rho) / n

        length = np.sqrt(squared_length(counts) / squared_length(reference))
        if has_text:
            return cls(length)
        rows = length[:, None] * image_means
        within = (1 - rho) / squared_length(reference)
        between = np.square(rows - rows.mean(axis=0)).sum() / (len(rows) - 1)
        between = max(between - within / reference, 0.0)
        with np.errstate(invalid="ignore"):
            deviation = np.sqrt((between + within / reference) / (between + within / counts))
        return cls(length, np.nan_to_num(deviation, nan=1.0))

    def of_trained(self) -> CountFactors:
        """The factors for a trained bridge."""
        return CountFactors(self.length**TRAINED_POWER)

    def apply(self, rows: Any) -> Any:
        """Unit `rows (C, D)` of classes as they count in the score."""
        rows = self.length[:, None] * rows
        if self.deviation is None:
            return rows
        mean = rows.mean(axis=0)
        return mean + self.deviation[:, None] * (rows - mean)

    def for_classes(self, indices: np.ndarray) -> CountFactors:
        """Other classes: those at `indices (K,)`. -1 is a class without shots, which counts as the
        reference.
        """

        def taken(part: np.ndarray) -> np.ndarray:
            return np.where(indices < 0, part.dtype.type(1), part[indices])

        deviation = None if self.deviation is None else taken(self.deviation)
        return CountFactors(taken(self.length), deviation)
