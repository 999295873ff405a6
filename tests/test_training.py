"""The trained bridge: the published recipe to the digit, and the same loss minimised faster."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from sksemobridge._method.bridge import Bridge
from sksemobridge._training.coordinates import FlatLoss, singular_bases
from sksemobridge._training.loss import BLOCK_ELEMENTS, BridgeLoss, LossWeights, Problem
from sksemobridge._training.train import WARM_UP_STEPS, TrainedBridge, train_bridge
from sksemobridge._utils.device import SMALL_PRODUCT

OF_SHOTS = "X", "inputs", "codes", "weight_in_class"
DATA = Path(__file__).parent / "data"

train_in_float64 = partial(train_bridge, dtype=np.float64)
train_on_cpu = partial(train_in_float64, device="cpu")


def l2_normalize(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def weight_of(codes):
    return 1 / np.bincount(codes)[codes]


def loss_problem(problem):
    """What the loss is computed from, with the default weights."""
    bias = problem["projection_bias"]
    return Problem(
        inputs=problem["inputs"],
        unit_shots=l2_normalize(problem["X"]),
        codes=problem["codes"],
        weight_in_class=problem["weight_in_class"],
        text=problem["text_embeddings"],
        eos=problem["eos_directions"],
        projection=problem["projection"],
        projection_bias=bias,
        text_length=1.0 if bias is None else problem["text_length"],
        logit_scale=problem["logit_scale"],
        weights=LossWeights(0.5, 0.5, 0.1, 0.1),
    )


def class_means(values, codes, n_classes):
    return np.stack([values[codes == c].mean(axis=0) for c in range(n_classes)])


def make_problem(n_classes=4, shots=3, D=24, d=16, *, identity=False, bias=False, text=True, seed=0):
    """A small problem in float64; embeddings have various lengths, classes various numbers of shots."""
    rng = np.random.default_rng(seed)
    d = D if identity else d
    codes = np.repeat(np.arange(n_classes), shots)
    codes = np.concatenate([codes, codes[-1:]])
    means = rng.normal(size=(n_classes, D))
    X = (means[codes] + 0.7 * rng.normal(size=(len(codes), D))) * rng.uniform(0.5, 3, size=(len(codes), 1))
    projection = None if identity else rng.normal(size=(d, D)) / np.sqrt(D)
    bridge = np.eye(D) if identity else Bridge.closed_form(projection).matrix.copy()
    eos = (means + rng.normal(size=means.shape)) @ bridge
    projection_bias = 0.3 * rng.normal(size=D) if bias else None
    joint = (eos if identity else eos @ projection) + (projection_bias if bias else 0)
    return {
        "X": X,
        "inputs": X - projection_bias if bias else X,
        "codes": codes,
        "weight_in_class": weight_of(codes),
        "bridge": bridge,
        "projection": projection,
        "projection_bias": projection_bias,
        "text_embeddings": l2_normalize(joint) if text else None,
        "eos_directions": l2_normalize(eos) if text else None,
        "text_length": 2.5,
        "logit_scale": 20.0,
    }


def reference_loss(problem, bridge, class_bias=None, *, lambda_it=0.5, lambda_c=0.1, lambda_b=0.1):
    """The loss word by word, in torch float64."""
    import torch
    from torch.nn.functional import cross_entropy, normalize

    x, codes, weight = map(as_tensor, (problem["X"], problem["codes"], problem["weight_in_class"]))
    text, eos = as_tensor(problem["text_embeddings"]), as_tensor(problem["eos_directions"])
    W, b = as_tensor(problem["projection"]), as_tensor(problem["projection_bias"])
    n_classes = int(codes.max()) + 1
    pick = torch.nn.functional.one_hot(codes, n_classes).to(x) * weight[:, None]

    def joint(e):
        e = problem["text_length"] * e
        return (e if W is None else e @ W) + (0 if b is None else b)

    def of_shots(logits):
        return (weight * cross_entropy(logits, codes, reduction="none")).sum() / n_classes

    v = (x - (0 if b is None else b)) @ bridge + (0 if class_bias is None else class_bias[codes])
    e = normalize(v)
    P = normalize(pick.T @ joint(e))
    loss = lambda_it * of_shots(problem["logit_scale"] * normalize(x) @ P.T)
    loss = loss + lambda_c * of_shots(normalize(joint(e)) @ P.T)
    if text is not None:
        rows = torch.arange(n_classes)
        M = normalize(pick.T @ e)
        loss = loss + (1 - lambda_it) * (cross_entropy(P @ text.T, rows) + cross_entropy(M @ eos.T, rows)) / 2
    if class_bias is not None:
        length = class_bias.norm(dim=1)
        loss = loss + lambda_b * ((length - length.mean()) ** 2).mean()
    return loss


def as_tensor(values):
    import torch

    return None if values is None else torch.as_tensor(values)


def loss_at(problem, outcome, **lambdas):
    parameters = as_tensor(outcome.bridge), as_tensor(outcome.class_bias)
    return float(reference_loss(problem, *parameters, **lambdas))


def is_finite(outcome):
    arrays = [outcome.bridge, outcome.loss_curve] + [outcome.class_bias] * (outcome.class_bias is not None)
    return all(np.isfinite(array).all() for array in arrays)


# The published implementation


@pytest.mark.parametrize("tag", ["bias_200", "nobias_200"])
@pytest.mark.parametrize("name", ["square", "rectangular"])
def test_adamw_agrees_with_the_published_implementation(name, tag):
    data = np.load(DATA / f"{name}.npz")
    eos, projection, X, codes = data["eos"], data["projection"], data["shots"], data["shot_labels"]
    n_classes = len(eos)
    text = l2_normalize(l2_normalize(eos @ projection).mean(axis=1))
    length = float(np.linalg.norm(eos.mean(axis=1), axis=1).mean())
    outcome = train_bridge(
        X,
        codes,
        weight_of(codes),
        bridge=Bridge.closed_form(projection, atol=0.3).matrix,
        projection=projection,
        text_embeddings=text,
        eos_directions=l2_normalize(l2_normalize(eos).mean(axis=1)),
        text_length=length,
        class_bias=tag == "bias_200",
        solver="adamw",
        max_iter=200,
        device="cpu",
    )
    np.testing.assert_allclose(outcome.loss_curve, data[f"loss_{tag}"], rtol=1e-4)

    bridge = Bridge(outcome.bridge, projection, text_length=length)
    shots_eos = bridge.to_eos(X, None if outcome.class_bias is None else outcome.class_bias[codes])
    prototypes = bridge.prototypes(bridge.project(class_means(shots_eos, codes, n_classes)))
    image_means = l2_normalize(class_means(X, codes, n_classes))
    queries = l2_normalize(data["queries"])
    np.testing.assert_allclose(queries @ text.T, data[f"z1_{tag}"], atol=1e-3)
    np.testing.assert_allclose(queries @ prototypes.T, data[f"z2_{tag}"], atol=1e-3)
    np.testing.assert_allclose(bridge.affinity(data["queries"], image_means), data[f"z3_{tag}"], atol=1e-3)


def test_first_step_of_adamw_has_the_first_learning_rate():
    problem = make_problem()
    first = train_on_cpu(**problem, solver="adamw", max_iter=1, weight_decay=0.0)
    # AdamW's first step moves every weight by the learning rate.
    np.testing.assert_allclose(np.abs(first.bridge - problem["bridge"]).max(), 1e-5, rtol=0.05)
    assert len(first.loss_curve) == first.n_iter == 1
    assert first.converged


def test_adamw_takes_the_steps_of_torch():
    import torch

    steps = WARM_UP_STEPS + 5
    problem = make_problem(bias=True)
    outcome = train_on_cpu(**problem, solver="adamw", max_iter=steps, learning_rate=1e-3, weight_decay=2.0)
    bridge = torch.tensor(problem["bridge"], requires_grad=True)
    class_bias = torch.zeros(4, bridge.shape[1], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.AdamW([bridge, class_bias], weight_decay=2.0)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 1e-5 if step == 0 else 1e-3 * min(1, step / 500)
        optimizer.zero_grad()
        loss = reference_loss(problem, bridge, class_bias)
        loss.backward()
        assert outcome.loss_curve[step] == pytest.approx(loss.item(), rel=1e-6)
        optimizer.step()
    np.testing.assert_allclose(outcome.bridge, bridge.detach(), atol=1e-4)
    np.testing.assert_allclose(outcome.class_bias, class_bias.detach(), atol=1e-4)


# The loss


@pytest.mark.parametrize("identity", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("block_elements", [1, BLOCK_ELEMENTS])
@pytest.mark.parametrize("device", [None, "cpu"])
def test_loss_and_gradient_are_those_of_autograd(identity, bias, text, block_elements, device):
    import torch

    problem = make_problem(identity=identity, bias=bias, text=text)
    rng = np.random.default_rng(1)
    bridge = torch.tensor(
        problem["bridge"] + 0.1 * rng.normal(size=problem["bridge"].shape), requires_grad=True
    )
    class_bias = torch.tensor(rng.normal(size=(4, bridge.shape[1])), requires_grad=True)
    expected = reference_loss(problem, bridge, class_bias)
    expected.backward()

    loss = BridgeLoss(loss_problem(problem), np.float64, device, block_elements)
    parameters = [loss.to_array(parameter.detach().numpy()) for parameter in (bridge, class_bias)]
    value, *gradients = loss.value_and_gradient(*parameters)
    assert value == pytest.approx(expected.item(), rel=1e-12)
    for gradient, parameter in zip(gradients, (bridge, class_bias)):
        np.testing.assert_allclose(gradient, parameter.grad, atol=1e-12)


@pytest.mark.parametrize("lambdas", [{}, {"lambda_it": 0.2, "lambda_c": 0.7, "lambda_b": 3.0}])
@pytest.mark.parametrize("bias", [False, True])
def test_reported_loss_belongs_to_the_result(bias, lambdas):
    problem = make_problem(bias=bias)
    outcome = train_on_cpu(**problem, **lambdas)
    assert outcome.loss_curve[-1] == pytest.approx(loss_at(problem, outcome, **lambdas), rel=1e-9)
    assert outcome.loss_curve[0] > outcome.loss_curve[-1]
    assert len(outcome.loss_curve) == outcome.n_iter + 1


# L-BFGS


@pytest.mark.parametrize("identity", [False, True])
@pytest.mark.parametrize("class_bias", [False, True])
def test_lbfgs_reaches_no_higher_loss_than_adamw(identity, class_bias):
    problem = make_problem(identity=identity) | {"class_bias": class_bias}
    adamw = train_on_cpu(**problem, solver="adamw", max_iter=300, learning_rate=3e-3)
    lbfgs = train_on_cpu(**problem, solver="lbfgs")
    assert lbfgs.converged
    assert lbfgs.loss_curve[-1] <= adamw.loss_curve[-1]


@pytest.mark.parametrize("identity", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_basis_of_the_shots_loses_nothing(identity, bias):
    problem = make_problem(3, 2, D=40, d=30, identity=identity, bias=bias)
    # Copies of the shots are the same problem, with more shots than dimensions.
    copies = {name: np.concatenate([problem[name]] * 6) for name in OF_SHOTS}
    copies["weight_in_class"] /= 6
    reduced, full = (train_on_cpu(**p, max_iter=12) for p in (problem, problem | copies))
    np.testing.assert_allclose(reduced.loss_curve, full.loss_curve, rtol=1e-9)
    np.testing.assert_allclose(reduced.bridge, full.bridge, atol=1e-5)
    np.testing.assert_allclose(reduced.class_bias, full.class_bias, atol=1e-5)


@pytest.mark.parametrize("shape", [{"identity": True}, {"D": 12, "d": 8}, {"D": 8, "d": 12}])
@pytest.mark.parametrize("class_bias", [False, True])
def test_the_minimiser_sees_the_loss_and_its_gradient(shape, class_bias):
    problem = make_problem(2, 2, bias=True, **{"D": 12} | shape)
    rng = np.random.default_rng(0)
    bias = rng.normal(size=(2, problem["bridge"].shape[1])) if class_bias else None
    function = FlatLoss(loss_problem(problem), problem["bridge"], bias, np.float64)
    bridge, bias_at_start = function.bridge_and_bias(function.start)
    np.testing.assert_allclose(bridge, problem["bridge"], atol=1e-12)
    if class_bias:
        np.testing.assert_allclose(bias_at_start, bias, atol=1e-12)
    x = function.start - 0.1 * function(function.start)[1]
    value, gradient = function(x)
    assert value == pytest.approx(
        float(reference_loss(problem, *map(as_tensor, function.bridge_and_bias(x))))
    )
    np.testing.assert_allclose(gradient, approx_fprime(x, lambda x: function(x)[0], 1e-7), atol=1e-6)


@pytest.mark.parametrize("shape", [(20, 20), (12, 20), (20, 12)])
def test_one_decomposition_gives_inverse_directions_and_the_bases_of_training(shape):
    projection = np.random.default_rng(0).normal(size=shape) / np.sqrt(shape[0])
    atol = float(np.median(np.linalg.svd(projection, compute_uv=False)))
    bridge = Bridge.closed_form(projection, atol=atol)
    u, s, v = np.linalg.svd(projection, full_matrices=False)
    kept = s > atol
    inverse = (v[kept].T / s[kept]) @ u[:, kept].T
    np.testing.assert_allclose(bridge.matrix, inverse, atol=1e-12)
    np.testing.assert_allclose(bridge.basis @ bridge.basis.T, v[kept].T @ v[kept], atol=1e-12)
    directions = np.hstack([bridge.basis, bridge.cut])
    np.testing.assert_allclose(directions.T @ directions, np.eye(shape[1]), atol=1e-12)

    u, s, v = singular_bases(projection)
    size = max(shape)
    assert (u.shape, s.shape, v.shape) == ((shape[0], size), (size,), (shape[1], size))
    np.testing.assert_allclose((u * s) @ v.T, projection, atol=1e-12)
    np.testing.assert_array_equal(v[:, : shape[1]], directions)


def test_training_goes_on_from_an_earlier_outcome():
    problem = make_problem()
    first = train_on_cpu(**problem, max_iter=15)
    assert not first.converged
    more = train_on_cpu(**problem | {"bridge": first.bridge, "initial_class_bias": first.class_bias})
    assert more.loss_curve[0] == pytest.approx(first.loss_curve[-1], rel=1e-9)
    assert more.loss_curve[-1] < first.loss_curve[-1]


def test_smaller_tolerance_gives_smaller_loss():
    problem = make_problem()
    loose, tight = (train_on_cpu(**problem, tol=tol) for tol in (1e-2, 1e-8))
    assert loose.converged
    assert tight.converged
    assert loose.n_iter < tight.n_iter
    assert tight.loss_curve[-1] < loose.loss_curve[-1]


def test_single_precision_reaches_the_loss_of_double_precision():
    problem = make_problem()
    outcome = train_bridge(**problem, device="cpu")
    assert outcome.bridge.dtype == outcome.class_bias.dtype == np.float64
    assert outcome.loss_curve[-1] == pytest.approx(train_on_cpu(**problem).loss_curve[-1], rel=1e-4)
    np.testing.assert_array_equal(
        outcome.bridge, train_bridge(**problem, device="cpu", dtype=np.float32).bridge
    )


@pytest.mark.parametrize(("n", "expected"), [(6, {1}), (SMALL_PRODUCT // 128**2, {2})])
def test_small_problems_are_trained_with_one_thread(n, expected, blas_threads):
    seen = []
    X, codes = np.random.default_rng(0).normal(size=(n, 128)), np.arange(n) % 3
    params = {"max_iter": 1, "device": "cpu", "callback": lambda *_: seen.append(blas_threads())}
    train_bridge(X, codes, weight_of(codes), bridge=np.eye(128), projection=None, **params)
    assert seen == [expected] * 2
    assert blas_threads() == {2}


# What must not matter


@pytest.mark.parametrize("solver", ["lbfgs", "adamw"])
def test_order_of_classes_does_not_matter(solver):
    problem = make_problem()
    order = np.array([2, 0, 3, 1])
    permuted = problem | {
        "codes": np.argsort(order)[problem["codes"]],
        "text_embeddings": problem["text_embeddings"][order],
        "eos_directions": problem["eos_directions"][order],
    }
    a, b = (train_on_cpu(**p, solver=solver, max_iter=15) for p in (problem, permuted))
    np.testing.assert_allclose(a.bridge, b.bridge, atol=1e-5)
    np.testing.assert_allclose(a.class_bias[order], b.class_bias, atol=1e-5)


@pytest.mark.parametrize("solver", ["lbfgs", "adamw"])
def test_order_of_shots_does_not_matter(solver):
    problem = make_problem()
    order = np.random.default_rng(0).permutation(len(problem["X"]))
    permuted = problem | {name: problem[name][order] for name in OF_SHOTS}
    a, b = (train_on_cpu(**p, solver=solver, max_iter=15) for p in (problem, permuted))
    np.testing.assert_allclose(a.bridge, b.bridge, atol=1e-5)


@pytest.mark.parametrize("solver", ["lbfgs", "adamw"])
@pytest.mark.parametrize("shots", [3, 20])
def test_copy_of_a_shot_with_half_the_weight_each_changes_nothing(solver, shots):
    problem = make_problem(shots=shots)
    copied = {name: np.concatenate([problem[name], problem[name][:1]]) for name in OF_SHOTS}
    copied["weight_in_class"][[0, -1]] /= 2
    a, b = (train_on_cpu(**p, solver=solver, max_iter=15) for p in (problem, problem | copied))
    np.testing.assert_allclose(a.loss_curve, b.loss_curve, rtol=1e-6)
    np.testing.assert_allclose(a.bridge, b.bridge, atol=1e-4)


def test_class_without_shots_takes_no_part():
    problem = make_problem()
    kept = problem["codes"] != 1
    few = problem | {name: problem[name][kept] for name in OF_SHOTS}
    present = [0, 2, 3]
    alone = few | {
        "codes": np.searchsorted(present, few["codes"]),
        "text_embeddings": problem["text_embeddings"][present],
        "eos_directions": problem["eos_directions"][present],
    }
    a, b = train_on_cpu(**few), train_on_cpu(**alone)
    np.testing.assert_array_equal(a.bridge, b.bridge)
    np.testing.assert_array_equal(a.class_bias[present], b.class_bias)
    assert not a.class_bias[1].any()


@pytest.mark.parametrize("solver", ["lbfgs", "adamw"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_same_input_gives_the_same_bits(solver, dtype):
    problem = make_problem(D=96, d=64) | {"solver": solver, "max_iter": 30, "dtype": dtype}
    a, b = (train_on_cpu(**problem) for _ in range(2))
    np.testing.assert_array_equal(a.loss_curve, b.loss_curve)
    np.testing.assert_array_equal(a.bridge, b.bridge)
    np.testing.assert_array_equal(a.class_bias, b.class_bias)


def test_input_and_state_of_torch_stay_as_they_are():
    import torch

    problem = make_problem()
    before = {k: np.copy(v) for k, v in problem.items() if isinstance(v, np.ndarray)}
    for array in before:
        problem[array].flags.writeable = False
    state, dtype, threads = torch.get_rng_state(), torch.get_default_dtype(), torch.get_num_threads()
    for solver in ("lbfgs", "adamw"):
        train_bridge(**problem, solver=solver, max_iter=5)
    assert torch.equal(torch.get_rng_state(), state)
    assert (torch.get_default_dtype(), torch.get_num_threads()) == (dtype, threads)
    assert all(np.array_equal(problem[name], array) for name, array in before.items())


# Edges


@pytest.mark.parametrize("solver", ["lbfgs", "adamw"])
@pytest.mark.parametrize(
    "lambdas",
    [
        {"lambda_it": 0.0},
        {"lambda_it": 1.0},
        {"lambda_c": 0.0},
        {"lambda_b": 0.0},
        {"lambda_it": 0.0, "lambda_c": 0.0, "lambda_b": 0.0},
    ],
)
def test_every_weight_of_the_loss_may_be_zero(solver, lambdas):
    problem = make_problem(bias=True)
    outcome = train_on_cpu(**problem, **lambdas, solver=solver, max_iter=10)
    assert is_finite(outcome)
    start = train_on_cpu(**problem, **lambdas, max_iter=1).loss_curve[0]
    assert start == pytest.approx(
        loss_at(problem, TrainedBridge(problem["bridge"], None, None, 0, True), **lambdas),
        rel=1e-9,
    )


@pytest.mark.parametrize("solver", ["lbfgs", "adamw"])
@pytest.mark.parametrize(
    "shape",
    [
        {"n_classes": 1, "shots": 1},
        {"n_classes": 1, "shots": 4},
        {"n_classes": 5, "shots": 1},
        {"shots": 1, "identity": True},
        {"shots": 30},
        {"shots": 30, "identity": True},
        {"D": 12, "d": 20},
        {"D": 20, "d": 6, "bias": True},
        {"identity": True, "bias": True, "text": False},
        {"text": False},
    ],
)
def test_every_shape_gives_finite_results(solver, shape):
    problem = make_problem(**shape)
    for class_bias in (True, False):
        outcome = train_on_cpu(**problem, class_bias=class_bias, solver=solver, max_iter=20)
        assert is_finite(outcome)
        assert outcome.bridge.shape == problem["bridge"].shape
        assert (outcome.class_bias is None) == (not class_bias)


@pytest.mark.parametrize("solver", ["lbfgs", "adamw"])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("identity", [False, True])
def test_zero_rows_and_a_bridge_that_cuts_everything_give_finite_results(solver, bias, identity):
    problem = make_problem(bias=bias, identity=identity)
    problem["X"][problem["codes"] == 1] = 0
    problem["X"][0] = 0
    assert is_finite(train_on_cpu(**problem, solver=solver, max_iter=20))
    problem["bridge"] = np.zeros_like(problem["bridge"])
    assert is_finite(train_on_cpu(**problem, solver=solver, max_iter=20))
    problem["X"][:] = 0
    assert is_finite(train_on_cpu(**problem, solver=solver, max_iter=20))


@pytest.mark.parametrize("solver", ["lbfgs", "adamw"])
def test_loss_that_is_not_finite_is_an_error_that_says_what_to_change(solver):
    problem = make_problem()
    problem["X"][0, 0] = np.nan
    advice = {"lbfgs": "Rescale the embeddings", "adamw": "Lower learning_rate"}[solver]
    with pytest.raises(FloatingPointError, match=advice):
        train_on_cpu(**problem, solver=solver, learning_rate=0.5)


def test_text_embeddings_and_eos_directions_belong_together():
    with pytest.raises(ValueError, match="both or neither"):
        train_on_cpu(**make_problem() | {"eos_directions": None})


def test_unknown_solver():
    with pytest.raises(ValueError, match="'sgd' is not one of 'adamw', 'lbfgs'"):
        train_on_cpu(**make_problem(), solver="sgd")


# Progress and devices


@pytest.mark.parametrize("solver", ["lbfgs", "adamw"])
def test_callback_sees_every_loss_and_can_stop(solver):
    seen = []

    def callback(step, loss):
        seen.append((step, loss))
        return step == 3

    outcome = train_on_cpu(**make_problem(), solver=solver, callback=callback)
    assert seen == list(enumerate(outcome.loss_curve))
    assert len(seen) == 4
    assert outcome.converged == (solver == "adamw")


@pytest.mark.parametrize("solver", ["lbfgs", "adamw"])
def test_progress_is_silent_unless_asked_for(solver, capsys):
    train_on_cpu(**make_problem(), solver=solver, max_iter=3)
    assert capsys.readouterr() == ("", "")
    train_on_cpu(**make_problem(), solver=solver, max_iter=3, verbose=1)
    out, err = capsys.readouterr()
    assert out == ""
    assert f"bridge ({solver})" in err


def test_interrupt_propagates():
    def callback(step, loss):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_on_cpu(**make_problem(), callback=callback)


def test_training_on_the_cpu_loads_no_torch():
    code = (
        "import sys, numpy as np; from sksemobridge._training.train import train_bridge; x = np.eye(3);"
        "options = dict(bridge=x, projection=None, max_iter=2, device='cpu');"
        "[train_bridge(x, np.arange(3), np.ones(3), solver=s, **options) for s in ('lbfgs', 'adamw')];"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("solver", ["lbfgs", "adamw"])
def test_cuda_gives_the_results_of_the_cpu(solver):
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    problem = make_problem(bias=True)
    cpu, cuda = (train_bridge(**problem, solver=solver, max_iter=10, device=d) for d in ("cpu", "auto"))
    assert isinstance(cuda.bridge, np.ndarray)
    np.testing.assert_allclose(cuda.loss_curve, cpu.loss_curve, rtol=1e-4)
