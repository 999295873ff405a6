"""Bursts in the page: shown, asked and answered as one."""

from pathlib import Path

from sksemobridge.labelling._answers.answers_file import Answers
from sksemobridge.labelling._answers.evidence import evidence

# Two bursts of birds and of clocks. The other seven pictures are by themselves.
BURSTS = [[0, 3, 6], [1, 4]]
N_BURSTS = 9


def bursts_of(items):
    return {item["number"]: item["burst"] for item in items}


def last_event(page):
    return Answers(page.answers.path).events[-1]


def test_a_burst_is_asked_once_and_one_answer_is_one_line_with_all_its_pictures(live):
    page = live(bursts=BURSTS)
    state = page.state()
    assert (state["total"], state["pictures"]) == (N_BURSTS, 12)
    bursts = bursts_of(state["queue"])
    assert sorted(map(tuple, bursts.values()), key=len)[-2:] == [(1, 4), (0, 3, 6)]
    assert len(bursts) == N_BURSTS
    (asked,) = (number for number, burst in bursts.items() if burst == [0, 3, 6])
    answer, state = page.act("say", number=asked, label="bird")
    assert (answer, state["n_pictures"]) == (200, 3)
    pictures = last_event(page).pictures
    assert {picture.path for picture in pictures} == {"000.png", "003.png", "006.png"}
    assert {picture.label for picture in pictures} == {"bird"}
    # One of them was asked.
    assert [picture.by_burst for picture in pictures] == [False, True, True]
    assert [bool(picture.likely) for picture in pictures] == [True, False, False]
    assert (state["labelled"], state["seen"]) == (1, 1)
    assert bursts_of(state["recent"]) == {asked: [0, 3, 6]}
    _, state = page.act("undo")
    assert page.labels() == {}
    assert bursts_of(state["undone"]["items"]) == {asked: [0, 3, 6]}
    assert len(state["queue"]) == N_BURSTS


def test_a_picture_that_is_corrected_alone_is_a_burst_by_itself(live):
    page = live(bursts=BURSTS)
    page.act("say", number=0, label="bird")
    page.act("say_same", numbers=[3], label="fruit", alone=True)
    _, state = page.act("say", number=6, label="clock")
    assert page.labels() == {0: "clock", 3: "fruit", 6: "clock"}
    assert bursts_of(state["recent"]) == {6: [0, 6], 3: [3]}
    # Before its burst was asked, too: the answer is to the others.
    page.act("say_same", numbers=[4], label="fruit", alone=True)
    assert bursts_of(page.state()["queue"])[1] == [1]
    page.act("say", number=1, label="clock")
    assert page.labels() | {0: "", 3: "", 6: ""} == {0: "", 3: "", 6: "", 4: "fruit", 1: "clock"}


def test_a_page_has_a_tile_for_each_burst(live):
    page = live(bursts=BURSTS)
    _, answer = page.act("look", n_images=60)
    groups = answer["look"]["groups"]
    tiles = [(item, group["label"]) for group in groups for item in group["pictures"]]
    assert answer["look"]["left"] == len(tiles) == N_BURSTS
    pictures = [{"number": i["number"], "label": name, "shown": name} for i, name in tiles]
    _, state = page.act("page", pictures=pictures)
    assert (state["n_answered"], state["n_pictures"]) == (N_BURSTS, 12)
    assert len(last_event(page).pictures) == len(page.labels()) == 12
    assert (state["labelled"], state["seen"]) == (N_BURSTS, N_BURSTS)
    _, state = page.act("undo")
    assert len(state["undone"]["items"]) == N_BURSTS
    assert state["undone"]["what"] == "a page of 12"


def test_pictures_of_a_burst_on_one_page_each_have_their_own_answer(live):
    page = live(bursts=BURSTS)
    marks = [(0, "bird"), (3, "fruit")]
    pictures = [{"number": number, "label": label, "shown": "bird"} for number, label in marks]
    assert page.act("page", pictures=pictures)[1]["n_pictures"] == 3
    kept = [(part.path, part.label, part.by_burst) for part in last_event(page).pictures]
    assert kept == [
        ("000.png", "bird", False),
        ("006.png", "bird", True),
        ("003.png", "fruit", False),
    ]


def test_a_burst_that_is_put_off_comes_last(live):
    page = live(bursts=BURSTS)
    _, state = page.act("skip", number=3)
    assert state["queue"][-1]["burst"] == [0, 3, 6]
    assert len(state["queue"]) == N_BURSTS


def test_a_check_draws_bursts_and_counts_each_once(live):
    page = live(bursts=BURSTS)
    page.act("say", number=8, label="fruit")
    _, state = page.act("check", begin=True)
    assert state["check"]["drawn"] == N_BURSTS - 1
    for item in state["check"]["queue"]:
        _, state = page.act("say", number=item["number"], label=item["predicted"])
    assert (state["check"]["done"], state["check"]["right"]) == (N_BURSTS - 1, N_BURSTS - 1)
    assert len(page.labels()) == 12
    # Pictures that got their label along are no later answers.
    assert evidence(page.session.annotations)["n_checked"] == N_BURSTS - 1


def test_the_estimate_hears_of_each_burst_once(live):
    page = live(bursts=BURSTS)
    page.act("say", number=0, label="bird")
    page.act("say", number=2, label="fruit")
    annotations = page.session.annotations
    n_first = sum(answer.at_random for answer in annotations.answers.values() if answer.likely)
    n_later = sum(len(answered.codes) for answered in evidence(annotations)["answers"])
    assert n_first + n_later == 2


def test_a_picture_of_a_burst_that_is_gone_gets_no_label_and_that_is_said(live):
    page = live(bursts=BURSTS)
    Path("photos/003.png").unlink()
    _, state = page.act("say", number=0, label="bird")
    assert page.labels() == {0: "bird", 6: "bird"}
    # All that can be shown of the burst is done.
    assert (state["labelled"], state["seen"]) == (1, 1)
    assert state["notes"] == ["1 of a burst could not be read and got no label."]


def test_answers_to_a_burst_count_also_without_bursts_and_the_other_way_round(live):
    live(bursts=BURSTS).act("say", number=0, label="bird")
    page = live()
    assert page.labels() == {0: "bird", 3: "bird", 6: "bird"}
    page.act("say", number=1, label="clock")
    page = live(bursts=BURSTS)
    assert page.labels() == {0: "bird", 3: "bird", 6: "bird", 1: "clock"}
    assert bursts_of(page.state()["queue"])[4] == [4]
