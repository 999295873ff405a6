"""Clicks: the labels that make a folder right."""

import click_methods
import clicks
import numpy as np
import pandas as pd
import pytest

from .task_files import write_task


@pytest.fixture
def run(tmp_path, capsys):
    """`run(methods)` gives the rows and the printed table."""

    def run(*methods):
        path = write_task(tmp_path / "task.npz", [8] * 6, noise=1.5)
        arguments = ["--tasks", str(path), "--draws", "1", "--jobs", "1", "--methods", *methods]
        clicks.main([*arguments, "--plot", "plot.png"])
        return pd.read_csv(tmp_path / "clicks.csv"), capsys.readouterr().out

    return run


def test_labels_come_in_batches_of_half_a_label_a_class_and_labelled_images_are_right(
    run, tmp_path
):
    frame, page = run(clicks.OURS, click_methods.NAMELESS, "LogisticRegression, margin")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    for method, curve in frame.groupby("method"):
        labels, right = curve.sort_values("labels")[["labels", "right"]].to_numpy().T
        np.testing.assert_array_equal(labels, 3 * np.arange(len(labels)))
        assert (right >= 100 * labels / 48 - 1e-3).all()
        assert right[-1] >= 99
        for level, printed in zip(
            (90, 95, 99), page.split(f"| task, 6 classes | {method} |")[1].split("|")
        ):
            assert int(printed) == labels[right >= level].min()
    is_estimated = (frame.method == clicks.OURS) & frame.labels.between(1, 47)
    assert frame.error.notna().equals(is_estimated)
    assert "| FewShotClassifier | held, % | " in page
    # Names alone begin far above chance.
    start = frame[frame.labels == 0].set_index("method").right
    assert start[clicks.OURS] > 50 > start["LogisticRegression, margin"]


def test_a_finished_curve_is_not_measured_again(run, tmp_path):
    frame, _ = run("LogisticRegression, random")
    path = tmp_path / "clicks.csv"
    frame.assign(right=100.0).to_csv(path, index=False)
    again, page = run("LogisticRegression, random")
    assert (again.right == 100).all()
    assert "| mean, labels a class | LogisticRegression, random | 0.0 | 0.0 | 0.0 |" in page


def test_strangers_are_half_of_the_folder_and_none_of_the_classes(tmp_path, capsys):
    paths = [write_task(tmp_path / f"{kind}.npz", [8] * 6, kind=kind) for kind in ("one", "two")]
    options = ["--strangers", "--methods", clicks.OURS]
    clicks.main(["--tasks", *map(str, paths), *options, "--jobs", "1", "--draws", "1"])
    right = pd.read_csv(tmp_path / "clicks.csv").pivot(
        index="task", columns="labels", values="right"
    )
    assert right.index.tolist() == ["one", "two"]
    # Half of them are wrong as long as nobody has said that there are strangers.
    assert (right[0] <= 50).all()
    assert (right[12] > right[0]).all()
    assert f"| {clicks.OURS} |" in capsys.readouterr().out


def test_names_alone_and_logistic_regression_from_names_begin_above_chance(run):
    frame, page = run("zero-shot, margin", "LogisticRegression, from names")
    start = frame[frame.labels == 0].set_index("method").right
    assert (start > 50).all()
    assert "| task, 6 classes | zero-shot, margin |" in page


def test_the_same_pictures_through_two_models_count_once(tmp_path, capsys):
    paths = [write_task(tmp_path / f"set_{name}.npz", [8] * 4, noise=1.5) for name in ("a", "b")]
    options = ["--methods", "zero-shot, margin"]
    clicks.main(["--tasks", *map(str, paths), *options, "--jobs", "1"])
    page = capsys.readouterr().out
    assert page.count("| set, 4 classes, 2 models | zero-shot, margin |") == 1
