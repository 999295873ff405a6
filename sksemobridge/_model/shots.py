"""Labelled shots, pooled: equal rows of a class become one shot, with the sum of their weights.

- A row is a row of `X` in a call.
- A shot is all equal rows of a class. `ShotMemory.shot_of_row` leads from rows to shots.
- An image is all shots of a class that are copies of each other (one `group`). `Shots.images` leads
  from shots to images.
"""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from .._utils.array_api import l2_normalize, rows_as_bytes
from .._utils.rows import LEAST_SHARE, sum_rows
from .._utils.same_image import merge_within_rounding
from .class_means import LEAST_NEIGHBOUR, relative_weight
from .near_copies import near_copies


@dataclass(frozen=True)
class Rows:
    """The rows of one call of `fit` or `partial_fit`, without rows of weight zero."""

    embeddings: np.ndarray  # `(n, D)`
    labels: np.ndarray  # `(n,)`
    weight: np.ndarray  # `(n,)`, positive
    groups: np.ndarray | None  # `(n,)`; None for a row that is an image by itself
    has_weight: np.ndarray | None = None  # whether each row of the user has a weight

    def with_weight(self):
        """The rows with a weight above zero."""
        has_weight = self.weight > 0
        kept = slice(None) if has_weight.all() else has_weight  # a mask would copy
        groups = None if self.groups is None else self.groups[kept]
        return Rows(self.embeddings[kept], self.labels[kept], self.weight[kept], groups, has_weight)


class Images(NamedTuple):
    """The distinct images of each class. Copies are one image."""

    u: np.ndarray | None  # mean of the unit embeddings `(m, D)`, in float64; None if not needed
    codes: np.ndarray  # classes of the images `(m,)`
    weight: np.ndarray  # `(m,)`
    group: np.ndarray  # `(m,)`
    image_of_shot: np.ndarray  # index of the image of each shot `(n,)`
    relative: np.ndarray  # how much each counts, at most as one image `(m,)`


@dataclass(frozen=True)
class Shots:
    """Pooled shots, sorted by class and then by content. The order of the input thus has no
    influence.
    """

    X: np.ndarray  # embeddings `(n, D)`
    codes: np.ndarray  # index of each shot's class `(n,)`
    weight: np.ndarray  # summed sample weights `(n,)`, positive, float64
    # `(n,)`. Shots with the same value are copies of one image. Copies are held out together, and
    # count as one image.
    group: np.ndarray

    def take(self, rows):
        """The shots at `rows (k,)`."""
        return Shots(self.X[rows], self.codes[rows], self.weight[rows], self.group[rows])

    def distinct_images(self, part=None):
        """The `Images` without embeddings, of all shots, or of the shots that keep a `part (n,)` of
        their weight above zero.
        """
        rows = slice(None) if part is None else np.flatnonzero(part)
        weight = self.weight[rows] if part is None else self.weight[rows] * part[rows]
        of_shots, pairs = self.codes[rows], np.stack([self.codes[rows], self.group[rows]])
        (codes, group), index = np.unique(pairs, axis=1, return_inverse=True)
        # Relative to shots and not to images, as some copies may not be found. Such a copy would
        # hardly count beside an image of many copies.
        relative = np.bincount(index, weights=relative_weight(of_shots, weight))
        weight = np.bincount(index, weights=weight)
        return Images(None, codes, weight, group, index, np.minimum(relative, 1))

    def images(self):
        """The `Images`."""
        images, unit = self.distinct_images(), l2_normalize(self.X.astype(np.float64, copy=False))
        index, weight = images.image_of_shot, images.weight
        if not np.array_equal(index, np.arange(len(weight))):
            unit = sum_rows(unit, self.weight, index, len(weight)) / weight[:, None]
        return images._replace(u=unit)


def pool_shots(X, codes, weight, groups=None):
    """Sorted `Shots` of rows, and the shot of each row `(n,)`. Equal rows of a class are one shot.
    Groups that share a shot become one group. Without groups, each shot is a group.
    """
    _, content = np.unique(rows_as_bytes(X), return_inverse=True)
    # Equal rows become neighbours, and lighter rows come first. Sums thus do not depend on the
    # order of the input.
    order = np.lexsort((weight, content, codes))
    first = np.diff(np.stack([codes, content])[:, order], prepend=-1).any(axis=0)
    shot_of_distinct, kept = merge_within_rounding(X[order[first]], codes[order[first]])
    kept = order[first][kept]
    X, codes = X[kept], codes[kept]
    shot_of_row = np.empty(len(order), dtype=np.intp)
    shot_of_row[order] = shot_of_distinct[np.cumsum(first) - 1]
    n = len(codes)
    if groups is None:
        group = np.arange(n)
    else:
        _, given = np.unique(groups, return_inverse=True)
        # Pooled rows and groups are the two sides of a graph. Each connected part is held out
        # together.
        n_nodes = n + given.max() + 1
        links = coo_array((np.ones(len(order)), (shot_of_row, n + given)), shape=(n_nodes,) * 2)
        # SciPy numbers the parts by their first nodes, which are shots. Names of groups thus have
        # no influence.
        group = connected_components(links, directed=False)[1][:n]
    total = np.bincount(shot_of_row[order], weights=weight[order])
    total = np.maximum(total, LEAST_SHARE * np.bincount(codes, weights=total)[codes])
    return Shots(X=X, codes=codes, weight=total, group=group), shot_of_row


