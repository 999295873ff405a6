"""The command `sksemobridge label`."""

import errno
import os
import pickle
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline

import sksemobridge
from sksemobridge import CLIPImageEncoder, make_semobridge_pipeline, predict_folder
from sksemobridge._command import cache_folder, main
from sksemobridge.encoders import EmbeddingCache

from .skops_files import file_that_runs
from .user_folder import CLASSES, LABEL, MODEL, fitted_to_shots, link, rows_of, save


def test_the_command_labels_a_folder_from_a_folder_of_shots(place, capsys):
    assert main(["label", "photos", "--shots", "shots", "--model", "mini", "--out", "labels.csv"]) == 1
    rows = rows_of("labels.csv")
    expected = predict_folder(fitted_to_shots(), "photos", progress=False)
    assert [row["path"] for row in rows] == expected["path"].tolist()
    assert [row["label"] for row in rows] == expected["label"].fillna("").tolist()
    output = capsys.readouterr().err
    assert "Skipped photos/broken.jpg".replace("/", os.sep) in output
    assert "6 files labelled, 1 skipped, 1 no image: labels.csv" in output
    assert str(place / "caches") in output


def test_a_stray_file_is_no_problem_and_images_are_embedded_once(place):
    assert main(["label", "photos/more", "--shots", "shots", "--out", "a.csv", *MODEL]) == 0
    assert len(rows_of("a.csv")) == 4
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
    with pytest.raises(SystemExit, match="2"):
        main([*LABEL, "--out", "more.csv"])
    assert "no image of these classes can be read: bird" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "header"),
    [
        (["a.csv", "--decimal", ","], "File;Label;"),
        (["a.csv", "--sep", "tab"], "File\tLabel\t"),
        (["a.jsonl"], '{"path": '),
    ],
)
def test_the_kind_of_table_is_chosen(place, options, header):
    main([*LABEL, "--out", *options])
    assert Path(options[0]).read_text("utf-8-sig").startswith(header)


@pytest.mark.parametrize("kind", ["skops", "joblib"])
def test_a_saved_classifier_labels_as_the_one_from_the_shots(place, kind):
    main([*LABEL, "--out", "a.csv", "--save", f"model.{kind}"])
    main(["label", "photos", "--model-file", f"model.{kind}", "--out", "b.csv"])
    assert rows_of("a.csv") == rows_of("b.csv")
    assert str(place / "caches").encode() not in Path(f"model.{kind}").read_bytes()


def test_a_pipeline_of_a_user_is_a_model_file_and_can_be_saved_again(place):
    pipeline = make_pipeline(CLIPImageEncoder("mini", "bundled", cache="mine"), LogisticRegression())
    joblib.dump(fitted_to_shots(pipeline), "mine.joblib")
    files = ["--model-file", "mine.joblib", "--out", "a.csv", "--save", "again.joblib"]
    assert main(["label", "photos", *files]) == 1
    assert sum(row["label"] in CLASSES for row in rows_of("a.csv")) == 6
    assert joblib.load("again.joblib")[0].cache is None


def test_images_are_copied_by_their_labels_and_none_is_overwritten(place, capsys):
    main([*LABEL, "--out", "a.csv", "--sort-into", "sorted"])
    copies = sorted(Path("sorted").rglob("*.png"))
    assert len(copies) == 6
    assert all(Path(row["path"]).exists() for row in rows_of("a.csv"))
    content = [path.read_bytes() for path in copies]
    main([*LABEL, "--out", "b.csv", "--sort-into", "sorted"])
    assert sorted(Path("sorted").rglob("*.png")) == copies
    assert [path.read_bytes() for path in copies] == content
    assert "0 images copied" in capsys.readouterr().err


def test_only_images_of_enough_probability_are_copied(place):
    main([*LABEL, "--out", "a.csv", "--sort-into", "sorted", "--min-probability", "0.5"])
    enough = [row for row in rows_of("a.csv") if row["label"] and float(row["probability"]) >= 0.5]
    assert len(list(Path("sorted").rglob("*.png"))) == len(enough)


