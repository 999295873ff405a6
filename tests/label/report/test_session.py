"""What the live page knows: clicks of tabs and runs, what is learnt meanwhile, a check."""

import json
import os
import threading
from unittest.mock import Mock

import pytest
from PIL import Image
from scipy.stats import binomtest

from sksemobridge._label.clicks import Clicks, labels_of, read_corrections

from ...browser import wait_until
from ...user_folder import cells_of
from .live import CLASSES, Job


def numbers(items):
    return [item["number"] for item in items]


def label_birds(page, numbers):
    for number in numbers:
        page.act("click", number=number, label="bird")


def test_a_click_is_in_the_file_before_the_page_says_so(live):
    page = live()
    for n, (number, label) in enumerate([(0, "bird"), (1, "clock"), (0, "")], start=1):
        _, state = page.act("click", number=number, label=label)
        assert cells_of(page.clicks.path)[n][:2] == [page.job.paths[number], label]
    assert (state["labelled"], state["total"]) == (2, 12)
    assert [item["label"] for item in state["recent"]] == ["", "clock"]
    assert not {0, 1} & {*numbers(state["queue"])}


def test_the_most_doubtful_come_first_with_their_likely_classes_and_those_put_off_last(live):
    page = live()
    state = page.state()
    for item in state["queue"]:
        shares = [share for _, share in item["likely"]]
        assert shares == sorted(shares, reverse=True)
        assert item["predicted"] == item["likely"][0][0]
    margins = [item["likely"][0][1] - item["likely"][1][1] for item in state["queue"]]
    assert margins == sorted(margins)
    first, second = numbers(state["queue"])[:2]
    for number in (first, second, first):
        _, state = page.act("skip", number=number)
    assert numbers(state["queue"])[-2:] == [second, first]


def test_it_learns_after_a_handful_and_keeps_what_was_clicked_meanwhile(live):
    page = live()
    learns, goes_on, fit = threading.Event(), threading.Event(), page.job.fit

    def slow(clicks):
        learns.set()
        assert goes_on.wait(60)
        return fit(clicks)

    page.job.fit = slow
    label_birds(page, range(4))
    assert not page.state()["learning"]
    page.act("click", number=4, label="bird")
    assert learns.wait(60)
    page.act("click", number=5, label="clock")
    page.act("click", number=0, label="fruit")
    page.act("undo", tab="a")
    assert page.state()["learning"]
    goes_on.set()
    wait_until(lambda: page.state()["learnt"] == 2)
    assert len(page.job.fits[-1]) == 5
    state = page.state()
    said = {item["number"]: item["label"] for item in state["recent"]}
    assert said == dict.fromkeys(range(5), "bird") | {5: "clock"}


def test_a_model_that_cannot_learn_stops_nothing(live):
    page = live()
    fit, page.job.fit = page.job.fit, Mock(side_effect=ValueError("one class only"))
    label_birds(page, range(5))
    wait_until(lambda: "one class only" in page.state()["problem"])
    page.job.fit = fit
    label_birds(page, range(5, 10))
    wait_until(lambda: page.state()["problem"] == "")


def test_undo_goes_back_beyond_what_was_learnt_and_the_run(live):
    page = live()
    label_birds(page, range(5))
    wait_until(lambda: page.state()["learnt"] == 2)
    page.act("click", number=0, label="clock")
    assert page.act("undo")[1]["undone"]["label"] == "bird"
    _, state = page.act("undo")
    assert (state["undone"]["number"], state["undone"]["label"], state["labelled"]) == (4, None, 4)
    assert 4 in numbers(state["queue"])
    page.act("click", number=4, label="bird")
    page = live()
    for number in range(4, -1, -1):
        assert page.act("undo")[1]["undone"]["number"] == number
    status, answer = page.act("undo")
    assert (status, answer["failed"]) == (409, "There is nothing to undo.")
    assert page.state()["labelled"] == 0
    assert cells_of(page.clicks.path) == [["path", "label", "size", "sha256"]]


def test_of_two_tabs_the_last_click_wins_and_the_other_is_told(live):
    page = live()
    for tab, number, label in [("a", 0, "bird"), ("b", 0, "clock"), ("b", 1, "fruit")]:
        page.act("click", tab=tab, number=number, label=label)
    news = page.state(tab="a", since=1)["news"]
    assert [(item["number"], item["label"]) for item in news] == [(0, "clock"), (1, "fruit")]
    assert page.state(tab="b", since=1)["news"] == []
    assert page.state(tab="a", since=3)["news"] == []
    # Each takes back its own last click.
    assert page.act("undo", tab="a")[1]["undone"]["number"] == 0
    assert page.state()["labelled"] == 2
    page.act("undo", tab="b")
    assert [item["label"] for item in page.state()["recent"]] == ["clock"]
    assert page.state(tab="a", since=4)["news"][0]["label"] is None


