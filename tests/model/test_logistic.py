"""Scales, offsets and corrections: one penalised regression."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from sksemobridge._model import logistic
from sksemobridge._model.logistic import (
    WIDTH,
    Problem,
    cross_fitted_logits,
    features_of,
    fit_regression,
    logits_without_own_offset,
)

DEFAULTS = {"text": 1.0, "shots": 0.3}
DEVIATIONS = np.array([0.7, 0.4, 0.4, 0.4, 0.4, 0.4])


def some_problem(n=30):
    """Terms, classes, weights and features."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, n)
    terms = {name: rng.normal(size=(n, 4)) + np.eye(4)[codes] for name in DEFAULTS}
    features = np.column_stack([np.ones(n), rng.normal(size=(n, 5))])
    return terms, codes, rng.uniform(0.5, 1.5, n), features


@pytest.mark.parametrize("wrong", [0.0, 0.1])
def test_the_mode_is_the_minimum_of_its_objective(wrong):
    terms, codes, weight, features = some_problem()
    sampled = np.bincount(codes, weights=weight) / weight.sum()

    def objective(scales, coefficients):
        logits = sum(scales[name] * z for name, z in terms.items()) + np.log(sampled)
        logits = logits + features @ coefficients
        right = softmax(logits, axis=1)[np.arange(30), codes]
        loss = -weight @ np.log((1 - wrong) * right + wrong * sampled[codes])
        for name, default in DEFAULTS.items():
            loss += 0.5 * (np.log(scales[name] / default) / WIDTH) ** 2
        return loss + 0.5 * np.square(coefficients / DEVIATIONS[:, None]).sum()

    problem = Problem(
        terms, codes, weight, DEFAULTS, features, DEVIATIONS, width=WIDTH, wrong=wrong
    )
    mode = fit_regression(problem)
    least = objective(mode.scales, mode.coefficients)
    assert mode.loss == pytest.approx(least)
    rng = np.random.default_rng(1)
    for _ in range(10):
        scales = {name: scale * np.exp(0.05 * rng.normal()) for name, scale in mode.scales.items()}
        coefficients = mode.coefficients + 0.05 * rng.normal(size=(6, 4))
        assert objective(scales, mode.coefficients) > least - 1e-6
        assert objective(mode.scales, coefficients) > least - 1e-6


@pytest.mark.parametrize("width", [5, 80])
def test_logits_are_nearly_those_of_a_fit_without_the_image(width):
    terms, codes, weight, features = some_problem(60)
    # Images of a class are alike, and may be fewer than their features.
    rng = np.random.default_rng(2)
    of_class = (
        rng.normal(size=(4, width)) + rng.normal(size=(60, 4, width))[np.arange(60), codes][:, None]
    )
    features = np.column_stack([np.ones(60), of_class[np.arange(60), codes] / np.sqrt(width / 5)])
    deviations = np.append(0.7, np.full(width, 0.4))
    problem = Problem(terms, codes, weight, DEFAULTS, features, deviations, width=0.5)
    mode = fit_regression(problem)
    without = np.empty((60, 4))
    for i in range(60):
        refit = fit_regression(problem.at(np.arange(60) != i))
        without[i] = problem.at([i]).decision(refit.scales, refit.coefficients)

    def of_label(logits):
        return log_softmax(logits, axis=1)[np.arange(60), codes]

    expected = of_label(without)
    held_out = cross_fitted_logits(problem, mode, np.arange(60))
    error = of_label(held_out) - expected
    own_part = np.mean(of_label(problem.decision(mode.scales, mode.coefficients)) - expected)
    assert np.abs(error).mean() < 0.4 * own_part
    assert np.abs(error.mean()) < 0.25 * own_part


def test_held_out_logits_hardly_depend_on_when_their_optimisations_end(monkeypatch):
    terms, codes, weight, features = some_problem(60)
    problem = Problem(terms, codes, weight, DEFAULTS, features, DEVIATIONS, width=0.5)
    mode, order = fit_regression(problem), np.arange(60)
    found = cross_fitted_logits(problem, mode, order)
    monkeypatch.setattr(logistic, "TOL", logistic.TOL**2)
    difference = softmax(found, axis=1)
    difference -= softmax(cross_fitted_logits(problem, mode, order), axis=1)
    assert 0 < np.abs(difference).mean() < 5e-3


def test_the_part_of_an_image_in_the_offsets_is_that_of_a_fit_of_offsets_without_it():
    """With the scales and the shares of the classes as they are."""
    terms, codes, weight, _ = some_problem(60)
    problem = Problem(terms, codes, weight, DEFAULTS, np.ones((60, 1)), np.ones(1), width=0.5)
    mode = fit_regression(problem)
    decision = problem.decision(mode.scales, mode.coefficients)
    logits = decision - mode.coefficients

    def offsets_without(i):
        rest = np.arange(60) != i

        def objective(b):
            logs = log_softmax(logits[rest] + b + mode.log_shares, axis=1)
            return b @ b / 2 - weight[rest] @ logs[np.arange(59), codes[rest]]

        return minimize(objective, np.zeros(4)).x

    expected = np.array([offsets_without(i) for i in range(60)]) - mode.coefficients
    own_part = logits_without_own_offset(mode, problem) - decision
    assert np.corrcoef(own_part.ravel(), expected.ravel())[0, 1] > 0.98
    assert np.abs(own_part - expected).mean() < 0.4 * np.abs(expected).mean()


def test_images_that_are_alike_in_the_span_do_not_widen_the_prior_there():
    rng = np.random.default_rng(0)
    v, basis = rng.normal(size=(5, 12)), np.linalg.qr(rng.normal(size=(12, 3)))[0]
    v -= 0.999 * (v @ basis) @ basis.T
    features, _ = features_of(v, np.ones(len(v)), basis, 2.0)
    mean_square, inside = np.mean(np.square(v).sum(axis=1)), v @ basis
    expected = (v @ v.T + 2 * inside @ inside.T / 0.1) / mean_square
    np.testing.assert_allclose(features @ features.T, expected, atol=1e-8)


@pytest.mark.parametrize("n", [5, 30])
def test_features_of_the_correction_have_its_prior_covariance(n):
    rng = np.random.default_rng(0)
    v, basis = rng.normal(size=(n, 12)), np.linalg.qr(rng.normal(size=(12, 3)))[0]
    features, back = features_of(v, np.ones(len(v)), basis, 2.0)
    inside = v @ basis
    expected = v @ v.T / np.mean(np.square(v).sum(axis=1))
    expected += 2 * inside @ inside.T / np.mean(np.square(inside).sum(axis=1))
    np.testing.assert_allclose(features @ features.T, expected, atol=1e-8)
    np.testing.assert_allclose(v @ back, features, atol=1e-8)
