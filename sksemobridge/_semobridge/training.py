"""Training of the bridge on labelled shots (SeMoBridge-T): the loss, AdamW as in the paper, and the
faster L-BFGS.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from scipy import linalg
from scipy.optimize import minimize

from .._utils.array_api import l2_normalize, map_arrays, resolve_device
from .._utils.threads import threads_for
from .validation_images import StepAccuracy

# The warm-up of the paper: the learning rate of the first step, and the number of steps in which it
# rises linearly.
FIRST_LEARNING_RATE = 1e-5
WARM_UP_STEPS = 500
# Number of corrections that L-BFGS keeps.
MEMORY = 5
# Number of iterations whose mean progress decides about convergence: single ones may be slow.
WINDOW = 10
# Embeddings have single precision. Directions below its rounding are not in their span.
FLOAT32_ROUNDING = np.finfo(np.float32).eps
# Exponent of the preconditioning. With 0, directions of the inputs keep their lengths, and with 1,
# directions of little variance change the bridge as much as others. It chooses among the many
# minima of the loss, and trades accuracy for iterations.
PRECONDITIONING = 0.5
# Unit of the class bias, relative to that of the bridge. Queries have no class bias, so they lose
# what it learns. It chooses among the minima, too.
BIAS_SCALE = 0.25


@dataclass(frozen=True)
class TrainingOptions:
    """How the bridge is trained. The fields are parameters of `SeMoBridgeClassifier`."""

    solver: Literal["lbfgs", "adamw"] = "lbfgs"
    class_bias: bool = True
    lambda_it: float = 0.5
    lambda_c: float = 0.1
    lambda_b: float = 0.1
    max_iter: int | None = None
    learning_rate: float = 1.5e-4
    weight_decay: float = 0.01
    tol: float = 1e-6
    device: str = "auto"
    verbose: int | bool = 0

    @property
    def most_iterations(self) -> int:
        """`max_iter`, or its value for None."""
        return self.max_iter or {"adamw": 5000, "lbfgs": 1000}[self.solver]


class TrainedBridge(NamedTuple):
    """The result of `train_bridge`, in float64."""

    bridge: np.ndarray  # the trained `W+ (D, d)`
    class_bias: np.ndarray | None  # `(C, d)`, only for labelled shots
    # AdamW: before each step. L-BFGS: at the start and after each iteration
    loss_curve: list | None
    n_iter: int
    converged: bool = True


def train_bridge(
    X, codes, share, bridge, training, texts, validation=None, numbers=None, *, dtype=np.float32
):
    """Train the bridge, and a bias for each class, on labelled shots `X (n, D)` of the classes
    `codes (n,)`.

    `share (n,)`, the weight of each shot, sums to one in each class. Training starts at `bridge`,
    the closed form. With `Validation` images, AdamW returns its best step, as in the paper, judged
    with these `numbers` of the score.
    """
    from tqdm import tqdm

    loss = BridgeLoss(X, codes, share, bridge, training, texts, dtype)
    bias = np.zeros((loss.n_classes, bridge.matrix.shape[1])) if training.class_bias else None
    curve = []

    def report(value):
        if not np.isfinite(value):
            remedy = "Lower learning_rate, or rescale" if training.solver == "adamw" else "Rescale"
            raise FloatingPointError(f"The training loss is {value}. {remedy} the embeddings.")
        curve.append(value)
        bar.update()
        bar.set_postfix(loss=f"{value:.5f}", refresh=False)

    options = {
        "desc": f"bridge ({training.solver})",
        "unit": "it",
        "disable": not training.verbose,
    }
    with (
        threads_for(len(X) * bridge.matrix.size),
        tqdm(total=training.most_iterations, **options) as bar,
    ):
        arguments = loss, bridge.inputs(X), bridge.matrix, bias, report, curve
        if training.solver == "lbfgs":
            return _lbfgs(*arguments)
        if validation is None:
            return _adamw(*arguments)
        accuracy = StepAccuracy(loss, (X, codes, share), bridge, texts, validation, numbers)
        return _adamw(*arguments, accuracy)


class BridgeLoss:
    """The training loss as a function of inputs, bridge and class bias, in torch.

    With `v_i = inputs_i @ bridge + bias_c` and `e_i = nrm(v_i)`, the weighted class means of the
    `e_i` are `G_c`. The prototypes are `P_c = nrm(L G_c @ W + b_W)`. The loss is

    `lambda_it * img + (1 - lambda_it) * (txtp + txte) / 2 + lambda_c * cons + lambda_b * bias`,

    - `img  = CE(scale * nrm(x) @ P.T, y)`,
    - `txtp = CE(P @ T.T, c)` and `txte = CE(nrm(G) @ E.T, c)`,
    - `cons = CE(bridge(x) @ P.T, y)`, where `bridge(x_i) = nrm(L e_i @ W + b_W)`,
    - `bias = mean_c (||bias_c|| - mean ||bias||)^2`.

    Cross-entropies of shots are averaged within each class by weight, and then over the classes, in
    float64.
    """

    def __init__(self, X, codes, share, bridge, training, texts, dtype):
        import torch

        self._torch, self._dtype, self._device = torch, dtype, resolve_device(training.device)
        self.training, self.share, self.n_classes = training, share, int(codes.max()) + 1
        self.has_text = texts.embeddings is not None
        self._codes = torch.tensor(codes).to(self._device)
        self._share = self.to_tensor(share[:, None])
        self._shares = torch.tensor(share / self.n_classes).to(self._device)
        self._shots = self.to_tensor(texts.logit_scale * l2_normalize(X))
        if self.has_text:
            self._texts = [self.to_tensor(texts.embeddings), self.to_tensor(texts.eos_directions)]
        self.joint = map_arrays(bridge, self.to_tensor).joint

    def to_tensor(self, values):
        """Values as a tensor with the precision and the device of the loss."""
        return self._torch.tensor(np.asarray(values, dtype=self._dtype)).to(self._device)

    def __call__(self, inputs, bridge, bias=None, offset=0.0):
        """The loss of `inputs (n, k)`, `bridge (k, d)`, `bias (C, d)` or None, and an
        `offset (n, d)` of `v`.
        """
        torch, training = self._torch, self.training
        e, mean, prototypes = self.prototypes(inputs, bridge, bias, offset)
        img, cons = (
            self._cross_entropy(rows @ prototypes.T, self._codes) @ self._shares
            for rows in (self._shots, self.unit(self.joint(e)))
        )
        loss = training.lambda_it * img + training.lambda_c * cons
        if self.has_text:
            classes = torch.arange(self.n_classes, device=self._device)
            txtp, txte = (
                self._cross_entropy(rows @ text.T, classes).mean()
                for rows, text in zip((prototypes, self.unit(mean)), self._texts)
            )
            loss = loss + (1 - training.lambda_it) * (txtp + txte) / 2
        if bias is not None:
            loss = loss + training.lambda_b * torch.linalg.vector_norm(bias, dim=1).var(
                correction=0
            )
        return loss

    def prototypes(self, inputs, bridge, bias=None, offset=0.0):
        """The `e_i (n, d)`, `G_c (C, d)` and `P_c (C, D)`."""
        v = inputs @ bridge + offset
        if bias is not None:
            v = v + bias.index_select(0, self._codes)
        e = self.unit(v)
        mean = e.new_zeros((self.n_classes, e.shape[1]))
        mean = mean.index_add(0, self._codes, self._share * e)
        return e, mean, self.unit(self.joint(mean))

    def _cross_entropy(self, logits, codes):
        return self._torch.nn.functional.cross_entropy(logits, codes, reduction="none").double()

    def unit(self, x):
        """`nrm(x)`. Rows of zeros stay zero, and have no gradient."""
        length = self._torch.linalg.vector_norm(x, dim=1, keepdim=True)
        return x / self._torch.where(length > 0, length, np.inf)


def _adamw(loss, inputs, bridge, bias, report, curve, accuracy=None):
    """AdamW with the recipe of the paper. With an `accuracy (StepAccuracy)` the result is the best
    step, the first of equal ones.
    """
    import torch

    training = loss.training
    inputs = loss.to_tensor(inputs)
    parameters = [
        loss.to_tensor(part).requires_grad_() for part in (bridge, bias) if part is not None
    ]
    best, kept = -np.inf, None
    optimizer = torch.optim.AdamW(parameters, weight_decay=training.weight_decay)
    for step in range(training.most_iterations):
        value = loss(inputs, *parameters)
        report(value.item())
        warm_up = min(1.0, step / WARM_UP_STEPS)
        optimizer.param_groups[0]["lr"] = (
            training.learning_rate * warm_up if step else FIRST_LEARNING_RATE
        )
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        if accuracy is not None:
            with torch.no_grad():
                step_accuracy = accuracy(loss.prototypes(inputs, *parameters)[-1], parameters[0])
            if step_accuracy > best:
                best, kept = step_accuracy, [part.detach().clone() for part in parameters]
    bridge, *bias = (part.detach().cpu().numpy().astype(np.float64) for part in kept or parameters)
    return TrainedBridge(bridge, bias[0] if bias else None, curve, len(curve))


def _lbfgs(loss, inputs, bridge, bias, report, curve):
    """L-BFGS over the rows of `B (k, d)` and the class bias.

    `v_i = inputs_i @ bridge + inputs_i @ Q @ B + bias_c`. `Q (D, k)` are the principal directions
    of the inputs. Gradients of the bridge lie in their span, so nothing is lost.
    """
    training = loss.training
    basis = principal_directions(inputs, loss.share)
    offset, coordinates = inputs @ bridge, inputs @ basis
    # In these units, v has length one, and so has the step of the bridge that turns v by its own
    # length.
    unit = _typical_length(offset, loss.share)
    basis *= unit / _typical_length(coordinates, loss.share)
    # Without text, the bridge learns only what the bias does not learn. So both have equal units.
    bias_unit = unit * (BIAS_SCALE if loss.has_text else 1.0)
    inputs, offset = loss.to_tensor(inputs @ basis), loss.to_tensor(offset)
    n_rows, n_biases = basis.shape[1], 0 if bias is None else len(bias)
    units = np.repeat([1.0, bias_unit], [n_rows, n_biases])[:, None]
    start, converged = np.zeros((n_rows + n_biases, bridge.shape[1])), False

    def evaluate(x):
        rows = loss.to_tensor(x.reshape(start.shape) * units).requires_grad_()
        value = loss(inputs, rows[:n_rows], rows[n_rows:] if n_biases else None, offset)
        value.backward()
        return value.item(), (rows.grad.cpu().numpy() * units).ravel()

    def listen(intermediate_result):
        # SciPy would stop after one slow iteration. Here the mean of several iterations decides.
        nonlocal converged
        report(float(intermediate_result.fun))
        if len(curve) > WINDOW:
            converged = curve[-1 - WINDOW] - curve[-1] <= 0.5 * WINDOW * training.tol * abs(
                curve[-1]
            )
        if converged:
            raise StopIteration

    report(evaluate(start)[0])
    limits = dict(maxiter=training.most_iterations, maxfun=np.inf, maxcor=MEMORY, ftol=0, gtol=0)
    found = minimize(
        evaluate, start.ravel(), jac=True, method="L-BFGS-B", callback=listen, options=limits
    )
    rows = found.x.reshape(start.shape) * units
    # Before its limit, SciPy stops by itself only if rounding hides any decrease.
    converged = converged or found.nit < training.most_iterations
    bias = rows[n_rows:] if n_biases else None
    return TrainedBridge(bridge + basis @ rows[:n_rows], bias, curve, len(curve) - 1, converged)


def principal_directions(inputs, weight):
    """The principal directions of the inputs as columns of length `s ** -PRECONDITIONING`, shape
    (D, k).

    `s` is the singular value of the weighted inputs in this direction.
    """
    rows = np.sqrt(weight)[:, None] * inputs
    n, width = rows.shape
    squares, directions = linalg.eigh(
        rows @ rows.T if n < width else rows.T @ rows, check_finite=False
    )
    kept = squares > FLOAT32_ROUNDING**2 * squares[-1]
    lengths, directions = np.sqrt(squares[kept]), directions[:, kept]
    if n < width:
        directions = rows.T @ directions / lengths
    return directions * lengths**-PRECONDITIONING


def _typical_length(rows, weight):
    """Root of the weighted mean of the squared lengths of rows, or one if all are zero."""
    return float(np.sqrt(np.average(np.vecdot(rows, rows), weights=weight))) or 1.0
