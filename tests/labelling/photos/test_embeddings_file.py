"""A folder with embeddings that the user has already."""

import io
import os
import zipfile
from pathlib import Path

import joblib
import numpy as np
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from sksemobridge import CLIPImageEncoder, CLIPTextEncoder, FewShotClassifier, trusted_types
from sksemobridge.labelling import label_folder

from ...programs import run_program
from ...user_folder import CLASSES, rows_of

PATHS = [f"{folder}{name}.png" for name in CLASSES for folder in ("", "more/")]


def embedded(paths):
    return CLIPImageEncoder("mini", "bundled").transform([f"photos/{path}" for path in paths])


def texts_of(names):
    return CLIPTextEncoder("mini", "bundled").transform([f"a {name}." for name in names])


def write(path="e.npz", names=CLASSES, **arrays):
    """A file of embeddings, of `mini`."""
    texts = {"names": np.array(names), "texts": texts_of(names)} if names else {}
    np.savez(path, **{"paths": np.array(PATHS), "images": embedded(PATHS)} | texts | arrays)


def labels_of(path):
    return {row["path"]: row["label"] for row in rows_of(path)}


def test_embeddings_take_the_place_of_a_model(label):
    write()
    status, text = label("photos --embeddings e.npz --out labels.csv")
    assert status == 1  # two files have no row
    assert "labels.csv" in text
    labels = labels_of("labels.csv")
    assert {labels[str(Path("photos", f"{name}.png"))] for name in CLASSES} == {*CLASSES}
    problems = {row["path"]: row["problem"] for row in rows_of("labels.csv") if row["problem"]}
    assert problems == {
        str(Path("photos", name)): "'e.npz' has no embedding of it"
        for name in ("broken.jpg", "more/notes.txt")
    }


@pytest.mark.parametrize("kind", ["skops", "joblib"])
def test_a_classifier_that_was_saved_takes_the_embeddings_of_another_folder(label, kind):
    write()
    Path("said.csv").write_text("".join(f"photos/{name}.png,{name}\n" for name in CLASSES))
    label(f"photos --embeddings e.npz --corrections said.csv --out a.csv --save a.{kind}")
    status, said = label(f"photos --model-file a.{kind} --out b.csv")
    assert status == 2
    assert f"--model-file: 'a.{kind}' is a classifier of embeddings; give --embeddings" in said
    os.rename("photos", "next")
    Path("e.npz").rename("next.npz")
    again = f"next --model-file a.{kind} --embeddings next.npz"
    assert label(f"{again} --out b.csv --save b.{kind}")[0] == 1
    assert [*labels_of("b.csv").values()] == [*labels_of("a.csv").values()]
    assert {*labels_of("a.csv").values()} == {*CLASSES, ""}
    # The classifier is one for any program.
    classifier = (
        joblib.load("a.joblib")
        if kind == "joblib"
        else skops.io.load("a.skops", trusted=trusted_types())
    )
    assert isinstance(classifier, FewShotClassifier)
    os.rename("next", "photos")
    np.savez("wide.npz", paths=np.array(PATHS), images=np.ones((6, 3)))
    said = label(f"photos --model-file b.{kind} --embeddings wide.npz --out c.csv")[1]
    assert f"'wide.npz' has rows of 3 numbers, and 'b.{kind}' learnt from rows of" in said


@pytest.mark.parametrize("is_search", [False, True])
def test_a_classifier_of_scikit_learn_takes_embeddings(label, is_search):
    write()
    labels = np.repeat(CLASSES, 2)
    rows, y = np.repeat(np.load("e.npz")["images"], 2, axis=0), np.repeat(labels, 2)
    classifier = LogisticRegression()
    if is_search:
        classifier = GridSearchCV(classifier, {"C": [1, 10]}, cv=2)
    joblib.dump(classifier.fit(rows, y), "a.joblib")
    status, _ = label("photos --model-file a.joblib --embeddings e.npz --out a.csv")
    assert status == 1  # two files have no row
    found = labels_of("a.csv")
    assert [found[str(Path("photos", path))] for path in PATHS] == [*labels]


def test_a_classifier_with_an_encoder_takes_no_embeddings(label):
    write()
    label("photos --classes bird,clock --model mini --out a.csv --save a.joblib")
    said = label("photos --model-file a.joblib --embeddings e.npz --out b.csv")[1]
    assert "--embeddings: 'a.joblib' has an encoder of images; leave --embeddings out" in said


def test_neither_a_model_nor_torch_is_loaded(place):
    write()
    program = (
        "import sys; from sksemobridge.labelling._command.cli import main;"
        "main(['label', 'photos', '--embeddings', 'e.npz', '--out', 'o.csv']);"
        "print({'torch', 'open_clip'} & {*sys.modules})"
    )
    run = run_program(program)
    assert run.stdout.strip() == "set()", run.stderr


