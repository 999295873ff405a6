"""What a page shows."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from sksemobridge._folder_table import label_files
from sksemobridge._report._content import content
from sksemobridge._user_shots import learn


def known(corrections=None):
    """`UserShots` of the folder `shots`."""
    shots = learn("shots", ("mini", "bundled"), None, None, cache=None, alpha=0)
    return replace(shots, corrections=corrections or {})


def shown(shots, folder="photos", **params):
    table, paths, embeddings = label_files(shots.pipeline, folder, progress=False, **params)
    return content(table, shots.pipeline.classes_, paths, embeddings, shots)


def test_each_file_has_its_prediction(place):
    shots = known()
    data = shown(shots, alpha=0.2)
    table, *_ = label_files(shots.pipeline, "photos", progress=False, alpha=0.2)
    for item, label, p, other in zip(
        data["pictures"], table["label"], table["probability"], table["runner_up"], strict=True
    ):
        assert (item["label"], item["runner_up"]) == (label, other)
        assert item["probability"] == (None if np.isnan(p) else p)
    unread = [Path(item["path"]).name for item in data["pictures"] if not item["readable"]]
    assert unread == ["broken.jpg", "notes.txt"]


def test_the_closest_shots_are_in_order_and_no_picture_is_its_own(place):
    shots = known()
    data = shown(shots, "shots/bird")
    unit = shots.embeddings / np.linalg.norm(shots.embeddings, axis=1, keepdims=True)
    for item in data["pictures"]:
        closest = [data["shots"][i]["path"] for i in item["closest"]]
        row = shots.paths.tolist().index(item["path"])
        order = [shots.paths[i] for i in np.argsort(-unit @ unit[row])]
        assert closest == [path for path in order if path != item["path"]][:3]


def test_doubtful_shots_say_what_they_look_like(place):
    os.rename("shots/bird/0.png", "shots/fruit/wrong.png")
    data = shown(known())
    (shot,) = (data["shots"][i] for i in data["doubtful"])
    assert (shot["path"], shot["label"], shot["likely"]) == (
        str(Path("shots/fruit/wrong.png")),
        "fruit",
        "bird",
    )
    assert shot["probability"] < 0.5


def test_corrections_are_known_under_the_paths_of_the_page(place):
    corrections = {str(place / "photos" / "bird.png"): "bird", "./shots/clock/0.png": ""}
    shots = known(corrections)
    data = shown(shots, given=shots.given)
    bird, clock = str(Path("photos/bird.png")), str(Path("shots/clock/0.png"))
    assert data["corrections"] == {bird: "bird", clock: ""}
    assert [item["path"] for item in data["pictures"] if item["given"]] == [bird]
