"""Pictures that come into the folder while the page is open."""

import shutil
from pathlib import Path

from .live import paint


def test_new_pictures_are_counted_and_half_ones_again(live):
    page = live(n=3)
    arrivals = page.session.arrivals

    def count():
        arrivals.look()
        return page.state()["arrived"]

    assert count() == 0
    whole = Path("photos/000.png").read_bytes()
    Path("photos/new.png").write_bytes(whole[:40])
    Path("photos/notes.txt").write_text("no image")
    assert count() == 1
    assert page.act("read_new")[1]["pictures"] == 3
    assert count() == 0
    # Now all of it is there.
    Path("photos/new.png").write_bytes(whole)
    assert count() == 1
    assert page.act("read_new")[1]["pictures"] == 4
    assert count() == 0
    shutil.move("photos", "elsewhere")
    assert count() == 0
    shutil.move("elsewhere", "photos")


def test_numbers_of_before_mean_nothing_after_new_pictures_were_read(live):
    page = live(n=6)
    page.act("say", number=1, label="clock", generation=0)
    shutil.copy("photos/003.png", "photos/0000.png")
    page.state(tab="b")
    assert page.session.reserved.of_others("a")
    _, state = page.act("read_new")
    assert not page.session.reserved.of_others("a")
    assert (state["generation"], state["pictures"], state["labelled"]) == (1, 7, 1)
    # The answer is of the same picture.
    assert page.labels() == {2: "clock"}
    for action, values in {
        "say": {"number": 1, "label": "bird"},
        "page": {"pictures": [{"number": 1, "shown": "bird", "label": "bird"}]},
        "look": {"n_images": 6},
        "find": {"start": 0, "n_images": 6, "like": [1]},
    }.items():
        status, answer = page.act(action, generation=0, **values)
        assert (status, answer["failed"]) == (
            409,
            "New pictures were read, so the page is loaded again.",
        )
    # The name of a class needs no numbers.
    assert page.act("add", names=["owl"], generation=0)[0] == 200
    assert page.ask("/picture/1?g=0")[0] == 404
    assert page.ask("/picture/1?g=1")[0] == 200
    assert page.act("say", number=1, label="bird", generation=1)[0] == 200
    # What was said before can still be taken back.
    for _ in range(3):
        page.act("undo")
    assert page.labels() == {}
    assert page.act("done")[0] == 200


def test_answers_that_are_given_while_new_pictures_are_read_are_kept(live):
    page = live(n=6)
    read = page.session.arrivals.read

    def slow(job):
        found = read(job)
        page.session.answer("b", "", 5, "fruit")
        return found

    page.session.arrivals.read = slow
    paint(8)
    page.act("read_new")
    assert page.labels() == {5: "fruit"}


def test_done_writes_again_after_new_pictures_were_read(live):
    written = []
    page = live(n=6)
    page.write = lambda labels: (written.append(len(labels.job.paths)), (0, ["written"]))[1]
    page.act("say", number=1, label="clock")
    page.act("done")
    paint(8)
    page.act("read_new")
    page.act("done")
    assert written == [6, 8]