def test_labels_do_not_lead_out_of_the_folder(place):
    os.makedirs("in")
    photos, labels = [f"photos/{name}.png" for name in CLASSES], ["../../out", "..", "a/b"]
    joblib.dump(make_semobridge_pipeline("mini", "bundled").fit(photos, labels), "model.joblib")
    main(["label", "photos", "--model-file", "model.joblib", "--out", "a.csv", "--sort-into", "in/sorted"])
    assert {path.parent.parent.as_posix() for path in Path("in").rglob("*.png")} == {"in/sorted"}
    assert not Path("out").exists()


SHOTS = "photos --shots shots"
WRONG = {
    "photos --out a.csv": "one of the arguments --shots --model-file is required",
    SHOTS: "--out",
    f"{SHOTS} --out a.txt": "does not end in .csv or .xlsx or .parquet or .jsonl",
    f"{SHOTS} --out there.csv": "'there.csv' exists, and nothing is overwritten",
    f"{SHOTS} --out link.csv": "'link.csv' exists, and nothing is overwritten",
    f"{SHOTS} --out nowhere/a.csv": "no folder 'nowhere'",
    f"{SHOTS} --out a.csv --report a.htm": "does not end in .html",
    f"{SHOTS} --out a.csv --save a.pt": "--save",
    f"{SHOTS} --out a.csv --alpha 2": "--alpha: 2 is not between 0 and 1",
    f"{SHOTS} --out a.csv --min-probability 0.5": "needs --sort-into",
    f"{SHOTS} --out a.csv --sort-into there.csv": "is a file, not a folder",
    f"{SHOTS} --out a.csv --sort-into=": "name of the folder is empty",
    f"{SHOTS} --out a.csv --sort-into s --min-probability nan": "nan is not between 0 and 1",
    "photos --shots nowhere --out a.csv": "'nowhere'",
    "nowhere --shots shots --out a.csv --save a.joblib": "'nowhere'",
    "empty --shots shots --out a.csv": "The folder 'empty' has no files.",
    "photos --shots photos/more --out a.csv": "has no sub-folders",
    "photos --shots one --out a.csv": "has one sub-folder, and all images",
    "photos --model-file nowhere.skops --out a.csv": "'nowhere.skops'",
    "photos --model-file there.csv --out a.csv": "--model-file: 'there.csv' does not end in .joblib or .skops",
    f"{SHOTS} --out a.jsonl --sep ;": "are for a .csv",
    f"{SHOTS} --out a.csv --sep , --decimal ,": "both a comma",
    f"{SHOTS} --out a.csv --names nowhere.csv": "'nowhere.csv'",
    f"{SHOTS} --out a.csv --corrections nowhere.csv": "'nowhere.csv'",
    "photos --model-file a.skops --out a.csv --names there.csv": "need --shots",
    f"{SHOTS} --out a.csv --corrections there.csv": "names files that are not there (1)",
    f"{SHOTS} --out a.csv --sort-into photos/more": "holds other files",
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.items())
def test_wrong_use_is_said_before_the_work_and_has_status_2(place, capsys, monkeypatch, arguments, message):
    monkeypatch.setattr("open_clip.create_model", None)
    Path("there.csv").write_text("mine")
    Path("empty").mkdir()
    Path("a.skops").touch()
    if "link.csv" in arguments:
        link("nowhere", "link.csv")
    save(np.zeros((8, 8, 3), dtype=np.uint8), "one/bird/0.png")
    with pytest.raises(SystemExit, match="2"):
        main(["label", *arguments.split()])
    assert message in capsys.readouterr().err
    assert Path("there.csv").read_text() == "mine"
    assert not any(Path(name).exists() for name in ("a.csv", "a.joblib"))


