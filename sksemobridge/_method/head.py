"""From embeddings to logits in as few products of matrices as can be.

Every affinity is linear in features of a query `q`: its direction `u = nrm(q)`, a constant, and for `z3` the
bridged query `v = bridge(q)`. So is a weighted sum of them, whose weights fold into one matrix:

    sum_k s_k z_k = [u, 1, v] @ sum_k s_k M_k.
"""

from dataclasses import dataclass, replace

import numpy as np

from .._utils.array_api import l2_normalize, namespace, rows_and_lengths
from .blend import class_divergence, fuse, paper_log_scores
from .bridge import Bridge
from .unseen_classes import fill_in

# Share of a query's squared length that must be kept for the difference of squares to be exact enough.
EXACT_SHARE = 0.05


@dataclass(frozen=True)
class LinearHead:
    """Logits `u @ direct + offsets + v @ through` of `blend="auto"`.

    What `v` is: nothing where the bridge is the identity; `bridge(q)` as it stands with a bias of the projection;
    else `nrm(u @ columns)`. A projector that cuts off little has a shorter way: with the cut directions `N` and
    the matrix `projected` of the projection, `v @ through = u @ projected / sqrt(1 - ||u @ N||^2)`.

    Attributes
    ----------
    direct : ndarray of shape (D, C)
    offsets : ndarray of shape (C,)
    through : ndarray of shape (k, C) or None
    bridge : Bridge or None
    columns : ndarray of shape (D, k) or None
    cut : ndarray of shape (D, D - k) or None
        `N`.
    projected : ndarray of shape (D, C) or None
    """

    direct: np.ndarray
    offsets: np.ndarray
    through: np.ndarray | None = None
    bridge: Bridge | None = None
    columns: np.ndarray | None = None
    cut: np.ndarray | None = None
    projected: np.ndarray | None = None

    def __call__(self, X):
        xp = namespace(X)
        # Lengths are divided out last, of the few columns that products leave.
        queries, length = rows_and_lengths(X)
        scores = queries @ self.direct
        scores /= length
        scores += self.offsets
        if self.bridge is not None:
            scores += self.bridge.apply(X) @ self.through
            return scores
        if self.cut is not None:
            kept = 1 - xp.sum(((queries @ self.cut) / length) ** 2, axis=1, keepdims=True)
            if float(xp.min(kept)) > EXACT_SHARE:
                scores += (queries @ self.projected) / (length * xp.sqrt(kept))
                return scores
        if self.columns is not None:
            scores += l2_normalize(queries @ self.columns) @ self.through
        return scores


def linear_head(model):
    """The head of a model with `blend="auto"`.

    Parameters
    ----------
    model : Model

    Returns
    -------
    LinearHead
    """
    model = model.astype(np.float64)
    bridge, means = model.bridge, model.image_means.T
    if bridge.is_identity:
        return LinearHead(*_fold(model, z3_direct=means))
    if bridge.projection_bias is not None:
        return LinearHead(*_fold(model, z3_bridged=means), bridge=bridge)
    if not bridge.is_projector:
        columns = bridge.matrix if bridge.projection is None else bridge.matrix @ bridge.projection
        return LinearHead(*_fold(model, z3_bridged=means), columns=columns)
    width, rank = bridge.basis.shape
    head = LinearHead(*_fold(model, z3_bridged=bridge.basis.T @ means), columns=bridge.basis)
    # Columns to multiply by, for C classes: C r / D + r for `v @ through`, C + D - r for the shorter way.
    if means.shape[1] * (width - rank) >= width * (2 * rank - width):
        return head
    return replace(head, cut=bridge.cut, projected=bridge.basis @ head.through)


def _fold(model, z3_direct=0.0, z3_bridged=None):
    """`direct (D, C)`, `offsets (C,)` and `through (k, C)` or None of the weighted sum of the affinities.

    `z3` is `u @ z3_direct`, or `v @ z3_bridged` where there is that.
    """
    width, n_classes = model.bridge.matrix.shape[0], len(model.has_shots)
    n_bridged = 0 if z3_bridged is None else len(z3_bridged)

    def stacked(direct=0.0, offsets=0.0, bridged=0.0):
        parts = ((direct, width), (offsets, 1), (bridged, n_bridged))
        return np.concatenate([np.broadcast_to(part, (rows, n_classes)) for part, rows in parts])

    matrices = {} if model.text_embeddings is None else {"z1": stacked(model.text_embeddings.T)}
    matrices["z2"] = stacked(model.prototypes.T)
    matrices["z3"] = stacked(z3_direct, bridged=0.0 if z3_bridged is None else z3_bridged)
    if model.whitening is not None:
        matrices["z4"] = stacked(model.whitening.weights.T, model.whitening.offsets)
    if not model.has_shots.all():
        matrices = fill_in(matrices, model.has_shots, model.slopes)
    direct, offsets, through = np.split(fuse(matrices, model.blend), [width, width + 1])
    return direct, offsets[0], None if z3_bridged is None else through


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
        affinities = self.model.affinities_of_block(X)
        if self.model.slopes is not None:
            affinities = fill_in(affinities, self.model.has_shots, self.model.slopes)
        return paper_log_scores(affinities, self.model.blend, self.divergence)


def paper_head(model):
    """The head of a model with `blend="paper"`: a `PaperHead`."""
    divergence = None
    if model.has_shots.all():
        model = replace(model, slopes=None)
    if model.text_embeddings is not None:
        divergence = class_divergence(model.image_means, model.text_embeddings, model.has_shots)
    return PaperHead(model, divergence)