def test_the_next_run_goes_on_and_asks_again_for_what_changed(live):
    page = live()
    label_birds(page, range(3))
    page.close()
    Image.new("RGB", (30, 30)).save(page.job.paths[0])
    os.rename(page.job.paths[1], "photos/new.png")
    job = Job()
    job.paths[1] = os.path.join("photos", "new.png")
    state = live(job=job).state()
    assert state["labelled"] == 1
    assert numbers(state["recent"]) == [2, 0]
    assert [item["label"] for item in state["recent"]] == ["bird", None]
    assert {0, 1} <= {*numbers(state["queue"])}


def test_the_next_run_knows_what_the_model_said_of_the_last_clicks(live):
    for _ in range(2):
        page = live()
        if not page.state()["labelled"]:
            label_birds(page, range(7))
        assert sum(len(labels) for _, labels in page.session.evidence()["answers"]) == 7


def test_what_counts_is_the_picture_that_was_seen(live):
    page = live()
    page.ask("/picture/0")
    Image.new("RGB", (30, 30)).save(page.job.paths[0])
    page.act("click", number=0, label="bird")
    assert labels_of(page.clicks.rows, CLASSES) == {}


@pytest.mark.parametrize("label", ["none <b>bold</b>", "=1+1", "Vögel, \U0001f426"])
def test_a_new_class_is_learnt_at_once(live, label):
    page = live()
    _, state = page.act("click", number=0, label=f" {label} ")
    assert label in state["classes"]
    assert [label, None] in state["queue"][0]["likely"] or state["learnt"] == 2
    wait_until(lambda: page.state()["learnt"] == 2)
    assert label in [name for name, _ in page.state()["queue"][0]["likely"]]


def test_a_class_from_a_folder_may_have_any_name_and_is_known_in_any_spelling(live):
    job = Job()
    job.classes = [*CLASSES, "a" * 200, "two\nlines", " space ", "sea_lion"]
    page = live(job=job)
    spellings = {name: name for name in job.classes} | {
        "Bird": "bird",
        "BIRD ": "bird",
        "Sea  lion": "sea_lion",
    }
    spellings |= {"None of these": "", "none_of_these": ""}
    for label, known in spellings.items():
        assert page.act("click", number=0, label=label)[1]["recent"][0]["label"] == known


def test_labels_given_elsewhere_are_not_asked_for(live):
    real = os.path.realpath("photos/000.png")
    job = Job()
    job.corrections = {real: ("photos/000.png", "bird")}
    page = live(job=job)
    assert page.state()["labelled"] == 1
    page.act("click", number=0, label="clock")
    assert page.session.said[real][1] == "clock"
    page.act("undo")
    assert page.session.said[real][1] == "bird"


def test_a_check_of_files_in_deep_folders_can_be_read_again(live):
    page = live(job=Job(30))
    page.session.paths = ["\u5199" * 1200 + f"/{number}-\udcff.png" for number in range(30)]
    page.act("check", begin=True)
    (row,) = Clicks(page.clicks.path).rows
    assert set(json.loads(row.sha256)) == {*page.session.paths}


def test_a_check_is_of_labels_as_they_stood_when_it_was_drawn(live):
    page = live(job=Job(100))
    page.act("click", number=0, label="bird")
    _, state = page.act("check", begin=True)
    assert state["check"]["drawn"] == 30
    drawn = {}
    while items := page.state()["check"]["queue"]:
        drawn[items[0]["number"]] = items[0]["predicted"]
        wrong = len(drawn) > 27
        page.act(
            "click", number=items[0]["number"], label="another" if wrong else items[0]["predicted"]
        )
    assert len(drawn) == 30
    assert 0 not in drawn
    check = page.state()["check"]
    assert (check["done"], check["right"]) == (30, 27)
    assert check["interval"] == pytest.approx([*binomtest(27, 30).proportion_ci(method="wilson")])
    assert page.state()["labelled"] == 31
    page.act("undo")
    check = page.state()["check"]
    assert (check["done"], check["right"], len(check["queue"])) == (29, 27, 1)
    # It goes on in the next run, though the model has learnt since.
    page = live(job=Job(100))
    again = page.state()["check"]
    for state in (check, again):
        state["queue"] = [(item["number"], item["predicted"]) for item in state["queue"]]
    assert again == check
    assert page.session.evidence()["n_right"] == 27
    assert len(read_corrections(page.clicks.path, CLASSES)) == 30
    # It may end early, and counts what was seen.
    check = page.act("check", begin=False)[1]["check"]
    assert (check["drawn"], check["done"], check["queue"]) == (29, 29, [])
    # What was right then says less of the labels after many other clicks.
    others = [number for number in range(1, 100) if number not in drawn][:30]
    for number in others:
        page.act("click", number=number, label="bird")
    assert page.session.evidence()["n_checked"] == pytest.approx(29 / 2)
    for damaged in ('{"a": "b', "[1]"):
        page.clicks.add("check.csv", "", ("", damaged))
    assert live(job=Job(100)).state()["check"] == check
