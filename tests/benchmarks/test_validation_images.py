"""What validation images gain: a row for each solver and number of images."""

import pandas as pd
import validation_images

from .task_files import write_task


def test_gains_are_on_images_that_were_not_seen(tmp_path, capsys):
    path = write_task(tmp_path / "task.npz", [30, 30, 30], noise=1.5)
    validation_images.main(["--tasks", str(path), "--shots", "1", "--draws", "2", "--jobs", "1"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[1].strip() for line in lines[2:]] == [*["50"] * 2, *["200"] * 2] * 2


def test_changes_are_means_over_tasks_with_their_range():
    rows = [("a", 1, seed, "title", 50, gain, -gain) for seed, gain in enumerate((1.0, 3.0))]
    rows += [("b", 1, seed, "title", 50, -2.0, 2.0) for seed in (0, 1)]
    columns = [*validation_images.KEY, *validation_images.VALUES]
    printed = validation_images.report(pd.DataFrame(rows, columns=columns))
    assert "| title | 50 | accuracy | +0.0 ± 0.5 (-2.0 to +2.0) |" in printed
    assert "| title | 50 | log loss | +0.000 ± 0.500 (+2.000 to -2.000) |" in printed
