"""Time and memory of callables."""

import numpy as np
import pytest
import timing


@pytest.fixture
def clock(monkeypatch):
    """A clock that functions put forward."""
    now = [0.0]
    monkeypatch.setattr(timing, "perf_counter", lambda: now[0])

    def taking(*seconds):
        left = iter(seconds)

        def function():
            now[0] += next(left)

        return function

    return taking


def test_functions_take_turns_and_their_first_calls_do_not_count(clock):
    seconds = timing.alternate(clock(9, 1, 2), clock(9, 3, 4), repeats=2)
    np.testing.assert_array_equal(seconds, [[1, 3], [2, 4]])


def test_peak_memory_is_that_of_the_call_alone():
    held_here = np.ones(2**25)
    n_bytes, total = timing.peak_memory(sum_of_ones, 2**23, warm_up=(1,))
    assert total == 2**23
    # The system counts pages in steps.
    assert n_bytes == pytest.approx(held_here.nbytes / 4, rel=0.1)


def sum_of_ones(n):
    return np.ones(n).sum()
