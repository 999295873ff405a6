"""The loss of the trained bridge and its gradient, for NumPy arrays and torch tensors alike.

The gradient is written out instead of left to autograd: no graph is kept, products that value and gradient
share are computed once, and training on the CPU needs no torch.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.sparse import csr_array

# Elements in one block of classes x shots logits: 4 MB in float32, so that a block stays in the cache and
# memory does not grow with the product of shots and classes (`benchmarks/training.py --only memory`).
BLOCK_ELEMENTS = 2**20


@dataclass(frozen=True)
class LossWeights:
    """Weights of the parts of the loss: `lambda_it`, `1 - lambda_it`, `lambda_c` and `lambda_b`."""

    image: float
    text: float
    consistency: float
    bias: float


@dataclass(frozen=True)
class Problem:
    """What the loss is computed from, in float64.

    Attributes
    ----------
    inputs : ndarray of shape (n, k)
        What the bridge multiplies: `Bridge.inputs` of the shots, or its coordinates in a basis.
    unit_shots : ndarray of shape (n, D)
        `nrm(x)`.
    codes : ndarray of shape (n,)
        Class of each shot; every class has a shot.
    weight_in_class : ndarray of shape (n,)
        Relative weight of each shot in its class; sums to one in each class.
    text, eos : ndarray of shape (C, D) and (C, d), or None
        `T` and `E`.
    projection : ndarray of shape (d, D), of shape (D,), or None
        `W`. One dimension is a diagonal; None is the identity.
    projection_bias : ndarray of shape (D,) or None
        `b_W`.
    text_length : float
        `L`; one without a projection bias, where it cancels.
    logit_scale : float
    weights : LossWeights
    offset : ndarray of shape (n, d) or None
        The part of `v` that is not trained.
    """

    inputs: np.ndarray
    unit_shots: np.ndarray
    codes: np.ndarray
    weight_in_class: np.ndarray
    text: np.ndarray | None
    eos: np.ndarray | None
    projection: np.ndarray | None
    projection_bias: np.ndarray | None
    text_length: float
    logit_scale: float
    weights: LossWeights
    offset: np.ndarray | None = None


class BridgeLoss:
    """The training loss as a function of the bridge and the class bias.

    With `v_i = offset_i + inputs_i @ bridge + bias_c`, `e_i = nrm(v_i)`, the means `G_c` of the `e_i` of each
    class by weight, and the prototypes `P_c = nrm(L G_c @ W + b_W)`, the loss is

    `lambda_it * img + (1 - lambda_it) * (txtp + txte) / 2 + lambda_c * cons + lambda_b * bias`,

    - `img  = CE(scale * nrm(x) @ P.T, y)`,
    - `txtp = CE(P @ T.T, c)` and `txte = CE(nrm(G) @ E.T, c)`,
    - `cons = CE(bridge(x) @ P.T, y)`, where `bridge(x_i) = nrm(L e_i @ W + b_W)`,
    - `bias = mean_c (||bias_c|| - mean ||bias||)^2`.

    Cross-entropies of shots average within a class by weight, then over classes. The gradient in a vector of
    length zero counts as zero. Logits are held with one row a class: sums over classes then run along memory.

    Parameters
    ----------
    problem : Problem
    dtype : dtype
        Precision of the computation; values are summed in float64.
    device : torch.device or None
        None computes with NumPy.
    block_elements : int
        Logits in a block.
    """

    def __init__(self, problem, dtype=np.float32, device=None, block_elements=BLOCK_ELEMENTS):
        self._dtype, self._device = dtype, device
        codes, weights, n_classes = problem.codes, problem.weights, int(problem.codes.max()) + 1
        if device is None:
            self._xp, self._codes = np, codes
            members = (np.ones(len(codes), dtype=dtype), (codes, np.arange(len(codes))))
            self._class_sum = csr_array(members, shape=(n_classes, len(codes))).__matmul__
        else:
            import torch

            self._xp, self._codes = torch, torch.from_numpy(codes).to(device)
            self._class_sum = partial(_class_sum_of_tensor, self._codes, n_classes)
        self._inputs = self.to_array(problem.inputs)
        self._offset = self.to_array(problem.offset)
        self._scaled_shots = self.to_array(problem.logit_scale * problem.unit_shots)
        self._weight_in_class = self.to_array(problem.weight_in_class[:, None])
        self._text, self._eos = self.to_array(problem.text), self.to_array(problem.eos)
        self._bias_weight = weights.bias
        projection = _scaled(problem.projection, problem.text_length, problem.unit_shots)  # L W
        self._projection = self.to_array(projection)
        self._projection_bias = self.to_array(problem.projection_bias)
        # m_i = ||L e_i W + b_W|| and its gradient both come from the one product with `L W (L W)'`.
        self._gram = self.to_array(_gram(projection))
        if problem.projection_bias is not None:
            self._bias_in_eos = self.to_array(_product(problem.projection_bias, projection, transposed=True))
            self._bias_square = float(problem.projection_bias @ problem.projection_bias)

        # Work space for `e`, the gradient in it, and what is in between.
        width = self._scaled_shots.shape[1] if np.ndim(problem.projection) < 2 else len(problem.projection)
        self._buffers = [self.to_array(np.zeros((len(codes), width))) for _ in range(3)]

        classes = np.arange(n_classes)
        self._text_targets = self._targets(classes, (weights.text / 2, weights.text / 2), 1 / n_classes)
        step = max(1, block_elements // n_classes)
        self._blocks = [slice(start, start + step) for start in range(0, len(codes), step)]
        self._shot_targets = [
            self._targets(
                codes[block],
                (weights.image, weights.consistency),
                problem.weight_in_class[block] / n_classes,
            )
            for block in self._blocks
        ]

    def to_array(self, values):
        """Values as an array that the loss computes with: in its precision, on its device."""
        if values is None:
            return None
        values = np.asarray(values, dtype=self._dtype)
        return values if self._device is None else self._xp.tensor(values).to(self._device)

    def value_and_gradient(self, bridge, bias=None):
        """The loss, a float, and its gradients in `bridge (k, d)` and `bias (C, d)` (None without a bias)."""
        xp, e, d_e, scratch = self._xp, *self._buffers
        v = xp.matmul(self._inputs, bridge, out=e)
        if self._offset is not None:
            v += self._offset
        if bias is not None:
            v += bias[self._codes]
        v_inverse = self._inverse_sqrt(xp.linalg.vecdot(v, v))
        e *= v_inverse[:, None]
        mean = self._class_sum(xp.multiply(e, self._weight_in_class, out=scratch))  # G
        mean_unit, mean_inverse = self._normalize(mean)
        prototypes, joint_inverse = self._normalize(self._joint(mean))  # P

        loss, d_prototypes = self._shot_terms(e, prototypes, d_e, scratch)
        d_mean_unit = None
        if self._text is not None:
            text_loss, d_prototypes_text, d_mean_unit = self._text_terms(prototypes, mean_unit)
            loss += text_loss
            d_prototypes += d_prototypes_text

        d_joint = self._normalize_gradient(d_prototypes, prototypes, joint_inverse)
        d_mean = _product(d_joint, self._projection, transposed=True)
        if d_mean_unit is not None:
            d_mean += self._normalize_gradient(d_mean_unit, mean_unit, mean_inverse)
        d_e += xp.multiply(d_mean[self._codes], self._weight_in_class, out=scratch)
        d_e -= xp.multiply(e, xp.linalg.vecdot(e, d_e)[:, None], out=scratch)
        d_e *= v_inverse[:, None]
        d_v = d_e
        d_bridge = self._inputs.T @ d_v
        if bias is None:
            return loss, d_bridge, None
        penalty, d_bias = self._bias_penalty(bias)
        d_bias += self._class_sum(d_v)
        return loss + penalty, d_bridge, d_bias

    def _joint(self, mean):
        """`L * mean @ W + b_W`."""
        joint = _product(mean, self._projection)
        return joint if self._projection_bias is None else joint + self._projection_bias

    def _text_terms(self, prototypes, mean_unit):
        """Weighted `(txtp + txte) / 2`, its gradients in `P` and in `nrm(G)`."""
        n_classes = len(prototypes)
        logits = self._xp.concatenate([self._text @ prototypes.T, self._eos @ mean_unit.T], axis=1)
        loss = self._cross_entropy(logits, *self._text_targets)
        return loss, logits[:, :n_classes].T @ self._text, logits[:, n_classes:].T @ self._eos

    def _shot_terms(self, e, prototypes, d_e, scratch):
        """Weighted `img` and `cons`, and their gradient in `P`.

        The gradient in `e`, without the way through `P`, is put into `d_e`.
        """
        xp, b_w = self._xp, self._projection_bias
        # bridge(x_i) . P_c = (L e_i . (W P_c) + b_W . P_c) / m_i: W goes through the few prototypes instead
        # of the many shots.
        pulled = _product(prototypes, self._projection, transposed=True)
        shift = None if b_w is None else (prototypes @ b_w)[:, None]
        loss, d_prototypes, d_pulled = 0.0, xp.zeros_like(prototypes), xp.zeros_like(pulled)
        for block, targets in zip(self._blocks, self._shot_targets):
            shots, e_block = self._scaled_shots[block], e[block]
            of_images, of_bridged = prototypes @ shots.T, pulled @ e_block.T
            if shift is not None:
                of_bridged += shift
            inverse_length, d_square = self._inverse_joint_length(e_block, scratch[block])
            if inverse_length is not None:
                of_bridged *= inverse_length
            logits = xp.concatenate([of_images, of_bridged], axis=1)
            loss += self._cross_entropy(logits, *targets)
            of_images, of_bridged = logits[:, : len(shots)], logits[:, len(shots) :]
            d_prototypes += of_images @ shots
            if inverse_length is not None:
                of_bridged *= inverse_length
            d_pulled += of_bridged @ e_block
            d_e_block = xp.matmul(of_bridged.T, pulled, out=d_e[block])
            if shift is not None:
                d_prototypes += of_bridged.sum(axis=1)[:, None] * b_w
            if d_square is not None:
                # sum_c (gradient in logit_ic) logit_ic / m_i^2, from what is at hand
                radial = xp.linalg.vecdot(e_block, d_e_block)
                if shift is not None:
                    radial += (of_bridged * shift).sum(axis=0)
                d_square *= (radial * inverse_length**2)[:, None]
                d_e_block -= d_square
        d_prototypes += _product(d_pulled, self._projection)
        return loss, d_prototypes

    def _inverse_joint_length(self, e, out):
        """`1 / m_i` with `m_i^2 = ||L e_i W + b_W||^2`, and half the gradient of `m_i^2` in `e_i` in `out`.

        Both are None where `m_i` is one: the gradient is then a multiple of `e_i`, and the normalisation of
        `v_i` cancels it.
        """
        xp = self._xp
        if self._gram is None and self._projection_bias is None:
            return None, None
        if self._gram is None:
            out[...] = e
        else:
            (xp.multiply if self._gram.ndim == 1 else xp.matmul)(e, self._gram, out=out)
        square = xp.linalg.vecdot(out, e)
        if self._projection_bias is not None:
            square += 2 * (e @ self._bias_in_eos) + self._bias_square
            out += self._bias_in_eos
        return self._inverse_sqrt(square), out

    def _bias_penalty(self, bias):
        """Weighted `mean_c (||bias_c|| - mean ||bias||)^2` and its gradient."""
        direction, _ = self._normalize(bias)
        length = self._xp.linalg.vecdot(bias, direction)
        excess = length - length.sum() / len(bias)
        weight = self._bias_weight / len(bias)
        return weight * float(excess @ excess), (2 * weight * excess)[:, None] * direction

    def _targets(self, codes, weights, weight_of_column):
        """Places of the targets and weights of the columns, for logits that have the same columns twice."""
        places = np.concatenate([codes, codes]), np.arange(2 * len(codes))
        weight = np.concatenate(
            [weight * np.broadcast_to(weight_of_column, len(codes)) for weight in weights]
        )
        if self._device is not None:
            places = tuple(self._xp.from_numpy(place).to(self._device) for place in places)
        return places, self.to_array(weight)

    def _cross_entropy(self, logits, places, weight):
        """`sum_j weight_j CE_j` over columns, in float64; `logits` are replaced by the gradient in them."""
        xp = self._xp
        logits -= xp.amax(logits, axis=0)
        target = logits[places]
        xp.exp(logits, out=logits)
        total = logits.sum(axis=0)
        loss = float((weight * (xp.log(total) - target)).sum(dtype=xp.float64))
        logits *= weight / total
        logits[places] -= weight
        return loss

    def _normalize(self, x):
        """`nrm(x)` and `1 / ||x||`; both are zero for rows of zeros."""
        inverse = self._inverse_sqrt(self._xp.linalg.vecdot(x, x))
        return x * inverse[:, None], inverse

    def _normalize_gradient(self, gradient, unit, inverse_length):
        """Gradient in `x` from the gradient in `unit = nrm(x)`."""
        radial = self._xp.linalg.vecdot(gradient, unit)
        return inverse_length[:, None] * (gradient - radial[:, None] * unit)

    def _inverse_sqrt(self, square):
        return 1 / self._xp.sqrt(self._xp.where(square > 0, square, np.inf))


def _class_sum_of_tensor(codes, n_classes, values):
    """Sums of rows over each class, shape (C, k)."""
    total = values.new_zeros((n_classes, values.shape[1]))
    return total.index_add_(0, codes, values)


def _scaled(projection, length, shots):
    """`L W`; None where it is the identity."""
    if projection is not None:
        return length * projection
    return None if length == 1 else np.full(shots.shape[1], length)


def _gram(projection):
    """`W W'`; a diagonal stays one."""
    if projection is None:
        return None
    return projection**2 if projection.ndim == 1 else projection @ projection.T


def _product(rows, matrix, transposed=False):
    """`rows @ matrix`, where one dimension stands for a diagonal matrix and None for the identity."""
    if matrix is None:
        return rows
    if matrix.ndim == 1:
        return rows * matrix
    return rows @ (matrix.T if transposed else matrix)
