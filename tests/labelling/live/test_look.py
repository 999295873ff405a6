"""Pages to look through: what is on them, for whom, and the second look."""

import pytest

from sksemobridge.labelling._live.look import next_pictures
from sksemobridge.labelling._live.planted import draw_planted, is_time_to_plant
from sksemobridge.labelling._live.refused import Refused

from .live import CLASSES


def numbers(groups):
    return [number for part in groups.values() for number in part]


def next_page(session, tab, *args, **kwargs):
    return next_pictures(session.snapshot(), session.reserved, tab, *args, **kwargs)


def say(session, tab, picked, label=None):
    pictures = [
        {
            "number": number,
            "shown": session.snapshot().shown(number),
            "label": label or session.snapshot().shown(number),
        }
        for number in picked
    ]
    session.confirm_page(tab, "", pictures)


@pytest.fixture
def session(live):
    return live(n=30).session


def test_a_page_has_what_nobody_saw_under_its_predicted_label(session):
    groups, left = next_page(session, "a", 12)
    assert left == 30
    assert 6 <= len(numbers(groups)) <= 12
    for label, part in groups.items():
        assert {session.snapshot().shown(number) for number in part} == {label}
    say(session, "a", numbers(groups))
    later, left = next_page(session, "a", 12)
    assert left == 30 - len(numbers(groups))
    assert not {*numbers(later)} & {*numbers(groups)}


def test_a_request_that_does_not_fit_is_refused_as_such(live):
    page = live()
    assert page.act("look", name=5, n_images=3) == (400, {"failed": "The request does not fit."})
    failed = page.act("add", names=["owl\x1b[31m"])
    assert failed == (
        409,
        {"failed": "The name of a new class has letters, and no control characters."},
    )


def test_two_tabs_get_other_pictures(session):
    first, _ = next_page(session, "a", 12)
    second, _ = next_page(session, "b", 12)
    assert not {*numbers(first)} & {*numbers(second)}
    again, _ = next_page(session, "a", 12)
    assert numbers(again) == numbers(first)


def test_what_comes_next_is_told_before_a_page_is_answered(session):
    first, _ = next_page(session, "a", 12)
    coming, _ = next_page(session, "a", 12, without=numbers(first))
    assert not {*numbers(first)} & {*numbers(coming)}
    # It is kept for nobody.
    other, _ = next_page(session, "b", 12)
    assert {*numbers(other)} & {*numbers(coming)}


def test_the_last_pages_are_full(session):
    for left in (18, 6):
        shown = numbers(next_page(session, "a", 12)[0])
        assert len(shown) == 12
        say(session, "a", shown)
        assert next_page(session, "a", 12)[1] == left
    assert len(numbers(next_page(session, "a", 12)[0])) == 6


def test_one_label_alone(session):
    groups, left = next_page(session, "a", 12, name="bird")
    assert [*groups] == ["bird"]
    assert left == 10


def test_the_second_look_has_what_the_model_doubts_most(session):
    picked = [number for number in range(30) if session.snapshot().shown(number) == "bird"]
    say(session, "a", picked[1:])
    say(session, "a", picked[:1], label="clock")
    groups, left = next_page(session, "a", 3, among="seen")
    assert left == len(picked)
    assert picked[0] in numbers(groups)
    assert groups["clock"] == picked[:1]


def test_the_second_look_begins_with_none_of_these_that_answers_contradict(session):
    birds = [number for number in range(30) if session.snapshot().shown(number) == "bird"]
    others = [number for number in range(30) if session.snapshot().shown(number) == "clock"]
    # A page that was marked by mistake, and right answers.
    session.confirm_page("a", "", [{"number": i, "shown": "bird", "label": ""} for i in birds[:4]])
    say(session, "a", birds[4:] + others)
    session.learner.tell(session.annotations)
    session.learner.wait()
    groups, _ = next_page(session, "a", 4, among="seen")
    assert groups == {"": groups[""]}
    assert {*groups[""]} == {*birds[:4]}


def test_what_was_confirmed_and_is_rather_wrong_is_doubted(session):
    shown = {number: session.snapshot().shown(number) for number in range(30)}
    birds = [number for number, label in shown.items() if label == "bird"]
    wrong = [{"number": i, "shown": "clock", "label": "clock"} for i in birds[:2]]
    session.confirm_page("a", "", wrong)
    # A correction is no confirmation.
    session.confirm_page("a", "", [{"number": birds[2], "shown": "bird", "label": "clock"}])
    say(session, "a", [number for number in range(30) if number not in birds[:3]])
    session.learner.tell(session.annotations)
    session.learner.wait()
    groups, n_doubted = next_page(session, "a", 12, among="doubted")
    assert (groups.keys(), {*groups["clock"]}, n_doubted) == ({"clock"}, {*birds[:2]}, 2)
    assert next_page(session, "a", 12, among="doubted", without=birds[:2]) == ({}, 0)


def test_pages_of_no_size_are_refused(session):
    for n_images in (0, "many"):
        with pytest.raises(Refused):
            next_page(session, "a", n_images)
    with pytest.raises(Refused):
        next_page(session, "a", 12, among="all")


