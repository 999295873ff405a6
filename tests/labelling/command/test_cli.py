"""The command `sksemobridge label`."""

import csv
import errno
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from unittest.mock import DEFAULT, Mock

import joblib
import numpy as np
import openpyxl
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import sksemobridge
from sksemobridge import CLIPImageEncoder, clear_model_cache, make_few_shot_pipeline
from sksemobridge.datasets._folder import COPIES_MARK
from sksemobridge.encoders import _image_encoder
from sksemobridge.labelling import label_folder, predict_folder
from sksemobridge.labelling._answers.answers_file import Answers, digest_of
from sksemobridge.labelling._answers.events import PictureEvent
from sksemobridge.labelling._command.cli import main

from ...programs import run_program
from ...user_folder import CLASSES, SHOTS, cells_of, fitted_to_shots, rows_of, save


def test_the_command_labels_a_folder_from_a_folder_of_shots(label, place):
    status, said = label(f"{SHOTS} --out labels.csv --alpha 0.01")
    rows = rows_of("labels.csv")
    expected = predict_folder(fitted_to_shots(), "photos", progress=False)
    assert [row["path"] for row in rows] == expected["path"].tolist()
    assert [row["label"] for row in rows] == expected["label"].fillna("").tolist()
    assert status == 1
    assert "Skipped photos/broken.jpg".replace("/", os.sep) in said
    assert "6 files labelled, 1 skipped, 1 no image: labels.csv" in said
    assert str(place / "caches") in said
    assert "no p-value is as low as --alpha 0.01" in said


def test_the_command_says_whose_labels_alpha_takes(label):
    said = label(f"{SHOTS} --out labels.csv --alpha 0.4")[1]
    assert "at most about 40% of the images of a class lose their label" in said
    assert "in the mean over the classes" in said


@pytest.mark.parametrize("kind", ["skops", "joblib"])
def test_a_saved_classifier_labels_as_the_one_from_the_shots_also_of_two_models(label, place, kind):
    said = label(f"{SHOTS} --model mini --out a.csv --save model.{kind}")[1]
    assert said.count("The model mini knows drawn icons only") == 1
    label(f"photos --model-file model.{kind} --out b.csv")
    assert rows_of("a.csv") == rows_of("b.csv")
    assert str(place / "caches").encode() not in Path(f"model.{kind}").read_bytes()
    if kind == "joblib":
        params = joblib.load("model.joblib").get_params()
        assert [value for name, value in params.items() if "__progress" in name] == [False, False]


def test_a_pipeline_of_a_user_is_a_model_file_and_can_be_saved_again(label):
    pipeline = make_pipeline(
        CLIPImageEncoder("mini", "bundled", cache="mine"), LogisticRegression()
    )
    joblib.dump(fitted_to_shots(pipeline), "mine.joblib")
    assert (
        label("photos --model-file mine.joblib --out a.csv --report a.html --save again.joblib")[0]
        == 1
    )
    assert sum(row["label"] in CLASSES for row in rows_of("a.csv")) == 6
    assert joblib.load("again.joblib")[0].cache == "memory"
    status, said = label("photos --model-file mine.joblib --out b.csv --alpha 0.1")
    assert status == 2
    assert "--alpha: the LogisticRegression of --model-file has no p-values" in said


def sizes_of(paths):
    """An encoder of a user, as a function: it looks at the size of the files only."""
    return np.array([[os.path.getsize(path)] for path in paths], dtype=float)


def test_a_model_file_may_embed_images_by_any_function(label):
    pipeline = make_pipeline(FunctionTransformer(sizes_of), LogisticRegression())
    joblib.dump(fitted_to_shots(pipeline), "mine.joblib")
    assert label("photos --model-file mine.joblib --out a.csv --save again.joblib")[0] == 0
    assert {row["label"] for row in rows_of("a.csv")} <= {*CLASSES}


def test_the_files_of_an_earlier_run_are_no_images_for_a_model_file(label):
    joblib.dump(fitted_to_shots(), "a.joblib")
    files = "--out photos/labels.csv --report photos/page.html --overwrite"
    tables = []
    for _ in range(2):
        label(f"photos --model-file a.joblib {files}")
        tables.append(rows_of("photos/labels.csv"))
    assert tables[0] == tables[1]


def test_the_command_shows_how_far_images_and_texts_are(label, bars_after):
    bars_after(0)
    clear_model_cache()  # other tests have embedded these texts
    said = label(f"{SHOTS} --model mini --out a.csv --no-cache")[1]
    assert "images: 100%" in said
    assert re.search(r"embedding \d+ texts", said)


def copies_in(folder):
    """Label and path below the photos of each copy."""
    paths = [path.relative_to(folder) for path in Path(folder).rglob("*.png")]
    return {Path(*path.parts[1:]).as_posix(): path.parts[0] for path in paths}


