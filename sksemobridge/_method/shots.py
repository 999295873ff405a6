"""Labelled shots, pooled: rows that say the same thing become one row with their weight."""

from dataclasses import dataclass, field

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


@dataclass(frozen=True)
class Shots:
    """Pooled shots, sorted by class, then by content: the order of the input leaves no trace.

    Attributes
    ----------
    X : ndarray of shape (n, D)
    codes : ndarray of shape (n,)
        Index of each shot's class.
    weight : ndarray of shape (n,)
        Summed sample weights, positive, float64.
    unit : ndarray of shape (n,)
        Shots with the same value are copies of one image (`groups`): they are held out together and count
        as one.
    """

    X: np.ndarray
    codes: np.ndarray
    weight: np.ndarray
    unit: np.ndarray

    def share(self):
        """Weight of each shot within its class; sums to one in each class. Shape (n,)."""
        return self.weight / np.bincount(self.codes, weights=self.weight)[self.codes]

    def images(self):
        """Groups the shots by (class, unit): what counts as one image of a class.

        Returns
        -------
        image : ndarray of shape (n,)
            Index of each shot's image.
        codes : ndarray of shape (m,)
            Class of each image.
        unit : ndarray of shape (m,)
            Unit of each image; a unit with several labels has several images.
        """
        cells, image = np.unique(np.stack([self.codes, self.unit]), axis=1, return_inverse=True)
        return image.ravel(), cells[0], cells[1]

    def take(self, chosen):
        """The shots at `chosen` (mask or indices)."""
        return Shots(self.X[chosen], self.codes[chosen], self.weight[chosen], self.unit[chosen])


@dataclass(frozen=True)
class ClassSums:
    """All that the closed form needs of the shots: sums over each class, which shots can be added to.

    Attributes
    ----------
    eos : ndarray of shape (C, d)
        Weighted sums of the shots as `Bridge.to_eos` gives them, float64.
    images : ndarray of shape (C, D)
        Weighted sums of the embeddings, float64.
    weight : ndarray of shape (C,)
        Summed weights.
    """

    eos: np.ndarray
    images: np.ndarray
    weight: np.ndarray

    @classmethod
    def of(cls, shots, bridge, n_classes, class_bias=None):
        """Sums of `shots`, bridged with the bias of their class where there is one."""
        bias = None if class_bias is None else class_bias[shots.codes]
        weight = shots.weight[:, None]
        return cls(
            sum_rows(weight * bridge.to_eos(shots.X, bias), shots.codes, n_classes),
            sum_rows(weight * shots.X, shots.codes, n_classes),
            np.bincount(shots.codes, weights=shots.weight, minlength=n_classes),
        )

    def __add__(self, other):
        return ClassSums(self.eos + other.eos, self.images + other.images, self.weight + other.weight)

    def take(self, rows):
        """The sums of the classes at `rows`, where -1 is a class without shots."""
        keep = rows >= 0
        return ClassSums(
            self.eos[rows] * keep[:, None], self.images[rows] * keep[:, None], self.weight[rows] * keep
        )

    def means(self):
        """Class means `(eos, images)`."""
        return self.eos / self.weight[:, None], self.images / self.weight[:, None]


def sum_rows(values, index, n):
    """Sums of the rows of `values (m, k)` that share an `index`, shape (n, k)."""
    ones = np.ones(len(index), dtype=values.dtype)
    return coo_array((ones, (index, np.arange(len(index)))), shape=(n, len(index))).tocsr() @ values


def effective_number(weight):
    """`(sum w)^2 / sum w^2`: the number of equally weighted shots that are worth as much."""
    if not len(weight):
        return 0.0
    weight = weight / weight.max()
    return float(weight.sum() ** 2 / np.square(weight).sum())