def test_classes_are_chosen_among_names_and_words(place):
    words = np.array(["a bird", "a clock", "an apple"])
    write(names=["Fruit"], words=words, word_texts=texts_of(["bird", "clock", "apple"]))
    table = label_folder("photos", classes=["fruit", "BIRD", "clock"], embeddings="e.npz").table
    labels = dict(zip(table["path"], table["label"]))
    assert labels[str(Path("photos", "bird.png"))] == "BIRD"
    assert labels[str(Path("photos", "fruit.png"))] == "fruit"


def test_a_class_without_a_text_is_known_from_its_first_label_on(place):
    write(names=["bird", "clock"])
    Path("said.csv").write_text("photos/fruit.png,fruit")
    given = {"classes": CLASSES, "embeddings": "e.npz"}
    with pytest.warns(UserWarning, match=r"Classes without a text in 'e.npz' \(1\): fruit"):
        table = label_folder("photos", **given).table
    assert {*table["label"].dropna()} == {"bird", "clock"}
    labelled = label_folder("photos", **given, corrections="said.csv")
    assert labelled.pipeline.classes_.tolist() == [*CLASSES]
    assert labelled.pipeline[-1].class_names_.tolist() == ["bird", "clock", None]


def test_one_class_with_a_text_is_too_few(place):
    write(names=["bird"])
    given = {"classes": CLASSES, "embeddings": "e.npz"}
    with pytest.raises(ValueError, match="no text of clock, fruit, which leaves one class, 'bird'"):
        label_folder("photos", **given)
    # A label of another class makes two.
    Path("said.csv").write_text("photos/fruit.png,fruit")
    with pytest.warns(UserWarning, match="without a text"):
        labelled = label_folder("photos", **given, corrections="said.csv")
    assert labelled.pipeline.classes_.tolist() == ["bird", "fruit"]


def test_the_first_label_of_a_class_without_a_text_writes_the_table(label):
    write()
    Path("c.csv").write_text(f"path,label\n{Path('photos', PATHS[0])},sea monster\n")
    status, text = label("photos --embeddings e.npz --corrections c.csv --out labels.csv")
    assert status == 1, text  # two files have no row
    assert labels_of("labels.csv")[str(Path("photos", PATHS[0]))] == "sea monster"


def test_without_any_text_shots_teach(place):
    write(names=())
    Path("said.csv").write_text("".join(f"photos/{name}.png,{name}\n" for name in CLASSES))
    given = {"classes": CLASSES, "embeddings": "e.npz"}
    warns = pytest.warns(UserWarning, match="without a text")
    with warns, pytest.raises(ValueError, match="has no text of any class"):
        label_folder("photos", **given)
    table = label_folder("photos", **given, corrections="said.csv").table
    assert table["label"].isin(CLASSES).sum() == 6


def test_shots_are_found_by_absolute_paths(place):
    shots = sorted(Path("shots").resolve().rglob("*.png"))
    images = CLIPImageEncoder("mini", "bundled").transform(shots)
    both = np.concatenate([embedded(PATHS), images])
    write(paths=[*PATHS, *map(str, shots)], images=both)
    labelled = label_folder("photos", shots="shots", embeddings="e.npz")
    assert labelled.evaluation.n_shots.sum() == len(shots)


def test_absolute_paths_of_a_folder_that_moved(place):
    write(paths=[f"/gone/photos/{path}" for path in PATHS])
    with pytest.warns(UserWarning, match="6 absolute paths in 'e.npz' are not there"):
        table = label_folder("photos", embeddings="e.npz").table
    assert (table["problem"] == "").sum() == 6


def test_names_that_the_file_lacks_may_come_from_the_model_that_made_it(place):
    write(names=["bird", "clock"])
    given = {"classes": CLASSES, "embeddings": "e.npz"}
    table = label_folder("photos", **given, model="mini").table
    assert table["label"].isin(CLASSES).sum() == 6
    rng = np.random.default_rng(0)
    other = rng.normal(size=(2, texts_of(["x"]).shape[1]))
    write("other.npz", names=["bird", "clock"], texts=other)
    with pytest.raises(ValueError, match="another model made them"):
        label_folder("photos", **given | {"embeddings": "other.npz"}, model="mini")


def test_an_embedding_that_is_not_finite_is_a_problem(place):
    images = embedded(PATHS)
    images[0, 3] = np.nan
    write(images=images)
    table = label_folder("photos", embeddings="e.npz").table
    problem = dict(zip(table["path"], table["problem"]))[str(Path("photos", PATHS[0]))]
    assert problem == "its embedding in 'e.npz' is not finite"


def test_an_embedding_of_zeros_is_a_problem(place):
    images = embedded(PATHS)
    images[0] = 0
    write(images=images)
    table = label_folder("photos", embeddings="e.npz").table
    problem = dict(zip(table["path"], table["problem"]))[str(Path("photos", PATHS[0]))]
    assert problem == "its embedding in 'e.npz' has nothing but zeros"


