"""Whatever stops the end of a session, and whenever, no answer is lost."""

import os
from dataclasses import replace
from unittest.mock import patch

import pandas as pd
import pytest

from sksemobridge.labelling._answers.answers_file import Answers
from sksemobridge.labelling._command import write_files
from sksemobridge.labelling._command.options import LabelOptions
from sksemobridge.labelling._command.write_files import check_outputs
from sksemobridge.labelling._live.refused import Refused
from sksemobridge.labelling._live.session import Session
from sksemobridge.labelling._photos.folder_job import FolderJob

from .live import make_job

# What is stopped, before or after it, and by what.
FULL, CTRL_C = OSError("disk full"), KeyboardInterrupt()
STAGES = {
    "learning": (FolderJob, "fit", "before", CTRL_C),
    "the report": (write_files, "report", "before", FULL),
    "the classifier": (write_files, "_save", "after", CTRL_C),
    "the table": (write_files, "write_table", "after", FULL),
    "what was written": (Answers, "append_written", "before", FULL),
    "what was written, said": (Answers, "append_written", "after", CTRL_C),
    "moved": (os, "replace", "after", CTRL_C),
    "the copies": (write_files, "sort_into", "after", CTRL_C),
}


@pytest.fixture
def options(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outputs = {"out": "labels.csv", "report": "page.html", "save": "model.joblib"}
    return LabelOptions(photos="photos", open=True, sort_into="sorted", **outputs)


def begin(options):
    """A session that is begun, or goes on, as the command begins it."""
    answers = Answers("labels.answers.jsonl")
    check_outputs(options, answers)
    answers.begin()
    job, said = make_job(n=6, answers=answers)
    session = Session(job, said, answers)
    return session, lambda labels: write_files.write_files(options, answers, labels, [])


def labels_of_table():
    table = pd.read_csv("labels.csv", keep_default_na=False)
    return dict(zip(map(os.path.basename, table.iloc[:, 0]), table["Label"]))


@pytest.mark.parametrize(("place", "name", "when", "stop"), STAGES.values(), ids=STAGES)
def test_no_answer_is_lost_whatever_stops_the_end(options, place, name, when, stop):
    session, write = begin(options)
    session.answer("a", "", 0, "clock")
    works, refused = getattr(place, name), []

    def stopped(*args, **params):
        with pytest.raises(Refused, match="The files are being written"):
            session.answer("a", "", 1, "clock")
        refused.append(1)
        if when == "after":
            works(*args, **params)
        raise stop

    with patch.object(place, name, stopped), pytest.raises(type(stop)):
        session.done(write)
    assert refused
    # It goes on.
    session.answer("a", "", 2, "fruit")
    session.answers_file.end()
    # And so does another run.
    session, write = begin(options)
    assert [*session.annotations.labels().values()] == ["clock", "fruit"]
    session.done(write)
    session.answers_file.end()
    labels = labels_of_table()
    assert (labels["000.png"], labels["002.png"], len(labels)) == ("clock", "fruit", 6)


def test_answers_that_another_program_changed_do_not_keep_the_files_from_being_written(options):
    session, write = begin(options)
    session.answer("a", "", 0, "clock")
    session.done(write)
    session.answer("a", "", 2, "clock")
    with open("labels.answers.jsonl", "a") as file:
        file.write("\n")
    with pytest.raises(OSError, match="end this run, which still writes its files"):
        session.answer("a", "", 1, "clock")
    # As often as somebody asks for them.
    for _ in range(2):
        status, said = session.done(write, anew=True)
        assert status == 3
        (remedy,) = [line for line in said if "was changed by another program" in line]
        assert remedy.endswith("run the same command with --corrections labels.csv --overwrite")
    assert labels_of_table()["002.png"] == "clock"
    session.answers_file.end()
    check_outputs(
        replace(options, report=None, save=None, corrections="labels.csv", overwrite=True),
        Answers("labels.answers.jsonl"),
    )
