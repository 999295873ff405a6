"""What the live page says of folders that are labelled in it."""

import estimates
import pandas as pd
import pytest

from .task_files import write_task

pytest.importorskip("uvicorn")


def test_intervals_are_of_what_is_left_and_only_where_all_images_are_of_the_classes(
    tmp_path, capsys
):
    path = write_task(tmp_path / "task.npz", [20] * 6, noise=1.1)
    args = ["--tasks", str(path), "--jobs", "1", "--rounds", "2"]
    estimates.main(args)
    frame, page = pd.read_csv("live_estimates.csv"), capsys.readouterr().out
    # There is no other task to take strangers from.
    assert {*frame.kind} == {"all", "dropped"}
    assert {*frame.way} == {*estimates.WAYS}
    whole = frame[frame.kind == "all"]
    assert (whole.low <= whole.estimate).all()
    assert (whole.estimate <= whole.high).all()
    # After the first page some images are of a class without a name.
    assert frame[(frame.kind == "dropped") & (frame.way == "pages")].estimate.isna().all()
    assert "| all | pages | 2 of 2 |" in page
    # An interrupted run goes on: nothing is left to do here.
    estimates.main(args)
    assert pd.read_csv("live_estimates.csv").equals(frame)
