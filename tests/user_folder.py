"""A folder of a user who labels pictures, and tables that are read back."""

import csv
import io
from functools import cache
from pathlib import Path

import pytest
from PIL import Image

from sksemobridge import make_few_shot_pipeline
from sksemobridge.datasets import load_emoji, load_image_folder

# Arguments of the command.
SHOTS = "photos --shots shots --model mini"
CLASSES = ("bird", "clock", "fruit")
COLUMNS = [
    "path",
    "label",
    "probability",
    "runner_up",
    "runner_up_probability",
    "p_value",
    "problem",
]


@cache
def contents():
    """Six files of each class."""
    emoji = load_emoji()
    labels = emoji.target_names[emoji.target]
    files = {name: [io.BytesIO() for _ in range(6)] for name in CLASSES}
    for name in CLASSES:
        for picture, file in zip(emoji.images[labels == name], files[name]):
            Image.fromarray(picture).save(file, "PNG")
    return {name: [file.getvalue() for file in files[name]] for name in CLASSES}


def fill(folder):
    """Make `shots` of three classes, and `photos` of which two files cannot be read."""
    Path(folder, "photos/more").mkdir(parents=True)
    for name, (*shots, one, other) in contents().items():
        Path(folder, "shots", name).mkdir(parents=True)
        for i, shot in enumerate(shots):
            (folder / f"shots/{name}/{i}.png").write_bytes(shot)
        (folder / f"photos/{name}.png").write_bytes(one)
        (folder / f"photos/more/{name}.png").write_bytes(other)
    (folder / "photos/broken.jpg").write_bytes(b"no image")
    (folder / "photos/more/notes.txt").write_text("no image either")
    (folder / "photos/.hidden").write_text("")
    return folder


def fitted_to_shots(pipeline=None):
    """The pipeline, or the default one, fitted to `shots`."""
    pipeline, folder = (
        pipeline or make_few_shot_pipeline("mini", "bundled"),
        load_image_folder("shots"),
    )
    return pipeline.fit(folder.paths, folder.target_names[folder.target])


def save(picture, path):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)


def link(target, path):
    """Make a link, or skip the test where this machine makes none."""
    try:
        Path(path).symlink_to(target, target_is_directory=Path(target).is_dir())
    except OSError:
        pytest.skip("this machine makes no links")


def cells_of(path, separator=","):
    """All cells of a CSV, row by row, the header first."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        return list(csv.reader(file, delimiter=separator))


def rows_of(path):
    """A CSV as one mapping for each row, by the columns of `predict_folder`."""
    return [dict(zip(COLUMNS, row)) for row in cells_of(path)[1:]]
