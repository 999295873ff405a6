"""From embeddings to logits in as few products of matrices as can be.

Every affinity is linear in features of a query `q`: its direction `u = nrm(q)`, a constant, and `v`, the bridged query
for `z3` or, where images are centred, `nrm(u - m)`. So is a weighted sum of them, whose weights fold into one matrix:

    sum_k s_k z_k = [u, 1, v] @ sum_k s_k M_k.
"""

from dataclasses import dataclass, replace

import numpy as np

from .._utils.array_api import astype, l2_normalize, namespace, rows_and_lengths
from .blend import class_divergence, fuse, paper_log_scores
from .bridge import Bridge
from .spans import RESOLUTION
from .unseen_classes import lean_on_names

# Share of a query's squared length that must be kept for the difference of squares to be exact enough.
EXACT_SHARE = 0.05


@dataclass(frozen=True)
class DirectHead:
    """Logits `u @ direct + offsets`, with `direct (D, C)` and `offsets (C,)`."""

    direct: np.ndarray
    offsets: np.ndarray

    def __call__(self, X):
        return self.of_rows(*rows_and_lengths(X))

    def of_rows(self, queries, length):
        # Lengths are divided out last, of the few columns that products leave.
        scores = queries @ self.direct
        scores /= length
        scores += self.offsets
        return scores


@dataclass(frozen=True)
class BridgedHead:
    """Logits `u @ direct + offsets + bridge(q) @ through (D, C)`: where the projection has a bias."""

    direct: DirectHead
    bridge: Bridge
    through: np.ndarray

    def __call__(self, X):
        scores = self.direct(X)
        scores += self.bridge.apply(X) @ self.through
        return scores


@dataclass(frozen=True)
class CentredHead:
    """Logits `u @ direct + offsets + nrm(u - m) @ through (D, C)`; `direct` is None where there is no text."""

    direct: DirectHead | None
    offsets: np.ndarray
    mean: np.ndarray
    through: np.ndarray

    def __call__(self, X):
        xp = namespace(X)
        queries, length = rows_and_lengths(X)
        square = 1 - 2 * (queries @ self.mean)[:, None] / length + self.mean @ self.mean
        # Too few digits are left near the mean, and a row of zeros has no direction.
        if float(xp.min(square)) <= EXACT_SHARE or float(xp.min(length)) <= float(
            xp.finfo(X.dtype).smallest_normal
        ):
            square = xp.sum((queries / length - self.mean) ** 2, axis=1, keepdims=True)
        scores = queries @ self.through
        scores /= length
        scores -= self.mean @ self.through
        scores /= xp.clip(xp.sqrt(square), RESOLUTION, None)
        scores += self.offsets
        if self.direct is not None:
            scores += self.direct.of_rows(queries, length)
        return scores


@dataclass(frozen=True)
class ColumnsHead:
    """Logits `u @ direct + offsets + nrm(u @ columns (D, k)) @ through (k, C)`."""

    direct: DirectHead
    columns: np.ndarray
    through: np.ndarray

    def __call__(self, X):
        queries, length = rows_and_lengths(X)
        scores = self.direct.of_rows(queries, length)
        scores += l2_normalize(queries @ self.columns) @ self.through
        return scores


@dataclass(frozen=True)
class ProjectorHead:
    """The shorter way of `ColumnsHead` where a projector cuts off little.

    With the cut directions `N`, `nrm(u @ V) @ V' = (u - u N N') / sqrt(1 - ||u @ N||^2)`. The `factors` are `N`,
    `direct` and `V @ through` side by side, `(D, D - k + 2 C)`: one product is faster than three. The head in `columns`
    is for queries of which little is kept: a difference of squares would not be exact enough.
    """

    columns: ColumnsHead
    factors: np.ndarray

    def __call__(self, X):
        xp = namespace(X)
        queries, length = rows_and_lengths(X)
        product = queries @ self.factors
        n_classes = self.columns.through.shape[1]
        cut_off, scores = product[:, : -2 * n_classes], product[:, -2 * n_classes : -n_classes]
        bridged = product[:, -n_classes:]
        kept = 1 - xp.linalg.vecdot(cut_off, cut_off)[:, None] / length / length
        if float(xp.min(kept)) <= EXACT_SHARE:
            return self.columns(X)
        bridged /= xp.sqrt(kept)
        scores = scores + bridged
        scores /= length
        scores += self.columns.direct.offsets
        return scores


