"""The trained bridge: the published recipe to the digit, and the same loss minimised faster."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, normalize

from sksemobridge._semobridge import loss as training_loss
from sksemobridge._semobridge import training as bridge_training
from sksemobridge._semobridge.loss import BridgeLoss
from sksemobridge._semobridge.solvers import train_bridge
from sksemobridge._semobridge.training import WARM_UP_STEPS

from .worlds import bridge_options, make_problem, make_training

SHOT_ARRAYS = "X", "codes", "share"


@pytest.fixture(params=["lbfgs", "adamw"])
def solver(request):
    return request.param


def train(problem, optimizer="lbfgs", *, dtype=np.float64, **params):
    """`train_bridge` on the CPU and in float64; `params` are those of the estimator."""
    options = bridge_options(optimizer, **{"device": "cpu"} | params)
    return train_bridge(make_training(options, **problem), dtype)


def reference_loss(problem, bridge, class_bias=None, *, lambda_it=0.5, lambda_c=0.1, lambda_b=0.1):
    """The loss word by word, in torch float64."""
    arrays = [problem[name] for name in SHOT_ARRAYS]
    arrays += [problem["texts"].embeddings, problem["texts"].eos_directions]
    arrays += [problem["bridge"].projection, problem["bridge"].projection_bias]
    x, codes, weight, text, eos, W, b = (
        None if part is None else torch.tensor(part) for part in arrays
    )
    n_classes = int(codes.max()) + 1
    pick = torch.nn.functional.one_hot(codes, n_classes).to(x) * weight[:, None]

    def joint(e):
        e = problem["bridge"].text_length * e
        return (e if W is None else e @ W) + (0 if b is None else b)

    def mean_over_shots(logits):
        return (weight * cross_entropy(logits, codes, reduction="none")).sum() / n_classes

    v = (x - (0 if b is None else b)) @ bridge + (0 if class_bias is None else class_bias[codes])
    e = normalize(v)
    P = normalize(pick.T @ joint(e))
    loss = lambda_it * mean_over_shots(problem["texts"].logit_scale * normalize(x) @ P.T)
    loss = loss + lambda_c * mean_over_shots(normalize(joint(e)) @ P.T)
    if text is not None:
        rows = torch.arange(n_classes)
        M = normalize(pick.T @ e)
        loss = (
            loss
            + (1 - lambda_it)
            * (cross_entropy(P @ text.T, rows) + cross_entropy(M @ eos.T, rows))
            / 2
        )
    if class_bias is not None:
        length = class_bias.norm(dim=1)
        loss = loss + lambda_b * ((length - length.mean()) ** 2).mean()
    return loss


# The paper's recipe


def test_adamw_takes_the_steps_of_torch():
    steps = WARM_UP_STEPS + 5
    problem = make_problem(bias=True)
    outcome = train(problem, "adamw", max_iter=steps, learning_rate=1e-3, weight_decay=2.0)
    bridge = torch.tensor(problem["bridge"].matrix, requires_grad=True)
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


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-11), (np.float32, 1e-4)])
@pytest.mark.parametrize("identity", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("class_bias", [False, True])
@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("shots", [3, 12])  # fewer than the rows of the bridge, and more
def test_loss_and_gradient_are_those_of_the_paper_word_by_word(
    identity, bias, text, class_bias, narrow, shots, dtype, rtol, monkeypatch
):
    monkeypatch.setattr(training_loss, "LOSS_BLOCK", 5 * 24)  # several blocks
    problem = make_problem(identity=identity, bias=bias, text=text, shots=shots)
    rng = np.random.default_rng(1)
    start = problem["bridge"].matrix + 0.1 * rng.normal(size=problem["bridge"].matrix.shape)
    class_biases = rng.normal(size=(4, start.shape[1]))
    parts = [torch.tensor(part, requires_grad=True) for part in (start, class_biases)]
    expected = reference_loss(problem, *parts[: 1 + class_bias])
    expected.backward()
    inputs, rows, offset = problem["bridge"].inputs(problem["X"]), start, None
    gradients = [part.grad.numpy() for part in parts[: 1 + class_bias]]
    if narrow:
        basis = np.linalg.qr(rng.normal(size=(len(start), 2)))[0]
        rows = rng.normal(size=(2, start.shape[1]))
        inputs, offset = inputs @ basis, inputs @ (start - basis @ rows)
        gradients[0] = basis.T @ gradients[0]

    options = bridge_options(device="cpu").training
    loss = BridgeLoss(**problem, options=options, dtype=dtype, inputs=inputs, offset=offset)
    parameters = np.concatenate([rows, class_biases] if class_bias else [rows])
    value, gradient = loss(loss.to_tensor(parameters))
    assert value == pytest.approx(expected.item(), rel=rtol)
    gradients = np.concatenate(gradients)
    np.testing.assert_allclose(gradient, gradients, atol=rtol * np.abs(gradients).max())


@pytest.mark.parametrize("bias", [False, True])
def test_the_loss_of_some_rows_is_that_of_a_copy_of_them(bias, monkeypatch):
    monkeypatch.setattr(training_loss, "LOSS_BLOCK", 5 * 24)  # several blocks
    problem = make_problem(bias=bias)
    X, options = problem.pop("X"), bridge_options(device="cpu").training
    rows = np.random.default_rng(0).permutation(len(X) + 3)[: len(X)]
    more = np.full((len(X) + 3, X.shape[1]), 7.0)
    more[rows] = X
    given = more.copy()
    copied = BridgeLoss(X, **problem, options=options, dtype=np.float64)
    some = BridgeLoss(more, **problem, options=options, dtype=np.float64, rows=rows)
    parameters = copied.to_tensor(problem["bridge"].matrix)
    value, gradient = some(parameters)
    expected, expected_gradient = copied(parameters)
    assert value == expected
    np.testing.assert_array_equal(gradient, expected_gradient)
    np.testing.assert_array_equal(more, given)


@pytest.mark.parametrize("lambdas", [{}, {"lambda_it": 0.2, "lambda_c": 0.7, "lambda_b": 3.0}])
@pytest.mark.parametrize("bias", [False, True])
def test_reported_loss_belongs_to_the_result(bias, lambdas):
    problem = make_problem(bias=bias)
    outcome = train(problem, **lambdas)
    parameters = torch.tensor(outcome.bridge), torch.tensor(outcome.class_bias)
    expected = reference_loss(problem, *parameters, **lambdas)
    assert outcome.loss_curve[-1] == pytest.approx(float(expected), rel=1e-9)
    assert outcome.loss_curve[0] > outcome.loss_curve[-1]
    assert len(outcome.loss_curve) == outcome.n_iter + 1


# L-BFGS


@pytest.mark.parametrize("identity", [False, True])
@pytest.mark.parametrize("class_bias", [False, True])
def test_lbfgs_reaches_no_higher_loss_than_adamw(identity, class_bias):
    problem = make_problem(identity=identity)
    adamw = train(problem, "adamw", class_bias=class_bias, max_iter=300, learning_rate=3e-3)
    lbfgs = train(problem, class_bias=class_bias, tol=1e-6)
    assert lbfgs.converged
    assert lbfgs.loss_curve[-1] <= adamw.loss_curve[-1]


@pytest.mark.parametrize("identity", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_basis_of_the_shots_loses_nothing(identity, bias):
    problem = make_problem(3, 2, D=40, d=30, identity=identity, bias=bias)
    # Copies of the shots are the same problem, with more shots than dimensions.
    copies = {name: np.concatenate([problem[name]] * 6) for name in SHOT_ARRAYS}
    copies["share"] /= 6
    reduced, full = (train(p, max_iter=12) for p in (problem, problem | copies))
    np.testing.assert_allclose(reduced.loss_curve, full.loss_curve, rtol=1e-9)
    np.testing.assert_allclose(reduced.bridge, full.bridge, atol=1e-5)
    np.testing.assert_allclose(reduced.class_bias, full.class_bias, atol=1e-5)


def test_smaller_tolerance_gives_smaller_loss():
    loose, tight = (train(make_problem(), tol=tol) for tol in (1e-2, 1e-8))
    assert loose.converged
    assert tight.converged
    assert loose.n_iter < tight.n_iter
    assert tight.loss_curve[-1] < loose.loss_curve[-1]


def test_the_bridge_changes_along_class_means_and_first_directions_only(monkeypatch):
    monkeypatch.setattr(bridge_training, "N_DIRECTIONS", 2)
    problem = make_problem(shots=8)
    change = train(problem).bridge - problem["bridge"].matrix
    assert np.linalg.matrix_rank(change) == 6


def test_the_order_of_classes_has_no_influence(solver):
    problem = make_problem(bias=True)
    result = train(problem, solver, dtype=np.float32, max_iter=30)
    number = np.array([2, 0, 3, 1])  # of each class
    rows = np.argsort(number[problem["codes"]], kind="stable")
    permuted = {name: problem[name][rows] for name in SHOT_ARRAYS}
    permuted["codes"] = number[permuted["codes"]]
    permuted["texts"] = problem["texts"].take(np.argsort(number))
    other = train(problem | permuted, solver, dtype=np.float32, max_iter=30)
    np.testing.assert_array_equal(other.bridge, result.bridge)
    np.testing.assert_array_equal(other.class_bias[number], result.class_bias)
    assert other.loss_curve == result.loss_curve


def test_labels_of_the_shots_that_are_left_out_do_not_count(solver):
    problem = make_problem(shots=6)
    problem |= {name: problem[name][:24] for name in SHOT_ARRAYS} | {"share": np.full(24, 1 / 6)}
    left_out = np.arange(24) % 6 == 0
    codes = np.where(left_out, (problem["codes"] + 1) % 4, problem["codes"])
    first, other = (
        train(changed | {"left_out": left_out}, solver, max_iter=9).held_out
        for changed in (problem, problem | {"codes": codes})
    )
    assert first.loss_curve == pytest.approx(other.loss_curve, rel=1e-9)
    np.testing.assert_allclose(first.bridge, other.bridge)


def test_lbfgs_goes_on_from_the_bridge_that_has_not_seen_some_shots():
    problem = make_problem(shots=6)
    left_out = np.arange(len(problem["codes"])) % 6 == 0
    alone = train(problem)
    trained = train(problem | {"left_out": left_out})
    assert trained.loss_curve[0] < alone.loss_curve[0]
    assert trained.loss_curve[-1] == pytest.approx(alone.loss_curve[-1], rel=0.01)
    assert train(problem, "adamw", max_iter=5).loss_curve == (
        train(problem | {"left_out": left_out}, "adamw", max_iter=5).loss_curve
    )


# Edges


def assert_finite(problem, solver, **params):
    """With a class bias and without one, results are finite and have the shapes of the problem."""
    for class_bias in (True, False):
        outcome = train(problem, solver, class_bias=class_bias, max_iter=20, **params)
        assert outcome.bridge.shape == problem["bridge"].matrix.shape
        assert np.isfinite(outcome.bridge).all()
        assert np.isfinite(outcome.loss_curve).all()
        assert np.isfinite(outcome.class_bias).all() if class_bias else outcome.class_bias is None


@pytest.mark.parametrize(
    ("shape", "zero"),
    [
        ({"bias": True}, ["lambda_it", "lambda_c", "lambda_b"]),
        ({"n_classes": 1, "shots": 1}, []),
        ({"n_classes": 5, "shots": 1}, []),
        ({"D": 12, "d": 20}, []),
        ({"D": 20, "d": 6, "bias": True}, []),
        ({"identity": True, "bias": True, "text": False}, []),
    ],
)
def test_every_shape_and_weight_of_the_loss_gives_finite_results(solver, shape, zero):
    assert_finite(make_problem(**shape), solver, **dict.fromkeys(zero, 0.0))


@pytest.mark.parametrize("world", [{"bias": True}, {"identity": True}])
def test_zero_rows_and_a_bridge_that_cuts_everything_give_finite_results(solver, world):
    problem = make_problem(**world)
    cut = replace(problem["bridge"], matrix=np.zeros_like(problem["bridge"].matrix))
    for rows in (problem["codes"] == 1, slice(None)):
        problem["X"][rows] = 0
        assert_finite(problem, solver)
        assert_finite(problem | {"bridge": cut}, solver)


def test_a_loss_that_is_not_finite_is_an_error_with_advice(solver):
    problem = make_problem()
    problem["X"][0, 0] = np.nan
    advice = {"lbfgs": "Rescale the embeddings", "adamw": "Lower learning_rate"}[solver]
    with pytest.raises(FloatingPointError, match=advice):
        train(problem, solver, learning_rate=0.5)


def test_only_verbose_training_shows_progress(solver, capsys):
    train(make_problem(), solver, max_iter=3)
    assert capsys.readouterr() == ("", "")
    train(make_problem(), solver, max_iter=3, verbose=1)
    out, err = capsys.readouterr()
    assert out == ""
    assert f"bridge ({solver})" in err
