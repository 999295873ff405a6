"""A linear classifier of unit embeddings, as the sum of its terms."""

from dataclasses import dataclass

import numpy as np

from .._utils.array_api import apply_in_blocks, rows_and_lengths


@dataclass(frozen=True, eq=False)
class Linear:
    """`nrm(X) @ weights.T + offsets`."""

    weights: np.ndarray  # (C, D)
    offsets: np.ndarray  # (C,)

    def __call__(self, X):
        """The values `(n, C)` for embeddings `X (n, D)` of any length. The values have the array
        library and the device of `X`.
        """
        return apply_in_blocks(self, X, lambda values: values)

    def decide(self, X):
        """The values for embeddings that have the precision and the device of the model."""
        # The product has few columns, so it is faster to divide by the lengths afterwards.
        rows, length = rows_and_lengths(X)
        values = rows @ self.weights.T
        values /= length
        values += self.offsets
        return values

    def coef_and_intercept(self):
        """`coef_` and `intercept_` as in scikit-learn's `LogisticRegression`. Two classes have one
        row: the difference of their rows.
        """
        if len(self.offsets) != 2:
            return self.weights, self.offsets
        return self.weights[1:] - self.weights[:1], self.offsets[1:] - self.offsets[:1]

    def for_classes(self, indices):
        """The classifier for the classes at `indices`. For -1, weights and offset are zero."""
        keep = indices >= 0
        return Linear(self.weights[indices] * keep[:, None], self.offsets[indices] * keep)

    def __add__(self, other):
        return Linear(self.weights + other.weights, self.offsets + other.offsets)

    def __rmul__(self, factor):
        return Linear(factor * self.weights, factor * self.offsets)


def total(terms):
    """The sum of some `Linear`."""
    first, *others = terms
    return sum(others, first)
