"""What the benchmark of the bridge leaves out and draws."""

import numpy as np
from bridge import Task, few_shot, search, without_own_names


def test_words_that_name_a_class_are_left_out_however_written():
    words = ["a tench", "a T-shirt", "a fire truck", "an owl", "a flower"]
    vocabulary = {"texts": np.array(words), "text": np.eye(5, dtype=np.float32)}
    kept = without_own_names(vocabulary, ["0 tench", "T-shirts", "fire_truck", "Owl"])
    np.testing.assert_array_equal(kept, [[0, 0, 0, 0, 1]])


def test_a_task_is_searched_and_learnt_with_the_words():
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(3), 8)
    X = rng.normal(size=(24, 12)) + 5 * np.eye(12)[y]
    task = Task("made up", X, y, np.eye(12)[:3], rng.normal(size=(40, 12)))
    rank, result = search(task)
    assert rank == 6
    assert all(0 < value <= 100 for value in result.values())
    # In the span of the class texts nothing but the classes is left.
    assert result["class texts"] > result["as it is"]
    assert few_shot(task, 2, n_draws=1).shape == (2, 2)
    assert few_shot(task, 7, n_draws=1) is None
