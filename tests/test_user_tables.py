"""Tables that users hand to the command."""

from pathlib import Path

import pytest

from sksemobridge._user_tables import puzzling_names, read_corrections


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder with pictures of names that a table must quote."""
    monkeypatch.chdir(tmp_path)
    names = ["1.png", "a,b.png", "two\nlines.png", " space.png", "=1+1.png", "'quoted.png"]
    for name in names:
        Path(name).touch()
    return names


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("header", ["path,label\r\n", ""])
def test_corrections_are_labels_by_path(photos, separator, header):
    rows = [
        '1.png,bird\r\n"a,b.png",\r\n"two\nlines.png",fruit\r\n\r\n',
        ' space.png," clock "\r\n1.png,fruit\r\n',
    ]
    text = header + "".join(rows)
    if separator != ",":
        text = text.replace("a,b", "a/b").replace(",", separator).replace("a/b", "a,b")
    Path("corrections.csv").write_bytes(text.encode("utf-8-sig"))
    assert read_corrections("corrections.csv", ["bird", "clock"]) == {
        "1.png": "fruit",
        "a,b.png": "",
        "two\nlines.png": "fruit",
        " space.png": "clock",
    }


def test_what_was_made_safe_for_a_spreadsheet_is_read_as_it_was(photos):
    Path("corrections.csv").write_text("path,label\n'=1+1.png,'=bird\n'quoted.png,'clock\n")
    assert read_corrections("corrections.csv", []) == {"=1+1.png": "=bird", "'quoted.png": "'clock"}


def test_a_class_is_known_in_either_spelling_of_its_letters(photos):
    Path("corrections.csv").write_text("1.png,V\u00f6gel\n", encoding="utf-8")
    assert read_corrections("corrections.csv", ["Vo\u0308gel"]) == {"1.png": "Vo\u0308gel"}


def test_files_that_are_not_there_are_named(photos):
    Path("corrections.csv").write_text("path,label\n1.png,bird\ngone.png,bird\n")
    with pytest.raises(ValueError, match=r"names 1 files that are not there, such as 'gone.png'"):
        read_corrections("corrections.csv", [])


def test_names_that_hold_no_word_puzzle():
    names = ["golden retriever", "boeing 747", "A113", "n02099601", "7", "x", "t-shirt", "Vögel", "鳥"]
    assert puzzling_names(names, is_english=False) == ["A113", "n02099601", "7", "x", "鳥"]
    assert puzzling_names(names, is_english=True) == ["A113", "n02099601", "7", "x", "Vögel", "鳥"]