def linear_head(model):
    """The head of a model with `blend="auto"`.

    Parameters
    ----------
    model : Model

    Returns
    -------
    CentredHead, BridgedHead, ColumnsHead or ProjectorHead
    """
    model = astype(model, np.float64)
    bridge = model.bridge
    if bridge.mean is not None:
        direct, offsets, through = _fold(model, np.eye(len(bridge.mean)))
        has_text = model.text_embeddings is not None
        of_text = DirectHead(direct, np.zeros_like(offsets)) if has_text else None
        return CentredHead(of_text, offsets, bridge.mean, through)
    if bridge.projection_bias is not None:
        direct, offsets, through = _fold(model, np.eye(len(bridge.projection_bias)))
        return BridgedHead(DirectHead(direct, offsets), bridge, through)
    is_span = bridge.basis is not None
    columns = bridge.basis
    if not is_span:
        columns = bridge.matrix if bridge.projection is None else bridge.matrix @ bridge.projection
    direct, offsets, through = _fold(model, bridge.basis if is_span else np.eye(columns.shape[1]))
    head = ColumnsHead(DirectHead(direct, offsets), columns, through)
    width, rank = columns.shape
    # Columns to multiply by, for C classes: C r / D + r for `v @ through`, C + D - r for the shorter way.
    longer = through.shape[1] * (width - rank) >= width * (2 * rank - width)
    if not bridge.is_projector or longer:
        return head
    return ProjectorHead(head, np.hstack([bridge.cut, direct, columns @ through]))


def _fold(model, bridged_basis):
    """`direct (D, C)`, `offsets (C,)` and `through (k, C)` of the weighted sum of the affinities.

    The affinities of `v` are taken in the coordinates `bridged_basis (D, k)`.
    """
    matrices = _matrices(model, model.bridge, bridged_basis, model.correction)
    means = _matrices(model.mean_class, model.bridge, bridged_basis)
    leaning = lean_on_names(matrices, means, model.own_shares(), model.mean_class.slopes)
    width = model.bridge.matrix.shape[0]
    direct, offsets, through = np.split(fuse(leaning, model.blend), [width, width + 1])
    return direct, offsets[0], through


def _matrices(classes, bridge, bridged_basis, correction=None):
    """What gives the affinities to classes, of a `Model` or a `MeanClass`, from `[u, 1, v]`."""
    (width, n_classes), n_bridged = classes.prototypes.T.shape, bridged_basis.shape[1]

    def stacked(direct=0.0, offsets=0.0, bridged=0.0):
        parts = ((direct, width), (offsets, 1), (bridged, n_bridged))
        return np.concatenate([np.broadcast_to(part, (rows, n_classes)) for part, rows in parts])

    def of_images(rows, offsets=0.0):
        return stacked(rows.T, offsets) if bridge.mean is None else stacked(0.0, offsets, rows.T)

    matrices = {} if classes.text_embeddings is None else {"z1": stacked(classes.text_embeddings.T)}
    matrices["z2"] = of_images(classes.prototypes)
    if bridge.mean is None:
        matrices["z3"] = stacked(bridged=bridged_basis.T @ classes.image_means.T)
    for name, affine in (("z4", classes.whitening), ("correction", correction)):
        if affine is not None:
            matrices[name] = of_images(affine.weights, affine.offsets)
    return matrices


@dataclass(frozen=True)
class PaperHead:
    """Logits of `blend="paper"`, which need each affinity by itself.

    Attributes
    ----------
    model : Model
    divergence : ndarray of shape (C,) or None
        `KL_c`; None without text.
    """

    model: object
    divergence: np.ndarray | None

    def __call__(self, X):
        model = self.model
        affinities = (
            model.affinities_of_block if model.mean_class is None else model.leaning_affinities_of_block
        )
        return paper_log_scores(affinities(X), model.blend, self.divergence)


def paper_head(model):
    """The head of a model with `blend="paper"`: a `PaperHead`."""
    divergence = None
    if model.has_shots.all():
        model = replace(model, mean_class=None)
    if model.text_embeddings is not None:
        divergence = class_divergence(model.image_means, model.text_embeddings, model.has_shots)
    return PaperHead(model, divergence)
