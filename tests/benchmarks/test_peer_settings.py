"""Settings of peers are chosen on tasks of other families."""

import pandas as pd
import peer_settings
import pytest
import settings

from .task_files import write_task


def test_the_best_setting_is_that_of_other_families_each_of_which_counts_once():
    measured = pd.DataFrame(
        [
            ("caltech101", "C=1", 0.9),
            ("caltech101", "C=10", 0.5),
            ("cifar10_vit_b32", "C=1", 0.9),
            ("cifar10_vit_b32", "C=10", 0.5),
            ("fashion", "C=1", 0.2),
            ("fashion", "C=10", 0.7),
        ],
        columns=["task", "setting", "accuracy"],
    ).assign(method="LogisticRegression")
    best = [
        settings.best_setting(measured, "LogisticRegression", left_out)
        for left_out in ("photographs", "fashion", None)
    ]
    assert best == ["C=10", "C=1", "C=10"]


def test_settings_are_written_in_words_and_read_back():
    params = {"a": 20, "b": 5.5}
    assert settings.in_words(params) == "a=20, b=5.5"
    assert settings.from_words("a=20, b=5.5") == params


def test_every_peer_with_a_grid_was_measured_at_each_of_its_settings():
    measured = pd.read_csv(settings.MEASURED)
    for method in settings.GRIDS:
        expected = {settings.in_words(params) for params in peer_settings.candidates(method)}
        assert set(measured.setting[measured.method == method]) == expected


def test_a_run_adds_what_is_missing_and_prints_the_choice(tmp_path, capsys):
    for name in ("caltech101", "fashion"):
        write_task(tmp_path / f"{name}.npz", [5, 5, 5])
    path = tmp_path / "rows.csv"
    arguments = [str(tmp_path), "--shots", "2", "--draws", "1", "--results", str(path)]
    peer_settings.main(["--tasks", *arguments])
    page, rows = capsys.readouterr().out, path.read_text()
    peer_settings.main(["--tasks", *arguments])
    assert (capsys.readouterr().out, path.read_text()) == (page, rows)
    assert "| method | without fashion | without photographs | all |" in page
    write_task(tmp_path / "mine.npz", [5, 5, 5])
    with pytest.raises(SystemExit, match="no family of mine"):
        peer_settings.main(["--tasks", *arguments])
