"""Tables and names of classes that users hand to the command."""

from datetime import datetime
from pathlib import Path

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sksemobridge.labelling._answers.class_names import ClassNames
from sksemobridge.labelling._messages import UsageError
from sksemobridge.labelling._photos.corrections import read_corrections
from sksemobridge.labelling._photos.given_classes import (
    class_of_text,
    puzzling_names,
    read_classes,
    read_names,
)
from sksemobridge.labelling._photos.user_tables import read_rows, with_formulas, without_formulas


@pytest.fixture(autouse=True)
def photos(tmp_path, monkeypatch):
    """A folder with pictures of names that a table must quote."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "1.png",
        "a,b.png",
        "two\nlines.png",
        " space.png",
        "=1+1.png",
        "'quoted.png",
        "'=2.png",
    ):
        Path(name).touch()


def corrections(text, folders=()):
    Path("corrections.csv").write_bytes(text.encode("utf-8-sig"))
    return dict(read_corrections("corrections.csv", folders).values())


def names(content, folders):
    Path("names.csv").write_bytes(content)
    return read_names("names.csv", ClassNames(folders))


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("header", ["path,label\r\n", "File, Label\r\n", ""])
def test_corrections_are_labels_by_path(separator, header):
    text = header + '1.png,bird\r\n"a,b.png",\r\n"two\nlines.png",fruit\r\n\r\n'
    text += ' space.png," clock "\r\n1.png,bird\r\n'
    if separator != ",":
        text = text.replace("a,b", "a/b").replace(",", separator).replace("a/b", "a,b")
    expected = {"1.png": "bird", "a,b.png": "", "two\nlines.png": "fruit", " space.png": "clock"}
    assert corrections(text, ["bird", "clock"]) == expected


def test_what_was_made_safe_for_a_spreadsheet_is_read_as_it_was():
    expected = {"=1+1.png": "=bird", "'quoted.png": "'clock", "'=2.png": "'=bird"}
    assert corrections("'=1+1.png,'=bird\n'quoted.png,'clock\n''=2.png,''=bird\n") == expected


@given(st.text(alphabet="ab'\",;\t\n=+-@＝"))
def test_no_separator_makes_a_formula_and_the_text_comes_back(text):
    safe = without_formulas(text)
    for separator in ",;\t\n":
        assert not any(
            cell.strip('"').startswith(tuple("=+-@＝")) for cell in safe.split(separator)
        )
    assert with_formulas(safe) == text


@pytest.mark.parametrize(
    ("label", "folder"),
    [
        ("V\u00f6gel", "Vo\u0308gel"),
        ("sea bird", "sea_bird"),
        ("bird", "bird "),
        ("BIRD", "bird"),
        ("sea  lion", "Sea_Lion"),
    ],
)
def test_a_class_is_known_in_any_spelling(label, folder):
    assert corrections(f"1.png,{label}", [folder, "a"]) == {"1.png": folder}
    assert corrections(f"1.png,{label}", [folder, label]) == {"1.png": label}


@pytest.mark.parametrize("folders", [["BIRD", "Bird"], ["sea_lion", "sea  lion"]])
def test_which_of_two_spellings_is_meant_does_not_depend_on_the_order_of_folders(folders):
    text = folders[0].lower().replace("_", " ")
    assert class_of_text(text, folders) == class_of_text(text, folders[::-1])


def test_a_list_of_corrections_with_a_comma_without_quotes_is_refused():
    with pytest.raises(
        UsageError, match=r"more than path and label, \['a.*; keep these two columns"
    ):
        corrections("a,b.png,bird\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path\n1.png\n", r"has a line without a label, \['path'\]; for none of the classes write"),
        ("1.png,bird\na.png\n", r"has a line without a label, \['a.png'\]"),
        ('path,label\n1.png,"bird\na.png,b\n', "cells of line 2 .* cannot be told apart"),
        ('sep=;\n1.png;"bi"rd\n', "cells of line 2 .* ends with one"),
        ("1.png,bi\x1b[31mrd\n", r"the name 'bi\\x1b\[31mrd' has control characters"),
    ],
)
def test_a_list_that_does_not_say_what_it_means_is_refused(text, message):
    with pytest.raises(UsageError, match=f"--corrections: .*{message}"):
        corrections(text)


@pytest.mark.parametrize(
    "text", ["sep=;\r\n1.png;bird\r\n", "PATH,LABEL\n1.png,bird", "Label;File\nbird;1.png"]
)
def test_hints_and_headers_of_spreadsheets_are_read(text):
    assert corrections(text) == {"1.png": "bird"}


def test_a_date_that_excel_made_of_a_name_is_refused():
    book = openpyxl.Workbook()
    for row in (["path", "label"], ["1.png", datetime(2026, 3, 5)]):
        book.active.append(row)
    book.save("dates.xlsx")
    with pytest.raises(UsageError, match="has the date '2026-03-05 00:00:00' in row 2"):
        read_corrections("dates.xlsx", [])
    assert read_rows("--bursts", "dates.xlsx")[1] == ["1.png", "2026-03-05 00:00:00"]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("header", [["Folder", "Name", "Prompts"], None])
def test_names_are_the_words_of_a_table(separator, header):
    rows = [["V\u00f6gel_hier", "bird", ""], ["fruit", "", "an apple.", "a pear."]]
    text = "\n".join(separator.join(row) for row in [header, *rows] if row)
    words = names(text.encode("utf-8-sig"), ["Vo\u0308gel_hier", "clock", "fruit"])
    assert list(words["class_names"].values()) == ["bird", "clock", "fruit"]
    of_bird, of_clock, of_fruit = words["prompts"].values()
    assert [text.replace("bird", "clock") for text in of_bird] == of_clock
    assert of_fruit == ["an apple.", "a pear."]
    assert names(b"bird,animal", ["bird"]) == {"class_names": {"bird": "animal"}, "prompts": "auto"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"folder,name\n", "names no class; write a table"),
        (b'{"0": "bird", "1": "clock"}', "names no class; write a table"),
        (b"folder,name\nbrid,bird", r"names 'brid', which is no class \(bird, clock\)"),
        (b"bird,animal\nclock,watch\nbird,sparrow", "names 'bird' twice"),
        (b"bird,animal,a drawing of {}", "has the prompt 'a drawing of {}'; write the name"),
        ("folder,name\nbird,Vögel".encode("cp1252"), "no table in UTF-8"),
    ],
)
def test_a_table_of_names_that_does_not_fit_is_refused(content, message):
    with pytest.raises(UsageError, match=message):
        names(content, ["bird", "clock"])


def test_names_that_hold_no_word_puzzle():
    puzzling = ["A113", "n02099601", "7", "x", "鳥"]
    known = ["golden retriever", "boeing 747", *puzzling, "t-shirt", "alarm clock"]
    assert puzzling_names([*known, "Vögel"], ["xlm-roberta-base-ViT-B-32"]) == puzzling
    models = ["xlm-roberta-base-ViT-B-32", "ViT-B-16"]
    assert puzzling_names([*known, "Vögel"], models) == [*puzzling, "Vögel"]


def test_classes_are_a_text_or_a_file():
    Path("names.txt").write_text(
        "\ufeffbeach\n\n golden_retriever \ngolden retriever\n", encoding="utf-8"
    )
    assert read_classes("names.txt") == ["beach", "golden_retriever", "golden retriever"]
    assert sorted(read_classes("beach, V\u00f6gel,,beach")) == ["V\u00f6gel", "beach"]
    Path("names.txt").write_bytes("V\u00f6gel".encode("cp1252"))
    wrong = {"names.txt": "no text in UTF-8", "gone.txt": "is no file 'gone", " ,": "no class"}
    for text, message in wrong.items():
        with pytest.raises(UsageError, match=message):
            read_classes(text)
