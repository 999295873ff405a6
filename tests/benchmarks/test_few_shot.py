"""The few-shot benchmark: resumable, and its tables and plots come from its rows."""

import gzip
import importlib.util

import few_classes
import few_shot
import few_shot_report
import head
import label_noise
import numpy as np
import pandas as pd
import pytest
import tasks
import typicality
import uneven
import unlabeled
from few_shot_methods import METHODS, NAMES
from PIL import Image
from results import Results

from .task_files import write_task


@pytest.fixture(scope="module")
def npz(tmp_path_factory):
    """Three classes of five images."""
    return write_task(tmp_path_factory.mktemp("data") / "made_up.npz", [5, 5, 5])


@pytest.fixture
def run(npz, tmp_path):
    def run(*options):
        few_shot.main(
            [f"npz:{npz}", "--quick", "--jobs", "1", *options]
            + ["--results", str(tmp_path / "rows.csv"), "--docs", str(tmp_path / "docs")]
        )
        return pd.read_csv(tmp_path / "rows.csv")

    return run


def test_a_run_measures_every_method_and_writes_tables_and_plots(run, tmp_path):
    rows = run()
    assert set(rows.method) == set(NAMES)
    assert not rows.duplicated(list(few_shot.KEY)).any()
    counts = rows.groupby(["protocol", "shots"]).size().to_dict()
    fitted = [sum(method.can("defaults", k, 3) for method in METHODS.values()) for k in (1, 2)]
    tuned = sum(method.can("tuned", 2, 3) for method in METHODS.values())
    assert counts == {("defaults", 1): 2 * fitted[0], ("defaults", 2): 2 * fitted[1], ("tuned", 2): 2 * tuned}
    assert rows.accuracy.between(0, 1).all()
    assert (rows.queries == 15 - 3 * rows.shots).all()
    assert rows[rows.method != "SVC, linear"].query("shots == 2").log_loss.notna().all()
    page = (tmp_path / "docs" / "benchmarks_few_shot.md").read_text()
    assert all(f"| {name} |" in page for name in NAMES)
    for name in ("few_shot_accuracy.png", "few_shot_time.png"):
        assert f"(images/{name})" in page
        assert (tmp_path / "docs" / "images" / name).read_bytes().startswith(b"\x89PNG")


def test_methods_are_left_out_where_the_shots_are_too_few():
    lda, neighbours = METHODS["LDA, shrinkage"], METHODS["KNeighbors"]
    can = [lda.can("defaults", 1, 9), lda.can("tuned", 2, 9), neighbours.can("defaults", 1, 4)]
    assert can == [False] * 3
    can = [lda.can("defaults", 2, 9), lda.can("tuned", 4, 9), neighbours.can("defaults", 1, 5)]
    assert can == [True] * 3
    assert not any(method.can("tuned", 1, 9) for method in METHODS.values())


def mark(rows):
    """Text of a file with a mark in each row, by which those measured anew can be told from the others."""
    return rows.assign(fit_seconds=123.0).to_csv(index=False)


def test_an_interrupted_run_goes_on_where_it_was(run, tmp_path):
    methods = ["--methods", "zero-shot", "GDA"]
    whole = run(*methods)
    lines = mark(whole).splitlines(keepends=True)
    (tmp_path / "rows.csv").write_text("".join(lines[:-1]) + lines[-1][:20])
    again = run(*methods)
    assert np.flatnonzero(again.fit_seconds != 123).tolist() == [len(whole) - 1]
    few = [*few_shot.KEY, "accuracy", "chosen"]
    pd.testing.assert_frame_equal(again[few], whole[few])


def test_a_method_can_be_done_again(run, tmp_path):
    methods = ["--methods", "zero-shot", "Tip-Adapter"]
    (tmp_path / "rows.csv").write_text(mark(run(*methods)))
    again = run(*methods, "--redo", "zero-shot")
    anew = again[again.fit_seconds != 123]
    assert len(anew) == 4
    assert set(anew.method) == {"zero-shot"}


def test_classes_with_too_few_images_are_left_out_and_tasks_with_too_few_classes(tmp_path):
    write_task(tmp_path / "one_small.npz", [4, 4, 3, 4, 4])
    write_task(tmp_path / "two_small.npz", [4, 4, 3, 4, 3])
    one, two = tasks.from_folder(tmp_path)
    assert one.name == "one_small"
    shots, queries = one.draw(2, seed=0)
    names = ["thing_0", "thing_1", "thing_3", "thing_4"]
    assert sorted(set(one.y[shots])) == sorted(set(one.y[queries])) == names
    assert len(shots) == len(queries) == 8
    assert two.draw(2, seed=0) is None
    assert two.draw(1, seed=0) is not None
    assert set(two.some_classes(3, 2, seed=0).y) == {"thing_0", "thing_1", "thing_3"}
    assert two.some_classes(4, 2, seed=0) is None


