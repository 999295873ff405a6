"""The program that measures what the names of tags gain."""

import numpy as np
import several_labels

from .task_files import write_task


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_row_for_each_task_and_number_of_images_that_it_has(tmp_path, capsys):
    path = write_task(tmp_path / "task.npz", [12] * 6)
    arguments = ["--tasks", str(path), "--draws", "2", "--jobs", "1", "--images", "10", "900"]
    several_labels.main(arguments)
    for table, n_means in zip(capsys.readouterr().out.split("\n\n"), (5, 8)):
        head, _, *lines = map(cells, table.splitlines())
        assert [line[0] for line in lines] == [f"{path.stem}, 10"]
        assert len(lines[0]) == len(head)
        assert all(0 <= float(value) <= 100 for value in lines[0][1 : 1 + n_means])


def test_no_image_is_both_learnt_and_tested_on(tmp_path):
    task = several_labels.tasks.from_npz(write_task(tmp_path / "task.npz", [12] * 6))
    rows = np.arange(len(task.y))
    pairs = several_labels.pairs_of(rows, task.y, np.random.default_rng(0))
    assert len(np.unique(pairs)) == pairs.size
    assert (task.y[pairs[:, 0]] != task.y[pairs[:, 1]]).all()
    _, (X, Y), (queries, truth) = several_labels.draw(task, 8, 0)
    assert (np.vstack([Y, truth]).sum(axis=1) == 2).all()
    assert not (X[:, None] == queries).all(axis=2).any()


def test_time(capsys):
    several_labels.main(["--time", "20x16x4"])
    assert "20 x 16 x 4" in capsys.readouterr().out
