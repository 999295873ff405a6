"""New pictures next week: the same command again, or a saved classifier on another folder."""

import os
import shutil
from pathlib import Path

import joblib
import pytest

from sksemobridge.datasets import load_emoji
from sksemobridge.labelling import stranger_proba
from sksemobridge.labelling._answers.answers_file import Answers, digest_of
from sksemobridge.labelling._answers.events import PictureEvent

from ...user_folder import SHOTS, fitted_to_shots, rows_of, save

AGAIN = f"{SHOTS} --out labels.csv --answers labels.answers.jsonl"


def answer(*labels):
    """Answers of the page to pictures of `photos`, each with its label."""
    with Answers("labels.answers.jsonl") as answers:
        for path, label in labels:
            digest = digest_of(Path("photos", path).read_bytes())
            answers.append("say", pictures=(PictureEvent(path, "photos", *digest, label=label),))


def labels_below(folder="photos", table="labels.csv"):
    rows = rows_of(table)
    return {Path(row["path"]).relative_to(folder).as_posix(): row["label"] for row in rows}


def test_the_same_command_again_knows_new_changed_gone_and_renamed_pictures(label):
    answer(("bird.png", "apple"), ("clock.png", "pear"), ("fruit.png", "plum"))
    answer(("more/bird.png", "fig"))
    label(AGAIN)
    first = labels_below()
    assert [first[f"{name}.png"] for name in ("bird", "clock", "fruit")] == [
        "apple",
        "pear",
        "plum",
    ]
    new = load_emoji().images[0]
    save(new, "photos/new.png")
    os.remove("photos/clock.png")
    os.rename("photos/fruit.png", "photos/more/other name.png")
    shutil.copy("photos/more/bird.png", "photos/a copy.png")
    save(new[::-1], "photos/bird.png")
    _, said = label(AGAIN)
    again = labels_below()
    assert again["more/other name.png"] == "plum"
    assert "clock.png" not in again
    assert "fruit.png" not in again
    # Each place of a picture has its answer, and another picture at its place has none.
    assert again["a copy.png"] == "fig" or again["more/bird.png"] == "fig"
    assert again["bird.png"] not in ("apple", "")
    assert again["new.png"]
    assert "Passed over, not there or changed since they were answered (2): bird.png" in said
    assert again["more/clock.png"] == first["more/clock.png"]


def test_a_folder_that_moved_keeps_its_answers(label):
    answer(("bird.png", "apple"))
    os.rename("photos", "elsewhere")
    label(AGAIN.replace("photos", "elsewhere", 1))
    assert labels_below("elsewhere")["bird.png"] == "apple"


@pytest.fixture
def learns_from_six(monkeypatch):
    monkeypatch.setattr("sksemobridge.labelling._photos.folder_job.LEAST_POOL", 6)


def test_a_saved_classifier_learns_from_another_folder(label, learns_from_six):
    label(f"{SHOTS} --out a.csv --save a.skops")
    os.rename("photos", "next")
    _, said = label("next --model-file a.skops --out b.csv --save b.joblib")
    assert "The 6 images without a label taught the classifier too" in said
    pipeline = fitted_to_shots()
    paths = [row["path"] for row in rows_of("b.csv") if row["label"]]
    proba = pipeline.with_unlabeled(paths).predict_proba(paths).max(axis=1)
    found = [float(row["probability"]) for row in rows_of("b.csv") if row["label"]]
    assert found == pytest.approx(proba, abs=1e-4)
    _, said = label("next --model-file a.skops --out c.csv --each-by-itself")
    assert "Each image was labelled by itself." in said


def test_answers_stand_beside_a_saved_classifier(label, learns_from_six):
    label(f"{SHOTS} --out a.csv --save a.skops")
    answer(("bird.png", "apple"), ("more/bird.png", "clock"), ("more/clock.png", ""))
    _, said = label("photos --model-file a.skops --out b.csv --answers labels.answers.jsonl")
    assert "3 labels by persons: the classifier learnt nothing from them." in said
    labels = labels_below(table="b.csv")
    assert [labels[name] for name in ("bird.png", "more/bird.png", "more/clock.png")] == [
        "apple",
        "clock",
        "",
    ]


@pytest.mark.parametrize("kind", ["skops", "joblib"])
def test_a_saved_classifier_remembers_which_images_are_none_of_the_classes(
    label, learns_from_six, kind
):
    answer(("more/bird.png", ""))
    _, said = label(f"{AGAIN} --save a.{kind}")
    assert f"Classifier: a.{kind}" in said
    os.rename("photos", "next")
    _, said = label(f"next --model-file a.{kind} --out b.csv --save b.joblib")
    assert "The classifier remembers 1 image of none of the classes." in said
    pipeline, rows = joblib.load("b.joblib"), rows_of("b.csv")
    rows = [row for row in rows if row["problem"] in ("", "none of these")]
    X = pipeline[:-1].transform([row["path"] for row in rows])
    none = stranger_proba(pipeline[-1], X, pipeline[:-1].transform(["next/more/bird.png"]))
    shares = pipeline.predict_proba([row["path"] for row in rows]) * (1 - none[:, None])
    found = [
        float(row["runner_up_probability" if row["problem"] else "probability"]) for row in rows
    ]
    assert found == pytest.approx(shares.max(axis=1), abs=1e-4)
    assert none.max() > 0.1
    # So does the next one.
    said = label("next --model-file b.joblib --out c.csv")[1]
    assert "The classifier remembers 1 image" in said
    assert rows_of("c.csv") == rows_of("b.csv")


def test_a_missing_skops_is_said_before_any_work(label, monkeypatch):
    monkeypatch.setattr(
        "sksemobridge.labelling._photos.needed_packages.find_spec", lambda name: None
    )
    monkeypatch.setattr("sksemobridge.labelling._command.run.read_job", None)
    status, said = label(f"{SHOTS} --out a.csv --save a.skops")
    assert status == 2
    assert "label: --save: .skops files need skops" in said
    assert said.count("\n") == 1