def test_shots_are_drawn_class_by_class_in_the_order_of_the_names_and_are_no_queries(tmp_path):
    task = tasks.from_npz(write_task(tmp_path / "task.npz", [3] * 11))
    rng = np.random.default_rng(7)
    expected = [3 * c + rng.permutation(3)[0] for c in range(11)]
    shots, queries = task.draw(1, seed=7)
    assert shots.tolist() == expected
    assert sorted([*shots, *queries]) == list(range(33))


def test_methods_are_compared_on_a_folder_with_and_without_texts(tmp_path, capsys):
    write_task(tmp_path / "named.npz", [5, 6, 7])
    write_task(tmp_path / "nameless.npz", [5, 6, 7], text=False)
    path = tmp_path / "rows.csv"
    few_shot.main(["--tasks", str(tmp_path), "--quick", "--jobs", "1", "--results", str(path)])
    rows = pd.read_csv(path)
    assert set(rows.seed) == {2000, 2001}
    assert set(rows.protocol) == {"defaults"}
    seen = {task: set(of_task.method) for task, of_task in rows.groupby("task")}
    assert seen["named"] == set(NAMES)
    assert seen["nameless"] == {name for name in NAMES if not METHODS[name].with_text}
    page = capsys.readouterr().out
    with_text, without = page.split("## Tasks without")
    assert "| SeMoBridge minus |" in with_text
    assert "| SeMoBridge, no text minus |" in without
    # One row in each of four tables and in that of the task.
    assert with_text.count("| Tip-Adapter |") == 5
    assert "Tip-Adapter" not in without


def test_differences_are_paired_and_a_lower_loss_wins():
    losses = {("ours", 0): 1.0, ("ours", 1): 2.0, ("zero-shot", 0): 1.5, ("zero-shot", 1): 2.6}
    frame = pd.DataFrame(
        [("m", "t", 1, seed, method, loss) for (method, seed), loss in losses.items()],
        columns=["model", "task", "shots", "seed", "method", "log_loss"],
    )
    cell = few_shot_report.differences_by_shots(frame, "log_loss", 2, "ours").splitlines()[-1]
    assert cell == "| zero-shot | -0.55 ± 0.05 (0:0) |"
    frame.loc[frame.method == "zero-shot", "log_loss"] += [9, 9]
    assert few_shot_report.differences_by_shots(frame, "log_loss", 2, "ours").endswith("(1:0) |")


@pytest.mark.usefixtures("one_cache_for_all")
def test_the_finer_classes_of_the_bundled_pictures_have_three_pictures_or_more():
    task = tasks.emoji_finer()
    names, counts = np.unique(task.y, return_counts=True)
    assert counts.min() >= 3
    assert {"artist", "biking", "elf"} <= set(names)


def test_folders_and_data_sets_of_pictures_are_tasks(tmp_path):
    for name, colour in (("blue thing", "blue"), ("red thing", "red")):
        (tmp_path / name).mkdir()
        for i in range(3):
            Image.new("RGB", (32, 32 + i), colour).save(tmp_path / name / f"{i}.png")
    for task in (tasks.image_folder(tmp_path), tasks.torchvision_dataset("ImageFolder", tmp_path)):
        assert task.X.shape == (6, 128)
        assert task.y.tolist() == ["blue thing"] * 3 + ["red thing"] * 3


def test_fashion_mnist_is_read_from_its_files(tmp_path):
    pixels = np.arange(3 * 28 * 28, dtype=np.uint32).astype(np.uint8)
    for part, header, content in (("images-idx3", 16, pixels), ("labels-idx1", 8, np.uint8([9, 2, 0]))):
        (tmp_path / f"t10k-{part}-ubyte.gz").write_bytes(gzip.compress(bytes(header) + content.tobytes()))
    task = tasks.fashion_mnist(tmp_path)
    assert task.y.tolist() == ["ankle boot", "pullover", "t-shirt"]
    assert task.X.shape == (3, 128)


def test_unknown_tasks_and_missing_files_are_named(run, tmp_path):
    with pytest.raises(ValueError, match="no task 'emojis'"):
        few_shot.main(["emojis", "--results", str(tmp_path / "r.csv"), "--docs", str(tmp_path)])
    with pytest.raises(FileNotFoundError, match="t10k-images"):
        tasks.fashion_mnist(tmp_path)
    with pytest.raises(FileNotFoundError, match="no npz file"):
        tasks.from_folder(tmp_path)
    with pytest.raises(ValueError, match="no data set 'CIFAR11'"):
        tasks.torchvision_dataset("CIFAR11", tmp_path)


def test_results_of_other_columns_are_refused(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="has the columns a, b; expected a, c"):
        Results(path, ["a"], ["c"])


