"""How long a person takes with questions and with pages, and which classes are found by names."""

import re

import clicks
import numpy as np
import pages
import pandas as pd
import pytest

from .task_files import write_task

WORDS = [f"a thing {c}" for c in range(6)] + [f"a word {c}" for c in range(14)]


@pytest.fixture
def run(tmp_path, capsys):
    """`run(arguments)` gives the rows of seconds, and what was printed."""
    path = write_task(tmp_path / "task.npz", [20] * 6, noise=1.1)
    centres = np.load(path)["text"]
    rng = np.random.default_rng(1)
    other = centres[:4] + 0.3 * rng.normal(size=(4, 12)), rng.normal(size=(10, 12))
    text = np.vstack([centres, *other])
    np.savez(tmp_path / "words.npz", texts=WORDS, text=text)

    def run(arguments):
        options = f"--tasks {path} --results {tmp_path / 'clicks.csv'} --jobs 1 --methods"
        clicks.main([*options.split(), *arguments.split()])
        return pd.read_csv(tmp_path / "clicks_seconds.csv"), capsys.readouterr().out

    return run


def printed(page, row):
    """The numbers of a row of a table."""
    return [float(cell) for cell in re.search(rf"{row}((?: \| [\d.]+)+)", page)[1].split("|")[1:]]


def test_each_way_ends_when_all_is_right_and_costs_what_was_assumed(run, tmp_path):
    frame, page = run(f"--plot-seconds {tmp_path / 'plot.png'}")
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
        if method == pages.QUESTIONS:
            np.testing.assert_allclose(np.diff(curve.seconds), 10)
        else:
            assert np.diff(curve.seconds).min() >= 3
    # All begin with the names.
    assert frame[frame.seconds == 0].right.nunique() == 1
    assert printed(page, rf"relative \| {pages.QUESTIONS}") == [1, 1, 1]


def test_other_assumptions_are_measured_beside_the_first(run):
    first, page = run(f"--ways {pages.QUESTIONS}")
    again, _ = run(f"--ways {pages.QUESTIONS}")
    assert first.equals(again)
    both, dearer = run(f"--ways {pages.QUESTIONS} --question 4")
    assert len(both) == 2 * len(first)
    assert both.groupby("question").seconds.max().tolist() == [
        first.seconds.max(),
        2 * first.seconds.max(),
    ]
    cheap, dear = (printed(text, rf"task \| {pages.QUESTIONS}") for text in (page, dearer))
    assert dear == [2 * seconds for seconds in cheap]


def test_classes_are_found_without_their_own_names(run, tmp_path):
    _, page = run(f"--ways --vocabulary {tmp_path / 'words.npz'}")
    line = next(line for line in page.splitlines() if line.startswith("| task |"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    found = [int(cell.split(" of ")[0]) for cell in cells[1:4]]
    assert found == sorted(found)
    assert found[-1] >= 4  # four classes have a synonym
    assert all(cell.endswith(" of 6") for cell in cells[1:4])
    assert "thing" not in cells[4]
    assert "word" in cells[4]