def test_paths_that_are_relative_to_another_folder_are_named(place):
    write(paths=[f"photos/{path}" for path in PATHS])
    with pytest.raises(ValueError, match="no embedding of any file in PHOTOS") as error:
        label_folder("photos", embeddings="e.npz")
    where = f"such as 'photos/bird.png', are relative to {os.getcwd()!r}, and must be relative to"
    assert where in str(error.value)
    write(paths=[f"elsewhere/{path}" for path in PATHS])
    with pytest.raises(ValueError, match="such as 'elsewhere/bird.png', must be relative to"):
        label_folder("photos", embeddings="e.npz")
    write(paths=[f"/elsewhere/{path}" for path in PATHS])
    with pytest.raises(ValueError, match="its paths must be in PHOTOS, 'photos'"):
        label_folder("photos", embeddings="e.npz")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"paths": np.array([*PATHS[:5], PATHS[0]])}, "has these images twice: 'bird.png'"),
        ({"paths": np.array(PATHS, dtype=object)}, "numpy.savez"),
        ({"paths": np.arange(6)}, "paths in 'e.npz' is no array of text"),
        ({"images": np.zeros((5, 4))}, r"images in 'e.npz' has the shape \(5, 4\)"),
        ({"texts": np.zeros((3, 4))}, "rows of 4 numbers"),
        ({"words": np.array(["a cat"])}, r"word_texts in 'e.npz' has the shape"),
        ({"texts": np.full((3, 128), np.nan)}, "texts in 'e.npz' are not finite for 'bird'"),
        ({"texts": np.zeros((3, 128))}, "texts in 'e.npz' have nothing but zeros for 'bird', 'clo"),
        ({"names": ["bird", "None of these", "a"]}, "'None of these' means that an"),
        ({"logit_scale": np.array("a")}, "logit_scale in 'e.npz' is no number above zero"),
        ({"paths": np.array([*PATHS[:5], "./" + PATHS[0]])}, "has these images twice"),
        ({"logit_scale": np.array(-1.0)}, "logit_scale in 'e.npz' is no number above zero"),
        ({"word_texts": np.ones((3, 128))}, "has 'word_texts' without 'words'"),
    ],
)
def test_what_does_not_fit_is_named(place, arrays, message):
    write(**arrays)
    with pytest.raises(ValueError, match=message):
        label_folder("photos", embeddings="e.npz")


def test_a_file_without_names_needs_classes(place):
    write(names=())
    with pytest.raises(ValueError, match="'e.npz' has no names of classes; give --classes"):
        label_folder("photos", embeddings="e.npz")


def test_names_of_one_class_are_refused(place):
    write(names=["bird", "Bird", "clock"])
    with pytest.raises(ValueError, match="one class twice: 'bird'"):
        label_folder("photos", embeddings="e.npz")


def header(shape, dtype="<f4"):
    """An array without its numbers, as numpy.savez writes it."""
    file = io.BytesIO()
    parts = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, parts)
    return file.getvalue()


def write_part(name, content):
    """Put a part of any kind into a file of embeddings."""
    with zipfile.ZipFile("e.npz") as file:
        parts = {part: file.read(part) for part in file.namelist()}
    with zipfile.ZipFile("e.npz", "w") as file:
        for part, old in (parts | {f"{name}.npy": content}).items():
            file.writestr(part, old)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("images", header((10**12, 4)), "Unable to allocate"),
        ("paths", header((10**12,), "<U0"), "paths in 'e.npz' is no array of text"),
        ("texts", header((10**6, 4)), "EOF"),
        ("images", b"nothing", "'images' is no array"),
    ],
)
def test_what_a_part_really_holds_is_said(place, name, content, message):
    write()
    write_part(name, content)
    with pytest.raises(ValueError, match=f"--embeddings: .*{message}"):
        label_folder("photos", embeddings="e.npz")


def test_parts_that_nothing_needs_are_not_read(place):
    write()
    write_part("layers", header((10**12, 4)))
    assert label_folder("photos", embeddings="e.npz").table["label"].notna().sum() == 6


def test_a_single_array_under_another_name_is_no_archive(place):
    np.save("e.npy", np.zeros((6, 4)))
    Path("e.npy").rename("e.npz")
    with pytest.raises(ValueError, match="it is no archive .numpy.save writes one array"):
        label_folder("photos", embeddings="e.npz")


def test_a_file_that_is_no_archive_is_named(place):
    Path("e.npz").write_bytes(b"PK nothing")
    for name in ("e.npz", "none.npz"):
        with pytest.raises(ValueError, match=f"--embeddings: .*{name}"):
            label_folder("photos", embeddings=name)
