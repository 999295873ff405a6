"""From a folder of pictures to a page."""

import json
import re

import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sksemobridge import CLIPImageEncoder, ImageReadError, make_semobridge_pipeline, write_report
from sksemobridge.datasets import load_image_folder

from ..user_folder import CLASSES, fitted_to_shots


def data_of(path):
    text = path.read_text(encoding="utf-8")
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1])


def test_pictures_up_to_a_limit_are_in_the_page(report):
    few = data_of(report(n_thumbnails=4))
    items = [*few["pictures"], *few["shots"]]
    assert sum(item["thumbnail"] is not None for item in items) == 4
    # The most doubtful picture comes first.
    first = min((item for item in few["pictures"] if item["readable"]), key=lambda item: item["probability"])
    assert first["thumbnail"] is not None
    all_of_them = data_of(report("all.html"))
    assert None not in {item["thumbnail"] for item in all_of_them["pictures"] if item["readable"]}


def test_the_page_says_how_good_the_classifier_is(report):
    text = report(alpha=1).read_text(encoding="utf-8")
    assert "<li>Pictures: 0 with a label, 6 of none of the classes, 2 not read</li>" in text
    assert "12 shots of 3 classes" in text
    assert "Held-out shots predicted right" in text


def test_any_classifier_has_a_page_without_shots(place):
    pipeline = make_pipeline(CLIPImageEncoder("mini", "bundled"), LogisticRegression())
    write_report("report.html", fitted_to_shots(pipeline), "photos", progress=False)
    data = data_of(place / "report.html")
    assert data["classes"] == list(CLASSES)
    assert {item["label"] for item in data["pictures"]} <= {*CLASSES, None}


def test_nothing_is_overwritten(report):
    path = report()
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match="nothing is overwritten"):
        report()
    assert path.read_bytes() == before


def test_what_is_no_name_of_a_file_is_refused():
    with pytest.raises(TypeError, match="as text or a path, not as NoneType"):
        write_report(None, None, "photos")


@pytest.mark.filterwarnings("ignore:A column-vector")
def test_labels_may_be_a_column(place):
    shots = load_image_folder("shots")
    labels = shots.target_names[shots.target][:, None]
    write_report("a.html", fitted_to_shots(), "photos", shots.paths, labels, progress=False)
    assert {item["label"] for item in data_of(place / "a.html")["shots"]} == set(CLASSES)


def test_a_wrong_shot_is_refused_before_the_folder_is_read(place):
    pipeline = fitted_to_shots()
    with pytest.raises(ValueError, match="There are 2 shots but 1 y_shots"):
        write_report("report.html", pipeline, "no folder", ["a.png", "b.png"], ["bird"])
    with pytest.raises(ImageReadError, match="a.png"):
        write_report("report.html", pipeline, "no folder", ["a.png"], ["bird"])


def test_shots_without_labels_are_refused(place):
    with pytest.raises(ValueError, match="belong together"):
        write_report("report.html", make_semobridge_pipeline("mini", "bundled"), "photos", ["a.png"])


@pytest.mark.parametrize("n", [-1, "all"])
def test_a_limit_of_pictures_that_is_no_number_is_refused(place, n):
    with pytest.raises(ValueError, match=f"n_thumbnails={n!r} is not a number of pictures"):
        write_report("report.html", None, "photos", n_thumbnails=n)
