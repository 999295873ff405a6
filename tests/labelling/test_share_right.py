"""Which share of the predictions is right."""

import numpy as np
import pytest
from scipy.stats import beta

from sksemobridge.labelling._share_right import Answered, share_right, weights_of_answers


def test_the_share_that_is_right_is_the_mean_probability_and_checks_outweigh_it():
    proba = np.tile([[0.8, 0.1, 0.1]], (200, 1))
    before = share_right(proba)
    assert before.estimate == pytest.approx(0.8)
    assert before.low < 0.8 < before.high
    after = share_right(proba, n_checked=400, n_right=380)
    assert 0.92 < after.estimate < 0.95
    assert after.high - after.low < (before.high - before.low) / 2
    # Images that are surely right are so up to one of them.
    certain = share_right(np.eye(3)[np.zeros(50, dtype=int)])
    assert (certain.estimate, certain.high) == (1, 1)
    assert 0.9 < certain.low < 1


def test_of_very_many_images_too_the_interval_ends_at_whole_images():
    proba = np.random.default_rng(0).dirichlet([3, 1, 1], size=2503)
    said = share_right(proba)
    ends = 2503 * np.array([said.low, said.high])
    np.testing.assert_allclose(ends, ends.round(), atol=1e-6)


def answered(proba, codes, rounds=0, n_others=0):
    """Answers to images with these probabilities."""
    rounds = np.broadcast_to(rounds, len(codes))
    return Answered(proba, codes, weights_of_answers(rounds, proba.argmax(axis=1)), n_others)


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


@pytest.mark.parametrize(("power", "is_corrected"), [(0.05, True), (0.8, False)])
def test_answers_correct_probabilities_far_too_high_and_small_differences_are_chance(
    power, is_corrected
):
    rng = np.random.default_rng(0)
    logits = 2 * rng.normal(size=(3000, 4))
    believed, true = softmax(logits), softmax(power * logits)
    labels = (rng.random((3000, 1)) > true.cumsum(axis=1)).sum(axis=1)
    right = np.mean(logits.argmax(axis=1) == labels)
    asked = np.flatnonzero(believed.max(axis=1) < 0.8)[:400]
    said = answered(believed[asked], labels[asked], np.arange(400) // 100)
    before, after = share_right(believed), share_right(believed, [said])
    assert (abs(after.estimate - before.estimate) > 0.02) == is_corrected
    assert (abs(after.estimate - right) < abs(before.estimate - right) / 2) == is_corrected


def test_one_wrong_click_moves_the_estimate_little():
    sure = np.tile([[0.999, 0.001]], (100, 1))
    slip = answered(sure[:10], (np.arange(10) == 3).astype(int))
    assert share_right(sure, [slip]).estimate > 0.98


def test_an_answer_counts_half_of_one_in_the_next_round_and_pages_of_one_class_as_a_root():
    weights = weights_of_answers([3, 3, 7, 7, 7, 7, 7], ["a", "b", "a", "b", "b", "b", "b"])
    np.testing.assert_allclose(weights, [0.5, 0.5, 1, 0.5, 0.5, 0.5, 0.5])
    assert weights_of_answers([], []).shape == (0,)


def test_columns_that_are_not_listed_share_the_rest():
    proba = np.array([[0.6, 0.1, 0.1, 0.1, 0.1]] * 30)
    rest = np.random.default_rng(0).dirichlet([9, 1, 1], 40)
    whole = answered(proba, np.ones(30, dtype=int))._replace(weights=np.ones(30))
    listed = whole._replace(proba=proba[:, :2], n_others=3)
    assert share_right(rest, [whole]).estimate < share_right(rest).estimate - 0.1
    np.testing.assert_allclose(share_right(rest, [listed]), share_right(rest, [whole]))


def test_the_share_that_is_right_is_one_by_a_factor_and_counts():
    """The logarithm of the factor has a Cauchy prior, and a beta distribution has nine of ten cases
    between its ends.
    """
    rng = np.random.default_rng(1)
    proba, asked = rng.dirichlet([3, 1, 1, 0.9], size=(2, 40))
    codes = asked.argmin(axis=1)
    said = answered(asked, codes)
    logs = np.linspace(-4, 1, 51)
    loss = np.log(1 + (logs / 0.03) ** 2)
    for p, code, weight in zip(asked, codes, said.weights):
        powers = p ** np.exp(logs)[:, None]
        # One of twenty answers is a slip.
        p_answer = 0.95 * powers[:, code] / powers.sum(axis=1) + 0.05 / 4
        loss -= weight * np.log(p_answer)
    mean = np.exp(-loss) @ logs / np.exp(-loss).sum()
    assert mean < -0.5
    powers = proba ** np.exp(mean)
    right = (powers / powers.sum(axis=1, keepdims=True)).max(axis=1).mean()
    # The standard deviation of the logarithm of its odds is 0.6 below, and 0.8 above.
    below, above = (1 / (spread**2 * right * (1 - right)) - 1 for spread in (0.6, 0.8))
    low = beta.ppf(0.05, below * right + 9, below * (1 - right) + 3)
    high = beta.ppf(0.95, above * right + 9, above * (1 - right) + 3)
    share = (below * right + 9) / (below + 12)
    expected = share, np.floor(40 * low) / 40, np.ceil(40 * high) / 40
    found = share_right(proba, [said], n_checked=12, n_right=9)
    np.testing.assert_allclose(found, expected)
