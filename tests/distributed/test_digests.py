import numpy as np
import pyarrow as pa
from numpy.testing import assert_array_equal

from sksemobridge.distributed._digests import digest_rows


def test_digests_do_not_depend_on_how_arrow_holds_values():
    number = [1, None]
    table = pa.table({"name": ["a", "b"], "number": pa.array(number, pa.int32())})
    other = pa.table({"name": pa.array(["a", "b"]).dictionary_encode(), "number": number})
    assert_array_equal(*(digest_rows(rows, ["name"], ["number"]) for rows in (table, other)))


def test_keys_are_not_only_the_text_of_their_values():
    table = pa.table({"a": ["x", "y", "xy"], "b": ["y", "x", ""]})
    assert len(np.unique(digest_rows(table, ["a", "b"])[:, 0])) == 3
