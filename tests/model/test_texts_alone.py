"""Whether the texts help, by what they alone say of the shots."""

import numpy as np
import pytest

from sksemobridge._model.texts_alone import TEXT_ODDS, fit_text


@pytest.mark.parametrize(
    ("n_classes", "own", "noise", "least", "most"),
    [
        (4, 0.1, 0.02, 0.99, 1.0),
        (4, 0.0, 0.1, 0.0, 0.1),
        (4, 0.0, 0.0, 0.0, TEXT_ODDS / (1 + TEXT_ODDS) + 1e-9),
        # Texts that hardly tell more than guessing.
        (10, 0.0, 1e-3, 0.0, 0.01),
        (10, 0.05, 1e-3, 0.99, 1.0),
    ],
)
def test_texts_help_as_far_as_they_tell_their_class(n_classes, own, noise, least, most):
    codes = np.arange(3 * n_classes) % n_classes
    cosines = own * np.eye(n_classes)[codes]
    cosines += noise * np.random.default_rng(0).normal(size=cosines.shape)
    _, trust = fit_text(cosines, codes, np.ones(len(codes)), 100.0, len(codes))
    assert least <= trust <= most


def test_one_wrong_label_of_few_does_not_refute_the_names():
    cosines = np.full((3, 5), 0.1) + 0.2 * np.eye(5)[[0, 1, 1]]
    scale, trust = fit_text(cosines, np.array([0, 1, 2]), np.ones(3), 100.0, 3)
    assert scale > 20
    assert trust > 0.7
    # If all of many are, they are refuted.
    cosines, codes = np.tile(cosines, (20, 1)), np.tile([1, 0, 2], 20)
    assert fit_text(cosines, codes, np.ones(60), 100.0, 60)[1] < 0.1
