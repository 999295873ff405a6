"""The page and its program in a real browser."""

import csv
import io
import json
import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sksemobridge.labelling import label_next, predict_folder
from sksemobridge.labelling._answers.annotations import Annotations
from sksemobridge.labelling._photos.folder_job import FolderJob
from sksemobridge.labelling._photos.folder_labels import FolderLabels
from sksemobridge.labelling._photos.labelled_images import LabelledImages
from sksemobridge.labelling._photos.picture_index import Pictures
from sksemobridge.labelling._photos.report._page import report as page_of

from ....browser import wait_until
from ....user_folder import SHOTS, fitted_to_shots
from ...spellings import COMPARED_AS

HOSTILE = "<img src=x onerror=\"document.title='hurt'\">.png"
N_CARDS = "document.querySelectorAll('article').length"


def change(browser, selector, value, card=0):
    field = f"document.querySelectorAll({selector!r})[{card}]"
    browser.run(f"{field}.value = {value!r}; {field}.dispatchEvent(new Event('change'))")


def click(browser, selector):
    browser.run(f"document.querySelectorAll({selector!r}).forEach((button) => button.click())")


def texts(browser, selector):
    return browser.run(
        f"[...document.querySelectorAll({selector!r})].map((part) => part.textContent)"
    )


def corrections(browser):
    """The rows of the list that the page gives."""
    return list(csv.reader(io.StringIO(browser.run("table()"))))


def test_the_page_fetches_nothing_and_its_pictures_can_be_filtered_and_sorted(browser, report):
    path = report()
    browser.open(path)
    assert browser.run(N_CARDS) == 6
    assert browser.run("[...document.images].every((image) => image.src.startsWith('data:'))")
    # others when they are scrolled to
    assert browser.run("document.images[0].decode().then(() => true)")
    assert browser.fetched == [path.as_uri()]
    assert browser.errors == []
    assert texts(browser, "h2") == [f"{name} (2)" for name in ("bird", "clock", "fruit")]
    change(browser, "#class", 2)
    assert {label.split()[0] for label in texts(browser, "article .label")} == {"clock"}
    change(browser, "#class", 0)
    change(browser, "#sort", "doubt")
    shares = [int(re.search(r"\d+", label)[0]) for label in texts(browser, "article .label")]
    assert shares == sorted(shares)
    change(browser, "#view", "unread")
    assert texts(browser, "article .label") == ["Not read", "Not read"]


def test_images_to_label_next_come_in_their_order(browser, place, report):
    browser.open(report())
    pipeline = fitted_to_shots()
    table = predict_folder(pipeline, "photos")
    pictures = table["path"][table["problem"] == ""].to_numpy()
    order = label_next(pipeline[-1], pipeline[0].transform(pictures))
    change(browser, "#view", "next")
    paths = browser.run("[...document.querySelectorAll('.path')].map((path) => path.title)")
    assert paths == pictures[order].tolist()


def test_right_and_wrong_make_a_list(browser, report):
    browser.open(report())
    change(browser, "#class", 1)
    first, second = "article:nth-of-type(1) .right", "article:nth-of-type(2) .wrong"
    click(browser, f"{first}, {second}")
    options = [*texts(browser, "article:nth-of-type(2) option")]
    assert sorted(options) == sorted(
        ["what is it?", "clock", "fruit", "none of these", "another class …"]
    )
    paths = browser.run("[...document.querySelectorAll('.path')].map((path) => path.title)")
    assert corrections(browser) == [["path", "label"], [paths[0], "bird"]]
    assert texts(browser, "#count") == ["1 correction, 1 wrong without a class"]
    for label in ("clock", ""):
        change(browser, ".choice", label, card=1)
        assert corrections(browser)[2:] == [[paths[1], label]]
    change(browser, ".choice", "\0another", card=1)
    assert texts(browser, "#count") == ["1 correction, 1 wrong without a class"]
    for label in ('=a, "new" one', "'=a"):
        change(browser, ".another", label, card=1)
        assert corrections(browser)[2:] == [[paths[1], f"'{label}"]]
    assert texts(browser, "#count") == ["2 corrections"]
    # Another spelling is no other class.
    change(browser, ".another", " CLOCK ", card=1)
    assert corrections(browser)[2:] == [[paths[1], "clock"]]
    click(browser, f"{first}, {second}")
    assert corrections(browser) == [["path", "label"]]
    click(browser, second)
    change(browser, "#view", "ticked")
    assert browser.run(
        "[...document.querySelectorAll('.choice')].map((choice) => choice.hidden)"
    ) == [False]


def test_names_are_compared_as_in_python(browser, report):
    browser.open(report())
    said = browser.run(f"{json.dumps([*COMPARED_AS])}.map(comparable)")
    assert dict(zip(COMPARED_AS, said)) == COMPARED_AS


