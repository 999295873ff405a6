"""What persons do in the page: answers of tabs and runs, what is learnt meanwhile, a check."""

import json
import os
import threading
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image
from scipy.stats import binomtest
from sklearn.preprocessing import FunctionTransformer

from sksemobridge import ZeroShotClassifier
from sksemobridge.labelling import label_next
from sksemobridge.labelling._answers.answers_file import Answers
from sksemobridge.labelling._answers.evidence import evidence
from sksemobridge.labelling._answers.history import fold
from sksemobridge.labelling._live.learner import Learner
from sksemobridge.labelling._live.view import view_of
from sksemobridge.labelling._photos.folder_job import FolderJob
from sksemobridge.labelling._photos.folder_pipeline import pipeline_of
from sksemobridge.labelling._photos.summary import summary

from ...browser import wait_until
from .live import CLASSES, TinyText, make_job, paint


def numbers(items):
    return [item["number"] for item in items]


def label_birds(page, numbers):
    for number in numbers:
        page.act("say", number=number, label="bird")


def events_of(page):
    return Answers(page.answers.path).events


def test_an_answer_is_in_the_file_before_the_page_says_so(live):
    page = live()
    for n, (number, label) in enumerate([(0, "bird"), (1, "clock"), (0, "")]):
        _, state = page.act("say", number=number, label=label, who="anna")
        (picture,) = events_of(page)[n].pictures
        assert (picture.path, picture.label, picture.taught) == (f"00{number}.png", label, True)
    assert {event.who for event in events_of(page)} == {"anna"}
    assert (state["labelled"], state["seen"], state["total"]) == (2, 2, 12)
    assert [item["label"] for item in state["recent"]] == ["", "clock"]
    assert not {0, 1} & {*numbers(state["queue"])}


def test_the_most_doubtful_come_with_their_likely_classes_and_those_put_off_last(live):
    page = live()
    state = page.state()
    for item in state["queue"]:
        shares = [share for _, share in item["likely"]]
        assert shares == sorted(shares, reverse=True)
        assert item["predicted"] == item["likely"][0][0]
    assert numbers(state["queue"]) == page.job.fit(page.session.annotations).to_label()
    first, second = numbers(state["queue"])[:2]
    for number in (first, second, first):
        _, state = page.act("skip", number=number)
    assert numbers(state["queue"])[-2:] == [second, first]
    # Also in the next run.
    assert numbers(live().state()["queue"])[-2:] == [second, first]


def test_the_first_five_questions_are_at_random_and_say_how_good_the_names_are(live):
    page = live(n=60)
    names = page.session.learner.view.labels.classifier
    first = label_next(names, page.job.embeddings, 5).tolist()
    assert numbers(page.state()["queue"])[:5] == first
    # The model learns a new class at once. The draw goes on.
    page.act("say", number=first[0], label="owl")
    wait_until(lambda: page.state()["learnt"] == 2)
    assert numbers(page.state()["queue"])[:4] == first[1:]
    for number in first[1:]:
        asked = next(item for item in page.state()["queue"] if item["number"] == number)
        assert page.state()["first"] is None
        page.act("say", number=number, label=asked["predicted"])
    assert page.state()["first"] == [4, 5]
    page.act("say", number=numbers(page.state()["queue"])[0], label="bird")
    asked = [event.pictures[0].at_random for event in events_of(page)]
    assert asked == [True] * 5 + [False]


def test_after_given_shots_or_a_page_no_question_is_at_random(live):
    assert live(n=60, shots=["bird"]).session.learner.view.drawn_first == []
    page = live(n=60, answers="others.jsonl")
    marks = [{"number": n, "label": "bird", "shown": "bird"} for n in range(5)]
    page.act("page", pictures=marks)
    wait_until(lambda: page.state()["learnt"] == 2)
    assert page.session.learner.view.drawn_first == []


