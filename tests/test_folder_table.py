"""A folder of images to a table of predictions, in Python and as a command."""

import csv
import os
import pickle
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

import sksemobridge
from sksemobridge import CLIPImageEncoder, make_semobridge_pipeline, predict_folder
from sksemobridge._command import main
from sksemobridge.datasets import load_emoji, load_image_folder
from sksemobridge.encoders import EmbeddingCache

from .skops_files import file_that_runs
from .versions import needs_sklearn

CLASSES = ("bird", "clock", "fruit")
MODEL = ["--model", "mini", "--pretrained", "bundled"]
COLUMNS = ["path", "label", "probability", "runner_up", "runner_up_probability", "p_value", "problem"]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder of the user with `shots`, and `photos` of which two cannot be read; its caches are there too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    emoji = load_emoji()
    labels = emoji.target_names[emoji.target]
    for name in CLASSES:
        pictures = emoji.images[labels == name]
        for i in range(4):
            save(pictures[i], f"shots/{name}/{i}.png")
        save(pictures[4], f"photos/{name}.png")
        save(pictures[5], f"photos/more/{name}.png")
    Path("photos/broken.jpg").write_bytes(b"no image")
    Path("photos/more/notes.txt").write_text("no image either")
    Path("photos/.hidden").write_text("")
    return tmp_path


def save(picture, path):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)


@pytest.fixture
def pipeline(place):
    folder = load_image_folder("shots")
    return make_semobridge_pipeline("mini", "bundled").fit(folder.paths, folder.target_names[folder.target])


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_file_has_a_row(pipeline):
    table = predict_folder(pipeline, "photos", progress=False)
    assert list(table.columns) == COLUMNS
    assert [Path(path).relative_to("photos").as_posix() for path in table["path"]] == [
        "bird.png",
        "broken.jpg",
        "clock.png",
        "fruit.png",
        "more/bird.png",
        "more/clock.png",
        "more/fruit.png",
        "more/notes.txt",
    ]
    broken = table["problem"] != ""
    assert table["path"][broken].map(os.path.basename).tolist() == ["broken.jpg", "notes.txt"]
    assert table["problem"][broken].str.contains("not an image").all()
    assert table["label"][broken].isna().all()
    assert table["probability"][broken].isna().all()


def test_labels_and_probabilities_are_those_of_the_estimator(pipeline):
    table = predict_folder(pipeline, Path("photos"), progress=False)
    there = table[table["problem"] == ""]
    probability = np.sort(pipeline.predict_proba(there["path"]), axis=1)
    assert there["label"].tolist() == pipeline.predict(there["path"]).tolist()
    np.testing.assert_allclose(there["probability"], probability[:, -1], rtol=1e-6)
    np.testing.assert_allclose(there["runner_up_probability"], probability[:, -2], rtol=1e-6)
    assert (there["runner_up"] != there["label"]).all()
    assert pipeline[0].on_error == "raise"


def test_images_of_no_class_have_no_label(pipeline):
    table = predict_folder(pipeline, "photos", progress=False)
    there = table[table["problem"] == ""]
    np.testing.assert_allclose(
        there["p_value"], pipeline[-1].p_values(pipeline[:-1].transform(there["path"]))
    )
    alpha = float(there["p_value"].min())
    strict = predict_folder(pipeline, "photos", alpha=alpha, progress=False)
    is_none = strict["problem"] == "none of these"
    assert is_none.tolist() == (table["p_value"] <= alpha).tolist()
    assert strict["label"][is_none].isna().all()
    assert strict["runner_up"][is_none].tolist() == table["label"][is_none].tolist()


def test_any_pipeline_over_images_and_searches_over_them(place):
    folder = load_image_folder("shots")
    y = folder.target_names[folder.target]
    search = GridSearchCV(
        make_pipeline(CLIPImageEncoder("mini", "bundled"), LogisticRegression()),
        {"logisticregression__C": [1.0]},
        cv=2,
    ).fit(folder.paths, y)
    table = predict_folder(search, "photos", progress=False)
    assert table["label"].notna().sum() == 6
    assert table["p_value"].isna().all()
    with pytest.raises(TypeError, match="LogisticRegression has none"):
        predict_folder(search, "photos", alpha=0.1)
    with pytest.raises(TypeError, match="begins with a CLIPImageEncoder"):
        predict_folder(LogisticRegression(), "photos")


def test_an_embedding_that_is_not_finite_moves_no_other_row(pipeline):
    class Overflowing(CLIPImageEncoder):
        def transform(self, X):
            rows = super().transform(X)
            rows[[path.endswith("bird.png") for path in X]] = np.inf
            return rows

    expected = predict_folder(pipeline, "photos", progress=False)
    pipeline.steps[0] = ("clipimageencoder", Overflowing("mini", "bundled"))
    table = predict_folder(pipeline, "photos", progress=False)
    birds = table["path"].str.endswith("bird.png")
    assert table["problem"][birds].str.contains("its embedding is not finite").all()
    pd.testing.assert_frame_equal(table[~birds], expected[~birds])


