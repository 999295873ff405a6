"""Training the bridge from labelled shots (SeMoBridge-T).

Two solvers minimise the same loss: the paper's 5,000 steps of AdamW, and L-BFGS in the basis of the shots.
"""

from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from .._utils.array_api import l2_normalize, to_numpy
from .._utils.device import resolve_device, threads_for
from . import lbfgs
from .coordinates import FlatLoss
from .loss import BridgeLoss, LossWeights, Problem

# Iterations without `max_iter`: the paper's number for AdamW, and several times the usual number for L-BFGS
# (`benchmarks/training.py --only solvers`).
MAX_ITER = {"adamw": 5000, "lbfgs": 1000}

# The paper's warm-up: this learning rate in the first step, then a linear rise over this many steps.
FIRST_LEARNING_RATE = 1e-5
WARM_UP_STEPS = 500
# AdamW's, as its authors and torch set them.
BETAS = 0.9, 0.999
EPSILON = 1e-8

NOT_FINITE = {
    "adamw": "Lower learning_rate, or rescale the embeddings.",
    "lbfgs": "Rescale the embeddings, the bridge or the projection.",
}


@dataclass(frozen=True)
class TrainedBridge:
    """Outcome of `train_bridge`.

    Attributes
    ----------
    bridge : ndarray of shape (D, d)
        Trained `W+`, in float64.
    class_bias : ndarray of shape (C, d) or None
        Trained class bias in float64, added to labelled shots only; rows of classes without shots are zero.
    loss_curve : ndarray
        AdamW: the loss before every step, shape (n_iter,). L-BFGS: the loss at the start and after every
        iteration, shape (n_iter + 1,).
    n_iter : int
    converged : bool
        False if L-BFGS stopped at `max_iter` or because the callback asked for it. AdamW has no criterion to
        miss: always True.
    """

    bridge: np.ndarray
    class_bias: np.ndarray | None
    loss_curve: np.ndarray
    n_iter: int
    converged: bool


def train_bridge(
    X,
    codes,
    weight_in_class,
    *,
    bridge,
    projection,
    inputs=None,
    projection_bias=None,
    text_embeddings=None,
    eos_directions=None,
    text_length=1.0,
    logit_scale=100.0,
    class_bias=True,
    initial_class_bias=None,
    solver="lbfgs",
    lambda_it=0.5,
    lambda_c=0.1,
    lambda_b=0.1,
    max_iter=None,
    learning_rate=1.5e-4,
    weight_decay=0.01,
    tol=1e-6,
    dtype=np.float32,
    device="auto",
    verbose=0,
    callback=None,
):
    """Train the bridge, and a bias for each class, on labelled shots.

    The loss is `lambda_it * img + (1 - lambda_it) * (txtp + txte) / 2 + lambda_c * cons + lambda_b * bias`
    with the terms of `BridgeLoss`. Without `text_embeddings` the middle part is left out. Classes without
    shots take no part.

    Arrays come and go in float64; the training between computes in `dtype`.

    Parameters
    ----------
    X : ndarray of shape (n, D)
        Image embeddings of the shots, not normalised.
    codes : ndarray of shape (n,)
        Class index of each shot.
    weight_in_class : ndarray of shape (n,)
        Relative weight of each shot in its class; sums to one in each class.
    bridge : ndarray of shape (D, d)
        Initial `W+`: the closed form, or an earlier outcome to continue from.
    projection : ndarray of shape (d, D) or None
        Text projection `W`, which stays fixed. None stands for the identity.
    inputs : ndarray of shape (n, D) or None
        Factors of the bridge: `Bridge.inputs` of the shots. None stands for `X`.
    projection_bias : ndarray of shape (D,) or None
        `b_W`.
    text_embeddings, eos_directions : ndarray of shape (C, D) and (C, d), or None
        `T` and `E`. Both or neither.
    text_length : float
        `L`. Without a projection bias it has no influence.
    logit_scale : float
        Factor of the cosines in `img`; the other terms have none.
    class_bias : bool
        Whether classes get a bias.
    initial_class_bias : ndarray of shape (C, d) or None
        Where the class bias starts; None is zero.
    solver : {"lbfgs", "adamw"}
        "adamw" is the paper's recipe: `max_iter` full-batch steps, of which the last weights are taken. The
        learning rate is 1e-5 in step 0, `learning_rate * t / 500` for `0 < t < 500`, then `learning_rate`.
        Weight decay acts on bridge and bias. "lbfgs" minimises the same loss to `tol`.
    lambda_it, lambda_c, lambda_b, max_iter, learning_rate, weight_decay, verbose
        See `SeMoBridgeClassifier`.
    tol : float
        "lbfgs" stops when ten iterations lower the loss by less than `tol / 2` of itself on average.
    dtype : dtype
        Precision of the training.
    device : str or torch.device
        "auto" is a CUDA device if torch has one, else the CPU. With "cpu" torch is not even loaded.
    callback : callable or None
        Called as `callback(step, loss)` with each entry of the loss curve; a true answer stops.

    Returns
    -------
    TrainedBridge

    Raises
    ------
    FloatingPointError
        If the loss is NaN or infinite.
    ValueError
        If only one of `text_embeddings` and `eos_directions` is given, the solver is unknown, or the device
        is not there.
    """
    if solver not in MAX_ITER:
        raise ValueError(f"solver={solver!r} is not one of {', '.join(map(repr, MAX_ITER))}.")
    if (text_embeddings is None) != (eos_directions is None):
        raise ValueError("text_embeddings and eos_directions belong together: pass both or neither.")
    present, codes = np.unique(codes, return_inverse=True)
    n_classes = next(
        (len(of_classes) for of_classes in (text_embeddings, initial_class_bias) if of_classes is not None),
        present[-1] + 1,
    )
    bias = None
    if class_bias:
        bias = np.zeros((n_classes, bridge.shape[1])) if initial_class_bias is None else initial_class_bias
        bias = bias[present]
    problem = Problem(
        inputs=X if inputs is None else inputs,
        unit_shots=l2_normalize(X),
        codes=codes,
        weight_in_class=weight_in_class,
        text=None if text_embeddings is None else text_embeddings[present],
        eos=None if eos_directions is None else eos_directions[present],
        projection=projection,
        projection_bias=projection_bias,
        text_length=1.0 if projection_bias is None else text_length,
        logit_scale=logit_scale,
        weights=LossWeights(lambda_it, 1 - lambda_it, lambda_c, lambda_b),
    )
    max_iter = MAX_ITER[solver] if max_iter is None else max_iter
    device = _resolve_device(device)
    with (
        threads_for(X.shape[0] * bridge.size),
        np.errstate(over="ignore", invalid="ignore"),  # a loss that is not finite is reported
        _reporter(solver, max_iter, verbose, callback) as (report, curve),
    ):
        if solver == "adamw":
            loss = BridgeLoss(problem, dtype, device)
            trained, bias = _adamw(loss, bridge, bias, max_iter, learning_rate, weight_decay, report)
            n_iter, converged = len(curve), True
        else:
            loss = FlatLoss(problem, bridge, bias, dtype, device)
            x, converged = lbfgs.minimize(loss, loss.start, max_iter=max_iter, tol=tol, report=report)
            trained, bias = loss.bridge_and_bias(x)
            n_iter = len(curve) - 1
    of_classes = None
    if class_bias:
        of_classes = np.zeros((n_classes, bridge.shape[1]))
        of_classes[present] = bias
    return TrainedBridge(trained.astype(np.float64), of_classes, np.array(curve), n_iter, converged)