def test_it_learns_after_a_handful_and_keeps_what_was_said_meanwhile(live, monkeypatch):
    page = live()
    learns, goes_on, fit, learnt = threading.Event(), threading.Event(), FolderJob.fit, []

    def slow(job, said, **params):
        learnt.append(len(said.answers))
        learns.set()
        assert goes_on.wait(60)
        return fit(job, said, **params)

    monkeypatch.setattr(FolderJob, "fit", slow)
    label_birds(page, range(4))
    assert not page.state()["learning"]
    page.act("say", number=4, label="bird")
    assert learns.wait(60)
    page.act("say", number=5, label="clock")
    page.act("say", number=0, label="fruit")
    page.act("undo", tab="a")
    assert page.state()["learning"]
    goes_on.set()
    wait_until(lambda: page.state()["learnt"] == 2)
    assert learnt[0] == 5
    said = {item["number"]: item["label"] for item in page.state()["recent"]}
    assert said == dict.fromkeys(range(5), "bird") | {5: "clock"}


def test_a_model_that_cannot_learn_stops_nothing(live, monkeypatch):
    page = live()
    with monkeypatch.context() as patch:
        patch.setattr(FolderJob, "fit", Mock(side_effect=ValueError("one class only")))
        label_birds(page, range(5))
        wait_until(lambda: "one class only" in page.state()["problem"])
    label_birds(page, range(5, 10))
    wait_until(lambda: page.state()["problem"] == "")


def test_undo_goes_back_beyond_what_was_learnt_and_the_run(live):
    page = live()
    label_birds(page, range(5))
    wait_until(lambda: page.state()["learnt"] == 2)
    page.act("say", number=0, label="clock")
    assert page.act("undo")[1]["undone"]["items"][0]["label"] == "bird"
    _, state = page.act("undo")
    assert state["undone"]["what"] == "the answer “bird”"
    (item,) = state["undone"]["items"]
    assert (item["number"], item["label"], state["labelled"]) == (4, None, 4)
    assert 4 in numbers(state["queue"])
    page.act("say", number=4, label="bird")
    page = live()
    for number in range(4, -1, -1):
        assert page.state()["undoable"]["kind"] == "say"
        assert numbers(page.act("undo")[1]["undone"]["items"]) == [number]
    status, answer = page.act("undo")
    assert (status, answer["failed"]) == (409, "There is nothing to undo.")
    assert page.state()["undoable"] is None
    assert page.state()["labelled"] == 0


def test_what_is_taken_back_leaves_nothing_in_the_estimate_nor_in_the_model(live):
    page = live(n=60)
    label_birds(page, (0, 3))
    before = page.state()
    page.act("say", number=1, label="none of these")
    wait_until(lambda: page.state()["learnt"] == before["learnt"] + 1)
    assert page.state()["right"] != before["right"]
    page.act("undo")
    # The two answers before are learnt now, which is not done yet for two alone.
    wait_until(lambda: page.state()["learnt"] == before["learnt"] + 2)
    fresh = live(n=60).state()
    assert evidence(page.session.annotations)["n_checked"] == 0
    assert sum(len(part.codes) for part in evidence(page.session.annotations)["answers"]) == 2
    assert page.session.learner.view.predicted == live(n=60).session.learner.view.predicted
    assert fresh["labelled"] == 2


def test_the_share_that_is_right_hears_of_an_answer_before_the_model_learns_it(live):
    page = live(n=60)
    before = page.state()
    _, after = page.act("say", number=0, label="fruit")
    assert after["learnt"] == before["learnt"]
    assert after["right"] != before["right"]


def test_of_two_tabs_the_last_answer_counts_and_the_other_is_told(live):
    page = live()
    for tab, number, label in [("a", 0, "bird"), ("b", 0, "clock"), ("b", 1, "fruit")]:
        page.act("say", tab=tab, number=number, label=label)
    news = page.state(tab="a", since=1)["news"]
    assert [(item["number"], item["label"]) for item in news] == [(0, "clock"), (1, "fruit")]
    assert page.state(tab="b", since=1)["news"] == []
    assert page.state(tab="a", since=3)["news"] == []
    (real,) = page.session.annotations.disputed()
    assert page.session.annotations.disputed()[real] == {"a": "bird", "b": "clock"}
    # Each takes back its own last answer.
    assert numbers(page.act("undo", tab="a")[1]["undone"]["items"]) == [0]
    assert page.state()["labelled"] == 2
    page.act("undo", tab="b")
    assert [item["label"] for item in page.state()["recent"]] == [None, "clock"]
    assert page.state(tab="a", since=4)["news"][0]["label"] is None
    assert page.act("undo", tab="c")[0] == 409


