"""The file of clicks: nothing that was confirmed is lost, and nothing of others is overwritten."""

import csv
import os
import re
import sys
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import Mock

import pytest

from sksemobridge._label.clicks import Clicks, digest_of, labels_of, read_corrections

NAMES = ["a.png", "b,c.png", "two\nlines.png", "=1+1.png", "Vögel.png"]


@pytest.fixture(autouse=True)
def pictures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in NAMES:
        Path(name).write_text(f"content of {name}")


@pytest.fixture
def begun():
    """Begins a file of clicks, after the one before has ended."""
    with ExitStack() as last:

        def begin():
            last.close()
            clicks = Clicks("labels.clicks.csv")
            clicks.begin()
            last.callback(clicks.end)
            return clicks

        yield begin


def click(clicks, path, label, **params):
    clicks.add(path, label, digest_of(Path(path).read_bytes()), **params)


def said(clicks, classes=()):
    return dict(labels_of(clicks.rows, classes).values())


def test_what_was_clicked_is_there_in_the_next_run_and_a_list_of_corrections(begun):
    labels = dict(zip(NAMES, ["bird", "=a", 'b "x", ;', "", "sea bird"]))
    for path, label in labels.items():
        click(begun(), path, label)
    assert said(begun()) == labels
    expected = labels | {"Vögel.png": "sea_bird"}
    assert said(begun(), ["sea_bird"]) == expected
    assert dict(read_corrections("labels.clicks.csv", ["sea_bird"]).values()) == expected


def test_the_last_click_counts_and_may_be_taken_back(begun, monkeypatch):
    clicks = begun()
    for path, label in [("a.png", "bird"), ("b,c.png", "fruit"), ("a.png", "clock")]:
        click(clicks, path, label)
    assert said(begun()) == {"a.png": "clock", "b,c.png": "fruit"}
    for row, left in [(2, {"a.png": "bird", "b,c.png": "fruit"}), (0, {"b,c.png": "fruit"})]:
        clicks = begun()
        clicks.remove(row)
        assert said(clicks) == said(begun()) == left
    clicks = begun()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", Mock(side_effect=OSError(28, "No space left on device")))
        with pytest.raises(OSError, match="No space left"):
            clicks.remove(0)
    assert said(clicks) == said(begun()) == {"b,c.png": "fruit"}


def test_any_cut_keeps_all_earlier_lines(begun):
    clicks = begun()
    for path in NAMES[1:4]:
        click(clicks, path, "bird")
    content = clicks.path.read_bytes()
    header, *lines = re.findall(rb".*?(?:sha256|[0-9a-f]{64})\n", content, re.S)
    for cut in range(len(header), len(content)):
        clicks.path.write_bytes(content[:cut])
        # A line that lacks nothing but its end counts.
        n_whole = sum(content.index(line) + len(line) <= cut + 1 for line in lines)
        again = begun()
        assert list(said(again)) == NAMES[1 : 1 + n_whole]
        click(again, "a.png", "clock")
        assert said(begun()) == dict.fromkeys(NAMES[1 : 1 + n_whole], "bird") | {"a.png": "clock"}


def test_a_changed_picture_does_not_count_and_one_that_is_gone_is_named(begun):
    clicks = begun()
    for path in NAMES[:3]:
        click(clicks, path, "bird")
    Path("a.png").write_text("another.... a.png")
    os.remove("b,c.png")
    assert list(said(begun())) == [NAMES[2]]
    with (
        pytest.warns(UserWarning, match=r"changed since they were clicked \(1\): a.png"),
        pytest.warns(UserWarning, match=r"not there \(1\): b,c.png"),
    ):
        read_corrections("labels.clicks.csv", [])
    # What was said of its content before holds again.
    Path("a.png").write_text("content of a.png")
    assert "a.png" in said(begun())


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
@pytest.mark.parametrize("room", [0, 1, 20])
def test_a_full_disk_changes_nothing(begun, room):
    import resource

    clicks = begun()
    click(clicks, "a.png", "bird")
    before = clicks.path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + room, limits[1]))
        with pytest.raises(OSError, match="File too large"):
            click(clicks, "b,c.png", "bird")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert clicks.path.read_bytes() == before
    click(clicks, "b,c.png", "bird")
    assert said(begun()) == {"a.png": "bird", "b,c.png": "bird"}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_names_that_are_no_text_come_back(begun):
    name = "bad\udcff.png"
    Path(name).write_text("picture")
    click(begun(), name, "cl\udcffass".encode(errors="backslashreplace").decode())
    assert said(begun(), ["cl\udcffass"]) == {name: "cl\udcffass"}
    assert dict(read_corrections("labels.clicks.csv", []).values()) == {name: "cl\\udcffass"}


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_spreadsheet_may_save_it_again(begun, separator):
    clicks = begun()
    for path in NAMES:
        click(clicks, path, "bird")
    with open(clicks.path, "w", encoding="utf-8-sig", newline="") as file:
        rows = [["path", "label", "size", "sha256"], *(row[:4] for row in clicks.rows)]
        csv.writer(file, delimiter=separator, quoting=csv.QUOTE_ALL).writerows(rows)
    click(begun(), "a.png", "clock")
    assert said(begun()) == dict.fromkeys(NAMES, "bird") | {"a.png": "clock"}


@pytest.mark.parametrize("content", ["File,Label\n", "path,label\na.png,bird\n", "my notes", "\0"])
def test_a_file_of_another_kind_is_refused_and_kept(content):
    Path("notes.csv").write_text(content)
    with pytest.raises(ValueError, match="'notes.csv' is no file of clicks"):
        Clicks("notes.csv")
    assert Path("notes.csv").read_text() == content


def test_one_page_at_a_time(begun):
    begun()
    with pytest.raises(ValueError, match="belongs to an open page"):
        Clicks("labels.clicks.csv").begin()


def test_another_program_does_not_lose_its_changes_and_a_removed_file_comes_back(begun):
    clicks = begun()
    click(clicks, "a.png", "bird")
    with open(clicks.path, "a") as file:
        file.write("b,c.png,fruit\n")
    with pytest.raises(OSError, match="changed by another program"):
        click(clicks, "Vögel.png", "bird")
    assert clicks.path.read_text().endswith("b,c.png,fruit\n")
    clicks.path.unlink()
    click(clicks, "Vögel.png", "bird")
    assert said(begun()) == {"a.png": "bird", "Vögel.png": "bird"}


def test_a_table_belongs_to_it_as_it_was_written(begun):
    clicks = begun()
    clicks.add("labels.csv", "", digest_of(b"table"))
    Path("labels.csv").write_text("another")
    assert not clicks.owns("labels.csv")
    Path("labels.csv").write_text("table")
    assert clicks.owns("labels.csv")
    assert begun().owns(os.path.abspath("labels.csv"))
    # Killed before the next table was moved: the old one is still of this command.
    begun().add("labels.csv", "", digest_of(b"another table"))
    assert begun().owns("labels.csv")
    assert said(clicks) == {}
    assert read_corrections("labels.clicks.csv", []) == {}
    Path("labels.csv").write_text("edits")
    assert not begun().owns("labels.csv")
