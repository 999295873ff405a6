"""`benchmarks/live.py` on a small folder."""

import live
import pytest

pytest.importorskip("uvicorn")


def test_it_times_what_a_person_waits_for(capsys, monkeypatch):
    monkeypatch.setattr(live, "LARGE", (400, 300))
    live.main(["--pictures", "90", "--classes", "3", "--answers", "6", "--large", "2"])
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[0].removeprefix("| ") for row in rows] == [
        "an answer",
        "undo",
        *(f"{what} of {n}" for n in (24, 60) for what in ("a page", "the next page")),
        "thumbnails of 1",
        "a start with 6 answers: what was said",
        "a start with 6 answers: learning",
    ]
    assert all(float(row[1]) > 0 for row in rows)