def test_each_tab_is_given_other_pictures(live):
    page = live()
    first = numbers(page.state(tab="a")["queue"])
    other = numbers(page.state(tab="b")["queue"])
    assert not {*first[:3]} & {*other[:9]}
    assert {*first} == {*other}
    assert numbers(page.state(tab="a")["queue"])[:3] == first[:3]


def test_the_next_run_goes_on_with_what_is_there_and_asks_again_for_what_changed(live):
    page = live()
    label_birds(page, range(3))
    page.close()
    Image.new("RGB", (30, 30), "white").save("photos/000.png")
    os.rename("photos/001.png", "photos/new.png")
    with pytest.warns(UserWarning, match=r"changed since they were answered \(1\): 000.png"):
        page = live(n=0)
    labels = {
        page.session.files.pictures.paths[number]: label for number, label in page.labels().items()
    }
    # One follows its content.
    assert labels == {str(Path("photos", name)): "bird" for name in ("002.png", "new.png")}


def test_the_next_run_makes_one_fit_and_knows_what_the_model_said(live, monkeypatch):
    page = live()
    label_birds(page, range(7))
    wait_until(lambda: page.state()["learnt"] == 2)
    before = evidence(page.session.annotations)
    page.close()
    fit = Mock(side_effect=FolderJob.fit, autospec=True)
    monkeypatch.setattr(FolderJob, "fit", lambda *args, **params: fit(*args, **params))
    page = live()
    assert fit.call_count == 1
    after, answers = evidence(page.session.annotations), page.session.annotations.answers
    n_first = sum(answer.at_random for answer in answers.values())
    assert sum(len(part.codes) for part in after["answers"]) + n_first == 7
    for part, again in zip(before["answers"], after["answers"]):
        assert [*map(str, part)] == [*map(str, again)]


def test_what_counts_is_the_picture_that_was_seen(live):
    page = live()
    page.ask("/picture/0")
    Image.new("RGB", (30, 30), "white").save("photos/000.png")
    page.act("say", number=0, label="bird")
    page.act("say", number=1, label="bird")
    with pytest.warns(UserWarning, match="changed since they were answered"):
        assert [*live().labels()] == [1]


@pytest.mark.parametrize("label", ["none <b>bold</b>", "=1+1", "Vögel, \U0001f426"])
def test_a_new_class_is_learnt_at_once(live, label):
    page = live()
    _, state = page.act("say", number=0, label=f" {label} ")
    assert label in state["classes"]
    assert [label, None] in state["queue"][0]["likely"] or state["learnt"] == 2
    wait_until(lambda: page.state()["learnt"] == 2)
    assert label in [name for name, _ in page.state()["queue"][0]["likely"]]


def test_a_class_may_have_any_name_and_is_known_in_any_spelling(live):
    classes = [*CLASSES, "a" * 200, "two\nlines", " space ", "sea_lion"]
    page = live(classes=classes)
    spellings = {name: name for name in classes} | {
        "Bird": "bird",
        "BIRD ": "bird",
        "Sea  lion": "sea_lion",
        # White space around it makes no other spelling.
        "space": " space ",
    }
    spellings |= {"None of these": "", "none_of_these": ""}
    for label, known in spellings.items():
        _, state = page.act("say", number=0, label=label)
        assert state["recent"][0]["label"] == state["answer"]["label"] == known
        is_other = known and label.strip() != known.strip()
        assert state["notes"] == ([f"“{label.strip()}” is “{known}”."] if is_other else [])
    assert page.state()["classes"] == sorted(classes)


def test_of_a_shot_the_model_says_nothing_because_it_was_taught(live):
    page = live(shots=["bird"])
    for number in (11, 12):
        assert page.act("say", number=number, label="clock")[0] == 200
    photo, shot = (event.pictures[0] for event in events_of(page))
    assert (photo.root, len(photo.likely), photo.n_columns) == ("photos", 4, 4)
    assert (shot.root, shot.path, shot.likely, shot.n_columns) == ("shots", "0.png", (), 0)


