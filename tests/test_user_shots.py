"""What the command learns from a folder and a person's corrections, and what it says of it."""

import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from sksemobridge._command import main
from sksemobridge._user_shots import UserShots

from .user_folder import LABEL, link, rows_of


def label(*arguments):
    """The rows of the table, by path."""
    main([*LABEL, "--out", "labels.csv", *arguments])
    rows = {Path(row["path"]).as_posix(): row for row in rows_of("labels.csv")}
    Path("labels.csv").unlink()
    return rows


def test_the_command_says_how_good_the_classifier_is(place, capsys):
    os.rename("shots/bird/0.png", "shots/fruit/wrong.png")
    label()
    output = capsys.readouterr().err
    assert "12 shots of 3 classes: bird 3, clock 4, fruit 5" in output
    assert "Held-out shots predicted right: " in output
    assert "names alone" in output
    assert "LogisticRegression" in output
    wrong = Path("shots/fruit/wrong.png")
    assert f"1 shot with a doubtful label: {wrong} (fruit, looks like bird)" in output
    Path("corrections.csv").write_text("shots/fruit/wrong.png,fruit\n")
    label("--corrections", "corrections.csv")
    assert "0 shots with a doubtful label\n" in capsys.readouterr().err


def test_corrections_are_further_shots_and_take_shots_back(place, capsys):
    os.rename("shots/bird/0.png", "shots/fruit/wrong.png")
    os.rename("shots/bird/1.png", "shots/fruit/wrong too.png")
    os.rename("shots/bird/2.png", "shots/fruit/odd.png")  # a label that a person gave is not doubtful
    Path("corrections.csv").write_text(
        "path,label\nphotos/bird.png,bird\nshots/fruit/wrong.png,\nshots/fruit/wrong too.png,bird\n"
        "shots/clock/0.png,clock\nphotos/more/clock.png,\nshots/fruit/odd.png,fruit\n"
    )
    rows = label("--corrections", "corrections.csv")
    output = capsys.readouterr().err
    counts = "confirmed 2, further shot 1, none of the classes 1, other label 1, taken back 1"
    assert f"Corrections: {counts}\n" in output
    assert "12 shots of 3 classes: bird 3, clock 4, fruit 5" in output
    assert "0 shots with a doubtful label\n" in output
    assert "of 4 other labels" in output
    assert (rows["photos/bird.png"]["label"], rows["photos/bird.png"]["probability"]) == ("bird", "1.0000")
    assert rows["photos/more/clock.png"]["problem"] == "none of these"


def test_the_command_says_which_labels_corrections_change(place, capsys):
    before = label()
    Path("corrections.csv").write_text("".join(f"shots/fruit/{i}.png,clock\n" for i in range(4)))
    after = label("--corrections", "corrections.csv")
    changed = [path for path in before if before[path]["label"] != after[path]["label"]]
    output = capsys.readouterr().err
    assert f"Changed by the corrections: {len(changed)} of 6 other labels: 2 from fruit to " in output
    assert "Note: Classes without shots by the corrections: fruit" in output


def test_corrections_may_bring_a_class(place, capsys):
    Path("corrections.csv").write_text("photos/fruit.png,apple\n")
    Path("names.csv").write_text("apple,a red apple\n")
    rows = label("--corrections", "corrections.csv", "--names", "names.csv")
    assert rows["photos/fruit.png"]["label"] == "apple"
    assert "Note: New classes by the corrections: apple" in capsys.readouterr().err


def test_names_that_the_model_may_not_know_are_named(place, capsys):
    os.rename("shots/bird", "shots/Vögel")
    os.rename("shots/clock", "shots/A113")
    label()
    assert "Names that the model may not know (2): A113, Vögel." in capsys.readouterr().err
    Path("names.csv").write_text("Vögel,bird\nA113,clock\n", encoding="utf-8")
    label("--names", "names.csv")
    assert "may not know" not in capsys.readouterr().err


def test_names_that_say_little_by_the_shots_are_said(place, capsys):
    Path("names.csv").write_text("bird,clock face\nclock,fruit bowl\nfruit,bird nest\n")
    label("--names", "names.csv")
    assert "the names of the classes say little to the model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("label_of_all", "more", "message"),
    [
        ("", "", "they remove all shots"),
        ("fruit", "", "they leave one class, and all images would be labelled 'fruit'"),
        ("fruit", "photos/broken.jpg,apple", "no image of these classes can be read: apple"),
    ],
)
def test_corrections_that_leave_nothing_to_learn_are_wrong_use(place, capsys, label_of_all, more, message):
    lines = "".join(f"{path},{label_of_all}\n" for path in Path("shots").rglob("*.png"))
    Path("corrections.csv").write_text(lines + more)
    with pytest.raises(SystemExit, match="2"):
        main([*LABEL, "--out", "labels.csv", "--corrections", "corrections.csv"])
    assert f"--corrections: {message}" in capsys.readouterr().err


def test_corrections_are_enough_where_no_shot_of_the_folder_can_be_read(place, capsys):
    lines = ["photos/bird.png,bird", "photos/clock.png,clock"]
    for path in Path("shots").rglob("*.png"):
        path.write_bytes(b"no image")
        lines.append(f"{path},")
    Path("corrections.csv").write_text("\n".join(lines))
    rows = label("--corrections", "corrections.csv")
    assert {row["label"] for row in rows.values()} == {"bird", "clock", ""}
    assert "2 shots of 2 classes" in capsys.readouterr().err


def test_a_correction_is_for_all_links_to_its_file(place, capsys):
    link(Path("shots/bird/0.png").absolute(), "shots/fruit/link.png")
    Path("corrections.csv").write_text("shots/bird/0.png,\n")
    label("--corrections", "corrections.csv")
    assert "11 shots of 3 classes: bird 3, clock 4, fruit 4" in capsys.readouterr().err


def test_a_shot_does_not_look_like_its_own_label():
    proba = np.array([[0.6, 0.1, 0.3], [0.2, 0.7, 0.1], [np.nan, np.nan, np.nan]])
    evaluation = SimpleNamespace(classes=np.array(["a", "b", "c"]), held_out_proba=proba)
    shots = UserShots(None, ["1", "2", "3"], np.array(["a", "a", "a"], dtype=object), None, evaluation)
    assert shots.best_other().tolist() == ["c", "b", "b"]
