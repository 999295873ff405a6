"""Training the bridge from labelled shots (SeMoBridge-T).

Two solvers minimise the same loss: the paper's 5,000 steps of AdamW, and L-BFGS in the basis of the shots.
"""

from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from .._utils.array_api import l2_normalize
from .._utils.device import resolve_device
from . import lbfgs
from .loss import LossWeights
from .problem import Problem, build_loss, eos_basis, in_bases, shots_basis, singular_bases

MAX_ITER = {"adamw": 5000, "lbfgs": 1000}

# The paper's warm-up: this learning rate in the first step, then a linear rise over this many steps.
FIRST_LEARNING_RATE = 1e-5
WARM_UP_STEPS = 500
BETAS = 0.9, 0.999
EPSILON = 1e-8

# L-BFGS measures the class bias in this share of the bridge's units. The loss has many minima, and the units
# choose among them. Queries never get a class bias, so what the bias learns is lost for them: with equal
# units it learns most, and accuracy falls behind AdamW's. A much smaller share takes more iterations.
BIAS_UNIT = 0.25


@dataclass(frozen=True)
class TrainedBridge:
    """Outcome of `train_bridge`.

    Attributes
    ----------
    bridge : ndarray of shape (D, d)
        Trained `W+`.
    class_bias : ndarray of shape (C, d) or None
        Trained class bias, added to labelled shots only; rows of classes without shots are zero.
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
    share,
    *,
    bridge,
    projection,
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
    device="auto",
    verbose=0,
    callback=None,
):
    """Train the bridge, and a bias for each class, on labelled shots.

    The loss is `lambda_it * img + (1 - lambda_it) * (txtp + txte) / 2 + lambda_c * cons + lambda_b * bias`
    with the terms of `BridgeLoss`. Without `text_embeddings` the middle part is left out. Classes without
    shots take no part.

    Parameters
    ----------
    X : ndarray of shape (n, D)
        Image embeddings of the shots, not normalised. Results have its dtype.
    codes : ndarray of shape (n,)
        Class index of each shot.
    share : ndarray of shape (n,)
        Weight of each shot within its class; sums to one in each class.
    bridge : ndarray of shape (D, d)
        Initial `W+`: the closed form, or an earlier outcome to continue from.
    projection : ndarray of shape (d, D) or None
        Text projection `W`, which stays fixed. None stands for the identity.
    projection_bias : ndarray of shape (D,) or None
        `b_W`.
    text_embeddings, eos_directions : ndarray of shape (C, D) and (C, d), or None
        `T` and `E`; both or neither.
    text_length : float
        `L`. Without a projection bias it has no influence.
    logit_scale : float
        Factor of the cosines in `img`; the other terms have none.
    class_bias : bool
        Whether classes get a bias.
    initial_class_bias : ndarray of shape (C, d) or None
        Where the class bias starts; None is zero.
    solver : {"lbfgs", "adamw"}
        "adamw" is the paper's recipe: `max_iter` full-batch steps in float32 after which the last weights
        are taken; the learning rate is 1e-5 in step 0, `learning_rate * t / 500` for `0 < t < 500`, then
        `learning_rate`; weight decay acts on bridge and bias. "lbfgs" minimises the same loss to `tol`.
    lambda_it, lambda_c, lambda_b : float
        Weights of the parts of the loss.
    max_iter : int or None
        None is 5,000 for "adamw", 1,000 for "lbfgs".
    learning_rate, weight_decay : float
        Of "adamw".
    tol : float
        "lbfgs" stops when ten iterations lower the loss by less than `tol / 2` of itself on average.
    device : str or torch.device
        "auto" is a CUDA device if torch has one, else the CPU. With "cpu" torch is not even loaded.
    verbose : int
        Above zero, a progress bar on standard error.
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
        If only one of `text_embeddings` and `eos_directions` is given, the solver is unknown, or the device is
        not there.
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
        inputs=X if projection_bias is None else X - projection_bias,
        unit_shots=l2_normalize(X),
        codes=codes,
        share=share,
        text=None if text_embeddings is None else text_embeddings[present],
        eos=None if eos_directions is None else eos_directions[present],
        projection=projection,
        projection_bias=projection_bias,
        text_length=1.0 if projection_bias is None else text_length,
        logit_scale=logit_scale,
        weights=LossWeights(lambda_it, 1 - lambda_it, lambda_c, lambda_b),
        bridge=bridge,
        bias=bias,
    )
    max_iter = MAX_ITER[solver] if max_iter is None else max_iter
    device = _resolve_device(device)
    with _reporter(solver, max_iter, verbose, callback) as (report, curve):
        if solver == "adamw":
            bridge, bias = _adamw(problem, max_iter, learning_rate, weight_decay, device, report)
            n_iter, converged = len(curve), True
        else:
            bridge, bias, minimum = _lbfgs(problem, X.dtype, max_iter, tol, device, report)
            n_iter, converged = minimum.n_iter, minimum.converged
    if bias is not None:
        of_present = bias
        bias = np.zeros((n_classes, bridge.shape[1]), dtype=X.dtype)
        bias[present] = of_present
    return TrainedBridge(bridge.astype(X.dtype, copy=False), bias, np.array(curve), n_iter, converged)