def test_labels_given_elsewhere_are_not_asked_for(live):
    paint()
    real = os.path.realpath("photos/000.png")
    page = live(corrections={real: ("photos/000.png", "bird")})
    assert page.state()["labelled"] == 1
    page.act("say", number=0, label="clock")
    assert page.labels() == {0: "clock"}
    page.act("undo")
    assert page.labels() == {0: "bird"}


def test_a_page_is_one_event_with_what_was_shown_and_one_undo(live):
    page = live()
    shown = [item["predicted"] for item in page.state()["queue"]]
    pictures = [
        {"number": item["number"], "shown": item["predicted"], "label": item["predicted"]}
        for item in page.state()["queue"][:6]
    ]
    pictures[2]["label"] = "fruit"
    pictures[3]["shown"] = "clock"
    status, state = page.act("page", pictures=pictures)
    assert (status, state["n_answered"], state["labelled"], state["seen"]) == (200, 6, 6, 6)
    (event,) = events_of(page)
    assert event.kind == "page"
    assert [(part.shown, part.label) for part in event.pictures] == [
        (picture["shown"], picture["label"]) for picture in pictures
    ]
    wait_until(lambda: page.state()["learnt"] == 2)
    _, state = page.act("undo")
    assert state["undone"]["what"] == "a page of 6"
    assert numbers(state["undone"]["items"]) == [picture["number"] for picture in pictures]
    assert (state["labelled"], state["seen"]) == (0, 0)
    assert len(shown) == 12


@pytest.mark.parametrize(
    "pictures",
    [
        [],
        "x",
        [{"number": 0, "shown": "bird", "label": "bird"}] * 2,
        [{"number": 99, "shown": "bird", "label": "bird"}],
        [{"number": 0, "shown": "bird", "label": None}],
        [{"number": n, "shown": "bird", "label": "bird"} for n in range(61)],
        [{"number": 0, "shown": "bird"}],
    ],
)
def test_a_page_that_does_not_fit_changes_nothing(live, pictures):
    page = live(n=70)
    assert page.act("page", pictures=pictures)[0] == 409
    assert page.state()["changes"] == 0


@pytest.mark.parametrize("seconds", [-1, float("nan"), 10**400, "1", True])
def test_seconds_of_a_page_are_a_number(live, seconds):
    page = live()
    picture = {"number": 0, "shown": "bird", "label": "bird"}
    assert page.act("page", pictures=[picture], seconds=seconds)[0] == 409
    assert page.act("page", pictures=[picture], seconds=2.04)[0] == 200
    assert events_of(page)[0].seconds == 2.0
    assert page.session.annotations.answers[page.session.files.pictures.real[0]].seconds == 2.0


def test_a_picture_that_cannot_be_shown_is_not_labelled(live):
    page = live()
    os.remove("photos/001.png")
    pictures = [{"number": n, "shown": "bird", "label": "bird"} for n in range(3)]
    status, answer = page.act("page", pictures=pictures)
    assert (status, answer["failed"]) == (409, "No such file or directory")
    assert page.act("page", pictures=[pictures[0], pictures[2]])[1]["labelled"] == 2
    # Nor is it asked for again.
    assert page.session.snapshot().rest() == list(range(3, 12))


def test_classes_are_renamed_joined_dropped_and_had_back(live):
    page = live()
    for number, label in enumerate(["bird", "clock", "fruit", "owl"]):
        page.act("say", number=number, label=label)
    _, state = page.act("rename", name="bird", into="birds")
    assert (state["classes"], page.labels()[0]) == (["birds", "clock", "fruit", "owl"], "birds")
    _, state = page.act("say", number=6, label="Bird")
    assert (state["answer"]["label"], state["notes"]) == ("birds", ["“Bird” is “birds”."])
    _, state = page.act("join", names=["owl", "clock"], into="birds")
    assert state["classes"] == ["birds", "fruit"]
    assert page.labels() == {0: "birds", 1: "birds", 2: "fruit", 3: "birds", 6: "birds"}
    assert page.act("undo")[1]["undone"]["what"] == "the join of “owl”, “clock” into “birds”"
    assert page.labels()[3] == "owl"
    _, state = page.act("drop", name="owl")
    assert 3 not in page.labels()
    assert 3 in numbers(state["queue"])
    page.act("add", names=["nut", "Nut", "seed"])
    page.act("rename", name="nut", into="Nut")
    expected = ["Nut", "birds", "clock", "fruit", "seed"]
    assert page.state()["classes"] == expected
    assert page.act("rename", name="nothing", into="x")[0] == 409
    # Names that are swapped step by step would join the classes.
    status, state = page.act("rename", name="clock", into="Bird")
    assert status == 409
    assert state["failed"].startswith("“Bird” still means “birds”, which was called so before.")
    assert page.act("add", names=["none of these"])[0] == 409
    wait_until(lambda: [*page.session.learner.view.columns] == expected)
    with pytest.warns(UserWarning, match="'bird' is 'birds' since it was renamed"):
        page = live()
    assert page.state()["classes"] == expected
    # Back to the beginning.
    while page.state()["undoable"]:
        page.act("undo")
    assert page.state()["classes"] == CLASSES


