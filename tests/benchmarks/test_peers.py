"""The peers of the benchmarks on cases that can be worked out by hand."""

import numpy as np
from peers import (
    GDA,
    AnchoredProbe,
    CLAPProbe,
    LPPlusPlus,
    NearestClassMean,
    TextCoord,
    TipAdapter,
    ZeroShot,
)
from scipy.special import softmax
from sklearn.metrics import log_loss
from sklearn.preprocessing import normalize

# Two classes, whose texts are the axes of the plane; one shot of each.
TEXTS = np.eye(2)
SHOTS = np.array([[0.8, 0.6], [0.0, 1.0]])
LABELS = np.array(["a", "b"])
QUERY = np.array([[1.0, 0.0]])


def test_zero_shot_is_the_scaled_cosine_to_the_texts():
    fitted = ZeroShot(TEXTS, scale=10.0).fit(SHOTS, LABELS)
    np.testing.assert_allclose(fitted.decision_function([[3.0, 4.0]]), [[6.0, 8.0]])
    np.testing.assert_allclose(fitted.predict_proba([[3.0, 4.0]]), softmax([[6.0, 8.0]], axis=1))
    assert fitted.predict([[3.0, 4.0]]).tolist() == ["b"]


def test_tip_adapter_adds_what_the_shots_say():
    # cosines to the shots are 0.8 and 0: exp(-5 * 0.2) = exp(-1) and exp(-5)
    scores = TipAdapter(TEXTS, scale=2.0, a=3.0, b=5.0).fit(SHOTS, LABELS).decision_function(QUERY)
    np.testing.assert_allclose(scores, [[2.0 + 3 * np.exp(-1), 3 * np.exp(-5)]])


def test_gda_is_the_texts_alone_with_one_shot_and_a_discriminant_beside_them_with_more():
    one = GDA(TEXTS, scale=2.0).fit(SHOTS, LABELS)
    np.testing.assert_allclose(one.decision_function(QUERY), [[2.0, 0.0]], atol=1e-9)
    # The shots of each class are 0.6 to each side of its mean, all four in one direction:
    # the scatter is diag(0, 4 * 0.36), and the covariance of 4 shots has the trace 1.44 / 3.
    shots = np.array([[0.8, 0.6], [0.8, -0.6], [-0.8, 0.6], [-0.8, -0.6]])
    fitted = GDA(np.zeros((2, 2)), scale=2.0, a=3.0).fit(shots, ["a", "a", "b", "b"])
    precision = 2 / 0.48
    expected = 3 * precision * np.array([[0.8, -0.8]]) - 3 * precision * 0.64 / 2
    np.testing.assert_allclose(fitted.decision_function(QUERY), expected)


def test_the_nearest_class_mean_is_that_of_unit_rows():
    shots = np.array([[3.0, 0.0], [0.0, 2.0], [0.0, -5.0]])
    fitted = NearestClassMean(scale=10.0).fit(shots, ["a", "a", "b"])
    scores = fitted.decision_function([[0.0, 4.0]])
    np.testing.assert_allclose(scores, [[10 / np.sqrt(2), -10.0]])


def test_the_clap_style_probe_balances_the_shots_against_the_pull_of_the_texts():
    fitted = CLAPProbe(TEXTS, scale=2.0, C=1.0).fit(SHOTS, LABELS)
    right = [softmax([1.6, 1.2])[0], softmax([0.0, 2.0])[1]]
    # At the minimum the gradients of the cross-entropy and of the pull cancel.
    residual = softmax(SHOTS @ fitted.coef_.T, axis=1) - np.eye(2)
    pull = np.array(right)[:, None] * (fitted.coef_ - 2 * TEXTS)
    np.testing.assert_allclose(residual.T @ SHOTS + pull, 0, atol=1e-4)
    rigid = CLAPProbe(TEXTS, scale=2.0, C=1e-9).fit(SHOTS, LABELS)
    np.testing.assert_allclose(rigid.coef_, 2 * TEXTS, atol=1e-6)


def test_the_anchored_probe_pulls_all_classes_alike_also_those_without_shots():
    texts = np.vstack([TEXTS, [0.6, 0.8]])
    fitted = AnchoredProbe(texts, scale=2.0, C=4.0).fit(SHOTS, LABELS, ["a", "b", "c"])
    residual = softmax(SHOTS @ fitted.coef_.T, axis=1) - np.eye(2, 3)
    pull = (fitted.coef_ - 2 * texts) / 4
    np.testing.assert_allclose(residual.T @ SHOTS + pull, 0, atol=1e-4)


def test_lp_plus_plus_starts_from_sums_of_shots_and_texts():
    fitted = LPPlusPlus(TEXTS, n_steps=0).fit(np.repeat(SHOTS, 2, axis=0), np.repeat(LABELS, 2))
    # The shots have cosines 0.8 and 1 to their texts.
    np.testing.assert_allclose(fitted.coef_, 2 * SHOTS + 250 * 0.9 * TEXTS)


def test_lp_plus_plus_descends_as_fast_as_the_curvature_allows():
    # No shot has the third feature, so that it shows the weight of the text alone.
    texts = np.array([[0.6, 0.0, 0.8], [0.0, 0.6, 0.8]]) / 250
    shots = np.column_stack([SHOTS, np.zeros(2)])
    start, one, nine, ten = (
        LPPlusPlus(texts, n_steps=n).fit(shots, LABELS).coef_ for n in (0, 1, 9, 10)
    )
    residual = softmax(shots @ start.T, axis=1) - np.eye(2)
    rate = 4 * 2 / np.linalg.eigvalsh(shots.T @ shots).max()
    np.testing.assert_allclose(one, start - rate * residual.T @ shots / 2)
    # Every tenth step is one of the weights of the texts too.
    np.testing.assert_allclose(nine[:, 2], start[:, 2])
    residual = softmax(shots @ nine.T, axis=1) - np.eye(2)
    scores = shots @ texts.T
    text_rate = 2 / (4 * np.square(scores).sum(axis=0).max())
    step = text_rate * (residual * scores).sum(axis=0) / 2
    np.testing.assert_allclose(ten[:, 2], start[:, 2] - step * texts[:, 2])


def test_text_coordinates_move_rows_to_the_minimum_of_the_loss():
    rng = np.random.default_rng(0)
    texts, X, y = (
        normalize(rng.normal(size=(3, 5))),
        rng.normal(size=(6, 5)),
        np.repeat([0, 1, 2], 2),
    )
    fitted = TextCoord(texts, scale=7.0).fit(X, y)
    best = fitted.coef_

    def loss(A):
        fitted.coef_ = A
        return log_loss(y, fitted.predict_proba(X)) + (A**2).sum() / 2

    assert loss(best) < loss(np.zeros_like(best))
    # No small move in any direction is better.
    assert all(loss(best) <= loss(best + 1e-2 * rng.normal(size=best.shape)) for _ in range(50))
