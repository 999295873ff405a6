"""Shots that are held out."""

from dataclasses import replace

import numpy as np
import pytest

from sksemobridge._semobridge.held_out import MOST_FOLDS, hold_out, images_of_class

from .test_bridged_classes import fit
from .worlds import ClassTexts, draw, make_shots, make_texts


def folds_of(shots):
    """The `HeldOut`, and the shots that are left out in each fold."""
    texts, left_out = make_texts(), []

    def classes_of(part):
        left_out.append(np.flatnonzero(part == 0))
        return fit(texts, shots.X[part > 0], shots.codes[part > 0])

    [(share, held_out)] = hold_out(classes_of, shots)
    assert share == 1
    return held_out, left_out


def test_each_shot_is_left_out_once_and_every_class_in_each_fold():
    shots = make_shots(*draw(make_texts(), 3))
    held_out, left_out = folds_of(shots)
    assert len(left_out) == 3
    assert sorted(np.concatenate(left_out)) == list(range(15))
    for rows in left_out:
        assert shots.codes[rows].tolist() == [0, 1, 2, 3, 4]
    assert held_out.n_images == 2
    assert held_out.shots.weight.sum() == 15


def test_many_shots_have_few_folds_and_the_only_one_of_a_class_stays():
    shots = make_shots(*draw(make_texts(), [1, 2, 20, 20, 20]))
    held_out, left_out = folds_of(shots)
    assert len(left_out) == MOST_FOLDS
    assert not np.isin(0, np.concatenate(left_out))
    assert not np.isin(0, held_out.shots.codes)


def test_copies_of_an_image_are_left_out_together():
    X, codes = draw(make_texts(), 4)
    shots = make_shots(X, codes)
    shots = replace(shots, group=np.arange(20) // 2)
    held_out, left_out = folds_of(shots)
    assert len(left_out) == 2
    for rows in left_out:
        assert len(set(shots.group[rows])) == 5
    assert held_out.n_images == 1


def test_single_shots_are_compared_with_what_their_names_predict():
    shots = make_shots(*draw(make_texts(), 1))
    held_out, left_out = folds_of(shots)
    assert held_out.is_single
    assert [len(rows) for rows in left_out] == [0]
    own = held_out.shots.cosines["z2"][np.arange(5), held_out.shots.codes]
    assert (own < 0.99).all()


def test_a_bridge_that_cuts_directions_limits_the_reach():
    shots = make_shots(*draw(make_texts(), 2))

    def reach(texts, atol="auto"):
        def classes_of(part):
            return fit(texts, shots.X[part > 0], shots.codes[part > 0], atol=atol)

        [(_, held_out)] = hold_out(classes_of, shots)
        return held_out.reach

    assert reach(ClassTexts()) == pytest.approx(1.0)
    # Without the directions of half of the singular values.
    values = np.linalg.svd(make_texts().projection, compute_uv=False)
    assert reach(make_texts(), float(np.median(values))) < 0.99


def test_classes_count_the_same_and_their_number_of_shots_is_the_harmonic_mean():
    shots = make_shots(*draw(make_texts(), [2, 2, 2, 2, 6]))
    held_out, _ = folds_of(shots)
    of_class = np.bincount(held_out.shots.codes, weights=held_out.shots.weight)
    np.testing.assert_allclose(of_class, 14 / 5)
    assert images_of_class(shots) == pytest.approx(5 / (4 / 2 + 1 / 6))
