"""From a folder of pictures to what a page shows."""

import base64
import io
import json
import os
import re
import sys
from pathlib import Path
from urllib.parse import unquote_to_bytes, urljoin

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.pipeline import make_pipeline

from sksemobridge import CLIPImageEncoder, ImageReadError, predict_folder, write_report
from sksemobridge._label.report._page import address, thumbnail
from sksemobridge.datasets import load_image_folder

from ...user_folder import CLASSES, SHOTS, fitted_to_shots


def data_of(path):
    text = path.read_text(encoding="utf-8")
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1])


def test_each_file_has_its_prediction(report):
    pictures = data_of(report(alpha=0.2))["pictures"]
    table = predict_folder(fitted_to_shots(), "photos", alpha=0.2, progress=False)
    for name, values in table.astype(object).where(table.notna(), None).items():
        assert [item[name] for item in pictures] == values.tolist()
    assert [item["readable"] for item in pictures] == table["p_value"].notna().tolist()


def test_the_closest_shots_are_in_order_and_no_picture_is_its_own(report):
    data = data_of(report("shots/bird"))
    paths = [shot["path"] for shot in data["shots"]]
    similarity = cosine_similarity(CLIPImageEncoder("mini", "bundled").transform(paths))
    for item in data["pictures"]:
        order = [paths[i] for i in np.argsort(-similarity[paths.index(item["path"])])]
        assert [paths[i] for i in item["closest"]] == [path for path in order if path != item["path"]][:3]


def test_doubtful_shots_say_what_they_look_like(report):
    os.rename("shots/bird/0.png", "shots/fruit/wrong.png")
    data = data_of(report())
    (shot,) = (data["shots"][i] for i in data["doubtful"])
    found = shot["path"], shot["label"], shot["likely"]
    assert found == (str(Path("shots/fruit/wrong.png")), "fruit", "bird")
    assert shot["probability"] < 0.5


def test_corrections_are_known_under_the_paths_of_the_page(label, place):
    photo, shot = str(Path("photos/bird.png")), str(Path("shots/clock/0.png"))
    Path("corrections.csv").write_text(f"{place / photo},bird\n./{shot},fruit\n")
    label(f"{SHOTS} --out a.csv --report a.html --corrections corrections.csv")
    data = data_of(place / "a.html")
    assert data["corrections"] == {photo: "bird", shot: "fruit"}
    assert [item["path"] for item in data["pictures"] if item["given"]] == [photo]


def test_pictures_up_to_a_limit_are_in_the_page(report):
    few = data_of(report(n_thumbnails=4))
    items = [*few["pictures"], *few["shots"]]
    assert sum(item["thumbnail"] is not None for item in items) == 4
    # The most doubtful picture comes first.
    first = min((item for item in few["pictures"] if item["readable"]), key=lambda item: item["probability"])
    assert first["thumbnail"] is not None
    all_of_them = data_of(report(name="all.html"))
    assert None not in {item["thumbnail"] for item in all_of_them["pictures"] if item["readable"]}


def test_a_thumbnail_is_a_small_jpeg(report):
    Image.fromarray(np.full((400, 800, 3), 200, dtype=np.uint8)).save("photos/bird.png")
    (address,) = {p["thumbnail"] for p in data_of(report())["pictures"] if p["path"].endswith("s/bird.png")}
    kind, _, content = address.partition(",")
    assert kind == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(content))).size == (160, 80)
    # Such as a file that is gone since it was embedded.
    assert thumbnail("photos/broken.jpg") is None


@pytest.mark.parametrize(
    "name",
    ["a.png", "a space.png", "a:b.png", "javascript:alert(1).png", "#?%41.png", "Vögel.png", "\udcff.png"],
)
@pytest.mark.skipif(sys.platform != "linux", reason="other systems have fewer names")
def test_an_address_leads_to_its_file_and_to_nothing_else(tmp_path, name):
    (tmp_path / "pages").mkdir()
    (tmp_path / name).touch()
    found = address(str(tmp_path / name), tmp_path / "pages")
    page = (tmp_path / "pages" / "report.html").as_uri()
    path = urljoin(page, found).removeprefix("file://")
    assert os.path.samefile(unquote_to_bytes(path), tmp_path / name)
    assert address(str(tmp_path / name), tmp_path).count(":") == 0


def test_another_drive_has_a_whole_address(tmp_path, monkeypatch):
    def relpath(path, start):
        raise ValueError("path is on mount 'D:', start on mount 'C:'")

    monkeypatch.setattr(os.path, "relpath", relpath)
    assert address(str(tmp_path / "a.png"), tmp_path) == Path(os.path.realpath(tmp_path), "a.png").as_uri()


def test_the_page_says_how_good_the_classifier_is(report):
    text = report(alpha=1).read_text(encoding="utf-8")
    assert "<li>6 of none of the classes, 1 skipped, 1 no image</li>" in text
    assert "<li>12 shots of 3 classes" in text
    assert "<li>Held-out shots predicted right" in text


def test_any_classifier_has_a_page_without_shots(place):
    pipeline = make_pipeline(CLIPImageEncoder("mini", "bundled"), LogisticRegression())
    write_report("report.html", fitted_to_shots(pipeline), "photos", progress=False)
    data = data_of(place / "report.html")
    assert data["classes"] == list(CLASSES)
    assert {item["label"] for item in data["pictures"]} <= {*CLASSES, None}


@pytest.mark.filterwarnings("ignore:A column-vector")
def test_labels_may_be_a_column(place):
    shots = load_image_folder("shots")
    labels = shots.target_names[shots.target][:, None]
    write_report("a.html", fitted_to_shots(), "photos", shots.paths, labels, progress=False)
    assert {item["label"] for item in data_of(place / "a.html")["shots"]} == set(CLASSES)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"path": "there.html"}, FileExistsError, "'there.html' exists, and nothing is overwritten"),
        ({"path": ""}, FileExistsError, "'' exists"),
        ({"path": b"report.html"}, TypeError, "bytes"),
        ({"path": None}, TypeError, "NoneType"),
        ({"y_shots": ["bird"]}, ValueError, r"inconsistent numbers of samples: \[2, 1\]"),
        ({"y_shots": None}, ValueError, "belong together"),
        ({}, ImageReadError, "a.png"),
        ({"n_thumbnails": -1}, ValueError, "n_thumbnails == -1, must be >= 0"),
        ({"n_thumbnails": "all"}, TypeError, "n_thumbnails must be an instance of"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_folder_is_read(place, change, error, message):
    Path("there.html").write_text("mine")
    params = {"path": "report.html", "shots": ["a.png", "b.png"], "y_shots": ["bird", "clock"]} | change
    with pytest.raises(error, match=message):
        write_report(estimator=fitted_to_shots(), folder="no folder", **params)
    assert Path("there.html").read_text() == "mine"
