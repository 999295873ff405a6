"""Training of the bridge on labelled shots (SeMoBridge-T): the loss, AdamW as in the paper, and the
faster L-BFGS.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy import linalg

from .._utils.array_api import astype, resolve_device, rows_as_bytes
from .._utils.rows import blocks, weight_in_class
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
# If the bridge can change along more than this share of all directions, shots are multiplied by the
# bridge itself. This takes less memory than their coordinates in these directions, and as much
# time.
MOST_DIRECTIONS = 0.75
# Exponent of the preconditioning. With 0, directions of the inputs keep their lengths, and with 1,
# directions of little variance change the bridge as much as others. It chooses among the many
# minima of the loss, and trades accuracy for iterations.
PRECONDITIONING = 0.5
# Unit of the class bias, relative to that of the bridge. Queries have no class bias, so they lose
# what it learns. It chooses among the minima, too.
BIAS_SCALE = 0.25


class TrainedBridge(NamedTuple):
    """The result of `train_bridge`."""

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
    on from there with all. With a `judge (Judge)`, AdamW returns its best step, as in the paper.
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
    texts = astype(replace(texts, projection=None), dtype).take(order)  # the bridge has it
    rows = np.argsort(number[codes], kind="stable")
    last, n_kept = rows, []
    if left_out is not None:
        # Those that are left out come last, so that the others are a slice.
        last = rows[np.argsort(left_out[rows], kind="stable")]
        n_kept = [len(X) - np.count_nonzero(left_out)]

    def shots(rows):  # without a copy of X in this order
        return {"rows": rows, "codes": number[codes][rows], "share": share[rows]}

    with (
        threads_for(len(X) * bridge.matrix.size),
        tqdm(total=options.most_iterations, **bar_options) as bar,
    ):
        if options.solver == "lbfgs":
            *held_out, trained = _lbfgs(
                X, shots(last), [*n_kept, len(X)], bridge, options, texts, dtype, report
            )
        else:
            parts = {"bridge": bridge, "options": options, "texts": texts, "dtype": dtype}
            loss, accuracy = BridgeLoss(X, **shots(rows), **parts), None
            if judge is not None:
                accuracy = StepAccuracy(loss, judge.for_classes(order, texts.embeddings))
            trained, held_out = _adamw(loss, bridge.matrix, report, accuracy), []
            if n_kept:
                held_out = _lbfgs(X, shots(last), n_kept, **parts, report=report)
    if options.class_bias:
        trained, *held_out = (
            each._replace(class_bias=each.class_bias[number]) for each in (trained, *held_out)
        )
    return trained._replace(held_out=held_out[0]) if held_out else trained


def _order_of_classes(X, codes, share, texts):
    """Indices `(C,)` that do not depend on the order of the classes."""
    content = _class_sums(X, np.arange(len(X)), codes, share)
    if texts.embeddings is not None:
        content = np.hstack([content, texts.embeddings])
    return np.argsort(rows_as_bytes(content), kind="stable")


def _adamw(loss, bridge, report, accuracy):
    """AdamW with the recipe of the paper. With an `accuracy (StepAccuracy)` the result is the best
    step, the first of equal ones.
    """
    import torch

    options, width = loss.options, len(bridge)
    shrinks = options.learning_rate * options.weight_decay
    if shrinks >= 1:
        raise ValueError(
            f"learning_rate * weight_decay is {shrinks:g}, but a step of AdamW takes this share of"
            " the bridge away. Lower one of them, so that it is below one."
        )
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


def _lbfgs(X, shots, counts, bridge, options, texts, dtype, report):
    """A `TrainedBridge` of so many of the first shots, for each of the `counts`. Each starts where
    the one before ended.
    """
    import torch

    device = resolve_device(options.device)

    def tensor(values):
        return torch.tensor(np.asarray(values, dtype=dtype), device=device)

    # L-BFGS goes over `B (k, d)` and the class bias in
    # `v_i = inputs_i @ (bridge + basis @ B) + bias_c`. The columns of the `basis (D, k)` span the
    # class means and the first principal directions of the inputs.
    rows, codes, share = shots["rows"], shots["codes"], shots["share"]
    offset = _products(X, rows, bridge, bridge.matrix, dtype)
    # The typical length of `v`, so that a step of `B` of length one turns `v` by at most about its
    # own length.
    unit = float(np.sqrt(np.average(np.vecdot(offset, offset), weights=share))) or 1.0
    basis = unit * principal_directions(X, rows, share, bridge)
    basis = basis @ _few_directions(bridge.inputs(_class_sums(X, rows, codes, share)) @ basis)
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
    # Without text, the bridge learns only what the bias does not learn. So both have equal units.
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
            loss, parameters, k, metric, bias_unit, tol, report
        )
        # Copies, since the next training starts at the parameters and overwrites them.
        trained = parameters[:k].cpu().numpy().copy()
        if metric is None:
            trained = bridge.matrix + basis @ trained
        bias = parameters[k:].cpu().numpy().copy() if n_biases else None
        results.append(TrainedBridge(trained, bias, curve, len(curve) - 1, converged))
        del loss  # before the next is made
    return results


def _minimize(loss, parameters, k, basis, bias_unit, tol, report):
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
        report(value)
        curve.append(value)
        if len(curve) <= WINDOW:
            return False
        return curve[-1 - WINDOW] - curve[-1] <= WINDOW * tol * abs(curve[-1])

    most = loss.options.most_iterations
    parameters, converged = minimize(loss, parameters, most, is_done, precondition)
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
    kept = squares > FLOAT32_ROUNDING**2 * squares[-1]
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


def _class_sums(X, rows, codes, share):
    """Weighted sums of the shots of each class `(C, D)`, in float64."""
    of_classes = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])
    return np.stack([(share[own, None] * X[rows[own]]).sum(axis=0) for own in of_classes])
