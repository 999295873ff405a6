import numpy as np
import pytest
from numpy.testing import assert_array_equal

pa = pytest.importorskip("pyarrow")

from sksemobridge.distributed._keys import digest_rows, find, is_changed  # noqa: E402


def test_digests_do_not_depend_on_how_arrow_holds_values():
    number = [1, None]
    table = pa.table({"name": ["a", "b"], "number": pa.array(number, pa.int32())})
    other = pa.table({"name": pa.array(["a", "b"]).dictionary_encode(), "number": number})
    assert_array_equal(*(digest_rows(rows, ["name", "number"]) for rows in (table, other)))
    table = pa.table({"a": ["x", "y", "xy"], "b": ["y", "x", ""]})
    assert len(np.unique(digest_rows(table, ["a", "b"]))) == 3


def test_digests_are_found_among_others():
    keys = digest_rows(pa.table({"key": range(1000)}), ["key"])[:, 0]
    some = np.sort(keys[::3])
    places = find(keys, some)
    assert_array_equal(places >= 0, np.arange(1000) % 3 == 0)
    assert_array_equal(some[places[::3]], keys[::3])
    assert (find(keys, some[:0]) < 0).all()


def test_a_row_of_another_version_has_changed_unless_the_version_is_unknown():
    def rows(values):
        columns = {
            "key": [0, 1, 2],
            "size": pa.array(values, pa.int64()),
            "time": pa.array(values, pa.int64()),
        }
        return digest_rows(pa.table(columns), ["key"], ["size", "time"])

    now = rows([10, 21, None])
    now = now[np.argsort(now[:, 0])]
    assert is_changed(rows([10, 20, 30]), now).tolist() == [False, True, False]
