"""A fitted model as plain arrays: from embeddings to affinities to scores."""

from dataclasses import dataclass, replace

import numpy as np

from ._blend import class_divergence, paper_log_scores
from ._bridge import Bridge, unit
from ._fusion import fuse
from ._name_only import fill_in
from ._whitening import Whitening


@dataclass(frozen=True)
class Model:
    """All that prediction needs, one row per class. Rows of classes without shots are NaN.

    Attributes
    ----------
    bridge : Bridge
    text_embeddings : ndarray of shape (C, D) or None
        `T_c`.
    prototypes : ndarray of shape (C, D)
        `P_c`.
    image_means : ndarray of shape (C, D)
        `F_c`.
    class_bias : ndarray of shape (C, d) or None
    whitening : Whitening or None
    blend : dict
        Weights of the affinities, or the seven numbers of the paper's blend.
    is_paper_blend : bool
    slopes : dict or None
        See `_name_only`; None without text.
    has_shots : ndarray of shape (C,)
    """

    bridge: Bridge
    text_embeddings: np.ndarray | None
    prototypes: np.ndarray
    image_means: np.ndarray
    class_bias: np.ndarray | None
    whitening: Whitening | None
    blend: dict
    is_paper_blend: bool
    slopes: dict | None
    has_shots: np.ndarray

    def affinities(self, X):
        """How close the queries `X (n, D)` are to each class.

        - `z1 = nrm(q) . T_c`, where there is text;
        - `z2 = nrm(q) . P_c`;
        - `z3 = bridge(q) . F_c`;
        - `z4 = nrm(q)' P m_c - m_c' P m_c / 2`, where there is a whitening.

        Returns
        -------
        dict of ndarray of shape (n, C)
        """
        queries = unit(X)
        affinities = {}
        if self.text_embeddings is not None:
            affinities["z1"] = queries @ self.text_embeddings.T
        affinities["z2"] = queries @ self.prototypes.T
        affinities["z3"] = self.bridge.affinity(X, self.image_means)
        if self.whitening is not None:
            affinities["z4"] = self.whitening.affinity(queries)
        return affinities

    def scores(self, X):
        """Logits of the classes, shape (n, C)."""
        affinities = self.affinities(X)
        if not self.has_shots.all():
            affinities = fill_in(affinities, self.has_shots, self.slopes)
        if not self.is_paper_blend:
            return fuse(affinities, self.blend)
        divergence = None
        if self.text_embeddings is not None:
            divergence = class_divergence(self.image_means, self.text_embeddings, self.has_shots)
        return paper_log_scores(affinities, self.blend, divergence)

    def take(self, rows, text_embeddings=None):
        """The model over other classes: those at `rows`, where -1 is a class without shots.

        `text_embeddings` are those of the new classes, None to take them from `rows` too.
        """

        def of(values):
            if values is None:
                return None
            taken = values[rows]
            taken[rows < 0] = np.nan
            return taken

        return replace(
            self,
            text_embeddings=of(self.text_embeddings) if text_embeddings is None else text_embeddings,
            prototypes=of(self.prototypes),
            image_means=of(self.image_means),
            class_bias=of(self.class_bias),
            whitening=self.whitening and Whitening(of(self.whitening.weights), of(self.whitening.offsets)),
            has_shots=np.where(rows < 0, False, self.has_shots[rows]),
        )

    def astype(self, dtype):
        """The model with arrays of another precision."""

        def cast(values):
            return None if values is None else values.astype(dtype, copy=False)

        return replace(
            self,
            bridge=self.bridge.astype(dtype),
            text_embeddings=cast(self.text_embeddings),
            prototypes=cast(self.prototypes),
            image_means=cast(self.image_means),
            class_bias=cast(self.class_bias),
            whitening=self.whitening
            and Whitening(cast(self.whitening.weights), cast(self.whitening.offsets)),
        )
