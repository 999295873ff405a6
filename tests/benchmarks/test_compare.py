"""Two commits in one run."""

import compare
import numpy as np
import pytest


class Answers:
    """A commit that has been measured."""

    def __init__(self, seconds, scores):
        self.seconds, self.scores = iter(seconds), scores

    def ask(self, what, **request):
        return {
            "names": lambda: ["fit"],
            "time": lambda: next(self.seconds),
            "accuracy": lambda: self.scores,
        }[what]()


def test_times_and_accuracies_of_two_commits_are_paired():
    # The first time of each is a warm-up.
    before = Answers([9, 1.0, 2.0, 4.0], {"1": [0.5, 0.6, 0.7]})
    after = Answers([9, 2.0, 3.0, 8.0], {"1": [0.6, 0.6, 0.9]})
    time, accuracy = compare.compare(before, after, ["emoji"], rounds=3, all_shots=[1], seeds=3)
    assert time == ("fit, s", 1.0, 2.0, "x 2.00")
    np.testing.assert_allclose(accuracy[1:3], [60, 70])
    assert accuracy[3] == "+10.00 ± 5.77"
    assert list(compare.compare(before, after, ["emoji"], rounds=0, all_shots=[1], seeds=3)) == [accuracy]


def test_a_commit_that_git_does_not_know_is_named():
    with pytest.raises(SystemExit, match="no commit 'nowhere'"):
        compare.hash_of("nowhere")