def labels_in(table):
    """Label of each image that has one, by its path below the photos."""
    rows = [row for row in rows_of(table) if row["label"]]
    return {Path(row["path"]).relative_to("photos").as_posix(): row["label"] for row in rows}


def test_images_are_copied_by_their_labels_and_copies_are_left_as_they_are(label):
    folder = "photos/sorted"
    assert "6 images copied" in label(f"{SHOTS} --out a.csv --sort-into {folder}")[1]
    assert copies_in(folder) == labels_in("a.csv")
    assert "0 images copied" in label(f"{SHOTS} --out b.csv --sort-into {folder}")[1]
    assert copies_in(folder) == labels_in("b.csv") == labels_in("a.csv")


def test_a_corrected_image_leaves_its_old_place_and_files_of_others_stay(label):
    label(f"{SHOTS} --out a.csv --sort-into sorted")
    save(np.zeros((8, 8, 3), dtype=np.uint8), "sorted/bird/mine.png")
    save(np.ones((8, 8, 3), dtype=np.uint8), "photos/mine.png")
    # An image that leaves its place goes where a person put a file of that name.
    Path("sorted/apple/more").mkdir(parents=True)
    Path("sorted/apple/more/bird.png").write_bytes(b"of a person")
    Path("corrections.csv").write_text(
        "photos/more/bird.png,apple\nphotos/clock.png,\nphotos/mine.png,bird"
    )
    Path("photos/more/fruit.png").unlink()
    status, said = label(f"{SHOTS} --out b.csv --sort-into sorted --corrections corrections.csv")
    assert sorted(re.findall("'sorted/[^']*'", said.replace(os.sep, "/"))) == [
        "'sorted/apple/more/bird.png'",
        "'sorted/bird/mine.png'",
    ]
    assert "not as this command wrote them (2)" in said
    assert Path("sorted/apple/more/bird.png").read_bytes() == b"of a person"
    expected = labels_in("b.csv") | {"more/fruit.png": "fruit"}
    assert copies_in("sorted") == expected
    assert expected["more/bird.png"] == "apple"
    assert Path("sorted/bird/mine.png").read_bytes() != Path("photos/mine.png").read_bytes()
    assert label(f"shots {SHOTS.removeprefix('photos')} --out c.csv --sort-into sorted")[0] == 2


def test_a_copy_that_a_person_edited_stays_and_is_named(label):
    label(f"{SHOTS} --out a.csv --sort-into sorted")
    Path("sorted/bird/bird.png").write_bytes(b"edited")
    Path("sorted/clock/clock.png").write_bytes(b"edited too")
    # The copy of an image that was changed, and one that is as it was but for its time, are ours.
    save(np.zeros((8, 8, 3), dtype=np.uint8), "photos/fruit.png")
    os.utime("sorted/bird/more/bird.png", (1, 1))
    Path("corrections.csv").write_text(
        "photos/clock.png,apple\nphotos/fruit.png,apple\nphotos/more/bird.png,apple"
    )
    command = f"{SHOTS} --sort-into sorted --corrections corrections.csv"
    said = label(f"{command} --out b.csv")[1]
    assert "not as this command wrote them (2): 'sorted" in said
    assert "Move them away to have these images copied" in said
    for name, content in (("bird", b"edited"), ("clock", b"edited too")):
        path = os.path.join("sorted", name, f"{name}.png")
        assert repr(path) in said
        assert Path(path).read_bytes() == content
    apples = sorted(map(str, Path("sorted/apple").rglob("*.png")))
    assert apples == [
        os.path.join("sorted", "apple", *path)
        for path in (["clock.png"], ["fruit.png"], ["more", "bird.png"])
    ]
    # An image that was changed once more takes the place of its copy.
    save(np.ones((9, 9, 3), dtype=np.uint8), "photos/fruit.png")
    os.remove("sorted/bird/bird.png")
    assert "2 images copied" in label(f"{command} --out c.csv")[1]
    assert Path("sorted/apple/fruit.png").read_bytes() == Path("photos/fruit.png").read_bytes()


def test_a_copy_that_was_not_finished_has_another_name(label, monkeypatch):
    with monkeypatch.context() as killed:
        killed.setattr("shutil.copystat", Mock(side_effect=KeyboardInterrupt))
        assert label(f"{SHOTS} --out a.csv --sort-into sorted")[0] == 130
    assert copies_in("sorted") == {}
    label(f"{SHOTS} --out b.csv --sort-into sorted")
    assert copies_in("sorted") == labels_in("b.csv")
    # A mark of another person takes no file away.
    mark = json.loads(Path("sorted", COPIES_MARK).read_text())
    mark["copies"].append(["../photos", "bird.png", *mark["copies"][0][2:]])
    Path("sorted", COPIES_MARK).write_text(json.dumps(mark))
    label(f"{SHOTS} --out c.csv --sort-into sorted")
    assert Path("photos/bird.png").exists()