def test_the_list_is_saved_and_copied(browser, report, tmp_path):
    browser.open(report())
    browser.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    click(browser, ".right")
    browser.run("by_id('save').click()")
    saved = tmp_path / "corrections.csv"
    wait_until(saved.exists)
    text = saved.read_bytes().decode("utf-8-sig")
    assert list(csv.reader(io.StringIO(text))) == corrections(browser)
    browser.run("by_id('copy').click()")
    assert browser.run("by_id('list').value") == text.replace("\r\n", "\n")


def test_the_keyboard_is_enough_and_a_list_is_not_lost_without_a_question(browser, report):
    path = report()
    browser.open(path)
    for key in ("ArrowRight", "r", "ArrowRight", "ArrowRight", "ArrowLeft", "r"):
        browser.press(key)
    assert len(corrections(browser)) == 3
    browser.press("w")
    assert browser.run("document.activeElement.className") == "choice"
    browser.press("r")
    assert len(corrections(browser)) == 2
    browser.open(path)
    assert browser.dialogs == ["beforeunload"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such names")
def test_names_of_files_and_classes_are_text(browser, label, place):
    shutil.copy("photos/bird.png", Path("photos", HOSTILE))
    shutil.copy("photos/bird.png", "photos/<script>document.title='hurt'<%2Fscript>.png")
    os.rename("shots/fruit", Path("shots", HOSTILE))
    label(f"{SHOTS} --out a.csv --report report.html")
    browser.open(place / "report.html")
    click(browser, ".wrong")
    assert HOSTILE in texts(browser, ".path")
    assert browser.run("document.title") == "Labels of photos"
    assert browser.errors == []
    assert browser.fetched == [(place / "report.html").as_uri()]
    # And markup that got in would run nothing.
    browser.run("by_id('about').innerHTML = '<img src=x onerror=\"document.title=1\">'")
    script = "Object.assign(document.createElement('script'), {text: 'document.title=1'})"
    browser.run(f"by_id('about').append({script})")
    browser.run("new Promise((done) => setTimeout(done, 200))")
    assert browser.run("document.title") == "Labels of photos"


def test_ten_thousand_pictures_are_drawn_as_they_are_scrolled_to(browser, place, monkeypatch):
    monkeypatch.setattr("sksemobridge.labelling._photos.report._page.N_THUMBNAILS", 0)
    Image.open("photos/bird.png").save("photos/0.png")
    pipeline = fitted_to_shots()
    X = np.random.default_rng(0).normal(size=(10_000, 128))
    paths = [f"photos/{i}.png" for i in range(len(X))]
    pictures, shots = Pictures({"photos": "photos"}, {"photos": paths}), LabelledImages.none(X)
    job = FolderJob(pipeline, paths, {}, X, pictures, shots)
    labels = FolderLabels(job, Annotations(), pipeline, shots)
    monkeypatch.setattr(FolderLabels, "to_label", lambda _: [])
    Path("many.html").write_text(page_of("many.html", "photos", labels, []), encoding="utf-8")
    browser.open(place / "many.html")
    n_cards = browser.run(N_CARDS)
    assert 0 < n_cards < 1000
    browser.run("by_id('end').scrollIntoView()")
    wait_until(lambda: browser.run(N_CARDS) > n_cards)
    change(browser, "#sort", "doubt")
    assert browser.run("shown.length") == 10_000
    assert browser.run(N_CARDS) < 1000
    # Pictures that are not in the page are read from their files, and only near the window.
    assert browser.run(
        "document.images.length && [...document.images].every((i) => i.loading === 'lazy')"
    )
    assert len(browser.fetched) < 1000


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1400, "dark")])
def test_the_page_fits_its_window_in_light_and_dark(browser, report, width, scheme):
    browser.look(width, scheme)
    browser.open(report())
    assert browser.run("document.documentElement.scrollWidth <= innerWidth")
    assert browser.is_light() == (scheme == "light")


def test_corrections_of_the_page_change_the_next_one(browser, label, place):
    os.rename("shots/bird/0.png", "shots/fruit/wrong.png")
    label(f"{SHOTS} --out a.csv --report a.html")
    browser.open(place / "a.html")
    click(browser, ".right")
    change(browser, "#view", "doubtful")
    click(browser, ".wrong")
    change(browser, ".choice", "bird")
    Path("corrections.csv").write_text(browser.run("table()"), encoding="utf-8-sig", newline="")
    given = corrections(browser)
    _, said = label(f"{SHOTS} --out b.csv --report b.html --corrections corrections.csv")
    assert "18 shots of 3 classes" in said
    browser.open(place / "b.html")
    assert sorted(corrections(browser)) == sorted(given)
    assert browser.run("document.querySelectorAll('.right[aria-pressed=true]').length") == 6
    change(browser, "#view", "doubtful")
    assert browser.run(N_CARDS) == 0
