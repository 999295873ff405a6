"""A linear classifier of unit embeddings, as the sum of its terms."""

from dataclasses import dataclass

import numpy as np

from .._utils.array_api import constants_like, in_blocks, rows_and_lengths


@dataclass(frozen=True, eq=False)
class Linear:
    """`nrm(X) @ weights.T + offsets`."""

    weights: np.ndarray  # (C, D)
    offsets: np.ndarray  # (C,)

    def __call__(self, X):
        """The values `(n, C)` for embeddings `X (n, D)` of any length. They have the array library and the device of `X`."""
        return self.finished(X, lambda scores: scores)

    def finished(self, X, finish):
        """`finish(values)`, in blocks of rows. `finish` must treat each row by itself."""
        model = constants_like(X, self)
        return in_blocks(lambda block: finish(model.of_block(block)), X)

    def of_block(self, X):
        # The product has few columns, so it is faster to divide by the lengths afterwards.
        rows, length = rows_and_lengths(X)
        values = rows @ self.weights.T
        values /= length
        values += self.offsets
        return values

    def for_labels(self):
        """`coef_` and `intercept_` as in scikit-learn's `LogisticRegression`. Two classes have one row: their difference."""
        if len(self.offsets) != 2:
            return self.weights, self.offsets
        return self.weights[1:] - self.weights[:1], self.offsets[1:] - self.offsets[:1]

    def take(self, rows):
        """The classes at `rows`. For -1, weights and offset are zero."""
        keep = rows >= 0
        return Linear(self.weights[rows] * keep[:, None], self.offsets[rows] * keep)

    def __add__(self, other):
        return Linear(self.weights + other.weights, self.offsets + other.offsets)

    def __rmul__(self, factor):
        return Linear(factor * self.weights, factor * self.offsets)


def total(terms):
    """The sum of some `Linear`."""
    first, *others = terms
    return sum(others, first)
