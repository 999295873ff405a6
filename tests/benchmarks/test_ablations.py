"""Ablations of SeMoBridge: a row for each part that is left out."""

import ablations
import pytest

from .task_files import write_task


def test_a_part_that_is_left_out_is_compared_with_the_whole(tmp_path, capsys, monkeypatch):
    path = write_task(tmp_path / "task.npz", [6, 6, 6], noise=1.5)
    ablations.main(["--tasks", str(path), "--shots", "1", "2", "--draws", "2", "--jobs", "1"])
    lines = capsys.readouterr().out.splitlines()
    cells = {line.split(" | ")[0].strip("| "): line for line in lines[2:]}
    for name in (ablations.CLOSED_FORM, ablations.TRAINED, *ablations.PARTS, *ablations.LOSSES):
        assert name in cells
    assert len(lines) == 2 + 2 + 2 * len(ablations.PARTS) + len(ablations.LOSSES)


@pytest.mark.parametrize(("name", "shown"), [("", "70.0 ± 10.0"), ("without z1", "-15.0 ± 5.0")])
def test_differences_are_paired(name, shown):
    rows = [("task", 1, seed, "title", "", value) for seed, value in enumerate((60.0, 80.0))]
    rows += [
        ("task", 1, seed, "title", "without z1", value) for seed, value in enumerate((50.0, 60.0))
    ]
    assert f"| {name or 'title'} | {shown} |" in ablations.report(rows)