@pytest.mark.parametrize(("killed_in", "call"), [("filecmp.cmp", 1), ("shutil.copy2", 4)])
def test_copies_of_runs_that_were_killed_are_no_work_of_a_person(
    label, monkeypatch, killed_in, call
):
    command = f"{SHOTS} --sort-into sorted"
    label(f"{command} --out a.csv")
    # Only one image moves, and all change.
    wanted = labels_in("a.csv") | {"more/bird.png": "apple"}
    lines = "\n".join(f"photos/{path},{name}" for path, name in wanted.items())
    Path("corrections.csv").write_text(lines)
    command += " --corrections corrections.csv"
    module, name = killed_in.split(".")
    function = getattr(sys.modules[module], name)
    for size in (8, 9, 10):
        for path in wanted:
            save(np.zeros((size, size, 3), dtype=np.uint8), f"photos/{path}")
        if size < 10:
            until = Mock(wraps=function, side_effect=[*[DEFAULT] * (call - 1), KeyboardInterrupt])
            with monkeypatch.context() as killed:
                killed.setattr(killed_in, until)
                assert label(f"{command} --out b{size}.csv")[0] == 130
    said = label(f"{command} --out c.csv")[1]
    assert "not as this command wrote them" not in said
    assert "6 images copied" in said
    assert copies_in("sorted") == labels_in("c.csv") == wanted
    assert len([*Path("sorted").rglob("*.png")]) == 6
    for path, name in wanted.items():
        assert Path("sorted", name, path).read_bytes() == Path("photos", path).read_bytes()


def test_a_copy_is_known_where_the_file_system_rounds_times(label, monkeypatch):
    def copy2(source, target):
        shutil.copy(source, target)
        os.utime(target, (2, 2))

    monkeypatch.setattr("shutil.copy2", copy2)
    label(f"{SHOTS} --out a.csv --sort-into sorted")
    save(np.zeros((8, 8, 3), dtype=np.uint8), "photos/clock.png")
    said = label(f"{SHOTS} --out b.csv --sort-into sorted")[1]
    assert "not as this command wrote them" not in said
    assert "1 image copied" in said


def test_a_label_too_long_for_a_folder_is_refused_before_anything_is_written(label):
    Path("corrections.csv").write_text(f"photos/more/bird.png,{'z' * 300}")
    command = f"{SHOTS} --corrections corrections.csv --sort-into sorted"
    status, said = label(f"{command} --out a.csv")
    assert status == 2
    assert "--sort-into: the label 'zzz" in said
    assert "give this class a shorter name" in said
    assert not Path("sorted").exists()
    assert not Path("a.csv").exists()


def test_labels_do_not_lead_out_of_the_folder(label):
    os.makedirs("in")
    photos, labels = [f"photos/{name}.png" for name in CLASSES], ["../../out", "..", "a/b"]
    joblib.dump(make_few_shot_pipeline("mini", "bundled").fit(photos, labels), "model.joblib")
    label("photos --model-file model.joblib --out a.csv --sort-into in/sorted")
    assert {*copies_in("in/sorted").values()} == {"_.._out", "_", "a_b"}
    assert not Path("out").exists()


WRONG = {
    "photos --out a.csv": "give --shots, --classes, or --model-file",
    SHOTS: "--out: give the name of the table to write",
    f"{SHOTS} --out a.txt": "--out: 'a.txt' does not end in .csv or .xlsx",
    f"{SHOTS} --out=": "--out: '' does not end in .csv or .xlsx",
    f"{SHOTS} --out .": "--out: '.' does not end in .csv or .xlsx",
    f"{SHOTS} --out there.csv": (
        "'there.csv' exists, and nothing is overwritten; give another name, or --overwrite"
    ),
    f"{SHOTS} --out nowhere/a.csv": "no folder 'nowhere'",
    f"{SHOTS} --out a.csv --alpha 2": "--alpha: 2 is not between 0 and 1",
    "photos --shots nowhere --out a.csv": "--shots: There is no folder 'nowhere'; check the path.",
    "nowhere --shots shots --out a.csv --save a.joblib": (
        "PHOTOS: There is no folder 'nowhere'; check the path."
    ),
    f"photos/bird.png {SHOTS.partition(' ')[2]} --out a.csv": (
        "PHOTOS: 'photos/bird.png' is no folder; give a folder."
    ),
    "photos --shots photos/more --out a.csv": "has no sub-folders",
    "photos --shots one --out a.csv": "--shots: there is one class, 'bird'",
    "photos --shots latin --out a.csv": r"--shots: the name of the folder 'caf\udce9' is not UTF-8",
    "photos --model-file nowhere.skops --out a.csv": (
        "--model-file: There is no file 'nowhere.skops'; check the path."
    ),
    "photos --embeddings nowhere.npz --out a.csv": "--embeddings: There is no file 'nowhere.npz'; ",
    "photos --classes nowhere.txt --out a.csv": "--classes: There is no file 'nowhere.txt'; check",
    "photos --classes latin.txt --out a.csv": "--classes: 'latin.txt' is no text in UTF-8: ",
    "photos --classes names.json --out a.csv": "--classes: 'names.json' is JSON; write a text file",
    "photos --classes a,b --bursts nowhere.csv --out a.csv": "--bursts: There is no file 'nowhere",
    "photos --classes a,b --corrections more.csv --out a.csv": (
        "--corrections: 'more.csv' is no file; give a file."
    ),
    f"{SHOTS} --out a.csv --names nowhere.csv": "--names: There is no file 'nowhere.csv'; check",
    "photos --model-file a.skops --out a.csv --names there.csv": (
        "--names does not go with --model-file"
    ),
    "photos --classes a_b,a_b --out a.csv": "--classes: there is one class",
    "photos --classes a,b --out a.csv --answers a.csv": "--answers: 'a.csv' does not end in .jsonl",
    "photos --classes a,b --out a.csv --answers no.jsonl": "no file of answers",
    "photos --classes a,b --out a.csv --alpha 0.1": "--alpha: names alone give no p-values",
    f"{SHOTS} --out a.csv --sort-into photos/more": "is no new or empty folder",
    f"{SHOTS} --out a.csv --open": (
        '--open: the page needs the extra "live", starlette and uvicorn: '
    ),
    f"{SHOTS} --out a.xlsx": (
        f"--out: .xlsx files need pandas and openpyxl: {sys.executable} -m pip install"
    ),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.items())
