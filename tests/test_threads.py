"""Small problems are fitted and trained with one thread of linear algebra."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from threadpoolctl import threadpool_info, threadpool_limits

from sksemobridge import SeMoBridgeClassifier
from sksemobridge._method.blend import BlendProblem
from sksemobridge._training.train import train_bridge
from sksemobridge._utils.device import SMALL_PRODUCT
from sksemobridge.datasets import load_emoji
from sksemobridge.encoders import CLIPImageEncoder


def n_threads():
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def two_threads():
    with threadpool_limits(2, user_api="blas"):
        yield


@pytest.mark.parametrize(("n", "expected"), [(6, {1}), (SMALL_PRODUCT // 128**2, {2})])
def test_small_problems_are_trained_with_one_thread(n, expected):
    seen = []
    X, codes = np.random.default_rng(0).normal(size=(n, 128)), np.arange(n) % 3
    train_bridge(
        X,
        codes,
        1 / np.bincount(codes)[codes],
        bridge=np.eye(128),
        projection=None,
        max_iter=1,
        device="cpu",
        callback=lambda *_: seen.append(n_threads()),
    )
    assert seen == [expected] * 2
    assert n_threads() == {2}


def test_a_small_fit_has_one_thread_and_gives_back_the_others(monkeypatch):
    seen = []

    def solve(*args, original=BlendProblem.solve, **kwargs):
        seen.append(n_threads())
        return original(*args, **kwargs)

    monkeypatch.setattr(BlendProblem, "solve", solve)
    SeMoBridgeClassifier().fit(np.random.default_rng(0).normal(size=(12, 16)), np.arange(12) % 3)
    assert seen
    assert all(threads == {1} for threads in seen)
    assert n_threads() == {2}


def test_threads_of_torch_have_a_piece_of_a_batch_each_and_order_stays():
    images = load_emoji().images[:100]
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = CLIPImageEncoder("mini", "bundled", device="cpu").transform(images)
        torch.set_num_threads(3)
        together = CLIPImageEncoder("mini", "bundled", device="cpu").transform(images)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)
    assert_allclose(together, alone, rtol=1e-4, atol=1e-4 * np.abs(alone).max())
