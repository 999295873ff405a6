"""How long a person takes with questions and with pages."""

import re

import numpy as np
import pages
import pandas as pd
import pytest

from .task_files import write_task


@pytest.fixture
def run(tmp_path, capsys):
    """`run(*arguments)` gives the rows of seconds, and what was printed."""
    path = write_task(tmp_path / "task.npz", [20] * 6, noise=1.1)

    def run(*arguments):
        pages.main(["--tasks", str(path), "--jobs", "1", *arguments])
        return pd.read_csv(tmp_path / "pages.csv"), capsys.readouterr().out

    return run


def printed(page, row):
    """The numbers of a row of a table."""
    return [float(cell) for cell in re.search(rf"{row}((?: \| [\d.]+)+)", page)[1].split("|")[1:]]


def test_each_way_ends_when_all_is_right_and_costs_what_was_assumed(run, tmp_path):
    frame, page = run("--plot", "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert set(frame.method) == set(pages.METHODS)
    for method, curve in frame.groupby("method"):
        curve = curve.sort_values("seconds")
        assert curve.seconds.iloc[0] == 0
        assert (curve.right.iloc[:-1] < 99.9).all()
        assert curve.right.iloc[-1] >= 99.9
        until = [curve.seconds[curve.right >= level].min() for level in pages.LEVELS]
        assert printed(page, rf"task \| {method}") == until
        # Five questions of two seconds each.
        if method in (pages.QUESTIONS, *pages.RIVALS):
            np.testing.assert_allclose(np.diff(curve.seconds), 10)
        else:
            assert np.diff(curve.seconds).min() >= 3
    # All of ours begin with the names and the folder, the others with the names.
    start = frame[frame.seconds == 0].groupby(frame.method.isin(pages.RIVALS)).right.nunique()
    assert start.tolist() == [1, 1]
    assert printed(page, rf"relative \| {pages.QUESTIONS}") == [1, 1, 1]


def test_other_assumptions_are_measured_beside_the_first(run):
    first, page = run("--methods", pages.QUESTIONS)
    again, _ = run("--methods", pages.QUESTIONS)
    assert first.equals(again)
    both, dearer = run("--methods", pages.QUESTIONS, "--question", "4")
    assert len(both) == 2 * len(first)
    assert both.groupby("question").seconds.max().tolist() == [
        first.seconds.max(),
        2 * first.seconds.max(),
    ]
    cheap, dear = (printed(text, rf"task \| {pages.QUESTIONS}") for text in (page, dearer))
    assert dear == [2 * seconds for seconds in cheap]
