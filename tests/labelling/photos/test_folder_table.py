"""A folder of images to a table of predictions, and the table to a file."""

import os
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sksemobridge import CLIPImageEncoder, make_few_shot_pipeline
from sksemobridge.labelling import predict_folder
from sksemobridge.labelling._photos.folder_table import (
    WRITERS,
    WRITTEN,
    embed_folder,
    proba_with_none,
    table_rows,
    write_table,
)

from ...user_folder import COLUMNS, cells_of, fitted_to_shots
from ...versions import needs_sklearn


@pytest.fixture
def pipeline(place):
    return fitted_to_shots()


@pytest.fixture
def predicted(pipeline):
    return predict_folder(pipeline, "photos", progress=False)


def test_every_file_has_a_row(predicted):
    assert list(predicted.columns) == COLUMNS
    names = ["bird.png", "broken.jpg", "clock.png", "fruit.png"]
    names += [f"more/{name}" for name in ("bird.png", "clock.png", "fruit.png", "notes.txt")]
    assert [Path(path).relative_to("photos").as_posix() for path in predicted["path"]] == names
    broken = predicted["problem"] != ""
    assert predicted["path"][broken].map(os.path.basename).tolist() == ["broken.jpg", "notes.txt"]
    assert predicted["problem"][broken].str.contains("not an image").all()
    assert predicted["label"][broken].isna().all()
    assert predicted["probability"][broken].isna().all()


def test_labels_and_probabilities_are_those_of_the_estimator(pipeline, predicted):
    there = predicted[predicted["problem"] == ""]
    probability = np.sort(pipeline.predict_proba(there["path"]), axis=1)
    assert there["label"].tolist() == pipeline.predict(there["path"]).tolist()
    np.testing.assert_allclose(there["probability"], probability[:, -1], rtol=1e-6)
    np.testing.assert_allclose(there["runner_up_probability"], probability[:, -2], rtol=1e-6)
    assert (there["runner_up"] != there["label"]).all()
    assert pipeline[0].on_error == "raise"


def test_images_of_no_class_have_no_label(pipeline, predicted):
    there = predicted[predicted["problem"] == ""]
    np.testing.assert_allclose(
        there["p_value"], pipeline[-1].p_values(pipeline[:-1].transform(there["path"]))
    )
    alpha = float(there["p_value"].min())
    strict = predict_folder(pipeline, Path("photos"), alpha=alpha, progress=False)
    is_none = strict["problem"] == "none of these"
    assert is_none.tolist() == (predicted["p_value"] <= alpha).tolist()
    assert strict["label"][is_none].isna().all()
    assert strict["runner_up"][is_none].tolist() == predicted["label"][is_none].tolist()
    with pytest.raises(ValueError, match="alpha == 2, must be <= 1"):
        predict_folder(pipeline, "photos", alpha=2)


def test_any_pipeline_over_images_and_searches_over_them(place):
    steps = make_pipeline(CLIPImageEncoder("mini", "bundled"), LogisticRegression())
    search = fitted_to_shots(GridSearchCV(steps, {"logisticregression__C": [1.0]}, cv=2))
    table = predict_folder(search, "photos", progress=False)
    assert table["label"].notna().sum() == 6
    assert table["p_value"].isna().all()
    for estimator, alpha, message in (
        (clone(search), 0, "refit=True; got GridSearchCV"),
        (search, 0.1, "with p_values, not LogisticRegression"),
        (LogisticRegression(), 0, "got LogisticRegression"),
        (steps[:1], 0, "got Pipeline"),
    ):
        with pytest.raises(TypeError, match=message):
            predict_folder(estimator, "photos", alpha=alpha)


