"""The loss of the trained bridge and its gradient, for NumPy arrays and torch tensors alike.

The gradient is written out instead of left to autograd: no graph is kept, products that value and gradient
share are computed once, and training on the CPU needs no torch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# Elements in one block of shots x classes logits: 4 MB in float32, so that a block stays in the cache and
# memory does not grow with the product of shots and classes.
BLOCK_ELEMENTS = 2**20


@dataclass(frozen=True)
class LossWeights:
    """How much each part of the loss counts: `lambda_it`, `1 - lambda_it`, `lambda_c` and `lambda_b`."""

    image: float
    text: float
    consistency: float
    bias: float


@dataclass(frozen=True)
class BridgeLoss:
    """The training loss as a function of the bridge and the class bias.

    With `v_i = offset_i + inputs_i @ bridge + bias_c`, `e_i = nrm(v_i)`, `G_c = sum_i share_i e_i` and the
    prototypes `P_c = nrm(L G_c @ W + b_W)`, the loss is

    `lambda_it * img + (1 - lambda_it) * (txtp + txte) / 2 + lambda_c * cons + lambda_b * bias`,

    - `img  = CE(scale * nrm(x) @ P.T, y)`,
    - `txtp = CE(P @ T.T, c)` and `txte = CE(nrm(G) @ E.T, c)`,
    - `cons = CE(bridge(x) @ P.T, y)`, where `bridge(x_i) = nrm(L e_i @ W + b_W)`,
    - `bias = mean_c (||bias_c|| - mean ||bias||)^2`.

    Cross-entropies of shots average within a class by share, then over classes. Vectors of length zero keep
    it: their gradient counts as zero.

    Attributes
    ----------
    xp : module
        `numpy` or `torch`, whichever the arrays belong to.
    class_sum : callable
        Sums rows of an (n, k) array over each class, shape (C, k).
    inputs : array of shape (n, k)
        What the bridge multiplies: `x - b_W`, or its coordinates in a basis.
    offset : array of shape (n, d) or None
        The part of `v` that is not trained.
    unit_shots : array of shape (n, D)
        `nrm(x)`.
    codes : array of shape (n,)
        Class of each shot; every class has a shot.
    share : array of shape (n,)
        Weight of each shot within its class.
    text, eos : arrays of shape (C, D) and (C, d), or None
        `T` and `E`.
    projection : array of shape (d, D), of shape (D,), or None
        `W`. One dimension is a diagonal; None is the identity, which then is never multiplied with.
    gram : array of shape (d, d), of shape (d,), or None
        `W @ W.T`. The length of `e_i @ W` and its gradient both come from the one product `e @ gram`.
    projection_bias : array of shape (D,) or None
        `b_W`.
    """

    xp: Any
    class_sum: Callable
    inputs: Any
    offset: Any
    unit_shots: Any
    codes: Any
    share: Any
    text: Any
    eos: Any
    projection: Any
    gram: Any
    projection_bias: Any
    text_length: float
    logit_scale: float
    weights: LossWeights

    def value_and_gradient(self, bridge, bias=None):
        """The loss, a float, and its gradients in `bridge (k, d)` and `bias (C, d)` (None without a bias)."""
        v = self.inputs @ bridge
        if self.offset is not None:
            v += self.offset
        if bias is not None:
            v += bias[self.codes]
        e, v_inverse = self._unit(v)
        mean = self.class_sum(e * self.share[:, None])  # G
        mean_unit, mean_inverse = self._unit(mean)
        prototypes, joint_inverse = self._unit(self._joint(mean))  # P

        loss, d_prototypes, d_mean_unit = self._text_terms(prototypes, mean_unit)
        shot_loss, d_prototypes_shots, d_e = self._shot_terms(e, prototypes)
        loss += shot_loss
        d_prototypes += d_prototypes_shots

        d_mean = self._joint_transposed(self._unit_gradient(d_prototypes, prototypes, joint_inverse))
        if d_mean_unit is not None:
            d_mean += self._unit_gradient(d_mean_unit, mean_unit, mean_inverse)
        d_e += self.share[:, None] * d_mean[self.codes]
        d_v = self._unit_gradient(d_e, e, v_inverse)
        d_bridge = self.inputs.T @ d_v
        if bias is None:
            return loss, d_bridge, None
        penalty, d_bias = self._bias_penalty(bias)
        return loss + penalty, d_bridge, d_bias + self.class_sum(d_v)

    def _joint(self, mean):
        """`L * mean @ W + b_W`."""
        joint = self.text_length * _product(mean, self.projection)
        return joint if self.projection_bias is None else joint + self.projection_bias

    def _joint_transposed(self, gradient):
        """Gradient in `mean` from the gradient in `_joint(mean)`."""
        return self.text_length * _product(gradient, self.projection, transposed=True)

    def _text_terms(self, prototypes, mean_unit):
        """Weighted `(txtp + txte) / 2`, its gradients in `P` and in `nrm(G)`."""
        if self.text is None:
            return 0.0, self.xp.zeros_like(prototypes), None
        n_classes = len(prototypes)
        classes = self.xp.arange(n_classes, device=prototypes.device)
        weight = self.xp.full_like(prototypes[:, 0], self.weights.text / (2 * n_classes))
        logits = prototypes @ self.text.T
        in_joint_space = self._cross_entropy(logits, classes, weight)
        logits_eos = mean_unit @ self.eos.T
        in_eos_space = self._cross_entropy(logits_eos, classes, weight)
        return in_joint_space + in_eos_space, logits @ self.text, logits_eos @ self.eos

    def _shot_terms(self, e, prototypes):
        """Weighted `img` and `cons`, their gradients in `P` and (without the way through `P`) in `e`."""
        xp, length, b = self.xp, self.text_length, self.projection_bias
        n_classes = len(prototypes)
        weight = self.share / n_classes
        d_prototypes = xp.zeros_like(prototypes)
        d_e = xp.zeros_like(e)
        loss = 0.0
        # bridge(x_i) . P_c = (L e_i . (W P_c) + b_W . P_c) / m_i with m_i = ||L e_i W + b_W||: W goes through
        # the few prototypes instead of the many shots.
        pulled = _product(prototypes, self.projection, transposed=True)
        shift = None if b is None else prototypes @ b
        eos_sum = xp.zeros_like(pulled)  # sum_i a_ic e_i, with a_ic the gradient in logit_ic over m_i
        a_sum = xp.zeros_like(prototypes[:, 0])
        step = max(1, BLOCK_ELEMENTS // n_classes)
        for start in range(0, len(e), step):
            block = slice(start, start + step)
            codes, shots, e_block = self.codes[block], self.unit_shots[block], e[block]
            if self.weights.image:
                logits = shots @ (self.logit_scale * prototypes).T
                loss += self._cross_entropy(logits, codes, self.weights.image * weight[block])
                d_prototypes += self.logit_scale * (logits.T @ shots)
            if self.weights.consistency:
                inverse_length, d_square = self._inverse_joint_length(e_block)
                a = length * (e_block @ pulled.T)
                if shift is not None:
                    a += shift
                a *= inverse_length[:, None]
                loss += self._cross_entropy(a, codes, self.weights.consistency * weight[block])
                a *= inverse_length[:, None]
                eos_sum += a.T @ e_block
                a_sum += a.sum(axis=0)
                through_logits = length * (a @ pulled)
                if d_square is not None:
                    # sum_c (gradient in logit_ic) logit_ic / m_i^2, from what is at hand
                    radial = xp.einsum("ij,ij->i", e_block, through_logits)
                    if shift is not None:
                        radial += a @ shift
                    through_logits -= (radial * inverse_length**2)[:, None] * d_square
                d_e[block] = through_logits
        if self.weights.consistency:
            d_prototypes += length * _product(eos_sum, self.projection)
            if b is not None:
                d_prototypes += a_sum[:, None] * b
        return loss, d_prototypes, d_e

    def _inverse_joint_length(self, e):
        """`1 / m_i` with `m_i^2 = ||L e_i W + b_W||^2`, and half the gradient of `m_i^2` in `e_i`.

        The gradient is None where it is a multiple of `e_i`: the normalisation of `v_i` cancels it.
        """
        xp, length, b = self.xp, self.text_length, self.projection_bias
        if self.gram is None and b is None:
            return xp.full_like(e[:, 0], 1 / length), None
        square = length**2 * _product(e, self.gram)
        m_square = xp.einsum("ij,ij->i", square, e)
        if b is not None:
            bias_in_eos = length * _product(b, self.projection, transposed=True)
            m_square = m_square + 2 * (e @ bias_in_eos) + b @ b
            square = square + bias_in_eos
        return self._inverse_sqrt(m_square), square

    def _bias_penalty(self, bias):
        """Weighted `mean_c (||bias_c|| - mean ||bias||)^2` and its gradient."""
        direction, _ = self._unit(bias)
        length = self.xp.sqrt(self.xp.einsum("ij,ij->i", bias, bias))
        excess = length - length.mean()
        gradient = (2 * self.weights.bias / len(bias)) * excess[:, None] * direction
        return self.weights.bias * float((excess**2).mean()), gradient

    def _cross_entropy(self, logits, targets, weight):
        """`sum_i weight_i CE_i` in float64; `logits` are replaced by the gradient in them."""
        xp = self.xp
        rows = xp.arange(len(logits), device=logits.device)
        logits -= xp.amax(logits, axis=1, keepdims=True)
        target = logits[rows, targets]
        xp.exp(logits, out=logits)
        total = logits.sum(axis=1)
        loss = float((weight * (xp.log(total) - target)).sum(dtype=xp.float64))
        logits *= (weight / total)[:, None]
        logits[rows, targets] -= weight
        return loss

    def _unit(self, x):
        """`nrm(x)` and `1 / ||x||`; both are zero for rows of zeros."""
        inverse = self._inverse_sqrt(self.xp.einsum("ij,ij->i", x, x))
        return x * inverse[:, None], inverse

    def _unit_gradient(self, gradient, unit, inverse_length):
        """Gradient in `x` from the gradient in `unit = nrm(x)`."""
        radial = self.xp.einsum("ij,ij->i", gradient, unit)
        return inverse_length[:, None] * (gradient - radial[:, None] * unit)

    def _inverse_sqrt(self, square):
        positive = square > 0
        return self.xp.where(positive, 1 / self.xp.sqrt(self.xp.where(positive, square, 1)), 0)


def _product(rows, matrix, transposed=False):
    """`rows @ matrix`, where one dimension stands for a diagonal matrix and None for the identity."""
    if matrix is None:
        return rows
    if matrix.ndim == 1:
        return rows * matrix
    return rows @ (matrix.T if transposed else matrix)