def test_a_snapshot_stays_what_it_was(live):
    page = live(bursts=[[0, 3, 6]])
    now = page.session.snapshot()
    page.act("say", number=0, label="owl")
    page.act("drop", name="bird")
    page.session.files.unread[6] = "gone"
    wait_until(lambda: page.session.learner.view is not now.view)
    assert (now.events, now.classes, now.annotations.labels()) == ((), CLASSES, {})
    assert (now.is_open(0), now.bursts.of(0), now.shown(0)) == (True, [0, 3, 6], "bird")
    later = page.session.snapshot()
    assert (len(later.events), later.classes) == (2, ["clock", "fruit", "owl"])
    assert (later.is_open(0), later.shown(0)) == (False, "owl")


def test_without_a_name_it_waits_for_one(live):
    page = live(classes=[])
    state = page.state()
    assert (state["stage"], state["right"], state["classes"]) == ("names", None, [])
    assert state["queue"][0]["likely"] == []
    _, state = page.act("add", names=["bird"])
    assert state["stage"] == "label"
    assert state["undoable"]["what"] == "the new class “bird”"
    _, state = page.act("add", names=["clock", "fruit"])
    assert state["undoable"]["what"] == "the new classes"
    wait_until(lambda: page.state()["queue"][0]["predicted"] in CLASSES)
    assert len(page.state()["queue"][0]["likely"]) == 3