def test_names_that_are_no_text_cost_no_row(pipeline):
    try:
        os.rename("photos/more", os.fsdecode(b"photos/m\xe9r"))
    except OSError:
        pytest.skip("this file system takes text only")
    table = predict_folder(pipeline, "photos", progress=False)
    assert (table["label"].notna().sum(), table["probability"].dtype) == (6, float)
    assert os.path.exists(table["path"].iloc[-1])
    for kind in sorted(WRITERS):
        write_table(table.to_dict("records"), f"a{kind}")
        assert (
            READERS[kind](f"a{kind}").iloc[:, 0].str.contains(r"m\udce9r", regex=False).sum() == 4
        )


def test_one_class_has_no_runner_up(place):
    one = make_few_shot_pipeline("mini", "bundled").fit(["photos/bird.png"], ["bird"])
    table = predict_folder(one, "shots/bird", progress=False)
    assert table["label"].tolist() == ["bird"] * 4
    assert table["runner_up"].isna().all()


def test_folders_in_which_nothing_is(pipeline):
    os.mkdir("empty")
    with pytest.raises(ValueError, match="has no files"):
        predict_folder(pipeline, "empty")
    with pytest.raises(FileNotFoundError, match="'nowhere'"):
        predict_folder(pipeline, "nowhere")
    Path("empty/broken.png").write_text("")
    table = predict_folder(pipeline, "empty", progress=False)
    assert table["problem"].tolist() == ["the file is empty"]


@needs_sklearn("1.7", "takes what stands in for a missing pandas for it")
def test_without_pandas_the_columns_are_lists(pipeline, predicted, without):
    without("pandas")
    table = predict_folder(pipeline, "photos", progress=False)
    assert list(table) == COLUMNS
    assert table["path"] == predicted["path"].tolist()
    X, problems = embed_folder(pipeline, table["path"], progress=False)
    proba = proba_with_none(pipeline[-1], X)
    write_table(table_rows(pipeline[-1], table["path"], X, problems, proba), "a.csv")
    assert Path("a.csv").exists()


@pytest.mark.parametrize("transform", ["pandas", "polars"])
def test_a_pipeline_of_data_frames_labels_as_one_of_arrays(place, transform):
    with config_context(transform_output=transform):
        steps = make_pipeline(
            CLIPImageEncoder("mini", "bundled"), StandardScaler(), LogisticRegression()
        )
        assert (
            predict_folder(fitted_to_shots(steps), "photos", progress=False)["label"].notna().sum()
            == 6
        )


# The table as a file

READERS = {".csv": pd.read_csv, ".xlsx": pd.read_excel}


def test_tables_open_in_a_spreadsheet(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    nan = float("nan")
    rows = [
        ("photos/Vögel/1.png", "Vögel", 0.123456, "=1+1", 0.1, 1 / 3, ""),
        ("=cmd|' /C calc'!A0.png", None, nan, "@home", 0.5, 0.0, "none of these"),
        ("-2+3;=1;＝2.png", None, nan, None, nan, nan, "the file\x07 is empty"),
    ]
    for name in ("a.csv", "a.xlsx"):
        write_table([dict(zip(WRITTEN, (*row, "right", row[1]))) for row in rows], name)
    assert Path("a.csv").read_bytes().startswith("\ufeffFile,Label,Probability,".encode())
    titles, vogel, none, broken = cells_of("a.csv")
    assert vogel == [
        "photos/Vögel/1.png",
        "Vögel",
        "0.1235",
        "'=1+1",
        "0.1000",
        "0.3333",
        "",
        "right",
        "Vögel",
    ]
    assert none[:5] == ["'=cmd|' /C calc'!A0.png", "", "", "'@home", "0.5000"]
    assert broken == ["'-2+3;'=1;'＝2.png", "", "", "", "", "", "the file? is empty", "right", ""]
    header, first, none, _ = openpyxl.load_workbook("a.xlsx").active.iter_rows()
    assert [cell.value for cell in header] == titles
    assert [cell.value for cell in first] == [
        *vogel[:2],
        0.1235,
        "'=1+1",
        0.1,
        0.3333,
        None,
        "right",
        "Vögel",
    ]
    assert not any(cell.data_type == "f" for cell in (*first, *none))
