"""Lists of corrections, and files of clicks of an earlier version."""

import csv
import hashlib
import os
import sys
from pathlib import Path

import pytest

from sksemobridge._label.corrections import read_corrections

NAMES = ["a.png", "b,c.png", "two\nlines.png", "=1+1.png", "Vögel.png"]


@pytest.fixture(autouse=True)
def pictures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in NAMES:
        Path(name).write_text(f"content of {name}")


def write_clicks(*lines, separator=","):
    """A file of clicks, as earlier versions and spreadsheets wrote it."""
    rows = [["path", "label", "size", "sha256"]]
    for path, label in lines:
        content = Path(path).read_bytes()
        safe = "'" * path.startswith("=") + path
        name = safe.encode(errors="backslashreplace").decode()
        rows.append([name, label, len(content), hashlib.sha256(content).hexdigest()])
    rows.append(["labels.csv", "", 5, "a" * 64])
    rows.append(["check.csv", "", "", '{"a.png": "bird"}'])
    with open("labels.clicks.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=separator).writerows(rows)


def said(classes=()):
    return dict(read_corrections("labels.clicks.csv", classes).values())


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_clicks_of_an_earlier_version_are_labels(separator):
    labels = dict(zip(NAMES, ["bird", "clock", 'b "x", ;', "", "Sea bird"]))
    write_clicks(("a.png", "fruit"), *labels.items(), separator=separator)
    assert said(["sea_bird"]) == labels | {"Vögel.png": "sea_bird"}


def test_a_line_that_was_cut_off_does_not_count():
    write_clicks(("a.png", "bird"))
    content = Path("labels.clicks.csv").read_bytes().splitlines(keepends=True)
    Path("labels.clicks.csv").write_bytes(b"".join([*content[:2], b"b,c.png,cl"]))
    assert said() == {"a.png": "bird"}


def test_a_changed_picture_does_not_count_and_one_that_is_gone_is_named():
    write_clicks(*((name, "bird") for name in NAMES[:3]))
    Path("a.png").write_text("another.... a.png")
    os.remove("b,c.png")
    with (
        pytest.warns(UserWarning, match=r"changed since they were clicked \(1\): a.png"),
        pytest.warns(UserWarning, match=r"not there \(1\): b,c.png"),
    ):
        assert said() == {NAMES[2]: "bird"}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_names_that_are_no_text_come_back():
    name = "bad\udcff.png"
    Path(name).write_text("picture")
    write_clicks((name, "bird"))
    assert said() == {name: "bird"}


@pytest.mark.parametrize("text", ["none of these", "None_of_these", ""])
def test_none_of_these_in_a_list_means_that(text):
    Path("labels.clicks.csv").write_text(f"a.png,{text}\nb.png,bird\n")
    with pytest.warns(UserWarning, match="not there"):
        assert said(["bird"]) == {"a.png": ""}
