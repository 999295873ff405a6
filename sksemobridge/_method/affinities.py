"""A fitted model as plain arrays: from embeddings to affinities to scores."""

from dataclasses import dataclass, replace

import numpy as np

from .._utils.array_api import constants_like, in_blocks, l2_normalize, namespace
from .bridge import Bridge
from .head import linear_head, paper_head
from .unseen_classes import MeanClass, lean_on_names
from .whitening import Affine


@dataclass(frozen=True, eq=False)
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
    whitening : Affine or None
        `z4`.
    correction : Affine or None
        With the estimated blend: `b_c + A_c . v`.
    own_share : ndarray of shape (C,)
        Weight of each class's own shots beside its name, see `class_means`; zero without shots.
    blend : dict
        Weights of the affinities, or the seven numbers of the paper's blend.
    is_paper_blend : bool
    mean_class : MeanClass or None
        The affinities of classes with few shots lean on it; None where none do.
    has_shots : ndarray of shape (C,)
    """

    bridge: Bridge
    text_embeddings: np.ndarray | None
    prototypes: np.ndarray
    image_means: np.ndarray
    class_bias: np.ndarray | None
    whitening: Affine | None
    correction: Affine | None
    own_share: np.ndarray
    blend: dict
    is_paper_blend: bool
    mean_class: MeanClass | None
    has_shots: np.ndarray

    def affinities(self, X):
        """How close the queries `X (n, D)` are to each class.

        - `z1 = nrm(q) . T_c`, where there is text;
        - `z2 = v . P_c` with `v = nrm(q)`, centred `nrm(nrm(q) - m)`;
        - `z3 = bridge(q) . F_c`, unless images are centred;
        - `z4` of `v`, where there is a whitening;
        - `correction` of `v`, with the estimated blend.

        With the estimated blend affinities lean on names, as they are summed: the fewer shots a class has, the more.
        With the paper's, classes without shots have NaN in `z2` and `z3`.

        Returns
        -------
        dict of arrays of shape (n, C)
        """
        model = constants_like(X, self, replace)
        return in_blocks(
            model.affinities_of_block if self.is_paper_blend else model.leaning_affinities_of_block, X
        )

    def raw_affinities(self, X):
        """The affinities of the shots alone, not moved towards names; NaN for classes without shots."""
        return in_blocks(constants_like(X, self, replace).affinities_of_block, X)

    def affinities_of_block(self, X):
        """`raw_affinities` of queries in the precision and on the device of the model's arrays."""
        affinities = _affinities(self, self.bridge, X)
        if self.correction is not None:
            affinities["correction"] = self.correction.affinity(self.bridge.compared(X))
        return affinities

    def leaning_affinities_of_block(self, X):
        """`affinities_of_block`, moved towards the predictions from names."""
        means = _affinities(self.mean_class, self.bridge, X)
        return lean_on_names(self.affinities_of_block(X), means, self.own_shares(), self.mean_class.slopes)

    def own_shares(self):
        """`lambda_c` of each affinity that leans on names."""
        shares = {"z2": self.own_share}
        if self.bridge.mean is None:
            shares["z3"] = self.own_share
        if self.whitening is not None:
            # The class means of `z4` lean already.
            xp = namespace(self.own_share)
            shares["z4"] = xp.astype(self.has_shots, self.own_share.dtype)
        return shares

    def scores(self, X, finish):
        """`finish(logits)` for the logits `(n, C)` of the classes; `finish` treats each row by itself."""
        head = constants_like(X, self, paper_head if self.is_paper_blend else linear_head)
        return in_blocks(lambda block: finish(head(block)), X)

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
            whitening=self.whitening and self.whitening.take(rows),
            correction=self.correction and self.correction.take(rows),
            own_share=np.where(rows < 0, 0.0, self.own_share[rows]),
            has_shots=np.where(rows < 0, False, self.has_shots[rows]),
        )


def _affinities(classes, bridge, X):
    """`z1` to `z4` of queries to classes: a `Model`, or a `MeanClass`."""
    affinities = {}
    if classes.text_embeddings is not None:
        affinities["z1"] = l2_normalize(X) @ classes.text_embeddings.T
    queries = bridge.compared(X)
    affinities["z2"] = queries @ classes.prototypes.T
    if bridge.mean is None:
        affinities["z3"] = bridge.affinity(X, classes.image_means)
    if classes.whitening is not None:
        affinities["z4"] = classes.whitening.affinity(queries)
    return affinities