def pool_shots(X, codes, weight, groups=None):
    """Pool rows with equal label and embedding (weights added) and sort them.

    Rows of one group, and groups that share a pooled row, get one `unit`; without groups every pooled row is
    its own.

    Parameters
    ----------
    X : ndarray of shape (n, D)
    codes : ndarray of shape (n,)
        Class indices.
    weight : ndarray of shape (n,)
        Positive.
    groups : ndarray of shape (n,) or None
        What the rows are copies of.

    Returns
    -------
    shots : Shots
    unit : ndarray of shape (n,)
        Unit of each row of the input.
    """
    X = X + X.dtype.type(0)  # -0.0 becomes 0.0: equal numbers, equal bytes
    content = _rank_by_content(X)
    # Equal rows stand together, lighter ones first, so that sums do not depend on the order of the input.
    order = np.lexsort((weight, content, codes))
    first = np.ones(len(order), dtype=bool)
    first[1:] = (np.diff(codes[order]) != 0) | (np.diff(content[order]) != 0)
    pooled = np.empty(len(order), dtype=np.intp)
    pooled[order] = np.cumsum(first) - 1
    n = int(first.sum())
    if groups is None:
        unit = np.arange(n)
    else:
        _, group = np.unique(groups, return_inverse=True)
        # Pooled rows and groups are the two sides of a graph; its parts are what is held out together.
        links = coo_array(
            (np.ones(len(order)), (pooled, n + group.ravel())), shape=(n + group.max() + 1,) * 2
        )
        part = connected_components(links, directed=False)[1][:n]
        # Numbered in the order of the shots: names of groups leave no trace.
        _, where, index = np.unique(part, return_index=True, return_inverse=True)
        unit = np.argsort(np.argsort(where))[index]
    total = np.add.reduceat(weight[order], np.flatnonzero(first))
    keep = order[first]
    return Shots(X=X[keep], codes=np.asarray(codes)[keep], weight=total, unit=unit), unit[pooled]


def _rank_by_content(X):
    """A number for each row: equal for equal rows, and sorted by nothing but what the rows hold."""
    values, rank = np.unique(X[:, 0], return_inverse=True)
    if len(values) < len(X):  # some rows start alike: compare them whole
        rows = np.ascontiguousarray(X).view(np.dtype((np.void, X.dtype.itemsize * X.shape[1]))).ravel()
        rank = rank * len(X) + np.unique(rows, return_inverse=True)[1]
    return rank


@dataclass(frozen=True)
class ShotMemory:
    """All shots of several calls, and which unit the groups of earlier calls became."""

    shots: Shots | None = None
    unit_of_group: dict = field(default_factory=dict)

    def add(self, X, codes, weight, groups=None):
        """The memory with more rows; copies of one image keep one unit over all calls."""
        old = self.shots
        n_old, next_unit = (0, 0) if old is None else (len(old.codes), int(old.unit.max()) + 1)
        group = next_unit + np.arange(len(codes))
        labels, first = [], []
        if groups is not None:
            labels, first, which = np.unique(groups, return_index=True, return_inverse=True)
            labels = labels.tolist()
            group = np.array([self.unit_of_group.get(g, next_unit + i) for g, i in zip(labels, first)])[which]
        if old is not None:
            X = np.vstack([old.X, X.astype(old.X.dtype)])
            codes = np.concatenate([old.codes, codes])
            weight = np.concatenate([old.weight, weight])
            group = np.concatenate([old.unit, group])
        if groups is None and not self.unit_of_group:
            return ShotMemory(pool_shots(X, codes, weight)[0])
        shots, unit = pool_shots(X, codes, weight, group)
        now = dict(zip(group.tolist(), unit.tolist()))
        unit_of_group = {label: now[u] for label, u in self.unit_of_group.items() if u in now}
        unit_of_group.update((label, int(unit[n_old + i])) for label, i in zip(labels, first))
        return ShotMemory(shots, unit_of_group)

    def take(self, new_code):
        """The shots of some classes: class `c` becomes `new_code[c]`, and goes where that is negative."""
        codes = new_code[self.shots.codes]
        kept = self.shots.take(codes >= 0)
        units = set(kept.unit.tolist())
        unit_of_group = {label: u for label, u in self.unit_of_group.items() if u in units}
        return ShotMemory(Shots(kept.X, codes[codes >= 0], kept.weight, kept.unit), unit_of_group)