def _adamw(problem, max_iter, learning_rate, weight_decay, device, report):
    """AdamW (Loshchilov and Hutter, 2019) by the paper's recipe; bridge and bias (or None)."""
    loss, to_array = build_loss(problem, np.float32, device)
    parameters = [to_array(part) for part in (problem.bridge, problem.bias) if part is not None]
    states = [(parameter, 0 * parameter, 0 * parameter) for parameter in parameters]
    first_decay, second_decay = BETAS
    # Overflow shows as a loss that is not finite, and is reported as that.
    with np.errstate(over="ignore", invalid="ignore"):
        for step in range(max_iter):
            value, *gradients = loss.value_and_gradient(*parameters)
            _check_finite(value, f"Lower learning_rate={learning_rate}, or rescale the embeddings.")
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
    bridge, bias = [_to_numpy(parameter) for parameter in parameters] + [None] * (problem.bias is None)
    return bridge, bias


def _lbfgs(problem, dtype, max_iter, tol, device, report):
    """L-BFGS on `v_i = v_i0 + (x_i - b_W) Q B U' + bias_c`; bridge, bias (or None) and `Minimum`.

    `Q` and `U` are orthonormal bases. Gradients of the bridge lie in the span of the shots `x - b_W`, so with
    fewer shots than dimensions nothing is lost in `Q`. Where `W` is the identity, everything that `v` is
    compared with lies in one space, and gradients of `v` in the span of all of it: `U`. Any other `W` is
    diagonal in the bases of its singular vectors.
    """
    start = problem.inputs.astype(np.float64) @ problem.bridge  # v_i0
    q = shots_basis(problem)
    inputs = problem.inputs if q is None else problem.inputs @ q
    if problem.projection is None:
        u = joint = eos_basis(problem, start)
        singular_values = None
    else:
        u, singular_values, joint = singular_bases(problem.projection)
    if u is not None:
        start = start @ u
        problem = in_bases(problem, u, joint, singular_values)
    # In these units v has length one, and so has a step of the bridge that turns it by as much.
    v_unit = _typical_length(start, problem.share)
    bridge_unit = v_unit / _typical_length(inputs, problem.share)
    # Without text nothing holds the bridge itself but what the bias leaves to it: equal units.
    bias_unit = (1.0 if problem.text is None else BIAS_UNIT) * v_unit
    loss, to_array = build_loss(replace(problem, inputs=inputs * bridge_unit, offset=start), dtype, device)

    shape = inputs.shape[1], start.shape[1]
    size = shape[0] * shape[1]
    x = np.zeros(size, dtype=dtype)
    if problem.bias is not None:
        x = np.concatenate([x, (problem.bias / bias_unit).ravel().astype(dtype)])

    def function(x):
        parameters = [x[:size].reshape(shape)]
        if len(x) > size:
            parameters.append(x[size:].reshape(problem.bias.shape) * dtype.type(bias_unit))
        value, d_bridge, d_bias = loss.value_and_gradient(*map(to_array, parameters))
        _check_finite(value, "Rescale the embeddings, the bridge or the projection.")
        gradient = [np.ravel(_to_numpy(d_bridge))]
        if d_bias is not None:
            gradient.append(np.ravel(_to_numpy(d_bias)) * dtype.type(bias_unit))
        return value, np.concatenate(gradient)

    # Overflow shows as a loss that is not finite, and is reported as that.
    with np.errstate(over="ignore", invalid="ignore"):
        minimum = lbfgs.minimize(function, x, max_iter=max_iter, tol=tol, report=report)
    change = minimum.x[:size].reshape(shape) * bridge_unit
    bias = None
    if problem.bias is not None:
        bias = minimum.x[size:].reshape(problem.bias.shape) * bias_unit
    if u is not None:
        change = change @ u.T
        bias = None if bias is None else bias @ u.T
    if q is not None:
        change = q @ change
    return problem.bridge + change, bias, minimum


def _typical_length(rows, share):
    """Root of the mean squared length of rows, weighted by share; one if all are zero."""
    square = np.average(np.square(rows, dtype=np.float64).sum(axis=1), weights=share)
    return float(np.sqrt(square)) if square > 0 else 1.0


def _resolve_device(device):
    """None for the CPU, else a torch device."""
    if device == "cpu":
        return None
    device = resolve_device(device)
    return None if device.type == "cpu" else device


def _to_numpy(values):
    return values if isinstance(values, np.ndarray) else values.cpu().numpy()


def _check_finite(value, advice):
    if not np.isfinite(value):
        raise FloatingPointError(f"The training loss is {value}. {advice}")


@contextmanager
def _reporter(solver, max_iter, verbose, callback):
    """A function to call with every loss, true if training is to stop, and the list that it fills."""
    curve, bar = [], None
    if verbose > 0:
        from tqdm import tqdm

        bar = tqdm(total=max_iter, desc=f"bridge ({solver})", unit="it")

    def report(value):
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
