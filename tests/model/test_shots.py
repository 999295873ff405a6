"""Shots are pooled: copies of one row are a heavier row, in one order."""

import numpy as np
import pytest

from sksemobridge._model.shots import Rows, pool_shots


def test_copies_that_differ_by_rounding_are_one_shot():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(6, 40)).astype(np.float32)
    codes = np.array([0, 0, 1, 1, 2, 2])
    rounded = X * (1 + 2e-6 * rng.normal(size=X.shape)).astype(np.float32)
    twice, pooled = pool_shots(np.vstack([X, rounded]), np.tile(codes, 2), np.ones(12))
    once, _ = pool_shots(X, codes, np.full(6, 2.0))
    np.testing.assert_array_equal(twice.codes, once.codes)
    np.testing.assert_array_equal(twice.weight, once.weight)
    np.testing.assert_array_equal(pooled[:6], pooled[6:])
    # A chain of small steps is one shot; the same image under two labels is two.
    chain = X[:1] * (1 + 8e-6 * np.arange(5, dtype=np.float32)[:, None])
    assert len(pool_shots(chain, np.zeros(5, dtype=int), np.ones(5))[0].codes) == 1
    assert len(pool_shots(chain[:2], np.arange(2), np.ones(2))[0].codes) == 2


@pytest.mark.parametrize("other", [0.0, 1e200])
def test_whether_rows_are_copies_does_not_depend_on_other_rows(other):
    x = np.random.default_rng(0).normal(size=(1, 512))
    for step, expected in ((5e-6, 1), (5e-5, 2)):
        X = np.vstack([x, x * (1 + step)])
        assert len(pool_shots(X, np.zeros(2, dtype=int), np.ones(2))[0].codes) == expected
        beside, _ = pool_shots(np.vstack([X, other * x]), np.array([0, 0, 1]), np.ones(3))
        assert len(beside.codes) == expected + 1


def test_groups_that_share_a_row_are_one_image():
    X = np.eye(4)[[0, 1, 1, 2, 3]]
    shots, _ = pool_shots(
        X, np.zeros(5, dtype=int), np.ones(5), groups=np.array(["a", "a", "b", "b", "c"])
    )
    assert len(set(shots.group.tolist())) == 2
    u, codes, weight, _, index, _ = shots.images()
    assert sorted(weight.tolist()) == [1, 4]
    assert codes.tolist() == [0, 0]
    np.testing.assert_allclose(np.linalg.norm(u[weight == 1], axis=1), 1)
    # The mean of copies of one weight 2 and two of weight 1.
    np.testing.assert_allclose(np.sort(u[weight == 4][0]), [0, 0.25, 0.25, 0.5])
    assert len(index) == 4


def test_an_image_of_which_few_copies_are_found_counts_no_less():
    codes, weight = np.zeros(7, dtype=int), np.array([1.0, 1, 1, 1, 1, 1, 1e-6])
    shots, _ = pool_shots(np.eye(7), codes, weight, groups=np.array([0, 0, 0, 0, 1, 2, 3]))
    images = shots.images()
    assert sorted(images.weight) == [1e-6, 1, 1, 4]
    np.testing.assert_allclose(sorted(images.relative), [1e-6, 1, 1, 1], rtol=1e-5)


@pytest.mark.parametrize("groups", [[0, 1, 0, 1], [0, 1, 1, 0]])
def test_images_keep_their_weights_if_groups_hold_images_of_several_classes(groups):
    X, weight = np.eye(4), np.arange(1.0, 5.0)
    shots, shot_of_row = pool_shots(X, np.array([0, 0, 1, 1]), weight, groups=np.array(groups))
    u, codes, weight_of_image, group, index, _ = shots.images()
    image = index[shot_of_row]
    np.testing.assert_array_equal(u[image], X)
    assert codes[image].tolist() == [0, 0, 1, 1]
    assert weight_of_image[image].tolist() == weight.tolist()
    np.testing.assert_array_equal(group[image], shots.group[shot_of_row])


def test_rows_of_weight_zero_are_dropped_with_all_that_belongs_to_them():
    X, labels, groups = np.arange(6.0).reshape(3, 2), np.array(["a", "b", "c"]), np.arange(3)
    rows = Rows(X, labels, np.array([1.0, 0.0, 2.0]), groups).with_weight()
    assert rows.embeddings.tolist() == [[0, 1], [4, 5]]
    assert [rows.labels.tolist(), rows.weight.tolist()] == [["a", "c"], [1, 2]]
    assert [rows.groups.tolist(), rows.has_weight.tolist()] == [[0, 2], [True, False, True]]
