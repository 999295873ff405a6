"""The classes as the paper knows them: from shots and texts to three cosines (affinities), and to
the logarithm of their score.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from .._model.class_means import effective_numbers, fit_slope
from .._model.shots import Images, Shots
from .._texts.encode import ClassTexts
from .._utils.array_api import constants_like, l2_normalize, namespace, rows_and_lengths
from .._utils.rows import blocks, sum_rows, weight_in_class
from .bridge import Bridge
from .score import START, Hyperparameters, class_divergence, log_score, terms_of_score
from .shot_counts import CountFactors

# Elements of unit rows that differ by fewer units of rounding are equal.
ROUNDING_OF_SAME = 8
# Guess of the slope of a stand-in for a missing text, which counts as so many classes with a text.
# The slopes of eight tasks are between 0.3 and 0.8.
STAND_IN, STAND_IN_CLASSES = 0.4, 10.0
# Variance of the images of a class relative to that of class means. With it, slopes of these tasks
# hardly depend on the number of shots.
IMAGE_NOISE = 0.9


@dataclass(frozen=True, eq=False)
class CosineRows:
    """Rows whose products with a query give its cosines to `C` classes, for a bridge that is a
    matrix: `bridge(x) = nrm(x @ M)`, so `z3 = x . (F_c M') / |x @ M|`.
    """

    names: tuple[str, ...]  # of the cosines that count in the score, in the order of the rows
    rows: np.ndarray  # of classes, then those of the length
    in_span: np.ndarray  # of classes for the other names, in the directions of the length
    n_of_length: int
    is_rest: bool  # whether the rows of the length give what the bridge leaves out of it
    z3_is_z2: bool  # the identity bridges shots to their mean, so that both have the same rows

    @property
    def all_names(self) -> tuple[str, ...]:
        """The names of all cosines."""
        return (*self.names, "z3") if self.z3_is_z2 else self.names

    @classmethod
    def of(cls, classes: BridgedClasses) -> CosineRows | None:
        """The `CosineRows` of `classes`, or None if the projection has a bias."""
        bridge, of_classes = classes.bridge, classes.rows
        if bridge.projection_bias is not None:
            return None
        prototypes, means = of_classes["z2"], of_classes["z3"]
        used = terms_of_score(of_classes, classes.hyperparameters, classes.divergence)
        of_classes = {name: of_classes[name] for name, *_ in used}
        of_length, is_rest, inside = means[:0], True, {}
        is_identity = bridge.matrix is None and {"z2", "z3"} <= set(of_classes)
        least = ROUNDING_OF_SAME * np.finfo(means.dtype).eps
        z3_is_z2 = is_identity and bool(np.abs(prototypes - means).max() < least)
        if z3_is_z2:
            del of_classes["z3"]
        elif "z3" in of_classes:
            of_classes["z3"], of_length, is_rest = bridge.as_rows(means)
        if bridge.basis is not None and not is_rest:
            # Products with few directions are needed for the length. Prototypes are in their span,
            # but for those of classes without shots.
            same = ROUNDING_OF_SAME * np.finfo(np.float32).eps
            for name, rows in of_classes.items():
                in_span = rows @ of_length.T
                if np.abs(in_span @ of_length - rows).max() < same:
                    inside[name] = in_span
        direct = {name: rows for name, rows in of_classes.items() if name not in inside}
        return cls(
            names=(*direct, *inside),
            rows=np.concatenate([*direct.values(), of_length]),
            in_span=np.concatenate([of_length[:0] @ of_length.T, *inside.values()]),
            n_of_length=len(of_length),
            is_rest=is_rest,
            z3_is_z2=z3_is_z2,
        )

    def cosines(self, X: Any) -> dict[str, Any]:
        """The cosines of queries that have the precision and the device of the rows."""
        X, length = rows_and_lengths(X)
        xp, products = namespace(X), X @ self.rows.T
        n = products.shape[1] - self.n_of_length
        of_classes, of_length = [products[:, :n]], products[:, n:]
        if self.in_span.shape[0]:
            of_classes.append(of_length @ self.in_span.T)
        C = (n + self.in_span.shape[0]) // len(self.names)
        each = [part[:, k : k + C] for part in of_classes for k in range(0, part.shape[1], C)]
        cosines = {name: part * (1 / length) for name, part in zip(self.names, each)}
        if self.n_of_length:
            # The square of the length of a row of zeros would be zero.
            share = (xp.sqrt(xp.linalg.vecdot(of_length, of_length))[:, None] / length) ** 2
            limits = xp.finfo(X.dtype)
            # What is left by rounding is not a length.
            share, least = (
                (1 - share, limits.eps) if self.is_rest else (share, limits.smallest_normal)
            )
            cosines["z3"] /= xp.sqrt(xp.clip(share, float(least), None))
        if self.z3_is_z2:
            cosines["z3"] = xp.asarray(cosines["z2"], copy=True)
        return cosines


@dataclass(frozen=True, eq=False)
class BridgedClasses:
    """The arrays that predictions need, with one row for each class."""

    bridge: Bridge
    text_embeddings: np.ndarray | None  # `T_c (C, D)`
    prototypes: np.ndarray  # `P_c (C, D)`, the bridged shots
    image_means: np.ndarray  # `F_c (C, D)`, the means of the shots
    class_bias: np.ndarray | None  # `(C, d)`
    divergence: np.ndarray  # `KL_c (C,)`
    rank: int  # number of directions that the bridge keeps in closed form
    loss_curve: list | None  # None in closed form
    n_iter: int
    # Added to `T_c` in `z1 (C, D)`: zero but for classes without a text. None if all have one
    stand_ins: np.ndarray | None = None
    # What makes `z2` and `z3` comparable. None if all classes have equally many shots
    count_factors: CountFactors | None = None
    hyperparameters: Hyperparameters = START
    temperature: float = 1.0
    log_prior: np.ndarray | None = None  # added to the decision, `(C,)`
    fast: CosineRows | None = None  # for many queries

    @property
    def is_trained(self) -> bool:
        """Whether the bridge was trained on the shots."""
        return self.loss_curve is not None

    @property
    def uses_texts(self) -> bool:
        """Whether texts count in the score. Names may say nothing."""
        return self.hyperparameters.alpha is not None

    @property
    def texts_with_stand_ins(self) -> np.ndarray | None:
        """`T_c (C, D)`, with stand-ins for missing texts."""
        if self.text_embeddings is None or self.stand_ins is None:
            return self.text_embeddings
        return self.text_embeddings + self.stand_ins

    @property
    def rows(self) -> dict[str, np.ndarray]:
        """The rows of classes, `(C, D)` each, by the names of their cosines in the score."""
        factors, texts = self.count_factors, self.texts_with_stand_ins
        rows = {"z2": self.prototypes, "z3": self.image_means}
        if factors is not None:
            rows = {name: factors.apply(part) for name, part in rows.items()}
        return rows if texts is None else {"z1": texts, **rows}

    def affinities(self, X: Any) -> dict[str, Any]:
        """The cosines of queries `X (n, D)` and classes, a dict of arrays of shape (n, C)."""
        n_cosines = 2 if self.text_embeddings is None else 3
        is_other = self.count_factors is not None or (
            self.fast is not None and len(self.fast.all_names) < n_cosines
        )
        classes = replace(self, fast=None, count_factors=None) if is_other else self
        return constants_like(X, classes).cosines(X)

    def decision(self, log_prior: np.ndarray | None) -> BridgedClasses:
        """What classifies many queries, with `log_prior (C,)` added."""
        return replace(self, log_prior=log_prior, fast=CosineRows.of(self))

    def decide(self, X: Any) -> Any:
        """The decision of queries that have the precision and the device of these arrays:
        `temperature * log(score) + log_prior`, shape (n, C).
        """
        decision = log_score(self.cosines(X), self.hyperparameters, self.divergence)
        decision *= self.temperature
        return decision if self.log_prior is None else decision + self.log_prior

    def cosines(self, X: Any) -> dict[str, Any]:
        """`z1 = nrm(q) . T_c` (if there is text), `z2 = nrm(q) . P_c` and `z3 = bridge(q) . F_c` of
        such queries, the last two with the `count_factors`. What classifies many has only those
        that count in the score.
        """
        if self.fast is not None:
            return self.fast.cosines(X)
        of_queries = {"z3": self.bridge.apply(X)}
        unit = l2_normalize(X)
        return {name: of_queries.get(name, unit) @ rows.T for name, rows in self.rows.items()}

    def guesses(self, texts: np.ndarray) -> list[np.ndarray]:
        """Prototypes and image means that texts `(K, D)` predict, not scaled to unit length."""
        known = self.text_embeddings
        assert known is not None
        return [
            rows.mean(axis=0) + fit_slope(known, rows) * (texts - known.mean(axis=0))
            for rows in (self.prototypes, self.image_means)
        ]

    def for_classes(self, indices: np.ndarray, texts: np.ndarray | None) -> BridgedClasses:
        """Other classes: those at `indices (K,)`. -1 is a class without shots.

        `texts (K, D)` are the `T_c` of these classes, or None without text.
        """
        # Here -1 takes the last row, which is replaced below, or refused.
        prototypes, image_means = self.prototypes[indices], self.image_means[indices]
        new = indices < 0
        if texts is not None and new.any():
            prototypes[new], image_means[new] = map(l2_normalize, self.guesses(texts[new]))
        class_bias, stand_ins = (
            part if part is None else np.where(new[:, None], part.dtype.type(0), part[indices])
            for part in (self.class_bias, self.stand_ins)
        )
        return replace(
            self,
            text_embeddings=texts,
            prototypes=prototypes,
            image_means=image_means,
            class_bias=class_bias,
            stand_ins=stand_ins,
            count_factors=self.count_factors and self.count_factors.for_classes(indices),
            divergence=class_divergence(image_means, texts if self.uses_texts else None),
        )


class ClassSums(NamedTuple):
    """Weighted sums of shots and of their bridged texts, for each class, in float64."""

    weight: np.ndarray  # `(C, 1)`
    lengths: np.ndarray  # of the shots `(C, 1)`
    images: np.ndarray  # `(C, D)`
    eos: np.ndarray  # `(C, d)`

    def without(self, others: ClassSums) -> ClassSums:
        """The sums without those of some of the shots, which are overwritten."""
        return ClassSums(*(np.subtract(*parts, out=parts[1]) for parts in zip(self, others)))


def sums_of_shots(
    bridge: Bridge, shots: Shots, part: np.ndarray, class_bias: np.ndarray | None = None
) -> ClassSums:
    """`ClassSums` of shots that have the `part (n,)` of their shares of the classes.

    Shots are bridged some at a time, so that they need little memory in double precision.
    """
    assert bridge.matrix is not None
    n_classes, (D, d) = shots.codes[-1] + 1, bridge.matrix.shape
    rows, share = np.flatnonzero(part), part * weight_in_class(shots.codes, shots.weight)
    sums = ClassSums(*(np.zeros((n_classes, width)) for width in (1, 1, D, d)))
    for block in blocks(len(rows)):
        some = rows[block]
        X, codes = shots.X[some].astype(np.float64), shots.codes[some]
        eos = bridge.eos(X, None if class_bias is None else class_bias[codes])
        # Neighbours are of one class, or of the next.
        first, last = codes[0], codes[-1] + 1
        lengths = np.linalg.norm(X, axis=1, keepdims=True)
        for result, values in zip(sums, (np.ones((len(X), 1)), lengths, X, eos)):
            result[first:last] += sum_rows(values, share[some], codes - first, last - first)
    return sums


def classes_of_sums(
    bridge: Bridge, sums: ClassSums, images: Images, texts: ClassTexts
) -> BridgedClasses:
    """`BridgedClasses` of the `ClassSums` of shots, which show these images. The sums are
    overwritten.
    """
    for part in sums.lengths, sums.images, sums.eos:  # their means, without a copy
        part /= sums.weight
    image_means = l2_normalize(sums.images)
    counts, _ = effective_numbers(images.codes, images.weight)
    resultants = np.linalg.norm(sums.images, axis=1) / sums.lengths[:, 0]
    count_factors = CountFactors.of(counts, resultants, image_means, texts.embeddings is not None)
    divergence = class_divergence(image_means, texts.embeddings)
    return BridgedClasses(
        bridge=bridge,
        text_embeddings=texts.embeddings,
        prototypes=l2_normalize(bridge.joint(sums.eos)),
        image_means=image_means,
        class_bias=None,
        divergence=divergence,
        rank=bridge.rank,
        loss_curve=None,
        n_iter=1,
        stand_ins=stand_ins_of_texts(counts, image_means, texts),
        count_factors=count_factors,
    )


def stand_ins_of_texts(
    counts: np.ndarray, image_means: np.ndarray, texts: ClassTexts
) -> np.ndarray | None:
    """What `z1` adds to the mean text of classes that have none `(C, D)`, or None if all have one.
    Classes have `counts (C,)` images.

    Texts differ about as images do. The slope is that of the classes with a text.
    """
    has_text = texts.has_text
    if has_text is None or has_text.all():
        return None
    deviations = image_means - image_means.mean(axis=0)
    slope, n = STAND_IN, has_text.sum()
    if n > 1:
        assert texts.embeddings is not None
        # On means of few images a slope is too small, and classes with short stand-ins never win.
        without_noise = (counts / (counts + IMAGE_NOISE))[:, None] * deviations
        found = fit_slope(without_noise[has_text], texts.embeddings[has_text])
        slope = (STAND_IN_CLASSES * slope + n * found) / (STAND_IN_CLASSES + n)
    return np.where(has_text[:, None], 0.0, slope * deviations)
