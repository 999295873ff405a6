"""L-BFGS finds minima of known functions."""

import numpy as np
import pytest
import torch

from sksemobridge._semobridge import lbfgs
from sksemobridge._semobridge.lbfgs import minimize


def with_gradient(function):
    def evaluate(x):
        x = x.clone().requires_grad_()
        value = function(x)
        value.backward()
        return value.item(), x.grad

    return evaluate


def quadratic(x):
    scales = torch.logspace(0, 3, 12, dtype=x.dtype).reshape(3, 4)
    return (scales * (x - 1) ** 2).sum()


def rosenbrock(x):
    return ((1 - x[:-1]) ** 2 + 100 * (x[1:] - x[:-1] ** 2) ** 2).sum()


@pytest.mark.parametrize(("function", "shape"), [(quadratic, (3, 4)), (rosenbrock, (6,))])
def test_the_minimum_is_found(function, shape):
    values = []

    def is_done(value):
        values.append(value)
        return value < 1e-14

    x, ended = minimize(
        with_gradient(function), torch.zeros(shape, dtype=torch.float64), 500, is_done
    )
    assert ended
    np.testing.assert_allclose(x, 1, atol=1e-5)
    assert (np.diff(values) < 0).all()


def test_steps_are_limited():
    values = []
    x, ended = minimize(with_gradient(rosenbrock), torch.zeros(6), 3, values.append)
    assert not ended
    assert len(values) == 4
    assert rosenbrock(x).item() == values[-1]


def test_long_vectors_leave_room_for_fewer_steps(monkeypatch):
    def curve(**constants):
        values, start = [], torch.zeros(3, 4, dtype=torch.float64)
        with monkeypatch.context() as patch:
            for name, value in constants.items():
                patch.setattr(lbfgs, name, value)
            minimize(with_gradient(quadratic), start, 20, values.append)
        return values

    two, three, four = (curve(MEMORY=n) for n in (2, 3, 4))
    assert two != three != four == curve()
    # A step is two vectors of twelve numbers.
    assert curve(NUMBERS_OF_MEMORY=4 * 24) == curve(NUMBERS_OF_MEMORY=99 * 24) == four
    assert curve(NUMBERS_OF_MEMORY=4 * 24 - 1) == curve(NUMBERS_OF_MEMORY=3 * 24) == three
    assert curve(NUMBERS_OF_MEMORY=1) == two


def test_it_ends_where_rounding_hides_any_decrease():
    for offset in (0.0, 1.0):
        function = with_gradient(lambda x, offset=offset: quadratic(x) + offset)
        x, ended = minimize(function, torch.zeros(3, 4), 10_000, lambda value: False)
        assert ended
        np.testing.assert_allclose(x, 1, atol=2e-3)


def test_values_that_are_not_finite_shorten_the_step():
    def barrier(x):  # defined for x > 0 only
        return (x - 0.1 * torch.log(x)).sum()

    start = torch.full((2,), 1.0, dtype=torch.float64)
    x, _ = minimize(with_gradient(barrier), start, 100, lambda value: False)
    np.testing.assert_allclose(x, 0.1, atol=1e-6)


def test_preconditioning_is_a_change_of_variables():
    scales = torch.logspace(-2, 1, 12, dtype=torch.float64).reshape(3, 4)
    start, values = torch.full((3, 4), 2.0, dtype=torch.float64), {}
    minima = []
    for name, function, x, more in (
        ("changed", lambda z: quadratic(scales * z), start / scales, []),
        ("preconditioned", quadratic, start.clone(), [lambda vector: scales**2 * vector]),
    ):
        curve = values[name] = []
        minima.append(minimize(with_gradient(function), x, 8, curve.append, *more)[0])
    np.testing.assert_allclose(values["preconditioned"], values["changed"], rtol=1e-8)
    np.testing.assert_allclose(minima[1], scales * minima[0], rtol=1e-8)
