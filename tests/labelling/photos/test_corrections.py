"""Lists of corrections."""

import csv
import os
import sys
from pathlib import Path

import pytest

from sksemobridge.labelling._photos.corrections import read_corrections

NAMES = ["a.png", "b,c.png", "two\nlines.png", "=1+1.png", "Vögel.png"]


@pytest.fixture(autouse=True)
def pictures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in NAMES:
        Path(name).write_text(f"content of {name}")


def write_list(*lines, separator=","):
    """A list of path and label, as spreadsheets write it."""
    rows = [["path", "label"]]
    for path, label in lines:
        safe = "'" * path.startswith("=") + path
        rows.append([safe.encode(errors="backslashreplace").decode(), label])
    with open("corrections.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=separator).writerows(rows)


def said(classes=()):
    return dict(read_corrections("corrections.csv", classes).values())


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_last_line_of_a_picture_counts(separator):
    labels = dict(zip(NAMES, ["bird", "clock", 'b "x", ;', "", "Sea bird"]))
    lines = [("a.png", "fruit"), ("a.png", "none of these"), *labels.items(), ("b,c.png", "Clock")]
    write_list(*lines, separator=separator)
    what = r"different labels \(1\), the last counts: a.png \(fruit, none of these, bird\)"
    with pytest.warns(UserWarning, match=what):
        assert said(["sea_bird", "clock"]) == labels | {"Vögel.png": "sea_bird"}


def test_a_picture_that_is_gone_is_named():
    write_list(*((name, "bird") for name in NAMES[:3]))
    os.remove("b,c.png")
    with pytest.warns(UserWarning, match=r"not there \(1\): b,c.png") as caught:
        assert said() == {"a.png": "bird", NAMES[2]: "bird"}
    assert f"start from the current folder, {os.getcwd()!r}" in str(caught[0].message)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_names_that_are_no_text_come_back():
    name = "bad\udcff.png"
    Path(name).write_text("picture")
    write_list((name, "bird"))
    assert said() == {name: "bird"}


@pytest.mark.parametrize("text", ["none of these", "None_of_these", ""])
def test_none_of_these_in_a_list_means_that(text):
    Path("corrections.csv").write_text(f"a.png,{text}\nb.png,bird\n")
    with pytest.warns(UserWarning, match="not there"):
        assert said(["bird"]) == {"a.png": ""}


@pytest.mark.parametrize("text", ["", "\n\n", "path,label\n", "File,Label\n"])
def test_a_list_of_nothing_says_so(text):
    Path("corrections.csv").write_text(text)
    with pytest.warns(UserWarning, match="'corrections.csv' has no image and no label"):
        assert said(["bird"]) == {}