@dataclass(frozen=True, eq=False)
class JudgedShots:
    """The judgement of the fit of a `LinearModel` on each of the `m` pooled shots."""

    right: np.ndarray  # probability that the label is right `(m,)`
    omega: np.ndarray  # how much the image of the shot counts, in images `(m,)`
    rest: np.ndarray  # further weight that the limit of its class cut off `(m,)`
    # Logits `(m, C)`, each by a model without the image of the shot and the prior, or NaN if it was
    # not held out. None if not requested.
    held_out_logits: np.ndarray | None = None


@dataclass(frozen=True)
class ShotMemory:
    """The shots of all calls so far, and the pooled shot of each row."""

    shots: Shots
    # the group of each value of the parameter `groups`
    group_of_value: dict = field(default_factory=dict)
    # For each pooled shot, whether the user gave groups with it
    has_groups: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=bool))
    # The group of each pooled shot if near copies count as one image. None before
    # `with_near_copies`
    near_copy_group: np.ndarray | None = None
    # Index of the pooled shot of each row, in the order of the calls. -1 for rows of weight zero
    shot_of_row: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.intp))
    judged: JudgedShots | None = None  # if the model is a `LinearModel`, after its fit

    @classmethod
    def without_shots(cls, X):
        """A memory without shots, for embeddings like `X (n, D)`."""
        weight, codes = np.zeros(0), np.zeros(0, dtype=np.intp)
        shots = Shots(X[:0].copy(), codes, weight, codes)
        return cls(shots, judged=JudgedShots(weight, weight, weight))

    @property
    def grouped_shots(self):
        """The shots, grouped by image."""
        return (
            self.shots
            if self.near_copy_group is None
            else replace(self.shots, group=self.near_copy_group)
        )

    def with_near_copies(self):
        """The memory with `near_copy_group`. Shots with groups of the user keep these groups."""
        group = self.shots.group.copy()
        shots = self.shots
        weighs = relative_weight(shots.codes, shots.weight) >= LEAST_NEIGHBOUR
        rows = np.flatnonzero(~self.has_groups & weighs)
        unit = l2_normalize(self.shots.X[rows].astype(np.float64))
        group[rows] = group[rows][near_copies(unit, self.shots.codes[rows])]
        return replace(self, near_copy_group=group)

    def add(self, rows, codes):
        """The memory with more `Rows` of the classes `codes (n,)`. Copies of one image keep one
        group in all calls.
        """
        X, weight = rows.embeddings, rows.weight
        old = self.shots
        n_old, next_group = len(old.codes), int(old.group.max(initial=-1)) + 1
        group = next_group + np.arange(len(codes))
        known, has_groups = dict(self.group_of_value), np.full(len(codes), rows.groups is not None)
        if rows.groups is not None:
            pairs = zip(rows.groups.tolist(), group.tolist())
            group = np.array(
                [new if value is None else known.setdefault(value, new) for value, new in pairs]
            )
        has_groups = np.append(self.has_groups, has_groups)
        pairs = (old.X, X), (old.codes, codes), (old.weight, weight), (old.group, group)
        X, codes, weight, group = map(np.concatenate, pairs)
        shots, index = pool_shots(X, codes, weight, group if known else None)
        shot_of_new_row = np.full(len(rows.has_weight), -1)
        shot_of_new_row[rows.has_weight] = index[n_old:]
        shot_of_row = np.concatenate([_follow(self.shot_of_row, index[:n_old]), shot_of_new_row])
        pooled = dict(zip(group.tolist(), shots.group[index].tolist()))
        group_of_value = {value: pooled[g] for value, g in known.items() if g in pooled}
        has_groups = np.isin(shots.group, shots.group[index[has_groups]])
        return ShotMemory(shots, group_of_value, has_groups, shot_of_row=shot_of_row)

    def for_classes(self, indices):
        """The shots of the classes at `indices`. -1 is a class without shots."""
        codes = renumbered(self.shots.codes, indices)
        is_kept = codes >= 0
        kept = replace(self.shots, codes=codes).take(is_kept)
        groups = set(kept.group.tolist())
        group_of_value = {value: g for value, g in self.group_of_value.items() if g in groups}
        shot_of_row = _follow(self.shot_of_row, np.where(is_kept, np.cumsum(is_kept) - 1, -1))
        near_copy_group = None if self.near_copy_group is None else self.near_copy_group[is_kept]
        has_groups, judged = self.has_groups[is_kept], self.judged
        if judged is not None:
            parts = (judged.right, judged.omega, judged.rest)
            judged = JudgedShots(*(part[is_kept] for part in parts))
        return ShotMemory(kept, group_of_value, has_groups, near_copy_group, shot_of_row, judged)

    def for_rows(self, values):
        """Values of pooled shots, repeated for the rows of all calls. Values are NaN for rows of
        weight zero.
        """
        result = values[self.shot_of_row]
        result[self.shot_of_row < 0] = np.nan
        return result


def renumbered(codes, indices):
    """The new numbers of the classes `codes (n,)`. Classes at `indices (K,)` are kept, and others
    become -1.
    """
    new_code = np.full(max(codes.max(initial=0), indices.max()) + 1, -1)
    new_code[indices[indices >= 0]] = np.flatnonzero(indices >= 0)
    return new_code[codes]


def _follow(index, now):
    """The indices `index` after `i` has become `now[i]`. -1 stays -1."""
    return np.append(now, -1)[index]