def test_names_that_are_no_text_cost_no_row(pipeline):
    try:
        os.rename("photos/more", os.fsdecode(b"photos/m\xe9r"))
    except OSError:
        pytest.skip("this file system takes text only")
    table = predict_folder(pipeline, "photos", progress=False)
    assert (table["label"].notna().sum(), table["probability"].dtype) == (6, float)
    assert os.path.exists(table["path"].iloc[-1])
    for file, read in (("a.csv", pd.read_csv), ("a.parquet", pd.read_parquet)):
        assert main(["label", "photos", "--shots", "shots", "--out", file, *MODEL]) == 1
        assert read(file)["path"].str.contains(r"m\udce9r", regex=False).sum() == 4
    with pytest.raises(NotFittedError):
        predict_folder(make_semobridge_pipeline("mini", "bundled"), "photos")


@pytest.mark.parametrize("kind", ["joblib", "skops"])
@pytest.mark.parametrize("content", [b"", b"junk", pickle.dumps([1])])
def test_a_file_that_holds_no_classifier_is_said(place, capsys, kind, content):
    Path(f"model.{kind}").write_bytes(content)
    with pytest.raises(SystemExit):
        main(["label", "photos", "--model-file", f"model.{kind}", "--out", "a.csv"])
    assert f"--model-file: 'model.{kind}'" in capsys.readouterr().err


def test_a_model_file_that_would_run_a_command_is_refused(place, capsys):
    Path("model.skops").write_bytes(file_that_runs("touch ran"))
    with pytest.raises(SystemExit):
        main(["label", "photos", "--model-file", "model.skops", "--out", "a.csv"])
    assert "os.system" in capsys.readouterr().err
    assert not Path("ran").exists()


def test_one_class_has_no_runner_up(place):
    one = make_semobridge_pipeline("mini", "bundled").fit(["photos/bird.png"], ["bird"])
    table = predict_folder(one, "shots/bird", progress=False)
    assert table["label"].tolist() == ["bird"] * 4
    assert table["runner_up"].isna().all()


def test_folders_in_which_nothing_is(pipeline):
    os.mkdir("empty")
    with pytest.raises(ValueError, match="has no files"):
        predict_folder(pipeline, "empty")
    with pytest.raises(FileNotFoundError, match="no folder 'nowhere'"):
        predict_folder(pipeline, "nowhere")
    Path("empty/broken.png").write_text("")
    table = predict_folder(pipeline, "empty", progress=False)
    assert table["problem"].tolist() == ["the file is empty"]


@needs_sklearn("1.7", "takes what stands in for a missing pandas for it")
def test_without_pandas_the_columns_are_lists(pipeline, without):
    expected = predict_folder(pipeline, "photos", progress=False)
    without("pandas")
    table = predict_folder(pipeline, "photos", progress=False)
    assert list(table) == COLUMNS
    assert table["path"] == expected["path"].tolist()


# The command


def test_the_command_labels_a_folder_from_a_folder_of_shots(place, pipeline, capsys):
    assert main(["label", "photos", "--shots", "shots", "--out", "labels.csv", *MODEL]) == 1
    rows = rows_of("labels.csv")
    expected = predict_folder(pipeline, "photos", progress=False)
    assert list(rows[0]) == COLUMNS
    assert [row["path"] for row in rows] == expected["path"].tolist()
    assert [row["label"] for row in rows] == expected["label"].fillna("").tolist()
    output = capsys.readouterr().err
    assert "Skipped" in output
    assert "broken.jpg" in output
    assert str(place / "caches") in output


def test_a_folder_without_problems_is_a_success_and_is_embedded_once(place):
    assert main(["label", "photos/more", "--shots", "shots", "--out", "a.csv", *MODEL]) == 1
    os.remove("photos/more/notes.txt")
    cache = EmbeddingCache(place / "caches" / "sksemobridge" / "embeddings")
    before = len(cache)
    assert main(["label", "photos/more", "--shots", "shots", "--out", "b.csv", *MODEL]) == 0
    assert len(cache) == before > 0


def test_one_broken_shot_does_not_cost_the_others(place, capsys):
    Path("shots/bird/broken.png").write_bytes(b"no image")
    assert main(["label", "shots/fruit", "--shots", "shots", "--out", "labels.csv", *MODEL]) == 1
    assert "Skipped the shot" in capsys.readouterr().err
    for i in range(4):
        Path(f"shots/bird/{i}.png").write_bytes(b"no image")
    with pytest.raises(SystemExit) as caught:
        main(["label", "photos", "--shots", "shots", "--out", "more.csv", *MODEL])
    assert caught.value.code == 2
    assert "no image of these classes can be read: bird" in capsys.readouterr().err


def test_parquet(place):
    main(["label", "photos", "--shots", "shots", "--out", "labels.parquet", *MODEL])
    assert list(pd.read_parquet("labels.parquet").columns) == COLUMNS