def test_a_missing_package_is_said_with_the_python_that_needs_it(place, capsys, monkeypatch):
    monkeypatch.setattr("sksemobridge._command.find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="2"):
        main([*LABEL, "--out", "a.xlsx"])
    assert f"{sys.executable} -m pip install pandas openpyxl" in capsys.readouterr().err


def test_too_few_shots_to_turn_images_away_are_said(place, capsys):
    main([*LABEL, "--out", "labels.csv", "--alpha", "0.01"])
    assert "no p-value is as low as --alpha 0.01" in capsys.readouterr().err


def test_the_command_says_its_version(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out.strip() == sksemobridge.__version__


@pytest.mark.parametrize("kind", ["joblib", "skops"])
@pytest.mark.parametrize("content", [b"", b"junk", pickle.dumps([1]), pickle.dumps(Pipeline([]))])
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


@pytest.mark.parametrize("model", ["no-such-model", "local-dir:no-such-model"])
def test_a_model_that_cannot_be_had_is_no_wrong_use(place, capsys, model):
    assert main([*LABEL, "--out", "a.csv", "--model", model]) == 3
    output = capsys.readouterr().err
    assert "no-such-model" in output
    assert "--model mini" in output
    assert "usage:" not in output


@pytest.mark.parametrize("option", ["--out", "--report", "--save"])
def test_a_folder_that_takes_no_files_is_said_before_the_work(place, capsys, monkeypatch, option):
    Path("locked").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "locked")
    files = {"--out": "a.csv", "--report": "a.html", "--save": "a.skops"}
    files[option] = f"locked/{files[option]}"
    assert main([*LABEL, *(word for pair in files.items() for word in pair)]) == 3
    assert "nothing may be written into the folder" in capsys.readouterr().err
    assert not Path("caches").exists()


@pytest.mark.parametrize("full", ["model.skops", "report.html", "labels.csv"])
def test_a_full_disk_is_said_and_the_next_run_goes_on(place, capsys, monkeypatch, full):
    def fsync(file, real=os.fsync):
        if file.name.endswith(full):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(file)

    files = ["--out", "labels.csv", "--save", "model.skops", "--report", "report.html"]
    arguments = [*LABEL, "--no-cache", *files]
    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", fsync)
        assert main(arguments) == 3
    assert f"'{full}' could not be written: [Errno 28] No space left on device" in capsys.readouterr().err
    assert sorted(os.listdir()) == ["photos", "shots"]  # nor a cache
    assert main(arguments) == 1


def test_an_interrupt_is_one_line(place, capsys, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(CLIPImageEncoder, "transform", interrupt)
    assert main([*LABEL, "--no-cache", "--out", "a.csv"]) == 130
    assert capsys.readouterr().err == "Interrupted.\n"
    assert not Path("a.csv").exists()


def test_a_cache_that_cannot_be_written_costs_a_note(place, capsys, monkeypatch):
    Path("caches").write_text("in the way")
    assert main([*LABEL, "--out", "a.csv"]) == 1
    assert "Note: Embeddings are not kept for the next run: " in capsys.readouterr().err
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", lambda: Path("/proc/nobody"))
    assert main([*LABEL, "--out", "b.csv"]) == 1
    assert rows_of("a.csv") == rows_of("b.csv")


def test_embeddings_are_kept_where_other_programs_keep_their_models(place, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: Path("home"))
    for variable, folder in (("elsewhere", "elsewhere"), ("", "home/.cache")):
        monkeypatch.setenv("XDG_CACHE_HOME", variable)
        assert cache_folder() == Path(folder, "sksemobridge", "embeddings")


def test_copies_among_the_photos_are_not_labelled_again(place):
    for run in ("a", "b"):
        main([*LABEL, "--out", f"{run}.csv", "--sort-into", "photos/sorted"])
    assert len(list(Path("photos/sorted").rglob("*.png"))) == 6
    assert rows_of("a.csv") == rows_of("b.csv")
    corrected = ["label", "photos", "--shots", "photos/sorted", *MODEL]
    assert main([*corrected, "--out", "c.csv"]) == 1


def test_what_lies_wrong_among_the_shots_is_said_in_plain_lines(place, capsys):
    Path("shots/cat").mkdir()
    Path("shots/notes.txt").write_text("a note")
    os.rename("shots/bird/0.png", "shots/bird/scan")
    os.rename("shots/bird/1.png", "shots/1.png")
    assert main([*LABEL, "--out", "a.csv"]) == 1
    output = capsys.readouterr().err
    for kind in ("sub-folders without images", "images that lie in no sub-folder, and so are of no class"):
        assert f"Note: Passed over in 'shots', {kind} (1)" in output
    assert "UserWarning" not in output
    assert {row["label"] for row in rows_of("a.csv")} <= {*CLASSES, ""}


def test_what_puzzles_in_a_table_of_names_is_said_once(place, capsys):
    Path("names.csv").write_text("brid,animal\nbird,watch\nclock,watch")
    main([*LABEL, "--out", "a.csv", "--names", "names.csv"])
    output = capsys.readouterr().err
    assert "Note: --names: 'brid', in the first line of 'names.csv', is no class" in output
    assert output.count("have the same names and prompts") == 1