def _adamw(loss, bridge, bias, max_iter, learning_rate, weight_decay, report):
    """AdamW (Loshchilov and Hutter, 2019) by the paper's recipe; bridge and bias (or None)."""
    parameters = [loss.to_array(np.array(part)) for part in (bridge, bias) if part is not None]
    states = [(parameter, 0 * parameter, 0 * parameter) for parameter in parameters]
    first_decay, second_decay = BETAS
    for step in range(max_iter):
        value, *gradients = loss.value_and_gradient(*parameters)
        if report(value):
            break
        rate = learning_rate * min(1.0, step / WARM_UP_STEPS) if step else FIRST_LEARNING_RATE
        first_rate = rate / (1 - first_decay ** (step + 1))
        second_scale = (1 - second_decay ** (step + 1)) ** -0.5
        for (parameter, first, second), gradient in zip(states, gradients):
            parameter *= 1 - rate * weight_decay
            first += (1 - first_decay) * (gradient - first)
            second += (1 - second_decay) * (gradient * gradient - second)
            parameter -= first_rate * first / (second_scale * second**0.5 + EPSILON)
    return to_numpy(parameters[0]), None if bias is None else to_numpy(parameters[1])


def _resolve_device(device):
    """None for the CPU, else a torch device."""
    if device == "cpu":
        return None
    device = resolve_device(device)
    return None if device.type == "cpu" else device


@contextmanager
def _reporter(solver, max_iter, verbose, callback):
    """A function to call with every loss, true if training is to stop, and the list that it fills.

    It raises `FloatingPointError` for a loss that is not finite.
    """
    curve, bar = [], None
    if verbose > 0:
        from tqdm import tqdm

        bar = tqdm(total=max_iter, desc=f"bridge ({solver})", unit="it")

    def report(value):
        if not np.isfinite(value):
            raise FloatingPointError(f"The training loss is {value}. {NOT_FINITE[solver]}")
        curve.append(value)
        if bar is not None:
            bar.update()
            bar.set_postfix(loss=f"{value:.5f}", refresh=False)
        return callback is not None and bool(callback(len(curve) - 1, value))

    try:
        yield report, curve
    finally:
        if bar is not None:
            bar.close()
