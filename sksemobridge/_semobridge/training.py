"""Training of the bridge on labelled shots (SeMoBridge-T): the loss, AdamW as in the paper, and the
faster L-BFGS.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy import linalg

from .._texts.encode import ClassTexts
from .._utils.array_api import resolve_device
from .._utils.rows import blocks, weight_in_class
from .bridge import Bridge
from .lbfgs import minimize
from .loss import BridgeLoss
from .validation_images import Judge, StepAccuracy

# The warm-up of the paper: the learning rate of the first step, and the number of steps in which it
# rises linearly.
FIRST_LEARNING_RATE = 1e-5
WARM_UP_STEPS = 500
# Number of first principal directions of the shots along which the bridge can change, besides the
# class means. Without them, 4 to 6 points are lost. With all of them, nothing is gained.
N_DIRECTIONS = 96
# Number of steps whose mean progress decides about convergence: single ones may be slow.
WINDOW = 10
# Training without the shots that are left out may end this much earlier: it is only a start.
FIRST_TOLERANCE = 4.0
# If the bridge can change along more than this share of all directions, shots are multiplied by the
# bridge itself. This product takes less memory than coordinates in these directions, and as much
# time.
MOST_DIRECTIONS = 0.75
# Exponent of the preconditioning. With 0, directions of the inputs keep their lengths, and with 1,
# directions of little variance change the bridge as much as others. The exponent chooses among the
# many minima of the loss, and trades accuracy for iterations.
PRECONDITIONING = 0.5
# Unit of the class bias, relative to that of the bridge. Queries have no class bias, so they lose
# what it learns. The unit chooses among the minima, too.
BIAS_SCALE = 0.25


@dataclass(frozen=True)
class TrainingOptions:
    """The parameters of `SeMoBridgeClassifier` for the training."""

    class_bias: bool
    lambda_it: float
    lambda_c: float
    lambda_b: float
    max_iter: int | None
    learning_rate: float
    weight_decay: float
    tol: float
    device: str
    verbose: int | bool


class TrainedBridge(NamedTuple):
    """The result of a training."""

    bridge: np.ndarray  # the trained `W+ (D, d)`
    class_bias: np.ndarray | None  # `(C, d)`, only for labelled shots
    # AdamW: before each step. L-BFGS: at the start and after each step
    loss_curve: list
    n_iter: int
    converged: bool = True
    # the bridge of the shots that are not left out, by L-BFGS
    held_out: TrainedBridge | None = None

    def map_class_bias(self, function: Callable[[np.ndarray], np.ndarray]) -> TrainedBridge:
        """A copy with `function(class_bias)`, if there is a bias of each class."""
        if self.class_bias is None:
            return self
        held_out = self.held_out and self.held_out.map_class_bias(function)
        return self._replace(class_bias=function(self.class_bias), held_out=held_out)


class Problem(NamedTuple):
    """What a solver gets. Rounding grows in training, so the classes are in an order of their
    content.
    """

    X: np.ndarray  # embeddings of the shots in any order `(n, D)`, of which there is no copy
    rows: np.ndarray  # index of each shot in `X`, by class `(n,)`
    codes: np.ndarray  # their classes `(n,)`
    share: np.ndarray  # the weight of each shot, with the sum one in each class `(n,)`
    left_out: np.ndarray | None  # whether each shot is left out at first `(n,)`
    bridge: Bridge  # the closed form, where training starts
    texts: ClassTexts
    judge: Judge | None  # what chooses the best step
    options: TrainingOptions
    max_iter: int
    dtype: Any
    report: Callable[[float], None]  # is told each loss

    def loss(self) -> BridgeLoss:
        """The loss of all shots."""
        of_shots = self.X, self.codes, self.share, self.bridge, self.options, self.texts
        return BridgeLoss(*of_shots, self.dtype, rows=self.rows)

    def with_left_out_last(self) -> tuple[Problem, list[int]]:
        """The problem in which shots that are left out come last, so that the others are a slice,
        and the number of these if some are left out.
        """
        if self.left_out is None:
            return self, []
        last = np.argsort(self.left_out, kind="stable")
        rows, codes, share = (part[last] for part in (self.rows, self.codes, self.share))
        n_kept = len(last) - int(np.count_nonzero(self.left_out))
        return self._replace(rows=rows, codes=codes, share=share), [n_kept]


def adamw(problem: Problem) -> TrainedBridge:
    """AdamW with the recipe of the paper. With a `judge`, the result is the best step, the first of
    equal ones, as in the paper.
    """
    import torch

    options, loss, bridge = problem.options, problem.loss(), problem.bridge.matrix
    accuracy = None if problem.judge is None else StepAccuracy(loss, problem.judge)
    width, shrinks = len(bridge), options.learning_rate * options.weight_decay
    if shrinks >= 1:
        raise ValueError(
            f"learning_rate * weight_decay is {shrinks:g}, but a step of AdamW takes this share of"
            " the bridge away. Lower one of them, so that it is below one."
        )
    n_biases = loss.n_classes if options.class_bias else 0
    parameters = loss.to_tensor(np.pad(bridge, [(0, n_biases), (0, 0)]))
    optimizer = torch.optim.AdamW([parameters], weight_decay=options.weight_decay)
    best, kept, curve = -np.inf, parameters, []
    for step in range(problem.max_iter):
        value, parameters.grad = loss(parameters)
        problem.report(value)
        curve.append(value)
        warm_up = min(1.0, step / WARM_UP_STEPS)
        optimizer.param_groups[0]["lr"] = (
            options.learning_rate * warm_up if step else FIRST_LEARNING_RATE
        )
        optimizer.step()
        if accuracy is not None:
            step_accuracy = accuracy(loss.prototypes(parameters), parameters[:width])
            if step_accuracy > best + accuracy.least:
                best, kept = step_accuracy, parameters.clone()
    rows = kept.cpu().numpy().astype(np.float64)
    trained = TrainedBridge(rows[:width], rows[width:] if n_biases else None, curve, len(curve))
    ordered, n_kept = problem.with_left_out_last()
    return trained._replace(held_out=_lbfgs(ordered, n_kept)[0]) if n_kept else trained


def lbfgs(problem: Problem) -> TrainedBridge:
    """L-BFGS, first without the shots that are left out."""
    ordered, n_kept = problem.with_left_out_last()
    *held_out, trained = _lbfgs(ordered, [*n_kept, len(ordered.codes)])
    return trained._replace(held_out=held_out[0]) if held_out else trained


def _lbfgs(problem: Problem, counts: list[int]) -> list[TrainedBridge]:
    """A `TrainedBridge` of so many of the first shots, for each of the `counts`. Each starts where
    the one before ended.
    """
    import torch

    X, rows, codes, share, _, bridge, texts, *_ = problem
    options, dtype, device = problem.options, problem.dtype, resolve_device(problem.options.device)

    def tensor(values):
        return torch.tensor(np.asarray(values, dtype=dtype), device=device)

    # L-BFGS goes over `B (k, d)` and the class bias in
    # `v_i = inputs_i @ (bridge + basis @ B) + bias_c`. The columns of the `basis (D, k)` span the
    # class means and the first principal directions of the inputs.
    offset = _products(X, rows, bridge, bridge.matrix, dtype)
    # The typical length of `v`, so that a step of `B` of length one turns `v` by at most about its
    # own length.
    unit = float(np.sqrt(np.average(np.vecdot(offset, offset), weights=share))) or 1.0
    basis = unit * principal_directions(X, rows, share, bridge)
    basis = basis @ _few_directions(bridge.inputs(class_sums(X, rows, codes, share)) @ basis)
    (width, k), d = basis.shape, offset.shape[1]
    of_loss, metric = {"rows": rows}, None
    if k < MOST_DIRECTIONS * width:
        of_loss |= {"inputs": _products(X, rows, bridge, basis, dtype), "offset": offset}
        start = np.zeros((k, d))
    else:
        # The loss has the rows of the bridge itself. The preconditioning makes of them the steps
        # of `B`, without a second vector for each.
        start, metric, k = bridge.matrix, tensor(basis), width
        del basis
    del offset
    # Without text, the bridge learns only what the bias does not learn, so that both have equal
    # units.
    bias_unit = unit * (BIAS_SCALE if texts.embeddings is not None else 1.0)
    n_biases = int(codes.max()) + 1 if options.class_bias else 0
    parameters, results = tensor(np.pad(start, [(0, n_biases), (0, 0)])), []
    for count in counts:
        kept = slice(count)
        loss = BridgeLoss(
            X,
            codes[kept],
            weight_in_class(codes[kept], share[kept]),
            bridge,
            options,
            texts,
            dtype,
            **{name: part[kept] for name, part in of_loss.items()},
        )
        tol = options.tol * (1.0 if count == len(X) else FIRST_TOLERANCE)
        parameters, curve, converged = _minimize(
            problem, loss, parameters, k, metric, bias_unit, tol
        )
        # Copies, since the next training starts at the parameters and overwrites them.
        trained = parameters[:k].cpu().numpy().copy()
        if metric is None:
            trained = bridge.matrix + basis @ trained
        bias = parameters[k:].cpu().numpy().copy() if n_biases else None
        results.append(TrainedBridge(trained, bias, curve, len(curve) - 1, converged))
        del loss  # before the next is made
    return results


def _minimize(problem, loss, parameters, k, basis, bias_unit, tol):
    """The parameters of the least loss, the losses, and whether they converged. The first `k` rows
    change along a `basis`, if there is one, and the others in the unit of the class bias.
    """
    import torch

    curve = []

    def precondition(vector):
        of_bridge = vector[:k] if basis is None else basis @ (basis.T @ vector[:k])
        return torch.cat([of_bridge, bias_unit**2 * vector[k:]])

    def is_done(value):
        # Single steps may be slow. The mean of several decides.
        problem.report(value)
        curve.append(value)
        if len(curve) <= WINDOW:
            return False
        return curve[-1 - WINDOW] - curve[-1] <= WINDOW * tol * abs(curve[-1])

    parameters, converged = minimize(loss, parameters, problem.max_iter, is_done, precondition)
    return parameters, curve, converged


def _few_directions(means):
    """Orthonormal columns `(k, C + N_DIRECTIONS)` whose span has the class means `(C, k)` of the
    coordinates and the last directions; all of them if these are not more.
    """
    every = np.eye(means.shape[1])
    if len(means) + N_DIRECTIONS >= len(every):
        return every
    directions = np.hstack([means.T, every[:, -N_DIRECTIONS:]])
    return linalg.qr(directions, mode="economic", check_finite=False)[0]


def principal_directions(X, rows, share, bridge):
    """The principal directions of the inputs of these rows as columns `(D, k)`, which are as long
    as `s ** -PRECONDITIONING`, up to a factor: products of the inputs have a typical length of one.

    `s` is the singular value of the weighted inputs in this direction.
    """
    n, width = len(rows), X.shape[1]
    few = _weighted_inputs(X, rows, share, bridge) if n < width else None
    if few is not None:
        squares, directions = linalg.eigh(few @ few.T, check_finite=False)
    else:
        products = np.zeros((width, width))
        for some in blocks(n):
            part = _weighted_inputs(X, rows[some], share[some], bridge)
            products += part.T @ part
        squares, directions = linalg.eigh(products, check_finite=False)
    # Embeddings have single precision. Directions below its rounding are not in their span.
    kept = squares > np.finfo(np.float32).eps ** 2 * squares[-1]
    lengths, directions = np.sqrt(squares[kept]), directions[:, kept]
    if few is not None:
        directions = few.T @ directions / lengths
    directions *= lengths**-PRECONDITIONING
    square_of_products = np.sum(lengths ** (2 - 2 * PRECONDITIONING)) / share.sum()
    return directions / (np.sqrt(square_of_products) or 1.0)


def _weighted_inputs(X, rows, share, bridge):
    return np.sqrt(share)[:, None] * bridge.inputs(X[rows].astype(np.float64))


def _products(X, rows, bridge, matrix, dtype):
    """`inputs @ matrix` of the shots `(n, k)`, some at a time in double precision."""
    result = np.empty((len(rows), matrix.shape[1]), dtype=dtype)
    for some in blocks(len(rows)):
        result[some] = bridge.inputs(X[rows[some]].astype(np.float64)) @ matrix
    return result


def class_sums(X, rows, codes, share):
    """Weighted sums of the shots of each class `(C, D)`, in float64."""
    of_classes = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])
    return np.stack([(share[own, None] * X[rows[own]]).sum(axis=0) for own in of_classes])