@pytest.mark.parametrize("kind", ["skops", "joblib"])
def test_a_saved_classifier_labels_as_the_one_from_the_shots(place, kind):
    main(["label", "photos", "--shots", "shots", "--out", "a.csv", "--save", f"model.{kind}", *MODEL])
    main(["label", "photos", "--model-file", f"model.{kind}", "--out", "b.csv"])
    assert rows_of("a.csv") == rows_of("b.csv")
    assert str(place / "caches").encode() not in Path(f"model.{kind}").read_bytes()


def test_images_are_copied_by_their_labels_and_none_is_overwritten(place, capsys):
    sort = ["--sort-into", "sorted"]
    main(["label", "photos", "--shots", "shots", "--out", "a.csv", *sort, *MODEL])
    copies = sorted(path for path in Path("sorted").rglob("*") if path.is_file())
    assert len(copies) == 6
    assert all(Path(row["path"]).exists() for row in rows_of("a.csv"))
    content = [path.read_bytes() for path in copies]
    main(["label", "photos", "--shots", "shots", "--out", "b.csv", *sort, *MODEL])
    assert sorted(path for path in Path("sorted").rglob("*") if path.is_file()) == copies
    assert [path.read_bytes() for path in copies] == content
    assert "0 images copied" in capsys.readouterr().err


def test_only_images_of_enough_probability_are_copied(place):
    options = ["--sort-into", "sorted", "--min-probability", "0.5"]
    main(["label", "photos", "--shots", "shots", "--out", "a.csv", *options, *MODEL])
    enough = [row for row in rows_of("a.csv") if row["label"] and float(row["probability"]) >= 0.5]
    assert len([path for path in Path("sorted").rglob("*") if path.is_file()]) == len(enough)


def test_labels_do_not_lead_out_of_the_folder(place):
    os.makedirs("in")
    labels = ["../../out", "..", "a/b"]
    pipeline = make_semobridge_pipeline("mini", "bundled").fit(
        ["photos/bird.png", "photos/clock.png", "photos/fruit.png"], labels
    )
    joblib.dump(pipeline, "model.joblib")
    main(["label", "photos", "--model-file", "model.joblib", "--out", "a.csv", "--sort-into", "in/sorted"])
    assert {path.parent.parent.as_posix() for path in Path("in").rglob("*.png")} == {"in/sorted"}
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["photos", "--out", "a.csv"], "one of the arguments --shots --model-file is required"),
        (["photos", "--shots", "shots"], "--out"),
        (["photos", "--shots", "shots", "--out", "a.txt"], "ends neither in .csv nor in .parquet"),
        (["photos", "--shots", "shots", "--out", "there.csv"], "nothing is overwritten"),
        (["photos", "--shots", "shots", "--out", "nowhere/a.csv"], "no folder 'nowhere'"),
        (["photos", "--shots", "shots", "--out", "a.csv", "--save", "a.pt"], "--save"),
        (
            ["photos", "--shots", "shots", "--out", "a.csv", "--alpha", "2"],
            "--alpha: 2 is not between 0 and 1",
        ),
        (["photos", "--shots", "shots", "--out", "a.csv", "--min-probability", "0.5"], "give both"),
        (
            ["photos", "--shots", "shots", "--out", "a.csv", "--sort-into", "there.csv"],
            "is a file, not a folder",
        ),
        (
            ["photos", "--shots", "shots", "--out", "a.csv", "--sort-into", "s", "--min-probability", "nan"],
            "nan is not between 0 and 1",
        ),
        (["photos", "--shots", "nowhere", "--out", "a.csv"], "no folder 'nowhere'"),
        (["nowhere", "--shots", "shots", "--out", "a.csv", "--save", "a.joblib"], "no folder 'nowhere'"),
        (["photos", "--shots", "photos/more", "--out", "a.csv"], "has no sub-folders"),
        (["photos", "--shots", "one", "--out", "a.csv"], "has one sub-folder, and all images"),
        (["photos", "--model-file", "nowhere.skops", "--out", "a.csv"], "no file 'nowhere.skops'"),
        (["photos", "--shots", "shots", "--out", "a.csv", "--model", "no-such-model"], "no-such-model"),
    ],
)
def test_wrong_use_is_said_and_has_status_2(place, capsys, arguments, message):
    Path("there.csv").write_text("mine")
    save(np.zeros((8, 8, 3), dtype=np.uint8), "one/bird/0.png")
    with pytest.raises(SystemExit) as caught:
        main(["label", *arguments])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err
    assert Path("there.csv").read_text() == "mine"
    assert not any(Path(name).exists() for name in ("a.csv", "a.joblib"))


def test_too_few_shots_to_turn_images_away_are_said(place, capsys):
    arguments = ["label", "photos", "--shots", "shots", "--out", "labels.csv", *MODEL]
    main([*arguments, "--alpha", "0.01"])
    assert "no p-value is as low as --alpha 0.01" in capsys.readouterr().err


def test_the_command_says_its_version(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out.strip() == sksemobridge.__version__
