"""How many threads compute."""

import os
import threading
from unittest.mock import Mock

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from sksemobridge import FewShotClassifier
from sksemobridge._model import logistic
from sksemobridge._utils import threads
from sksemobridge._utils.threads import in_parallel, one_thread, threads_for

SMALL = threads.SMALL_PRODUCT - 1
LARGE = threads.SMALL_PRODUCT


def test_only_small_products_have_one_thread(blas_threads):
    with threads_for(LARGE):
        assert blas_threads() == {2}
        with threads_for(SMALL):
            assert blas_threads() == {1}
            with threads_for(LARGE):
                assert blas_threads() == {1}
        assert blas_threads() == {2}


def test_the_last_of_several_python_threads_restores_the_limit(blas_threads):
    first_is_in, second_is_in = threading.Event(), threading.Event()

    def second():
        first_is_in.wait()
        with threads_for(SMALL):
            second_is_in.set()
            first.join()
            seen.append(blas_threads())

    def first_one():
        with threads_for(SMALL):
            first_is_in.set()
            second_is_in.wait()

    seen, first = [], threading.Thread(target=first_one)
    others = [first, threading.Thread(target=second)]
    for thread in others:
        thread.start()
    for thread in others:
        thread.join()
    assert seen == [{1}]
    assert blas_threads() == {2}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_process_that_was_forked_meanwhile_has_all_threads(blas_threads):
    with threads_for(SMALL):
        child = os.fork()
        if child == 0:
            os._exit(10 * len(blas_threads()) + max(blas_threads()))
        _, status = os.waitpid(child, 0)
        assert blas_threads() == {1}
    assert os.waitstatus_to_exitcode(status) == 12


def test_parts_share_the_threads_that_blas_had(blas_threads):
    both_run = threading.Barrier(2)

    def divide(part):
        both_run.wait(timeout=60)
        return part / np.zeros(1), blas_threads()

    with one_thread(), np.errstate(divide="ignore"):
        results = in_parallel(divide, [1, -1])
    assert results == [(np.inf, {1}), (-np.inf, {1})]
    assert in_parallel(lambda part: blas_threads(), [0, 1]) == [{2}, {2}]


def test_an_error_in_a_part_is_raised(blas_threads):
    with pytest.raises(ZeroDivisionError), one_thread():
        in_parallel(lambda part: 1 / part, [1, 0])
    assert blas_threads() == {2}


def test_without_a_list_of_libraries_all_is_computed(monkeypatch):
    import torch

    # As on Linux without its proc file system.
    no_list = Mock(side_effect=FileNotFoundError)
    monkeypatch.setattr(threads, "get_cached_controller", no_list)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    with one_thread():
        assert in_parallel(abs, [-1, 2]) == [1, 2]
    batch = torch.arange(2 * threads.SMALLEST_PIECE)
    assert torch.equal(threads.on_all_cores(torch.negative, batch), -batch)
    assert no_list.called


def test_a_fit_has_one_thread_of_blas(blas_threads, monkeypatch):
    original, seen = logistic.minimize, []

    def recorded(*args, **options):
        seen.append(
            {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}
        )
        return original(*args, **options)

    monkeypatch.setattr(logistic, "minimize", recorded)
    X = np.random.default_rng(0).normal(size=(12, 8))
    FewShotClassifier().fit(X, np.arange(12) % 3)
    assert seen[0] == {1}
    assert blas_threads() == {2}
