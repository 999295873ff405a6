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

from sksemobridge.labelling import predict_folder
from sksemobridge.labelling._photos.report._page import address, program, thumbnail

from ....user_folder import SHOTS, fitted_to_shots


def data_of(path):
    text = path.read_text(encoding="utf-8")
    return json.loads(
        re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1]
    )


def test_each_file_has_its_prediction(report, own_memory):
    pictures = data_of(report(f"{SHOTS} --alpha 0.2"))["pictures"]
    # Those of another batch are equal but for rounding.
    own_memory.clear()
    table = predict_folder(fitted_to_shots(), "photos", alpha=0.2, progress=False)
    for name, values in table.astype(object).where(table.notna(), None).items():
        assert [item[name] for item in pictures] == values.tolist()
    assert [item["readable"] for item in pictures] == table["p_value"].notna().tolist()
    text = Path("report.html").read_text(encoding="utf-8")
    for said in (
        "1 skipped, 1 no image</li>",
        "<li>12 shots of 3 classes",
        "<li>Held-out shots predicted right",
    ):
        assert said in text


def test_a_program_has_the_modules_that_it_imports_before_itself():
    text = program("page.js")
    assert not re.search("^(import|export) ", text, re.M)
    places = [text.index(f"function {name}(") for name in ("element", "comparable", "card")]
    assert places == sorted(places)
    assert text.count("function element(") == 1


def test_doubtful_shots_say_what_they_look_like(report):
    os.rename("shots/bird/0.png", "shots/fruit/wrong.png")
    (shot,) = data_of(report())["doubtful"]
    found = shot["path"], shot["label"], shot["likely"]
    assert found == (str(Path("shots/fruit/wrong.png")), "fruit", "bird")
    assert shot["probability"] < 0.5


def test_corrections_are_known_under_the_paths_of_the_page(report, place):
    photo = str(Path("photos/bird.png"))
    Path("corrections.csv").write_text(f"{place / photo},bird\nshots/clock/0.png,fruit\n")
    data = data_of(report(f"{SHOTS} --corrections corrections.csv"))
    assert data["corrections"] == {photo: "bird", "shots/clock/0.png": "fruit"}
    assert [item["path"] for item in data["pictures"] if item["given"]] == [photo]


def test_the_most_doubtful_pictures_are_in_the_page(report, monkeypatch):
    monkeypatch.setattr("sksemobridge.labelling._photos.report._page.N_THUMBNAILS", 2)
    pictures = [item for item in data_of(report())["pictures"] if item["readable"]]
    pictures.sort(key=lambda item: item["probability"])
    assert [item["thumbnail"] is not None for item in pictures] == [
        True,
        True,
        False,
        False,
        False,
        False,
    ]


def test_a_thumbnail_is_a_small_jpeg(report):
    Image.fromarray(np.full((400, 800, 3), 200, dtype=np.uint8)).save("photos/bird.png")
    (address,) = {
        p["thumbnail"] for p in data_of(report())["pictures"] if p["path"].endswith("s/bird.png")
    }
    kind, _, content = address.partition(",")
    assert kind == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(content))).size == (160, 80)
    # Such as a file that is gone since it was embedded.
    assert thumbnail("photos/broken.jpg") is None


@pytest.mark.parametrize(
    "name",
    [
        "a.png",
        "a space.png",
        "a:b.png",
        "javascript:alert(1).png",
        "#?%41.png",
        "Vögel.png",
        "\udcff.png",
    ],
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