def test_the_first_page_after_names_were_given_has_their_labels(live):
    page = live(n=60, classes=[])
    status, answer = page.act("look", n_images=12)
    assert (status, "knows no class yet" in answer["failed"]) == (409, True)
    page.act("add", names=["bird", "clock", "fruit"])
    groups = page.act("look", n_images=12)[1]["look"]["groups"]
    assert {group["label"] for group in groups} <= {"bird", "clock", "fruit"}


def events_of(session):
    return len(session.answers_file.events)


def test_answers_that_are_newer_than_a_page_win(session):
    groups, _ = next_page(session, "a", 12)
    knew, (first, second, third, *_) = events_of(session), numbers(groups)
    page = [{"number": n, "shown": "", "label": ""} for n in (first, second, third)]
    session.answer("a", "", first, "bird")
    session.answer("b", "", second, "clock")
    session.undo("b", "")
    answer = session.confirm_page("a", "", page, knew=knew)
    assert answer["notes"] == ["1 got a label since this page was shown, which stays."]
    assert answer["n_answered"] == 2
    assert [session.snapshot().shown(n) for n in (first, second, third)] == ["bird", "", ""]
    # A later page may change all.
    later = [picture | {"label": "fruit"} for picture in page]
    session.confirm_page("a", "", later, knew=events_of(session))
    assert [session.snapshot().shown(n) for n in (first, second, third)] == ["fruit"] * 3
    # With nothing left to say, nothing is.
    before = events_of(session)
    assert session.confirm_page("a", "", page, knew=knew)["n_answered"] == 0
    assert events_of(session) == before
    for knew in (-1, before + 1, "x"):
        with pytest.raises(Refused):
            session.confirm_page("a", "", page, knew=knew)


def test_a_class_that_was_dropped_does_not_come_back_unnoticed(session):
    page = [{"number": n, "shown": "fruit", "label": "fruit"} for n in (0, 1)]
    page.append({"number": 2, "shown": "fruit", "label": "clock"})
    knew = events_of(session)
    session.drop("b", "", "fruit")
    answer = session.confirm_page("a", "", page, knew=knew)
    assert answer["notes"] == ["“fruit” was dropped since, so 2 pictures got no label."]
    assert (session.snapshot().classes, [*session.annotations.labels().values()]) == (
        ["bird", "clock"],
        ["clock"],
    )
    # Who knows of the drop may give the class back.
    for say_again in (
        lambda: session.answer("a", "", 0, "Fruit"),
        lambda: session.confirm_page(
            "a", "", [page[0] | {"label": "Fruit"}], knew=events_of(session)
        ),
    ):
        answer = say_again()
        assert answer["notes"] == ["“Fruit” was dropped before, and is a class again."]
        session.undo("a", "")


def confirm(session, tab="a", n=6, **values):
    """Say that the next page is right, with `planted` pictures by number and label over it."""
    groups, _ = next_page(session, tab, n)
    planted = values.pop("planted", {})
    page = [
        {"number": number, "shown": label, "label": label}
        for label, part in groups.items()
        for number in part
    ]
    page += [
        {"number": number, "shown": shown, "label": label, "planted": True}
        for number, (shown, label) in planted.items()
    ]
    return session.confirm_page(tab, "", page, **values)


def test_pictures_are_planted_under_a_wrong_label_after_three_pages_without_a_correction(live):
    session = live(n=90).session
    session.answer("a", "", 0, "bird")
    session.answer("a", "", 1, "clock")
    for _ in range(3):
        assert not is_time_to_plant(session.annotations, "a")
        confirm(session)
    assert is_time_to_plant(session.annotations, "a")
    assert not is_time_to_plant(session.annotations, "b")
    groups, _ = next_page(session, "a", 6)
    said = session.annotations.labels()
    for _ in range(20):
        drawn = draw_planted(session.snapshot(), groups)
        assert len(drawn) == 2
        for number, label in drawn:
            assert (
                session.snapshot().shown(number)
                == said[session.files.pictures.real[number]]
                != label
            )
            assert label in groups
    # Those that are gone cannot be shown.
    session.files.unread.update(dict.fromkeys(range(90), "gone"))
    assert draw_planted(session.snapshot(), groups) == []
    session.files.unread.clear()
    # A correction says that somebody looks.
    (number,) = next(iter(groups.values()))[:1]
    session.confirm_page("a", "", [{"number": number, "shown": "bird", "label": "fruit"}])
    assert not is_time_to_plant(session.annotations, "a")


