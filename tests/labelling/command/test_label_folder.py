"""The job of the command, from Python."""

import re
import warnings
from pathlib import Path

import pytest
from sklearn import config_context
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sksemobridge import CLIPImageEncoder, PrecomputedTextEncoder
from sksemobridge.datasets import load_image_folder
from sksemobridge.labelling import label_folder, predict_folder

from ...user_folder import CLASSES, SHOTS, rows_of


def own_encoder():
    """A transformer of a user, from paths to rows, NaN where a file cannot be read."""
    mini = CLIPImageEncoder("mini", "bundled", on_error="nan")

    def embed(paths):
        assert all(isinstance(path, str) for path in paths)
        with warnings.catch_warnings(action="ignore"):
            return mini.transform(list(paths))

    return FunctionTransformer(embed)


@pytest.mark.filterwarnings("ignore:The shots of 2 of 4 classes fit the name of another class")
def test_it_gives_what_the_command_gives_and_prints_nothing(label, capsys):
    Path("corrections.csv").write_text("photos/bird.png,apple")
    label(f"{SHOTS} --out a.csv --corrections corrections.csv")
    capsys.readouterr()
    given = {"shots": "shots", "model": "mini", "corrections": "corrections.csv"}
    with pytest.warns(UserWarning, match="New classes by your answers or corrections: apple"):
        labelled = label_folder("photos", **given)
    assert capsys.readouterr() == ("", "")
    assert labelled.table["label"].fillna("").tolist() == [row["label"] for row in rows_of("a.csv")]
    assert labelled.evaluation.n_shots.sum() == 13
    assert labelled.estimate.low <= labelled.estimate.estimate <= labelled.estimate.high
    paths = labelled.table["path"][labelled.table["problem"] == ""].tolist()
    assert {*labelled.pipeline.predict(paths)} <= {*CLASSES, "apple"}


def test_names_alone_have_no_evaluation(place):
    labelled = label_folder(place / "photos", classes=CLASSES, model="mini")
    assert labelled.evaluation is None
    assert labelled.estimate is None
    assert {*labelled.table["label"].dropna()} <= {*CLASSES}


def test_any_transformer_of_paths_embeds(place):
    expected = label_folder("photos", shots="shots", model="mini").table
    encoder = own_encoder()
    labelled = label_folder("photos", shots="shots", encoder=encoder)
    is_read = labelled.table["problem"] == ""
    assert is_read.tolist() == (expected["problem"] == "").tolist()
    assert {*labelled.table["problem"][~is_read]} == {"the encoder could not read it"}
    assert labelled.table["label"][is_read].isin(CLASSES).all()
    assert labelled.pipeline[0] is encoder
    with pytest.raises(ValueError, match="FunctionTransformer cannot read names; give --shots of"):
        label_folder("photos", classes=CLASSES, encoder=encoder)
    means = encoder.transform([f"photos/{name}.png" for name in CLASSES])
    text = PrecomputedTextEncoder.from_joint(dict(zip(CLASSES, means)))
    labelled = label_folder("photos", classes=CLASSES, encoder=encoder, text_encoder=text)
    labels = dict(zip(labelled.table["path"], labelled.table["label"]))
    assert all(labels[str(Path("photos", f"{name}.png"))] == name for name in CLASSES)


def test_embeddings_may_be_data_frames(place):
    pandas = pytest.importorskip("pandas")
    expected = label_folder("photos", shots="shots", model="mini").table
    with config_context(transform_output="pandas"):
        found = label_folder("photos", shots="shots", model="mini").table
    assert found.equals(expected)
    encoder = own_encoder()
    expected = label_folder("photos", shots="shots", encoder=encoder).table
    framed = FunctionTransformer(lambda paths: pandas.DataFrame(encoder.transform(paths)))
    assert label_folder("photos", shots="shots", encoder=framed).table.equals(expected)


def test_a_pipeline_from_any_transformer_labels_a_folder(place):
    shots = load_image_folder("shots")
    pipeline = make_pipeline(own_encoder(), LogisticRegression())
    pipeline.fit(shots.paths, shots.target_names[shots.target])
    table = predict_folder(pipeline, "photos", progress=False)
    assert (table["problem"] == "").sum() == 6
    assert table["label"].isin([*CLASSES]).sum() == 6


def test_what_does_not_fit_is_refused(place):
    with pytest.raises(ValueError, match="encoder is in place of model"):
        label_folder("photos", shots="shots", encoder=own_encoder(), model="mini")
    with pytest.raises(ValueError, match="encoder must be an object that makes rows of paths"):
        label_folder("photos", shots="shots", encoder=CLIPImageEncoder)
    with pytest.raises(ValueError, match="text_encoder goes with encoder"):
        label_folder("photos", shots="shots", text_encoder=own_encoder())
    with pytest.raises(ValueError, match="give classes, shots or embeddings"):
        label_folder("photos")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"classes": ["a", None]}, "classes has None, which is no text; give names as text"),
        ({"classes": 5}, "classes is 5, and must be text; give a list of names"),
        ({"classes": {"0": "bird"}}, "classes is a mapping, of which only the keys would be read"),
        ({"classes": Path("nowhere.txt")}, "There is no file 'nowhere.txt'; check the path"),
        ({"shots": 5}, "shots is 5, and must be a path; give text or a pathlib.Path"),
        ({"photos": None, "shots": "shots"}, "photos is None; give the path of a folder"),
        ({"photos": "nowhere", "shots": "shots"}, "There is no folder 'nowhere'; check the path"),
        ({"shots": "shots", "answers": b"a"}, "answers is b'a', and must be a path"),
    ],
)
def test_a_path_or_a_class_that_is_none_is_named(place, given, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        label_folder(**{"photos": "photos", "model": "mini"} | given)


def test_answers_that_are_not_there_are_named(label):
    with pytest.raises(ValueError, match=r"answers: there is no file 'typo.jsonl'"):
        label_folder("photos", classes=CLASSES, model="mini", answers="typo.jsonl")
    status, said = label("photos --classes a,b --model mini --out a.csv --answers typo.jsonl")
    assert (status, Path("typo.jsonl").exists()) == (2, False)
    assert "--answers: there is no file 'typo.jsonl'; the page (--open) begins one" in said