def test_a_check_is_of_labels_as_they_stood_when_it_was_drawn(live):
    page = live(n=100)
    page.act("say", number=0, label="bird")
    _, state = page.act("check", begin=True)
    assert state["check"]["drawn"] == 30
    drawn = {}
    while items := page.state()["check"]["queue"]:
        drawn[items[0]["number"]] = items[0]["predicted"]
        wrong = len(drawn) > 27
        page.act(
            "say", number=items[0]["number"], label="another" if wrong else items[0]["predicted"]
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
    page = live(n=100)
    again = page.state()["check"]
    for state in (check, again):
        state["queue"] = [(item["number"], item["predicted"]) for item in state["queue"]]
    assert again == check
    assert evidence(page.session.annotations)["n_right"] == 27
    # It may end early, and counts what was seen.
    check = page.act("check", begin=False)[1]["check"]
    assert (check["drawn"], check["done"], check["queue"]) == (29, 29, [])
    # What was right then says less of the labels after many other answers.
    others = [number for number in range(1, 100) if number not in drawn][:30]
    label_birds(page, others)
    assert evidence(page.session.annotations)["n_checked"] == pytest.approx(29 / 2)
    assert live(n=100).state()["check"] == check | {"later": 30}


def test_a_picture_that_is_gone_is_not_asked_later(live):
    page = live()
    page.act("skip", number=0)
    assert numbers(page.state()["queue"])[-1] == 0
    page.session.files.unread[0] = "gone"
    assert 0 not in numbers(page.state()["queue"])


def test_a_check_goes_on_without_a_picture_that_is_gone(live):
    page = live(n=40)
    check = page.act("check", begin=True)[1]["check"]
    number = check["queue"][0]["number"]
    Path(page.session.files.pictures.paths[number]).unlink()
    assert page.ask(f"/picture/{number}")[0] == 404
    after = page.state()["check"]
    assert after["drawn"] == check["drawn"] - 1
    assert number not in numbers(after["queue"])
    assert page.act("say", number=number, label="bird")[0] == 409


def test_a_check_among_the_seen_asks_for_their_labels_again(live):
    page = live()
    label_birds(page, range(3))
    _, state = page.act("check", begin=True, among="seen")
    assert {item["number"] for item in state["check"]["queue"]} == {0, 1, 2}
    assert {item["predicted"] for item in state["check"]["queue"]} == {"bird"}
    page.act("say", number=0, label="bird")
    _, state = page.act("say", number=1, label="clock")
    assert (state["check"]["done"], state["check"]["right"]) == (2, 1)
    assert page.act("check", begin=True, among="all")[0] == 409


def test_what_a_check_found_is_in_the_summary_and_in_the_table(live):
    page = live()
    page.act("check", begin=True)
    first, second = numbers(page.state()["check"]["queue"])[:2]
    page.act("say", number=first, label=CLASSES[first % 3])
    page.act("say", number=second, label=CLASSES[second % 3 - 1])
    labels = page.session.learner.learn_all(page.session.annotations)
    assert "In the last check, 1 of 2 predictions were right." in summary(labels)
    found = {number: row["checked"] for number, row in enumerate(labels.rows)}
    assert (found.pop(first), found.pop(second)) == ("right", "wrong")
    assert {*found.values()} == {None}
    page.act("check", begin=True, among="seen")
    page.act("say", number=first, label=CLASSES[first % 3])
    labels = page.session.learner.learn_all(page.session.annotations)
    assert "In the last check, 1 of 1 labels that were seen were right." in summary(labels)


def test_the_doubt_that_is_left_falls_with_each_page(live):
    page = live(n=60)
    left = page.state()["doubt_left"]
    assert 1 > left[0] > left[1] > left[2] > 0
    assert left[3:] == [pytest.approx(0)] * 17
    marks = [{"number": i, "shown": CLASSES[i % 3], "label": CLASSES[i % 3]} for i in range(60)]
    page.act("page", pictures=marks)
    assert page.state()["doubt_left"] == []


def answer_check(page, wrong=()):
    """Answer a check: those at the places of `wrong` are another class."""
    for i, item in enumerate(page.state()["check"]["queue"]):
        label = "another" if i in wrong else item["predicted"]
        page.act("say", number=item["number"], label=label)


def test_a_check_speaks_of_the_pictures_that_it_was_drawn_from(live):
    page = live(n=40)
    page.act("check", begin=True)
    while page.state()["check"]["queue"]:
        answer_check(page)
    before = page.state()
    assert (before["check"]["done"], before["check"]["of"]) == (30, None)
    assert before["may_stop"]
    paint(200)
    page.act("read_new")
    after = page.state()
    assert (after["check"]["done"], after["check"]["of"]) == (30, 40)
    # Nobody looked at the new ones, and the check makes them no better.
    assert not after["may_stop"]
    assert after["right"][1] < before["right"][1]


def test_a_check_that_is_out_of_date_may_lower_the_estimate(live, monkeypatch):
    # With some draws, one picture more moves the estimate by more than the tolerance below.
    unseeded = np.random.default_rng
    monkeypatch.setattr(np.random, "default_rng", lambda *seed: unseeded(*(seed or (1,))))
    page = live(n=60)
    page.act("check", begin=True)
    page.act("say", number=page.state()["check"]["queue"][0]["number"], label="bird")
    for wrong in ({0, 1, 2, 3}, {4, 5, 6}):
        answer_check(page, wrong)
    low = page.state()["right"][1]
    paint(61)
    page.act("read_new")
    assert page.state()["right"][1] == pytest.approx(low, abs=0.1)
    assert not page.state()["may_stop"]


def test_one_may_not_stop_after_a_check_that_found_wrong_labels_among_the_seen(live):
    page = live(n=60)
    for first in range(0, 48, 12):
        marks = [
            {"number": number, "shown": label, "label": label}
            for number, label in ((i, CLASSES[i % 3]) for i in range(first, first + 12))
        ]
        page.act("page", pictures=marks)
    assert page.state()["may_stop"]
    page.act("check", begin=True, among="seen")
    while page.state()["check"]["queue"]:
        answer_check(page)
    assert page.state()["may_stop"]
    page.act("check", begin=True, among="seen")
    item = page.state()["check"]["queue"][0]
    page.act("say", number=item["number"], label="another")
    while page.state()["check"]["queue"]:
        answer_check(page)
    state = page.state()
    assert (state["check"]["right"], state["check"]["done"]) == (23, 24)
    assert state["right"][1] < 0.95
    assert not state["may_stop"]
    # A look again at what it was drawn from restores it.
    marks = [{"number": i, "shown": label, "label": label} for i, label in page.labels().items()]
    page.act("page", pictures=marks)
    assert page.state()["may_stop"]


def test_done_writes_what_the_session_knows_and_it_goes_on(live):
    written = []
    page = live()
    page.write = lambda labels: (written.append(labels.annotations.labels()), (0, ["written"]))[1]
    label_birds(page, range(2))
    assert page.act("done")[1]["written"] == ["written"]
    # With nothing said since, nothing is written again.
    page.act("done")
    assert [[*labels.values()] for labels in written] == [["bird", "bird"]]
    page.act("say", number=2, label="clock")
    page.act("done")
    assert [*written[1].values()] == ["bird", "bird", "clock"]
    page.act("end")
    page.thread.join(60)
    assert len(written) == 2
    # Also if somebody else asked for the files at this moment.
    page.session.done(page.write)
    with pytest.raises(ValueError, match="The files are being written"):
        page.session.answer("a", "", 3, "bird")


def test_the_end_of_one_page_is_told_to_the_others(live):
    page = live()
    assert page.state(tab="a")["others"] == 0
    assert page.state(tab="b")["others"] == 1
    page.act("done", tab="a")
    assert "ended" not in page.state(tab="b")
    assert page.act("end", tab="a")[1]["written"] == ["0 labels are written."]
    assert page.state(tab="b")["ended"]["written"] == ["0 labels are written."]
    page.thread.join(60)
    assert not page.thread.is_alive()


def test_after_a_restart_own_corrections_are_no_disagreement(live):
    page = live()
    for number in (0, 1, 2):
        page.act("say", tab="first", number=number, label="bird", who="Anna" if number else "")
    page.act("say", tab="other", number=1, label="clock")
    page = live()
    for number in (0, 1):
        page.act("say", tab="second", number=number, label="fruit")
    page.act("say", tab="second", number=2, label="bird", who="Anna")
    ((_, said),) = page.session.annotations.disputed().items()
    assert said == {"Anna": "bird", "second": "fruit"}
    # A tab is no name.
    (item,) = page.act("disputed")[1]["disputed"]
    assert item["opinions"] == [["Anna", "bird"], ["", "fruit"]]


def test_another_spelling_is_said_once(live):
    page = live()
    pictures = [{"number": n, "shown": "bird", "label": "BIRD"} for n in range(6)]
    assert page.act("page", pictures=pictures)[1]["notes"] == ["“BIRD” is “bird”."]


def test_an_answer_during_done_is_refused_and_who_asks_twice_gets_the_same(live):
    page, began, goes_on = live(), threading.Event(), threading.Event()

    def slow(labels):
        began.set()
        assert goes_on.wait(60)
        return 0, [f"{len(labels.annotations.answers)} written"]

    page.write = slow
    label_birds(page, range(2))
    ends = [threading.Thread(target=page.act, args=["done"]) for _ in range(2)]
    ends[0].start()
    assert began.wait(60)
    status, answer = page.act("say", number=5, label="bird")
    assert (status, answer["failed"].split(".")[0]) == (409, "The files are being written")
    ends[1].start()
    goes_on.set()
    for end in ends:
        end.join(60)
    assert page.session.done(slow) == (0, ["2 written"])
    assert len(events_of(page)) == 2


def test_after_a_done_that_failed_it_goes_on(live):
    page = live(write=Mock(side_effect=OSError("disk full")))
    label_birds(page, [0])
    assert page.act("done")[0] == 507
    assert page.act("say", number=1, label="bird")[0] == 200
    page.write = lambda labels: (0, [f"{len(labels.annotations.answers)} written"])
    assert page.act("done")[1]["written"] == ["2 written"]


def test_without_a_class_there_is_nothing_to_write(live):
    page = live(classes=[])
    status, answer = page.act("done")
    assert (status, answer["failed"]) == (
        409,
        "no class was named yet, so there is nothing to write",
    )
    page.act("add", names=["bird"])
    assert page.act("done")[0] == 200


def answer_page(page, label=None):
    """Say of a page that it is right, or that all of it is of one class."""
    shown = [
        {"number": i["number"], "shown": i["predicted"], "label": label or i["predicted"]}
        for i in page.state()["queue"][:6]
    ]
    return page.act("page", pictures=shown)


def any_action(page, rng):
    """Something that a person does, at random."""
    now, tab = page.session.snapshot(), "ab"[rng.integers(2)]
    label, *others = rng.permutation([*CLASSES, "owl", ""]).tolist()
    shown = rng.permutation(60)[:6].tolist()
    marks = [
        {"number": i, "shown": now.shown(i), "label": other or now.shown(i)}
        for i, other in zip(shown, [*others, "", ""])
    ]
    name, other = (rng.choice(now.classes) for _ in range(2))
    actions = [
        lambda: page.act("say", tab, number=shown[0], label=label),
        lambda: page.act("page", tab, pictures=marks),
        lambda: page.act("undo", tab),
        lambda: page.act("skip", tab, number=shown[0]),
        lambda: page.act("add", tab, names=["owl"]),
        lambda: page.act("rename", tab, name=name, into=label or "cat"),
        lambda: page.act("join", tab, names=[name, other], into=other),
        lambda: len(now.classes) > 2 and page.act("drop", tab, name=name),
    ]
    actions[rng.choice(len(actions), p=[0.3, 0.3, 0.1, *[0.06] * 5])]()


@pytest.mark.filterwarnings("ignore:The class .* undo that in the page")
@pytest.mark.parametrize("seed", range(4))
def test_a_session_that_is_cut_anywhere_and_opened_again_has_the_same_labels(live, seed):
    page, rng = live(n=60), np.random.default_rng(seed)
    for _ in range(30):
        any_action(page, rng)
        find = page.job.pictures.finder(page.session.answers_file.events)
        again = fold(events_of(page), find, CLASSES)
        assert content_of(again) == content_of(page.session.annotations)
    page.session.learner.end()
    settled = view_of(page.job, page.session.annotations)
    done = page.session.learner.learn_all(again)
    opened = live(n=60).session
    assert opened.learner.view.predicted == settled.predicted
    np.testing.assert_allclose(opened.learner.view.proba, settled.proba, atol=1e-9)
    assert [row["label"] for row in done.rows] == [row["label"] for row in settled.labels.rows]
    np.testing.assert_allclose(done.proba, settled.labels.proba, atol=1e-9)
    assert content_of(opened.annotations) == content_of(again)


def content_of(said):
    """What is said, and what the estimate hears of it, as plain values."""
    parts = vars(said) | {"names": said.names.current, "answers": [*said.answers.items()]}
    return parts, json.dumps(evidence(said), default=np.ndarray.tolist)


def test_what_takes_long_is_learnt_behind_a_page_that_begins_with_the_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sksemobridge.labelling._live.view.MOST_SHOTS", 2)
    job, said = make_job(n=60, shots=["bird"] * 3)
    learner, expected = Learner(job, said, begins_at_once=True), view_of(job, said)
    names = ZeroShotClassifier(TinyText()).fit(None, CLASSES).predict_proba(job.embeddings)
    np.testing.assert_allclose(learner.view.proba[:60, :-1], names)
    assert sorted(learner.view.order) == [*range(60)]
    assert learner.is_learning
    learner.start()
    learner.wait()
    learner.end()
    assert not learner.is_learning
    assert learner.view.learnt == 2
    assert learner.view.order == expected.order
    np.testing.assert_array_equal(learner.view.proba, expected.proba)
    # Without a text of each class there is nothing to begin with.
    job = replace(job, pipeline=pipeline_of(FunctionTransformer(), None))
    learner = Learner(job, said, begins_at_once=True)
    assert (learner.is_learning, learner.view.learnt) == (False, 1)