def test_wrong_use_is_said_before_the_work_and_has_status_2(label, monkeypatch, arguments, message):
    monkeypatch.setattr("open_clip.create_model", None)
    installed = {"skops": "installed"}
    monkeypatch.setattr("sksemobridge.labelling._photos.needed_packages.find_spec", installed.get)
    Path("there.csv").write_text("mine")
    Path("a.skops").touch()
    Path("no.jsonl").write_text("notes")
    Path("latin.txt").write_bytes(b"caf\xe9")
    Path("more.csv").mkdir()
    save(np.zeros((8, 8, 3), dtype=np.uint8), "one/bird/0.png")
    if sys.platform == "linux":
        os.makedirs("latin/caf\udce9")
    elif "latin" in arguments:
        pytest.skip("other systems have no such names")
    status, said = label(arguments)
    assert status == 2
    assert message in said
    assert Path("there.csv").read_text() == "mine"
    assert not any(Path(name).exists() for name in ("a.csv", "a.joblib"))


def test_the_command_says_the_versions_that_a_report_needs(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"sksemobridge {sksemobridge.__version__}"
    assert f"numpy {np.__version__}" in lines
    assert lines[-1].startswith(f"Python {sys.version_info.major}.{sys.version_info.minor}.")


def test_packages_that_do_not_say_their_version_stop_no_command(label, monkeypatch):
    monkeypatch.setattr(
        "sksemobridge.labelling._command.cli.version", Mock(side_effect=PackageNotFoundError)
    )
    assert label("--classes=a,b --out=labels.csv")[0] != 4


NO_CLASSIFIER = [
    ("joblib", b""),
    ("joblib", pickle.dumps([1])),
    ("skops", skops.io.dumps(os.system)),
]


@pytest.mark.parametrize(("kind", "content"), NO_CLASSIFIER, ids=["empty", "list", "function"])
def test_a_file_that_holds_no_classifier_is_refused(label, kind, content):
    Path(f"model.{kind}").write_bytes(content)
    status, said = label(f"photos --model-file model.{kind} --out a.csv")
    assert status == 2
    assert f"--model-file: 'model.{kind}'" in said


@pytest.mark.parametrize("model", ["local-dir:no-such-model", "hf-hub:no/no-such-model"])
def test_a_model_that_cannot_be_had_is_no_wrong_use(label, model, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    status, said = label(f"photos --shots shots --out a.csv --model {model}")
    assert status == 3
    assert "no-such-model" in said
    # Another model is a way out where this one cannot be downloaded, not where it does not exist.
    assert ("--model mini" in said) == model.startswith("hf-hub:")
    assert "usage:" not in said


def test_a_full_disk_is_said_and_the_next_run_goes_on(label, monkeypatch):
    arguments = f"{SHOTS} --no-cache --out labels.csv --save model.skops --report report.html"
    with monkeypatch.context() as disk:
        disk.setattr(
            os, "fsync", Mock(side_effect=OSError(errno.ENOSPC, "No space left on device"))
        )
        status, said = label(arguments)
    assert status == 3
    assert "could not be written: [Errno 28] No space left on device" in said
    # Nor a cache.
    assert sorted(name for name in os.listdir() if name[0] != ".") == ["photos", "shots"]
    assert label(arguments)[0] == 1


def test_an_interrupt_is_one_line(label, monkeypatch):
    monkeypatch.setattr(CLIPImageEncoder, "transform", Mock(side_effect=KeyboardInterrupt))
    assert label(f"{SHOTS} --no-cache --out a.csv") == (130, "Interrupted.\n")
    assert not Path("a.csv").exists()


def test_embeddings_are_kept_in_the_folder_for_caches_or_there_is_a_note(label, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: Path("home"))
    monkeypatch.delenv("XDG_CACHE_HOME")
    label(f"{SHOTS} --out a.csv")
    assert Path("home/.cache/sksemobridge/embeddings").is_dir()
    monkeypatch.setenv("XDG_CACHE_HOME", "shots/bird/0.png")
    status, said = label(f"{SHOTS} --out b.csv")
    assert status == 1
    assert "Note: Embeddings are not kept for the next run: " in said


def test_what_puzzles_in_a_table_of_names_is_said_once(label):
    Path("names.csv").write_text("brid,animal\nbird,watch\nclock,watch")
    _, said = label(f"{SHOTS} --out a.csv --names names.csv")
    assert "Note: --names: 'brid', in the first line of 'names.csv', is no class" in said
    assert said.count("have the same names and prompts") == 1


def command_where(fails, error):
    """The program of a command in which the import of a package fails with an error."""
    return f"""
import sys

class Failing:
    def find_spec(name, *_):
        if name == "{fails}":
            raise {error}

sys.meta_path.insert(0, Failing)
from sksemobridge.__main__ import main
sys.exit(main())
"""


def test_an_interrupt_in_the_first_moment_is_one_line(place):
    command = [sys.executable, "-c", command_where("numpy", "KeyboardInterrupt"), "label"]
    command += [*SHOTS.split(), "--out", "a.csv"]
    environment = os.environ | {"PYTHONPATH": str(Path(sksemobridge.__file__).parents[1])}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (ended.returncode, ended.stderr) == (130, "Interrupted.\n")


def test_wrong_folders_are_said_in_one_line_before_torch_is_loaded(place):
    Path("empty").mkdir()
    program = command_where("torch", "ImportError")
    ended = run_program(program, "label", "empty", "--shots", "shots", "--out", "a.csv")
    assert ended.returncode == 2
    assert ended.stderr == "sksemobridge label: PHOTOS: The folder 'empty' has no files.\n"


@pytest.mark.parametrize("how", [SHOTS, "photos --model-file a.joblib"])
def test_a_second_run_reads_only_what_has_changed_unless_all_is_asked_for(label, monkeypatch, how):
    monkeypatch.setattr("sksemobridge._utils.files.SETTLED_NS", 0)
    label(f"{SHOTS} --out a.csv --save a.joblib")
    read, fetch = [], _image_encoder.fetch
    monkeypatch.setattr(
        _image_encoder, "fetch", lambda image, *args: (read.append(image), fetch(image, *args))[1]
    )
    label(f"{how} --out b.csv")
    # What is no picture is looked at each time, by its head.
    assert sorted(map(os.path.basename, read)) == ["broken.jpg", "notes.txt"]
    read.clear()
    label(f"{how} --out c.csv --read-all")
    assert {os.path.join("photos", "bird.png"), os.path.join("photos", "broken.jpg")} < {*read}
    assert rows_of("a.csv") == rows_of("b.csv") == rows_of("c.csv")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a system without this device")
@pytest.mark.parametrize("is_program", [True, False], ids=["known", "embedded"])
def test_a_stderr_that_cannot_be_written_costs_no_table(label, monkeypatch, is_program):
    arguments = ["label", *f"{SHOTS} --out a.csv".split()]
    if is_program:
        label(f"{SHOTS} --out before.csv")
        program = "import sys; from sksemobridge.__main__ import main; sys.exit(main())"
        with open("/dev/full", "w") as full:
            command = [sys.executable, "-c", program, *arguments]
            status = subprocess.run(command, stderr=full, check=False).returncode
    else:
        full = os.fdopen(os.open("/dev/full", os.O_WRONLY), "w", buffering=1)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", full)
            status = main([*arguments, "--no-cache"])
        with suppress(OSError):
            full.close()
    assert status == 1
    assert len(rows_of("a.csv")) == 8


@pytest.mark.skipif(os.name == "nt", reason="arguments of Windows are text")
def test_names_of_classes_that_are_no_utf_8_are_refused(label):
    status, said = label("photos --classes bird,cl\udcff,fruit --model mini --out a.csv")
    assert (status, said) == (
        2,
        "sksemobridge label: --classes: the name 'cl\\udcff' is not UTF-8\n",
    )


@pytest.mark.parametrize("how", ["--shots shots --model mini", "--model-file a.joblib"])
def test_what_is_cached_is_labelled_without_torch_also_beside_other_files(label, how):
    assert label("photos/more --shots shots --model mini --out a.csv --save a.joblib")[0] == 0
    assert len(rows_of("a.csv")) == 4
    # Nothing tries to import it.
    program = command_where("torch", "SystemExit(5)")
    ended = run_program(program, "label", *f"photos/more {how} --out b.csv".split())
    assert ended.returncode == 0
    assert rows_of("a.csv") == rows_of("b.csv")


def test_a_fault_of_the_program_is_a_traceback_that_asks_for_a_report(label, monkeypatch):
    monkeypatch.setattr(
        "sksemobridge.labelling._command.write_files.count_files",
        Mock(side_effect=ValueError("broadcast")),
    )
    status, said = label(f"{SHOTS} --out a.csv")
    assert status == 4
    assert "Traceback" in said
    assert "Please report it" in said


def test_only_the_table_and_the_page_of_an_earlier_run_are_overwritten(label):
    arguments = f"{SHOTS} --out a.csv --report a.html --overwrite"
    for n in (6, 5):
        label(arguments)
        assert len(labels_in("a.csv")) == n
        Path("photos/bird.png").unlink(missing_ok=True)
    label(f"{arguments} --save a.joblib")
    assert "--save: 'a.joblib' exists" in label(f"{arguments} --save a.joblib")[1]


@pytest.mark.parametrize("source", ["--shots shots", "--classes bird,clock"])
def test_a_folder_without_a_readable_image_has_a_table(label, source):
    Path("broken").mkdir()
    Path("broken/1.png").write_bytes(b"no image")
    status, said = label(f"broken {source} --model mini --out a.csv --report a.html")
    assert status == 1
    assert "1 skipped: a.csv" in said


def test_names_alone_label(label):
    status, said = label("photos/more --classes bird,clock,fruit --model mini --out a.csv")
    assert status == 0
    assert "the names of 3 classes alone" in said
    assert {row["label"] for row in rows_of("a.csv")} <= {*CLASSES, ""}
    Path("names.txt").write_text("bird\n\nclock\nfruit of trees\n", encoding="utf-8-sig")
    shutil.rmtree("shots/fruit")
    os.mkdir("shots/fruit_of_trees")
    said = label(f"{SHOTS} --classes names.txt --out b.csv --save model.joblib")[1]
    assert "predicted by their names alone (1): fruit_of_trees" in said
    label("photos --model-file model.joblib --out c.csv")
    assert rows_of("c.csv") == rows_of("b.csv")


def test_the_folder_teaches_where_it_has_enough_images(label, monkeypatch):
    monkeypatch.setattr("sksemobridge.labelling._photos.folder_job.LEAST_POOL", 6)
    said = label(f"{SHOTS} --out a.csv --save taught.joblib")[1]
    assert "The 6 images without a label taught the classifier too" in said
    assert label("photos --model-file taught.joblib --out b.csv")
    assert rows_of("a.csv") == rows_of("b.csv")
    assert "labelled by itself" in label(f"{SHOTS} --out c.csv --each-by-itself")[1]


def answer(path, label, name="photos/bird.png", file="mine.jsonl", **values):
    digest = digest_of(Path(name).read_bytes())
    with Answers(file) as answers:
        part = PictureEvent(path, "photos", *digest, label=label)
        answers.append("say", pictures=(part,), **values)


def test_answers_of_the_page_are_labels(label):
    answer("bird.png", "apple")
    said = label(f"{SHOTS} --out a.csv --answers mine.jsonl")[1]
    assert "New classes by your answers or corrections: apple" in said
    assert labels_in("a.csv")["bird.png"] == "apple"
    # They follow the content.
    os.rename("photos/bird.png", "photos/more/renamed.png")
    label(f"{SHOTS} --out b.csv --answers mine.jsonl")
    assert labels_in("b.csv")["more/renamed.png"] == "apple"
    # Answers of another folder.
    os.remove("photos/more/renamed.png")
    status, said = label(f"{SHOTS} --out c.csv --answers mine.jsonl")
    assert status == 2
    what = "--answers: 'mine.jsonl' has labels of images, and none of them is in PHOTOS; give"
    assert what in said
    assert not Path("c.csv").exists()


def test_of_persons_who_differ_the_last_counts_and_the_table_is_written(label):
    answer("bird.png", "bird", who="anna", tab="x")
    answer("bird.png", "", who="ben", tab="y")
    answer("clock.png", "clock", "photos/clock.png", who="anna", tab="x")
    said = label(f"{SHOTS} --out a.csv --answers mine.jsonl")[1]
    what = "Different answers (1), the last counts: bird.png (anna: bird, ben: none of these)"
    assert what in said
    labels = {row["path"]: row["label"] for row in rows_of("a.csv")}
    assert labels[os.path.join("photos", "bird.png")] == ""
    assert labels[os.path.join("photos", "clock.png")] == "clock"


def test_names_of_classes_that_a_person_changed_go_to_what_these_became(label):
    with Answers("mine.jsonl") as answers:
        answers.append("rename", names=("bird",), into="fowl")
        answers.append("drop", names=("clock",))
    # The first line is no header.
    Path("names.csv").write_text("Bird,a hen\nclock,a watch\nfruit,an apple\n")
    command = f"{SHOTS} --answers mine.jsonl --names names.csv --alpha 0.01"
    _, said = label(f"{command} --out a.csv --save a.joblib")
    classifier = joblib.load("a.joblib")[-1]
    assert classifier.class_names == {"fowl": "a hen", "fruit": "an apple"}
    assert "read as a header" not in said
    assert "--names: Passed over in 'names.csv', dropped or joined since (1): clock;" in said
    with Answers("mine.jsonl") as answers:
        answers.append("join", names=("fowl",), into="fruit")
    _, said = label(f"{command} --out b.csv --save b.joblib")
    assert joblib.load("b.joblib")[-1].class_names == {"fruit": "an apple"}
    assert "dropped or joined since (2): Bird, clock;" in said


def test_answers_beside_the_table_are_used_without_the_page_too(label):
    answer("bird.png", "apple", file="a.answers.jsonl")
    label(f"{SHOTS} --out a.csv")
    assert labels_in("a.csv")["bird.png"] == "apple"
    # What was written is known. But only the page, or --answers, goes on without --overwrite.
    assert Answers("a.answers.jsonl").owns("a.csv")
    assert label(f"{SHOTS} --out a.csv")[0] == 2
    assert label(f"{SHOTS} --out a.csv --answers a.answers.jsonl")[0] == 1


def test_spellings_of_one_name_are_one_class(label):
    os.rename("shots/fruit", "shots/Clock_")
    said = label(f"{SHOTS} --classes CLOCK,heart --out a.csv")[1]
    assert "'clock' and 'Clock_' are one class" in said or "are one class, 'Clock_'" in said
    assert "3 classes: Clock_ 8, bird 4, heart 0" in said or "clock 8" in said


def correct(table, **labels):
    """Save a table with other labels, as a spreadsheet does: semicolons, all cells quoted."""
    header, *rows = cells_of(table)
    for row in rows:
        row[1] = labels.get(Path(row[0]).stem, row[1])
    with open(table, "w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file, delimiter=";", quoting=csv.QUOTE_ALL).writerows([header, *rows])


def test_a_table_that_somebody_corrected_is_not_overwritten_but_used(label):
    label(f"{SHOTS} --out a.csv")
    assert [row[-1] for row in cells_of("a.csv")][0] == "Label by the model"
    correct("a.csv", bird="apple", clock="")
    status, said = label(f"{SHOTS} --out a.csv --overwrite")
    assert status == 2
    assert "'a.csv' was changed since this command wrote it; give another name, or" in said
    command = said.split(": ")[-1].strip()
    assert command == "--corrections a.csv --overwrite"
    status, said = label(f"{SHOTS} --out a.csv {command}")
    assert status == 1
    # An empty cell is a slip, unless the problem says none of these.
    assert said.count("the label in 'a.csv' is empty (2)") == 1
    labels = labels_in("a.csv")
    assert labels["bird.png"] == labels["more/bird.png"] == "apple"
    assert labels["clock.png"] != ""
    # It was kept, so that no later run forgets it.
    label(f"{SHOTS} --out a.csv --overwrite")
    assert labels_in("a.csv")["bird.png"] == "apple"
    correct("a.csv", clock="none of these")
    label(f"{SHOTS} --out a.csv --overwrite --corrections a.csv")
    assert "clock.png" not in labels_in("a.csv")
    assert labels_in("a.csv")["bird.png"] == "apple"


def test_overwrite_replaces_files_of_an_earlier_run_alone(label):
    theirs = {"notes.csv": b"my notes", "notes.xlsx": b"PK", "list.csv": b"path,label\na,b\n"}
    theirs |= {"page.html": b"<!doctype html>mine", "empty.csv": b""}
    for name, content in theirs.items():
        Path(name).write_bytes(content)
        option = "--out labels.csv --report" if name.endswith("html") else "--out"
        status, said = label(f"{SHOTS} {option} {name} --overwrite")
        assert status == 2
        assert f"{name!r} is not of an earlier run, and stays as it is; give another name" in said
    # A list is no table of this command, also where it is read.
    assert label(f"{SHOTS} --out list.csv --corrections list.csv --overwrite")[0] == 2
    assert {name: Path(name).read_bytes() for name in theirs} == theirs
    # What the command wrote is known, also when its answers are gone.
    files = "--out a.csv --report a.html"
    assert label(f"{SHOTS} {files}")[0] == 1
    Path("a.answers.jsonl").unlink()
    before = Path("a.html").read_text()
    assert label(f"{SHOTS} {files} --overwrite --classes heart")[0] == 1
    assert Path("a.html").read_text() != before


def test_a_corrected_workbook_of_excel_is_used(label):
    label(f"{SHOTS} --out a.xlsx")
    book = openpyxl.load_workbook("a.xlsx")
    (row,) = [row for row in book.active.iter_rows() if Path(row[0].value).name == "notes.txt"]
    assert row[-1].value is None
    for row in book.active.iter_rows(min_row=2):
        if Path(row[0].value).stem == "fruit":
            row[1].value = "apple"
    book.save("a.xlsx")
    assert label(f"{SHOTS} --out a.xlsx --overwrite")[0] == 2
    said = label(f"{SHOTS} --out b.csv --corrections a.xlsx")[1]
    assert "New classes by your answers or corrections: apple" in said
    Path("broken.xlsx").write_text("no workbook")
    assert "no workbook of Excel" in label(f"{SHOTS} --out c.csv --corrections broken.xlsx")[1]


def test_the_page_has_a_table_of_its_own_beside_no_picture(label, monkeypatch):
    monkeypatch.setattr("sksemobridge.labelling._photos.needed_packages.find_spec", str)
    monkeypatch.chdir("photos")
    status, said = label("../photos --shots ../shots --model mini --open")
    assert status == 2
    assert "--out: this folder is in PHOTOS" in said


def test_a_run_resolves_the_path_of_a_picture_once_and_its_report_once_more(label, monkeypatch):
    resolved, real = [], os.path.realpath

    def realpath(path, **options):
        resolved.append(os.fspath(path))
        return real(path, **options)

    monkeypatch.setattr(os.path, "realpath", realpath)
    for options, n in (("--out a.csv", 1), ("--out b.csv --report b.html", 2)):
        resolved.clear()
        label(f"{SHOTS} {options}")
        pictures = [path for path in resolved if str(path).endswith(".png")]
        assert len(pictures) <= n * len({*pictures})


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such names")
def test_names_cannot_make_the_terminal_do_anything(label):
    odd = "a\x1b[31m\a\u202e.png"
    Path("photos", odd).write_bytes(b"no image")
    said = label(f"{SHOTS} --out labels.csv")[1]
    assert "a\\x1b[31m\\x07\\u202e.png" in said
    assert not {"\x1b", "\a", "\u202e"} & {*said}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such names")
def test_a_class_with_control_characters_is_refused(label):
    Path("shots/a\x1b[2J").mkdir()
    said = label(f"{SHOTS} --out labels.csv")
    assert said[0] == 2
    assert r"--shots: the name 'a\x1b[2J' has control characters; leave them out" in said[1]
    with pytest.raises(ValueError, match="--classes: the name .* has control characters"):
        label_folder("photos", classes=["bird", "clo\u200fck"], model="mini")


def test_none_of_these_and_blank_names_are_no_classes(label):
    what = "means that an image is of none of the classes, and is no class; give it another name"
    status, said = label("photos --model mini --out a.csv --classes bird,clock,None_of_these")
    assert status == 2
    assert f"--classes: 'None_of_these' {what}" in said
    os.rename("shots/fruit", "shots/None of these")
    status, said = label(f"{SHOTS} --out a.csv")
    assert status == 2
    assert f"--shots: 'None of these' {what}" in said
    os.rename("shots/None of these", "shots/_ _")
    assert "--shots: the name '_ _' is blank; give another one" in label(f"{SHOTS} --out a.csv")[1]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"label": "bi\x1brd"}, r"the name 'bi\\x1brd' has control characters"),
        ({"label": " "}, "the name ' ' is blank"),
        ({"label": "None of these"}, "'None of these' means that an image is of none"),
    ],
)
def test_names_in_answers_that_no_class_can_have_are_refused_with_their_line(
    label, values, message
):
    answer("bird.png", "bird")
    answer("clock.png", name="photos/clock.png", **values)
    last = Path("mine.jsonl").read_text().count("\n")
    status, said = label(f"{SHOTS} --out a.csv --answers mine.jsonl")
    assert status == 2
    assert re.search(f"--answers: 'mine.jsonl', \"id\": {last}: {message}", said)
    assert not Path("a.csv").exists()


def test_predictions_do_not_become_answers(label):
    label(f"{SHOTS} --out labels.csv")
    rows = rows_of("labels.csv")
    again = f"{SHOTS} --out labels.csv --overwrite --corrections"
    rows = [row for row in rows if row["label"]]
    lines = [f"{row['path']},{row['label']}\n" for row in rows]
    Path("list.csv").write_text("".join(lines))
    status, said = label(f"{again} list.csv")
    assert status == 2
    assert "'list.csv' labels every image as 'labels.csv' does, so these are predictions" in said
    assert "--corrections labels.csv" in said
    # A part of them may be what somebody looked at, and so may all if one is other.
    for checked in (lines[1:], [f"{rows[0]['path']},apple\n", *lines[1:]]):
        Path("list.csv").write_text("".join(checked))
        assert label(f"{again} list.csv")[0] == 1
    # The same answers again.
    assert label(f"{again} list.csv")[0] == 1
