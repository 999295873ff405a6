"""The few-shot benchmark: resumable, and its tables come from its rows."""

import few_shot
import few_shot_methods
import numpy as np
import pandas as pd
import pytest
import tasks
from few_shot_methods import NAMES, TRAINED_TUNED, TUNED, WITH_VALIDATION, WITHOUT

from .task_files import write_task


@pytest.fixture
def run(tmp_path, capsys):
    """`run(paths, options)` gives the rows and the page."""

    def run(paths, *options):
        path = tmp_path / "rows.csv"
        arguments = [
            "--tasks",
            *map(str, paths),
            "--shots",
            "1",
            "2",
            "--draws",
            "2",
            "--jobs",
            "1",
        ]
        few_shot.main([*arguments, "--results", str(path), *options])
        return pd.read_csv(path), capsys.readouterr().out

    return run


def test_every_method_is_measured_on_tasks_with_and_without_texts(run, tmp_path):
    write_task(tmp_path / "named.npz", [5, 6, 7])
    write_task(tmp_path / "nameless.npz", [5, 6, 7], text=False)
    rows, page = run([tmp_path])
    assert not rows.duplicated(list(few_shot.KEY)).any()
    assert set(rows.seed) == {2000, 2001}
    seen = {task: set(of_task.method) for task, of_task in rows.groupby("task")}
    assert seen == {"named": set(NAMES) - set(WITH_VALIDATION), "nameless": set(WITHOUT)}
    assert rows.accuracy.between(0, 1).all()
    assert (rows.queries == 18 - 3 * rows.shots).all()
    with_text, without = page.split("## Tasks without class texts")
    assert "| FewShotClassifier minus |" in with_text
    assert "| FewShotClassifier, no text minus |" in without
    # No variance within classes of one shot, and no probabilities.
    assert set(rows[rows.method == "LDA"].shots) == {2}
    assert rows[rows.method.isin(["ridge", "linear SVM"])].log_loss.isna().all()
    assert rows.commit.nunique() == 1
    # One row in each of four tables, in that of times, and in that of the task.
    assert with_text.count("| Tip-Adapter |") == 6
    assert "Tip-Adapter" not in without


def mark(rows):
    """Text of a file with a mark in each row, by which those measured anew can be told from the
    others.
    """
    return rows.assign(fit_seconds=123.0).to_csv(index=False)


def test_an_interrupted_run_goes_on_where_it_was_and_a_method_can_be_done_again(run, tmp_path):
    npz = write_task(tmp_path / "task.npz", [5, 5, 5])
    methods = ["--methods", "zero-shot", "Tip-Adapter"]
    whole, _ = run([npz], *methods)
    lines = mark(whole).splitlines(keepends=True)
    (tmp_path / "rows.csv").write_text("".join(lines[:-1]) + lines[-1][:20])
    again, _ = run([npz], *methods)
    assert np.flatnonzero(again.fit_seconds != 123).tolist() == [len(whole) - 1]
    pd.testing.assert_frame_equal(again.iloc[:, :8], whole.iloc[:, :8])
    (tmp_path / "rows.csv").write_text(mark(whole))
    again, _ = run([npz], *methods, "--redo", "zero-shot")
    assert set(again[again.fit_seconds != 123].method) == {"zero-shot"}


def test_classes_with_too_few_images_are_left_out_and_tasks_with_too_few_classes(tmp_path):
    write_task(tmp_path / "one_small.npz", [4, 4, 3, 4, 4])
    write_task(tmp_path / "two_small.npz", [4, 4, 3, 4, 3])
    one, two = tasks.load([tmp_path])
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


def test_differences_are_paired_and_a_lower_loss_wins():
    losses = {("ours", 0): 1.0, ("ours", 1): 2.0, ("zero-shot", 0): 1.5, ("zero-shot", 1): 2.6}
    frame = pd.DataFrame(
        [("m", "t", 1, seed, method, loss) for (method, seed), loss in losses.items()],
        columns=["model", "task", "shots", "seed", "method", "log_loss"],
    )
    cell = few_shot.differences_by_shots(frame, "log_loss", 2, "ours").splitlines()[-1]
    assert cell == "| zero-shot | -0.55 ± 0.05 (0:0) |"
    frame.loc[frame.method == "zero-shot", "log_loss"] += [9, 9]
    assert few_shot.differences_by_shots(frame, "log_loss", 2, "ours").endswith("(1:0) |")


def test_parts_say_what_shots_and_queries_are_and_published_accuracies_stand_beside_ours(
    run, tmp_path, monkeypatch
):
    monkeypatch.setattr(few_shot_methods, "STEPS", 5)
    part = np.array((["train"] * 5 + ["val"] * 2 + ["test"] * 3) * 3)
    path = write_task(tmp_path / "task.npz", [10, 10, 10])
    with np.load(path) as data:
        np.savez(path, **data, part=part, dataset="EuroSAT", model="ViT-B-16 openai")
    shots, queries = tasks.from_npz(path).draw(9, seed=0)
    assert set(part[shots]) == {"train"}
    assert queries.tolist() == np.flatnonzero(part == "test").tolist()
    rows, page = run([path], "--methods", "zero-shot", TUNED, TRAINED_TUNED)
    assert set(rows.method) == {"zero-shot", TUNED, TRAINED_TUNED}
    assert "| zero-shot, published | 48.3 | 48.3 |" in page
    assert f"| {TUNED}, published | 68.2 | 68.2 |" in page
