"""Folders that teach: pools are what they are called, and gains are those of the same model."""

import folder
import numpy as np
import pytest
import tasks

from .task_files import write_task


@pytest.fixture
def paths(tmp_path):
    return [write_task(tmp_path / f"{name}.npz", [12] * 9, kind=name) for name in ("one", "two")]


def test_pools_are_what_they_are_called(paths):
    task, rng = tasks.from_npz(paths[0]), np.random.default_rng(0)
    shots = folder.draw_shots(task, 2, rng)
    rows = {kind: folder.pool(kind, task, shots, rng) for kind in folder.KINDS}
    assert not any(set(shots) & set(of_kind) for of_kind in rows.values())
    assert len(rows["all"]) == 90
    assert len(np.unique(task.y[rows["missing"]])) == 3
    assert len(rows["two"]) == 18
    counts = sorted(np.unique(task.y[rows["tail"]], return_counts=True)[1])
    assert (counts[0], counts[-1]) == (2, 10)
    small = folder.draw_shots(tasks.from_npz(paths[0]), 50, rng)
    assert len(small) == 9 * 11


def test_each_kind_of_pool_has_a_row_and_strangers_share_no_class(paths, capsys):
    one, two = map(tasks.from_npz, paths)
    assert folder.strangers_of(one, [one, two]) is two.X
    assert len(folder.strangers_of(one, [one, tasks.from_npz(paths[0])])) == 0
    folder.main(["--tasks", *map(str, paths), "--shots", "0", "1", "--draws", "1", "--jobs", "1"])
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[:2] for row in rows] == [[k, kind] for k in ("0", "1") for kind in folder.KINDS]
    folder.main(["--tasks", *map(str, paths), "--draws", "1", "--jobs", "1", "--without-text"])
    assert "| 0 |" not in capsys.readouterr().out
