"""Peak memory of training."""

import sys

import pytest
import training_memory


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_peak_is_printed_in_units_of_the_shots(capsys):
    training_memory.main(["--sizes", "20x500", "--width", "64", "--solvers", "closed_form"])
    *_, row = capsys.readouterr().out.strip().splitlines()
    size, solver, given, _, times = (cell.strip() for cell in row.split("|")[1:-1])
    assert (size, solver, given) == ("20 x 500", "closed_form", "3 MB")
    assert 1 < float(times) < 40