def test_what_is_said_of_planted_pictures_is_no_answer(live):
    page = live(n=90)
    session = page.session
    for number, label in enumerate(["bird", "clock", "fruit"]):
        session.answer("a", "", number, label)
    before, learner = session.annotations, session.learner
    found = confirm(session, planted={0: ("clock", "clock"), 1: ("bird", "clock")})
    assert (found["n_planted"], found["n_missed"], len(found["again"])) == (2, 1, 1)
    said = session.annotations
    for real, answer in before.answers.items():
        assert said.answers[real] == answer
        assert said.opinions[real] == before.opinions[real]
    assert learner.job.fit(said).shots.labels.tolist().count("clock") == 1 + sum(
        answer.label == "clock" for answer in said.answers.values() if answer.confirmed
    )
    # What was left as it was shown is in doubt, for one of two planted pictures was passed over.
    confirmed = {real for real, answer in said.answers.items() if answer.confirmed}
    assert {*said.doubted()} == confirmed == said.answers.keys() - before.answers.keys()
    # The next run knows it, and an undo takes the page back, not what was found.
    session.undo("a", "")
    assert session.annotations.labels() == before.labels()
    again = live(n=90).session.annotations
    assert again.attention == session.annotations.attention


ALL_MISSED = {0: ("clock", "clock"), 1: ("bird", "bird")}
ONE_FOUND = {0: ("clock", "bird"), 1: ("bird", "bird")}


def answer_two(session):
    """Two answers, of which pictures can be planted."""
    session.answer("a", "", 0, "bird")
    session.answer("a", "", 1, "clock")


def pages_of(session):
    """The numbers of the events of pages."""
    return [event.id for event in session.answers_file.events if event.kind == "page"]


def correct_one(session, planted=None):
    """A page with a correction."""
    (number, *_) = numbers(next_page(session, "a", 6)[0])
    page = [{"number": number, "shown": "bird", "label": "fruit"}]
    for other, (shown, label) in (planted or {}).items():
        page.append({"number": other, "shown": shown, "label": label, "planted": True})
    return session.confirm_page("a", "", page)


def test_pages_since_the_last_correction_are_in_doubt_if_planted_pictures_are_passed_over(live):
    session = live(n=90).session
    answer_two(session)
    confirm(session)
    correct_one(session)
    before = session.annotations
    for _ in range(2):
        confirm(session)
    again = confirm(session, planted=ALL_MISSED)["again"]
    assert again == pages_of(session)[-3:]
    said, fit = session.annotations, session.job.fit
    assert {said.answers[real].event for real in said.doubted()} == {*again}
    # They teach nothing until somebody looks again.
    assert len(fit(said).shots.labels) == len(before.answers)
    # Another person's pages do.
    (number, *_) = numbers(next_page(session, "b", 6)[0])
    session.confirm_page("b", "", [{"number": number, "shown": "fruit", "label": "fruit"}])
    assert len(fit(session.annotations).shots.labels) == len(before.answers) + 1


@pytest.mark.parametrize(
    "pass_over",
    [lambda session: confirm(session, planted=ONE_FOUND), lambda s: correct_one(s, ALL_MISSED)],
)
def test_who_found_something_on_a_page_has_looked_at_those_before(live, pass_over):
    session = live(n=90).session
    answer_two(session)
    for _ in range(3):
        confirm(session)
    assert pass_over(session)["again"] == pages_of(session)[-1:]


def test_a_look_again_restores_what_was_in_doubt(live):
    page = live(n=90)
    session = page.session
    answer_two(session)
    for _ in range(2):
        confirm(session)
    trusted = page.state()["right"]
    again = confirm(session, planted=ALL_MISSED)["again"]
    session.learner.wait()
    # In doubt, labels are as right as the model says, as if nobody had confirmed them.
    _, low, high = page.state()["right"]
    assert low < trusted[1]
    assert high - low > trusted[2] - trusted[1]
    assert not page.state()["may_stop"]
    groups, left = next_page(session, "a", 60, "seen", of=again)
    assert left == len(session.annotations.doubted())
    say(session, "a", numbers(groups))
    assert session.annotations.doubted() == []
    session.learner.wait()
    assert len(session.learner.view.labels.shots.labels) == 2 + left
    assert page.state()["right"][1] >= low


def test_one_may_stop_after_two_pages_or_ten_pictures_of_a_check(live):
    page = live(n=90)
    session = page.session
    for number in range(12):
        session.answer("a", "", number, CLASSES[number % 3])
    assert not page.state()["may_stop"]
    confirm(session)
    assert not page.state()["may_stop"]
    confirm(session)
    assert page.state()["may_stop"]
    session.undo("a", "")
    assert not page.state()["may_stop"]
    session.check("a", "", True, "rest")
    for number in [item["number"] for item in page.state()["check"]["queue"]][:10]:
        assert not page.state()["may_stop"]
        session.answer("a", "", number, session.snapshot().shown(number))
    assert page.state()["may_stop"]


def test_pages_that_were_confirmed_too_quickly_come_first_in_a_second_look(live):
    session = live(n=90).session
    pages = []
    for seconds in (20.0, 0.6, 0.3):
        pages.append(numbers(next_page(session, "a", 6)[0]))
        confirm(session, seconds=seconds)
    slow, quick, quickest = map(set, pages)
    shown = numbers(next_page(session, "a", len(quickest), "seen")[0])
    assert {*shown} == quickest
    shown = numbers(next_page(session, "a", len(quick), "seen", without=shown)[0])
    assert {*shown} == quick
    # Those of a page, by its number.
    of = [event.id for event in session.answers_file.events][:1]
    assert {*numbers(next_page(session, "a", 30, "seen", of=of)[0])} == slow
