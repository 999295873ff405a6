"""Pictures found by words, or by others that were picked, and labelled at once."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from sksemobridge._utils.array_api import l2_normalize
from sksemobridge.labelling._answers.evidence import evidence
from sksemobridge.labelling._live.find import Measured, by_pictures


def numbers(answer):
    return [item["number"] for item in answer["found"]["pictures"]]


def find(page, n_images=200, start=0, **values):
    status, answer = page.act("find", start=start, n_images=n_images, **values)
    assert status == 200, answer
    return answer


def test_pictures_like_one_come_before_the_others(live):
    page = live(n=30)
    found = numbers(find(page, like=[4]))
    assert found[0] == 4
    assert {number % 3 for number in found[:10]} == {1}
    assert sorted(found) == [*range(30)]
    # Those of a class, and of two.
    both = numbers(find(page, like=[4, 5]))
    assert both[:2] == [4, 5]
    assert {number % 3 for number in both[:20]} == {1, 2}


def test_a_text_orders_the_folder(live):
    page = live(n=30)
    found = numbers(find(page, text="a clock"))
    assert {number % 3 for number in found[:10]} == {1}
    assert numbers(find(page, text=" a clock ", start=3, n_images=4)) == found[3:7]
    # Also while no class is known.
    assert {n % 3 for n in numbers(find(live(n=30, classes=[]), text="fruit"))[:10]} == {2}


def test_answers_and_predictions_are_visible_and_what_has_a_label_can_be_left_out(live):
    page = live(n=30)
    page.act("say_same", numbers=[1, 4], label="owl")
    first = find(page, text="clock")["found"]
    assert first["total"] == 30
    labels = {item["number"]: (item["label"], item["predicted"]) for item in first["pictures"]}
    assert labels[4] == ("owl", "owl")
    assert labels[7][0] is None
    rest = find(page, text="clock", is_open=True)["found"]
    assert rest["total"] == 28
    assert not {1, 4} & {item["number"] for item in rest["pictures"]}


def test_many_pictures_get_one_label_which_is_one_step_back(live):
    page = live(n=90)
    chosen = [*range(0, 90, 3), 0]
    status, answer = page.act("say_same", numbers=chosen, label=" Owl ")
    assert (status, answer["n_answered"], answer["n_pictures"]) == (200, 30, 30)
    assert page.labels() == dict.fromkeys(range(0, 90, 3), "Owl")
    assert page.act("undo")[1]["undone"]["what"] == "the answer “Owl”"
    assert page.labels() == {}


def test_pictures_that_were_chosen_are_no_evidence(live):
    page = live(n=30)
    # The model is wrong on all of them, and says so nowhere else.
    page.act("say_same", numbers=[*range(0, 30, 3)], label="clock")
    assert evidence(page.session.annotations)["answers"] == []


def test_new_pictures_are_found_too(live):
    page = live(n=6)
    assert len(numbers(find(page, like=[0]))) == 6
    shutil.copy("photos/000.png", "photos/0000.png")
    page.act("read_new")
    assert {*numbers(find(page, like=[0]))[:2]} == {0, 1}
    assert len(numbers(find(page, like=[0]))) == 7


def test_a_burst_is_found_and_labelled_as_one(live):
    page = live(n=30, bursts=[[0, 3, 6], [1, 2]])
    found = numbers(find(page, like=[3]))
    assert found[0] == 3
    assert not {0, 6} & {*found}
    page.act("say_same", numbers=[3], label="owl")
    assert page.labels() == dict.fromkeys([0, 3, 6], "owl")


@pytest.mark.parametrize(
    "values",
    [{"text": ""}, {"text": "x" * 201}, {}, {"text": 5}, {"like": [99]}, {"like": ["1"]}]
    + [{"like": 5}, {"text": "a", "n_images": -1}, {"text": "a", "start": None}],
)
def test_what_does_not_fit_is_refused(live, values):
    assert live().act("find", **{"start": 0, "n_images": 5} | values)[0] == 409


@pytest.mark.parametrize("values", [{"numbers": []}, {"numbers": [0, 99]}, {"numbers": 5}])
def test_a_choice_that_does_not_fit_is_refused(live, values):
    page = live()
    assert page.act("say_same", label="owl", **values)[0] == 409
    assert page.labels() == {}


def scores_of(X, picked):
    return by_pictures(Measured(SimpleNamespace(embeddings=X)), X[picked])


def test_directions_in_which_all_pictures_differ_say_little():
    rng = np.random.default_rng(0)
    n, other = 200, rng.normal(size=200)
    is_own = np.arange(n) < 20
    # One direction for the class, and a larger one that has nothing to do with it.
    noise = 0.02 * rng.normal(size=(n, 61))
    X = np.column_stack([np.ones(n), 0.3 * is_own, 0.5 * other, noise])
    picked = np.flatnonzero(is_own & (other > 0.5))[:3].tolist()
    scores = scores_of(X, picked)
    cosines = l2_normalize(X) @ X[picked].mean(axis=0)
    found, by_cosine = (is_own[np.argsort(-part)[:20]].mean() for part in (scores, cosines))
    assert found > by_cosine


def test_pictures_that_are_all_the_same_have_the_same_score():
    assert np.ptp(scores_of(np.ones((5, 4)), [0])) < 1e-12
