"""Rows of arrays."""

from sksemobridge._utils.rows import evenly_spaced


def test_a_sample_has_the_first_and_the_last_row_and_is_even():
    assert evenly_spaced(10, 4).tolist() == [0, 3, 6, 9]
    assert evenly_spaced(4, 4).tolist() == [0, 1, 2, 3]
