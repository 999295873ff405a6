"""The training loss of the paper and its gradient, in torch."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._utils.array_api import DEVICE_BLOCK, resolve_device
from .._utils.rows import blocks

# Numbers of a block of shots on a CPU. In single precision they take 0.5 MB, so that they stay in
# the cache of a processor from one step to the next. Twice as many take as long, and more memory.
LOSS_BLOCK = 2**17


class BridgeLoss:
    """The training loss as a function of the rows of the bridge, followed by those of the class
    bias if there is one: `parameters (k, d)` or `(k + C, d)`.

    With `v_i = inputs_i @ bridge + offset_i + bias_c` and `e_i = nrm(v_i)`, the weighted class
    means of the `e_i` are `G_c`. The prototypes are `P_c = nrm(L G_c @ W + b_W)`. The loss is

    `lambda_it * img + (1 - lambda_it) * (txtp + txte) / 2 + lambda_c * cons + lambda_b * bias`,

    - `img  = CE(scale * nrm(x) @ P.T, y)`,
    - `txtp = CE(P @ T.T, c)` and `txte = CE(nrm(G) @ E.T, c)`,
    - `cons = CE(r @ P.T, y)`, with the bridged shots `r_i = nrm(L e_i @ W + b_W)`,
    - `bias = mean_c (||bias_c|| - mean ||bias||)^2`.

    Cross-entropies of shots are averaged within each class by weight, and then over the classes, in
    float64.
    """

    def __init__(
        self,
        X,
        codes,
        share,
        bridge,
        options,
        texts,
        dtype,
        rows=None,
        inputs=None,
        offset=None,
    ):
        """See `train_bridge`. The shots are the `rows (n,)` of `X`, by default all. By default the
        `inputs (n, k)` are those of the bridge, `(n, D)`, and there is no `offset (n, d)`.
        """
        import torch

        self._torch, self._dtype, self._device = torch, dtype, resolve_device(options.device)
        self.options, self.n_classes = options, int(codes.max()) + 1
        rows = np.arange(len(X)) if rows is None else rows
        n, (width, d) = len(rows), bridge.matrix.shape
        self._k = width if inputs is None else inputs.shape[1]
        W, b = bridge.projection, bridge.projection_bias
        is_identity = W is None or np.array_equal(W, np.eye(len(W)))
        self._W = None if is_identity else self.to_tensor(W)
        self._b = None if b is None else self.to_tensor(b)
        self._L = 1.0 if b is None else bridge.text_length  # which has no effect without a bias
        # `v @ W` is also `inputs @ (bridge @ W)`, which is less to compute if inputs are narrow.
        self._is_narrow = self._W is not None and self._k * (n + d) < n * d
        n_rows = self._k + (self.n_classes if options.class_bias else 0)
        # What bridged shots say goes at once to the gradient of the parameters times `W`, if these
        # have fewer rows than there are shots.
        self._is_long = self._is_narrow or n_rows < n
        self._texts = None
        if texts.embeddings is not None:
            self._texts = self._shared(texts.embeddings), self._shared(texts.eos_directions)
        self._classes = torch.arange(self.n_classes, device=self._device)[:, None]
        self._text_weight = torch.full(
            (self.n_classes, 1),
            (1 - options.lambda_it) / 2 / self.n_classes,
            dtype=torch.float64,
            device=self._device,
        )
        length = np.sqrt(np.einsum("nk,nk->n", X, X, dtype=np.float64))[rows, None]
        # Rows of zeros stay zero.
        scale = texts.logit_scale / np.maximum(length, np.finfo(np.float32).tiny)
        scale = np.minimum(scale, np.finfo(dtype).max)
        arrays = X, scale, share[:, None], inputs, offset
        shots, scale, share_in_class, inputs, offset = map(self._shared, arrays)
        codes, index = (torch.tensor(part).to(self._device) for part in (codes, rows))
        weight = torch.tensor(share / self.n_classes).to(self._device)[:, None]
        self._height = LOSS_BLOCK if self._device.type == "cpu" else DEVICE_BLOCK
        self._blocks = [
            _Block(
                shots,
                index[rows],
                self._b,
                None if inputs is None else inputs[rows],
                None if offset is None else offset[rows],
                None if offset is None or not self._is_narrow else offset[rows] @ self._W,
                codes[rows],
                share_in_class[rows],
                scale[rows],
                codes[rows].repeat(2)[:, None],
                torch.cat([options.lambda_it * weight[rows], options.lambda_c * weight[rows]]),
            )
            for rows in blocks(n, max(1, self._height // max(self.n_classes, width)))
        ]

    def _shared(self, values):
        """As `to_tensor`, but on a CPU without a copy if one can do without; None stays None."""
        if values is None:
            return None
        values = np.require(values, dtype=self._dtype, requirements="W")
        return self._torch.from_numpy(values).to(self._device)

    def to_tensor(self, values):
        """Values as a new tensor with the precision and the device of the loss."""
        return self._torch.tensor(np.asarray(values, dtype=self._dtype)).to(self._device)

    def prototypes(self, parameters):
        """The `P_c (C, D)`."""
        return self.unit(self.joint(self._class_means(self._forward(parameters))))

    def unit(self, x):
        """`nrm(x)`. Rows of zeros stay zero, and have no gradient."""
        return x / self._length(x)

    def joint(self, eos):
        """`L * eos @ W + b_W`."""
        return self._affine(eos if self._W is None else eos @ self._W)

    def __call__(self, parameters):
        """The loss, and its gradient in the shape of the parameters.

        Names such as `by_P` are of gradients, here by the prototypes.
        """
        torch, W = self._torch, self._W
        forward = self._forward(parameters)
        mean = self._class_means(forward)
        joint_mean = self.joint(mean)
        joint_length = self._length(joint_mean)
        P = joint_mean / joint_length
        del joint_mean  # those of all classes take as much memory as some shots of each
        value, by_P, by_mean = self._text_loss(P, mean)
        del mean
        parameters_W = parameters @ W if self._is_narrow else None
        gradient_W = parameters.new_zeros((len(parameters), P.shape[1])) if self._is_long else None
        # What bridged shots say of `e`. If it goes to a gradient at once, its part along `e` is
        # left.
        of_bridged = []
        for block, (e, length) in zip(self._blocks, forward):
            if self._is_narrow:
                e_W = block.linear(parameters_W, block.offset_W).div_(length)
            else:
                e_W = e if W is None else e @ W
            of_images, by_e_W = self._image_loss(block, e_W, P, by_P)
            value = value + of_images
            if self._is_long:
                of_bridged.append((e_W * by_e_W).sum(dim=1, keepdim=True))
                block.add_gradient(gradient_W, by_e_W.div_(length))
            else:
                of_bridged.append(self._before_W(by_e_W))
        by_mean += self._before_W(_through_unit(by_P, P, joint_length).mul_(self._L))
        del P, by_P
        gradient = self._before_W(gradient_W) if self._is_long else torch.zeros_like(parameters)
        del gradient_W
        for block, (e, length), of_block in zip(self._blocks, forward, of_bridged):
            by_e = by_mean.index_select(0, block.codes).mul_(block.share)
            if not self._is_long:
                by_e += of_block
            along = (e * by_e).sum(dim=1, keepdim=True)
            if self._is_long:
                along += of_block
            block.add_gradient(gradient, by_e.addcmul_(along, e, value=-1).div_(length))
        value = value + self._bias_loss(parameters, gradient)
        return value.item(), gradient

    def _forward(self, parameters):
        """The `e_i`, and the lengths of the `v_i`, of each block."""
        result = []
        for block in self._blocks:
            v = block.linear(parameters, block.offset)
            length = self._length(v)
            result.append((v.div_(length), length))
        return result

    def _class_means(self, forward):
        """The `G_c (C, d)`."""
        mean = forward[0][0].new_zeros((self.n_classes, forward[0][0].shape[1]))
        for block, (e, _) in zip(self._blocks, forward):
            mean.index_add_(0, block.codes, e * block.share)
        return mean

    def _text_loss(self, P, mean):
        """`txtp` and `txte` with their weights, and the gradients by `P` and `G`."""
        value, by_P, by_mean = 0.0, self._torch.zeros_like(P), self._torch.zeros_like(mean)
        if self._texts is None:
            return value, by_P, by_mean
        text, eos = self._texts
        # The `(C, C)` logits of all classes would be large.
        for rows in blocks(self.n_classes, max(1, self._height // self.n_classes)):
            targets = self._classes[rows], self._text_weight[rows]
            length = self._length(mean[rows])
            unit = mean[rows] / length
            of_P, by_logits = self._cross_entropy(P[rows] @ text.T, *targets)
            by_P[rows] = by_logits @ text
            of_mean, by_logits = self._cross_entropy(unit @ eos.T, *targets)
            by_mean[rows] = _through_unit(by_logits @ eos, unit, length)
            value = value + of_P + of_mean
        return value, by_P, by_mean

    def _image_loss(self, block, e_W, P, by_P):
        """`img` and `cons` of a block with their weights, and the gradient by `e @ W`. That by `P`
        is added.
        """
        torch, joint = self._torch, self._affine(e_W)
        length, n = self._length(joint), len(joint)
        images = joint.new_empty((2 * n, joint.shape[1]))
        torch.index_select(block.X, 0, block.rows, out=images[:n]).mul_(block.scale)
        torch.div(joint, length, out=images[n:])
        value, by_logits = self._cross_entropy(
            images @ P.T, block.codes_of_both, block.weight_of_both
        )
        by_P.addmm_(by_logits.T, images)
        return value, _through_unit(by_logits[n:] @ P, images[n:], length).mul_(self._L)

    def _bias_loss(self, parameters, gradient):
        """`lambda_b * bias`. Its gradient is added."""
        bias = parameters[self._k :]
        if not len(bias):
            return 0.0
        length = self._torch.linalg.vector_norm(bias, dim=1, keepdim=True)
        spread = length - length.mean()
        factor = 2 * self.options.lambda_b / self.n_classes
        gradient[self._k :] += self.unit(bias).mul_(factor * spread)
        return self.options.lambda_b * (spread**2).mean()

    def _before_W(self, gradient):
        """The gradient by `x`, from that by `x @ W`."""
        return gradient if self._W is None else gradient @ self._W.T

    def _affine(self, joint):
        return joint if self._b is None else self._L * joint + self._b

    def _length(self, x):
        """Lengths of rows `(n, 1)`, infinite for a row of zeros."""
        length = self._torch.linalg.vector_norm(x, dim=1, keepdim=True)
        return length.masked_fill_(length == 0, np.inf)

    def _cross_entropy(self, logits, codes, weight):
        """The weighted sum of the cross-entropies of rows, and its gradient by the logits.

        `codes` and `weight` have shape (n, 1).
        """
        log_p = self._torch.log_softmax(logits, dim=1)
        value = -(weight * log_p.gather(1, codes)).sum()
        weight = weight.to(log_p.dtype)
        return value, log_p.exp_().mul_(weight).scatter_add_(1, codes, -weight)


class _Block(NamedTuple):
    """Some shots, as tensors with a row for each."""

    X: Any  # the embeddings of all shots, of which a copy in order would take as much memory
    rows: Any  # which of them are in the block `(n,)`
    bias: Any  # that of the projection `(D,)`, or None
    given_inputs: Any  # `(n, k)`, None if they are those of the bridge
    offset: Any  # `(n, d)`, None if zero
    offset_W: Any  # `(n, D)`, None if zero or not needed
    codes: Any  # `(n,)`
    share: Any  # `(n, 1)`
    scale: Any  # that of the logits, divided by the lengths of the shots `(n, 1)`
    codes_of_both: Any  # of shots and bridged shots `(2n, 1)`
    weight_of_both: Any  # their weights in the loss `(2n, 1)`, in float64

    @property
    def inputs(self):
        """The inputs of the bridge `(n, k)`."""
        if self.given_inputs is not None:
            return self.given_inputs
        shots = self.X.index_select(0, self.rows)
        return shots if self.bias is None else shots.sub_(self.bias)

    def linear(self, parameters, offset):
        """`inputs @ bridge + offset + bias_c`."""
        inputs = self.inputs
        k = inputs.shape[1]
        result = inputs @ parameters[:k]
        if offset is not None:
            result += offset
        if len(parameters) > k:
            result += parameters[k:].index_select(0, self.codes)
        return result

    def add_gradient(self, gradient, by_result):
        """Add that by the parameters of `linear`."""
        inputs = self.inputs
        k = inputs.shape[1]
        gradient[:k].addmm_(inputs.T, by_result)
        if len(gradient) > k:
            gradient[k:].index_add_(0, self.codes, by_result)


def _through_unit(by_unit, unit, length):
    """The gradient by `x`, from that by `unit = x / length`, which is overwritten."""
    along = (by_unit * unit).sum(dim=1, keepdim=True)
    return by_unit.addcmul_(along, unit, value=-1).div_(length)
