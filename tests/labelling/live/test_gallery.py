"""Figures of classes, their pictures, and pictures with different answers."""

from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest

from sksemobridge.labelling._answers.events import Event, PictureEvent
from sksemobridge.labelling._answers.history import fold
from sksemobridge.labelling._live.gallery import held_out_accuracy

from ...browser import wait_until
from .live import WIDTH, make_job


def overview(page):
    rows = page.act("overview")[1]["overview"]
    return {row["name"]: row for row in rows}


def gallery(page, name, start=0, n_images=100):
    shown = page.act("look_at_class", name=name, start=start, n_images=n_images)[1]["gallery"]
    return [item["number"] for item in shown["pictures"]], shown["total"]


def test_an_overview_has_a_row_for_each_class_and_for_none_of_them(live):
    page = live()
    page.act("say", number=0, label="bird")
    page.act("say", number=1, label="bird")
    page.act("say", number=2, label="")
    rows = overview(page)
    assert [*rows] == ["bird", "clock", "fruit", ""]
    assert rows["bird"]["labelled"] == 2
    assert rows[""]["labelled"] == 1
    assert sum(row["labelled"] + row["predicted"] for row in rows.values()) == 12
    assert rows["bird"]["example"] in (0, 1)
    assert rows[""]["example"] == 2


def test_checks_say_how_good_a_class_is(live):
    page = live(n=40)
    check = page.act("check", begin=True, among="rest")[1]["check"]
    item = check["queue"][0]
    wrong = next(name for name in ("bird", "clock") if name != item["predicted"])
    page.act("say", number=item["number"], label=wrong)
    assert overview(page)[item["predicted"]]["checked"] == [0, 1]


def test_held_out_pictures_say_how_good_a_class_is(live):
    page = live()
    for number in range(9):
        page.act("say", number=number, label=["bird", "clock", "fruit"][number % 3])
    wait_until(lambda: overview(page)["bird"]["accuracy"] == 1)


@pytest.mark.filterwarnings("ignore:The names of the classes are no better than chance")
def test_the_frames_of_a_burst_are_held_out_together(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bursts = [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]
    job, _ = make_job(12, ["bird", "clock"], bursts=bursts)
    # Each burst of a class looks like one of the other class.
    means = np.eye(WIDTH)[[3, 4, 3, 4]] + 0.5 * np.eye(WIDTH)[[5, 5, 6, 6]]
    noise = np.random.default_rng(0).normal(scale=0.1, size=(12, WIDTH))
    job = replace(job, embeddings=np.repeat(means, 3, axis=0) + noise)
    labels = dict.fromkeys(range(6), "bird") | dict.fromkeys(range(6, 12), "clock")
    pictures = [PictureEvent(f"{i:03}.png", label=labels[i], taught=True) for i in labels]
    events = [Event("page", pictures=tuple(pictures))]
    learnt = job.fit(fold(events, job.pictures.finder(events), job.classes))
    assert held_out_accuracy(replace(learnt, shot_groups=None)) == {"bird": 1, "clock": 1}
    assert held_out_accuracy(learnt) == {"bird": 0, "clock": 0}


def test_a_fault_while_it_measures_is_printed_and_the_page_goes_on(live, monkeypatch, capsys):
    error = AttributeError("x")
    monkeypatch.setattr(
        "sksemobridge.labelling._live.gallery.held_out_accuracy", Mock(side_effect=error)
    )
    page = live()
    page.act("say", number=0, label="bird")
    wait_until(lambda: not page.act("overview")[1]["measuring"])
    assert {row["accuracy"] for row in page.act("overview")[1]["overview"]} == {None}
    assert "AttributeError: x" in capsys.readouterr().err


def test_a_class_shows_labelled_pictures_first_and_then_the_least_certain(live):
    page = live()
    page.act("say", number=9, label="bird")
    numbers, total = gallery(page, "bird")
    assert numbers[0] == 9
    assert total == len(numbers)
    assert gallery(page, "bird", start=1, n_images=2) == (numbers[1:3], total)
    page.act("say", number=3, label="")
    assert 3 not in gallery(page, "bird")[0]
    assert gallery(page, "")[0] == [3]


def test_a_class_that_is_not_there_is_refused(live):
    assert live().act("look_at_class", name="owl", start=0, n_images=9)[0] == 409


def test_different_answers_of_different_people_are_listed(live):
    page = live()
    page.act("say", tab="a", who="Anna", number=0, label="bird")
    page.act("say", tab="b", who="Bob", number=0, label="clock")
    page.act("say", tab="b", who="Bob", number=1, label="clock")
    (item,) = page.act("disputed")[1]["disputed"]
    assert item["number"] == 0
    assert item["label"] == "clock"
    assert item["opinions"] == [["Anna", "bird"], ["Bob", "clock"]]
    page.act("say", tab="a", who="Anna", number=0, label="clock")
    assert page.act("disputed")[1]["disputed"] == []
