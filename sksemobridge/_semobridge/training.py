"""Training of the bridge on labelled shots (SeMoBridge-T): the loss, AdamW as in the paper, and the
faster L-BFGS.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import linalg

from .._utils.array_api import rows_as_bytes
from .._utils.rows import sum_rows, weight_in_class
from .._utils.threads import threads_for
from .lbfgs import minimize
from .loss import BridgeLoss
from .validation_images import StepAccuracy

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
# Embeddings have single precision. Directions below its rounding are not in their span.
FLOAT32_ROUNDING = np.finfo(np.float32).eps
# Exponent of the preconditioning. With 0, directions of the inputs keep their lengths, and with 1,
# directions of little variance change the bridge as much as others. It chooses among the many
# minima of the loss, and trades accuracy for iterations.
PRECONDITIONING = 0.5
# Unit of the class bias, relative to that of the bridge. Queries have no class bias, so they lose
# what it learns. It chooses among the minima, too.
BIAS_SCALE = 0.25


class TrainedBridge(NamedTuple):
    """The result of `train_bridge`, in float64."""

    bridge: np.ndarray  # the trained `W+ (D, d)`
    class_bias: np.ndarray | None  # `(C, d)`, only for labelled shots
    # AdamW: before each step. L-BFGS: at the start and after each step
    loss_curve: list
    n_iter: int
    converged: bool = True
    # That of the shots that are not left out, by L-BFGS
    held_out: TrainedBridge | None = None


def train_bridge(
    X,
    codes,
    share,
    bridge,
    options,
    texts,
    left_out=None,
    judge=None,
    *,
    dtype=np.float32,
):
    """Train the bridge, and a bias for each class, on labelled shots `X (n, D)` of the classes
    `codes (n,)`.

    `share (n,)`, the weight of each shot, sums to one in each class. Training starts at `bridge`,
    the closed form. `left_out (n,)` is a mask of shots: L-BFGS trains without them first, and goes
    on from there with all. With `Validation` images, AdamW returns its best step, as in the paper,
    judged with these `hyperparameters` of the score.
    """
    from tqdm import tqdm

    def report(value):
        if not np.isfinite(value):
            remedy = "Lower learning_rate, or rescale" if options.solver == "adamw" else "Rescale"
            raise FloatingPointError(f"The training loss is {value}. {remedy} the embeddings.")
        bar.update()
        bar.set_postfix(loss=f"{value:.5f}", refresh=False)

    bar_options = {
        "desc": f"bridge ({options.solver})",
        "unit": "it",
        "disable": not options.verbose,
    }
    # Rounding grows in training. So classes are put in an order of their content.
    order = _order_of_classes(X, codes, share, texts)
    number = np.argsort(order)
    rows = np.argsort(number[codes], kind="stable")
    shots, texts = (X[rows], number[codes][rows], share[rows]), texts.take(order)
    kept = [] if left_out is None else [~left_out[rows]]
    every = np.ones(len(X), dtype=bool)
    with (
        threads_for(len(X) * bridge.matrix.size),
        tqdm(total=options.most_iterations, **bar_options) as bar,
    ):
        if options.solver == "lbfgs":
            *held_out, trained = _lbfgs(
                shots, [*kept, every], bridge, options, texts, dtype, report
            )
        else:
            loss, accuracy = BridgeLoss(*shots, bridge, options, texts, dtype), None
            if judge is not None:
                accuracy = StepAccuracy(loss, judge.for_classes(order, texts.embeddings))
            trained = _adamw(loss, bridge.matrix, report, accuracy)
            held_out = _lbfgs(shots, kept, bridge, options, texts, dtype, report) if kept else []
    if options.class_bias:
        trained, *held_out = (
            each._replace(class_bias=each.class_bias[number]) for each in (trained, *held_out)
        )
    return trained._replace(held_out=held_out[0]) if held_out else trained


def _order_of_classes(X, codes, share, texts):
    """Indices `(C,)` that do not depend on the order of the classes."""
    content = sum_rows(X, share, codes, codes.max() + 1)
    if texts.embeddings is not None:
        content = np.hstack([content, texts.embeddings])
    return np.argsort(rows_as_bytes(content), kind="stable")


def _adamw(loss, bridge, report, accuracy):
    """AdamW with the recipe of the paper. With an `accuracy (StepAccuracy)` the result is the best
    step, the first of equal ones.
    """
    import torch

    options, width = loss.options, len(bridge)
    n_biases = loss.n_classes if options.class_bias else 0
    parameters = loss.to_tensor(np.pad(bridge, [(0, n_biases), (0, 0)]))
    optimizer = torch.optim.AdamW([parameters], weight_decay=options.weight_decay)
    best, kept, curve = -np.inf, parameters, []
    for step in range(options.most_iterations):
        value, parameters.grad = loss(parameters)
        report(value)
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
    return TrainedBridge(rows[:width], rows[width:] if n_biases else None, curve, len(curve))


def _lbfgs(shots, masks, bridge, options, texts, dtype, report):
    """A `TrainedBridge` of the shots of each mask `(n,)`. Each starts where the one before ended.

    L-BFGS goes over the rows of `B (k, d)` and the class bias in
    `v_i = inputs_i @ (bridge + basis @ B) + bias_c`. The columns of the `basis (D, k)` span the
    class means and the first principal directions of the inputs.
    """
    X, codes, share = shots
    inputs = bridge.inputs(X)
    offset, basis = inputs @ bridge.matrix, principal_directions(inputs, share)
    # In these units, v has length one, and so has the step of the bridge that turns v by its own
    # length.
    unit = _typical_length(offset, share)
    basis *= unit / _typical_length(inputs @ basis, share)
    basis = basis @ _few_directions(inputs @ basis, codes, share)
    coordinates, offset = (part.astype(dtype) for part in (inputs @ basis, offset))
    k, n_biases = basis.shape[1], int(codes[-1]) + 1 if options.class_bias else 0
    # Without text, the bridge learns only what the bias does not learn. So both have equal units.
    bias_unit = unit * (BIAS_SCALE if texts.embeddings is not None else 1.0)
    units = np.repeat([1.0, bias_unit], [k, n_biases])[:, None]
    rows, results = np.zeros((k + n_biases, bridge.matrix.shape[1])), []
    for kept in masks:
        loss = BridgeLoss(
            X[kept],
            codes[kept],
            weight_in_class(codes[kept], share[kept]),
            bridge,
            options,
            texts,
            dtype,
            coordinates[kept],
            offset[kept],
        )
        tol = options.tol * (1.0 if kept.all() else FIRST_TOLERANCE)
        rows, curve, converged = _minimize(loss, rows / units, units, tol, report)
        trained = bridge.matrix + basis @ rows[:k]
        bias = rows[k:] if n_biases else None
        results.append(TrainedBridge(trained, bias, curve, len(curve) - 1, converged))
    return results


def _minimize(loss, rows, units, tol, report):
    """The parameters of the least loss in these units, the losses, and whether they converged."""
    units, start, curve = loss.to_tensor(units), loss.to_tensor(rows), []

    def evaluate(rows):
        value, gradient = loss(rows * units)
        return value, gradient.mul_(units)

    def is_done(value):
        # Single steps may be slow. The mean of several decides.
        report(value)
        curve.append(value)
        if len(curve) <= WINDOW:
            return False
        return curve[-1 - WINDOW] - curve[-1] <= WINDOW * tol * abs(curve[-1])

    rows, converged = minimize(evaluate, start, loss.options.most_iterations, is_done)
    return (rows * units).cpu().numpy().astype(np.float64), curve, converged


def _few_directions(coordinates, codes, share):
    """Orthonormal columns `(k, C + N_DIRECTIONS)` whose span has the class means of the coordinates
    `(n, k)` and the last directions; all of them if these are not more.
    """
    every = np.eye(coordinates.shape[1])
    means = sum_rows(coordinates, share, codes, codes.max() + 1)
    if len(means) + N_DIRECTIONS >= len(every):
        return every
    directions = np.hstack([means.T, every[:, -N_DIRECTIONS:]])
    return linalg.qr(directions, mode="economic", check_finite=False)[0]


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
