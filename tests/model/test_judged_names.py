"""What shots say of names."""

import numpy as np
import pytest

from sksemobridge._model.judged_names import exchanged_names


def logits(n_classes, seed=0):
    """Of the mean shot of each class by all names, which are near their own class."""
    rng = np.random.default_rng(seed)
    return 8 * np.eye(n_classes) + rng.normal(size=(n_classes, n_classes))


@pytest.mark.parametrize("order", [[1, 0], [1, 2, 0, 3], [0, 2, 1, 3, 4], [3, 4, 0, 1, 2]])
def test_exchanged_names_are_found(order):
    own = logits(len(order))
    assert exchanged_names(own).tolist() == [*range(len(order))]
    # Name k is that of class order[k].
    assert exchanged_names(own[:, order])[order].tolist() == [*range(len(order))]


def test_a_name_that_is_near_all_images_is_not_exchanged():
    near = logits(4)
    near[:, 2] += 50
    assert exchanged_names(near).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("n_classes", [0, 1])
def test_less_than_two_names_cannot_be_exchanged(n_classes):
    assert exchanged_names(logits(n_classes)).tolist() == [*range(n_classes)]


def test_a_small_lead_is_not_enough():
    """Each of two names costs log 2, and the lead must be three nats more."""
    for lead, expected in ((4.3, [0, 1]), (4.5, [1, 0])):
        assert exchanged_names(lead / 2 * np.array([[0.0, 1], [1, 0]])).tolist() == expected
