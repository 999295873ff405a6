"""Training small problems with one thread of linear algebra."""

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from sksemobridge._training.train import SMALL_PRODUCT, train_bridge


def n_threads():
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def two_threads():
    with threadpool_limits(2, user_api="blas"):
        yield


@pytest.mark.parametrize(("width", "expected"), [(8, {1}), (int((SMALL_PRODUCT / 3) ** 0.5) + 1, {2})])
def test_small_problems_are_trained_with_one_thread(width, expected):
    seen = []
    X = np.eye(3, width)
    options = {"bridge": np.eye(width), "projection": None, "max_iter": 1, "device": "cpu"}
    train_bridge(X, np.arange(3), np.ones(3), callback=lambda *_: seen.append(n_threads()), **options)
    assert seen == [expected] * 2
    assert n_threads() == {2}