def test_uneven_shots_are_measured_beside_zero_shot(npz, capsys):
    uneven.main([str(npz), "--first", str(npz), "--draws", "3", "--jobs", "1"])
    figures = {line.split(" | ")[0]: line.split(" | ")[1:] for line in capsys.readouterr().out.splitlines()}
    accuracy, zero_shot, difference, *_ = figures["| made_up"]
    assert float(accuracy) - float(zero_shot) == pytest.approx(float(difference.split()[0]), abs=0.11)
    assert all(0 <= float(value.strip(" |")) <= 100 for value in figures["| made_up, recall"])


@pytest.fixture
def folder(tmp_path):
    """Two tasks with texts."""
    write_task(tmp_path / "one.npz", [6] * 4)
    write_task(tmp_path / "two.npz", [7] * 4)
    return tmp_path


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_wrong_labels_are_planted_and_classifiers_compared(npz, capsys):
    pytest.importorskip("cleanlab", reason="needs the extra examples")
    label_noise.main([str(npz), "--shots", "2", "--draws", "2", "--jobs", "1"])
    rates = [f"{rate} {kind}" for kind in ("swapped", "alike", "class") for rate in ("10%", "20%", "40%")]
    cases = ["0%", *rates[:6], "one class", *rates[6:]]
    compared, found = (table.splitlines()[2:] for table in capsys.readouterr().out.split("\n\n"))
    for table in (compared, found):
        assert [cells(row)[:2] for row in table] == [["2", case] for case in cases]
    assert all(0 <= float(cells(row)[2]) <= 100 for row in compared)
    # Nothing is planted, so nothing can be found.
    assert cells(found[0])[4:] == ["0 % of 0", "0 % of 0"]


def test_few_classes_are_drawn_and_compared_with_logistic_regression(folder, capsys):
    paths = [str(path) for path in sorted(folder.glob("*.npz"))]
    few_classes.main([*paths, "--draws", "3", "--jobs", "1"])
    rows = [cells(line) for line in capsys.readouterr().out.splitlines()[2:]]
    # There are no ten classes.
    assert [row[0] for row in rows] == [f"{size} x {k}" for size in (2, 3, "all") for k in (1, 2, 4)]
    for _, files, accuracy, other, difference, *_ in rows:
        assert files == "2"
        assert float(accuracy) - float(other) == pytest.approx(float(difference.split()[0]), abs=0.11)


def test_strangers_are_near_or_far_and_known_images_are_turned_away_as_rarely_as_promised(folder, capsys):
    write_task(folder / "three.npz", [6] * 4, kind="animal")
    typicality.main(["--tasks", str(folder), "--shots", "2", "--draws", "2"])
    rows = dict(cells(line) for line in capsys.readouterr().out.splitlines()[2:])
    assert {name.split(":")[0] for name in rows if ":" in name} == {"near", "far", "alike"}
    # Strangers from far away are around other points, and the classes lie far apart.
    assert float(rows["near: score_samples"]) > 90
    assert float(rows["p at most 0.01"]) <= float(rows["p at most 0.05"]) <= float(rows["p at most 0.1"])


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (("two", "Snow_Leopard", "airport"), ("single", "leopard"), True),
        (("two", "153 Maltese dog", "airport"), ("single", "12 dog"), True),
        (("two", "tiger lily", "airport"), ("single", "tiger"), False),
        (("two", "bulldog", "airport"), ("single", "dog"), False),
        # Parts of one data set.
        (("set_0_9", "thing"), ("set_10_19", "animal"), True),
    ],
)
def test_tasks_share_classes_by_whole_names_or_their_last_words_and_by_data_set(one, other, expected):
    one, other = task_of(*one), task_of(*other)
    assert typicality.share_classes(one, other) == typicality.share_classes(other, one) == expected


def task_of(name, *class_names):
    """A task that has names only."""
    return tasks.Task(name, "", None, np.array(class_names), None, None)


@pytest.mark.parametrize("pools", [True, False])
def test_what_images_without_a_label_add_is_told_by_their_number_and_kind(folder, capsys, pools):
    unlabeled.main(["--tasks", str(folder), "--shots", "0", "2", "--draws", "2", *["--pools"] * pools])
    page = capsys.readouterr().out
    for title in ("2 classes, 1 images", "all classes, 50 images") if pools else unlabeled.WAYS:
        assert f"**{title}**" in page
    assert "10 classes" not in page


def test_prediction_is_timed_beside_logistic_regression_and_compared_with_onnx(capsys):
    head.main(["--classes", "3", "--rows", "50", "--repeats", "1"])
    page = capsys.readouterr().out
    assert "times logistic regression;" in page
    if importlib.util.find_spec("onnxruntime"):
        assert float(page.split()[-1]) < 1e-5
