"""Clicks: the labels that make a folder right."""

import re
from pathlib import Path

import click_methods
import clicks
import numpy as np
import pandas as pd
import pytest

from .task_files import write_task

# Nine tenths of the 48 images of the task.
N_IMAGES = 44


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
        assert (right >= 100 * labels / N_IMAGES - 1e-3).all()
        assert right[-1] >= 99
        for level, printed in zip(
            (90, 95, 99), page.split(f"| task, 6 classes | {method} |")[1].split("|")
        ):
            assert int(printed) == labels[right >= level].min()
    nameless = frame.method == click_methods.NAMELESS
    assert frame.error.notna().equals(frame.labels.between(1, N_IMAGES - 1) & ~nameless)
    assert frame.held.notna().equals(frame.error.notna() & (frame.method == clicks.OURS))
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
    assert "| task, 6 classes | LogisticRegression, random | 0 | 0 | 0 |" in page


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


def test_what_knows_the_names_begins_above_chance_and_each_learns_in_its_way(run):
    learners = (click_methods.RIVAL, "TextCoord, margin", "SeMoBridge, margin")
    frame, page = run(*learners, "zero-shot, margin", "LogisticRegression, from names")
    start = frame[frame.labels == 0].set_index("method").right
    assert (start > 50).all()
    assert start[list(learners)].eq(start["zero-shot, margin"]).all()
    assert "| task, 6 classes | zero-shot, margin |" in page
    said = frame[frame.labels == 3].set_index("method").error
    assert said.nunique() == len(said)


METHOD_OF_OTHERS = """
from sklearn.metrics.pairwise import cosine_similarity

class Names:
    def __init__(self, folder, rng):
        p = cosine_similarity(folder.X, folder.texts)
        self.labels, self.order = folder.classes[p.argmax(axis=1)], p.max(axis=1).argsort()

    def learn(self, rows, labels):
        self.rest = [row for row in self.order if row not in rows]
        return self.labels, 0.5

    def choose(self, n):
        return self.rest[:n]

class Asks(Names):
    def choose(self, n):
        return [0, 0]
"""


@pytest.fixture
def measure(tmp_path, capsys):
    """`measure(name)` measures a class of the file `others.py`, and gives the printed tables."""
    (tmp_path / "others.py").write_text(METHOD_OF_OTHERS)
    path = write_task(tmp_path / "task.npz", [8] * 6, noise=1.5)
    arguments = ["--tasks", str(path), "--draws", "2", "--jobs", "1", "--methods", clicks.OURS]

    def measure(name):
        clicks.main([*arguments, "--method", name])
        return capsys.readouterr().out

    return measure


def test_a_class_of_somebody_else_is_measured_beside_ours(measure, tmp_path):
    page = measure("others:Names")
    frame = pd.read_csv(tmp_path / "clicks.csv")
    assert frame.groupby("method").seed.nunique().to_dict() == {clicks.OURS: 2, "others:Names": 2}
    theirs = frame[frame.method == "others:Names"]
    # What it says is compared with the share of the images without an answer that is right.
    of_all = theirs.right / 100 * N_IMAGES
    share = (of_all - theirs.labels) / (N_IMAGES - theirs.labels)
    np.testing.assert_allclose(theirs.error, 100 * (0.5 - share), atol=0.01)
    assert "| others:Names | error |" in page
    ratios = page.split("| labels a class until")[1]
    row = next(line for line in ratios.splitlines() if line.startswith("| others:Names |"))
    times = [float(cell.strip("> ").split()[0]) for cell in row.split("|")[3:-1:2]]
    labels = clicks.labels_until(clicks.in_sets_of_pictures(frame))
    means = labels.groupby(["level", "method"]).at_least.mean().unstack()
    np.testing.assert_allclose(times, means["others:Names"] / means[clicks.OURS], atol=0.051)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("others:Missing", "must name a class as module:Class"),
        ("nowhere:Names", "must name a class as module:Class"),
        ("others:Asks", "must give 1 to 3 different rows without an answer; it gave .0, 0."),
    ],
)
def test_a_class_that_breaks_the_protocol_is_refused(measure, name, message):
    with pytest.raises(SystemExit, match=message):
        measure(name)


def test_the_class_of_the_page_is_measured(measure, tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "your_method.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL)[1]
    (tmp_path / "my_method.py").write_text(code)
    assert "--method my_method:MyMethod" in page
    assert "| task, 6 classes | my_method:MyMethod |" in measure("my_method:MyMethod")


def test_samples_differ_and_are_the_same_for_each_method(tmp_path):
    task = clicks.tasks.from_npz(write_task(tmp_path / "task.npz", [8] * 6))
    first, again, other = (clicks.sample(task, None, 40, seed) for seed in (1, 1, 2))
    assert len(first.y) == 40
    np.testing.assert_array_equal(first.X, again.X)
    assert not np.array_equal(first.X, other.X)
    assert len(clicks.sample(task, None, 900, 1).y) == N_IMAGES


def test_a_draw_that_has_ended_keeps_its_last_share():
    rows = {"task": "a", "task_of_file": "a", "model": "m", "seed": 0, "batch": [0, 1, 0, 1]}
    frame = pd.DataFrame(rows | {"method": [*"xxyy"], "right": [90.0, 99.5, 50.0, 60.0]})
    shares = clicks.by_batch(frame).groupby("method").mean()
    assert shares.loc["x", [0, 1, 2, clicks.SHOWN]].tolist() == [90, 99.5, 99.5, 99.5]
    assert shares.loc["y", 2:].isna().all()


def test_the_same_pictures_through_two_models_count_once(tmp_path, capsys):
    paths = [write_task(tmp_path / f"set_{name}.npz", [8] * 4, noise=1.5) for name in ("a", "b")]
    options = ["--methods", "zero-shot, margin"]
    clicks.main(["--tasks", *map(str, paths), *options, "--jobs", "1"])
    page = capsys.readouterr().out
    assert page.count("| set, 4 classes, 2 models | zero-shot, margin |") == 1
