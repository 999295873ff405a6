"""A training problem in NumPy: its smaller but exact versions, and its loss on a device."""

from dataclasses import dataclass, replace

import numpy as np
from scipy import linalg
from scipy.sparse import csr_array

from .._utils.array_api import l2_normalize
from .._utils.lru import LRUCache, content_key
from .loss import BridgeLoss, LossWeights

_singular_bases = LRUCache(max_items=4)


@dataclass(frozen=True)
class Problem:
    """What is trained, and on what. Arrays as in `BridgeLoss`; `bridge` and `bias` are the start."""

    inputs: np.ndarray
    unit_shots: np.ndarray
    codes: np.ndarray
    share: np.ndarray
    text: np.ndarray | None
    eos: np.ndarray | None
    projection: np.ndarray | None
    projection_bias: np.ndarray | None
    text_length: float
    logit_scale: float
    weights: LossWeights
    bridge: np.ndarray
    bias: np.ndarray | None
    offset: np.ndarray | None = None


def shots_basis(problem):
    """Orthonormal columns that span the shots, (D, n); None unless there are fewer shots than dimensions."""
    n, width = problem.inputs.shape
    if n >= width:
        return None
    return linalg.qr(problem.inputs.T.astype(np.float64), mode="economic", check_finite=False)[0]


def eos_basis(problem, start):
    """Orthonormal columns that span all that `v` starts from or is compared with; None if there are none.

    Needs `W` to be the identity: any other `W` leads out of every smaller space.
    """
    n, width = start.shape
    if problem.projection is not None or 2 * n > width:
        return None
    rows = [start, problem.unit_shots, problem.text, problem.eos, problem.bias, problem.projection_bias]
    rows = l2_normalize(
        np.vstack([np.atleast_2d(part) for part in rows if part is not None]).astype(np.float64)
    )
    basis, upper, _ = linalg.qr(rows.T, mode="economic", pivoting=True, check_finite=False)
    diagonal = np.abs(np.diag(upper))
    # Rows come from embeddings of single precision: what is left below its rounding is none of their span.
    rank = int((diagonal > np.finfo(np.float32).eps * diagonal[0]).sum())
    return basis[:, :rank] if 0 < rank < width else None


def singular_bases(projection):
    """Orthonormal bases `U` and `V` in which `W` is the diagonal `s`: `W = U diag(s) V'`.

    Where `W` is not square the smaller space is padded with columns of zeros.

    Returns
    -------
    u : ndarray of shape (d, max(d, D))
    singular_values : ndarray of shape (max(d, D),)
    v : ndarray of shape (D, max(d, D))
    """

    def compute():
        u, s, vt = linalg.svd(np.asarray(projection, dtype=np.float64), check_finite=False)
        size = max(projection.shape)
        return tuple(np.pad(a, [(0, 0)] * (a.ndim - 1) + [(0, size - a.shape[-1])]) for a in (u, s, vt.T))

    return _singular_bases.get(content_key(projection), compute)


def in_bases(problem, eos, joint, projection):
    """The problem in coordinates of orthonormal bases of the two spaces; `projection` is `W` in them."""
    bases = {"unit_shots": joint, "text": joint, "projection_bias": joint, "eos": eos, "bias": eos}
    parts = {name: getattr(problem, name) for name in bases}
    rotated = {name: part @ bases[name] for name, part in parts.items() if part is not None}
    return replace(problem, projection=projection, **rotated)


def build_loss(problem, dtype, device):
    """The loss on NumPy arrays (`device` None) or torch tensors, and a function that makes such arrays."""
    codes = problem.codes
    n, n_classes = len(codes), int(codes.max()) + 1
    if device is None:
        xp = np
        members = csr_array((np.ones(n, dtype=dtype), (codes, np.arange(n))), shape=(n_classes, n))
        class_sum = members.__matmul__

        def to_array(values):
            return None if values is None else np.array(values, dtype=dtype)
    else:
        import torch as xp

        codes = xp.from_numpy(codes).to(device)

        def class_sum(values):
            total = xp.zeros((n_classes, values.shape[1]), dtype=values.dtype, device=values.device)
            return total.index_add_(0, codes, values)

        def to_array(values):
            return None if values is None else xp.from_numpy(np.array(values, dtype=dtype)).to(device)

    projection = to_array(problem.projection)
    loss = BridgeLoss(
        xp=xp,
        class_sum=class_sum,
        inputs=to_array(problem.inputs),
        offset=to_array(problem.offset),
        unit_shots=to_array(problem.unit_shots),
        codes=codes,
        share=to_array(problem.share),
        text=to_array(problem.text),
        eos=to_array(problem.eos),
        projection=projection,
        gram=_gram(projection),
        projection_bias=to_array(problem.projection_bias),
        text_length=problem.text_length,
        logit_scale=problem.logit_scale,
        weights=problem.weights,
    )
    return loss, to_array


def _gram(projection):
    """`W W'`; a diagonal stays one."""
    if projection is None:
        return None
    return projection**2 if projection.ndim == 1 else projection @ projection.T
