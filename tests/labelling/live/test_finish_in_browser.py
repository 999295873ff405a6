"""The end in a real browser: Done, what goes wrong then, disputed answers, and Ctrl-C."""

import os
from unittest.mock import Mock

from ...browser import wait_until


def test_done_links_the_files_and_says_what_is_next(person):
    opened = person("ask")
    opened.press("1")
    opened.click("#done")
    wait_until(lambda: "Done: the files are written" in opened.text("finish"))
    assert "What next?" in opened.text("finish")
    # It goes on.
    opened.click_text("Back to the pictures")
    wait_until(lambda: opened.view == "ask")
    opened.press("1")
    assert len(opened.page.labels()) == 2
    opened.click("#done")
    wait_until(lambda: opened.all("#end"))
    # Until somebody ends it, for all.
    opened.click("#end")
    opened.page.thread.join(60)
    wait_until(lambda: "the program has ended" in opened.text("finish"))
    assert opened.all("#done") == []
    assert opened.browser.errors == []


def test_a_done_that_fails_keeps_its_message_and_the_way_back(person, monkeypatch):
    fails = [True]

    def write(*_):
        if fails:
            raise OSError(28, "No space left on device")
        return 0, ["12 labels are written."]

    opened = person("ask", write=write)
    opened.press("1")
    opened.click("#done")
    wait_until(lambda: "The files were not written" in opened.text("finish"))
    assert "No space left on device" in opened.text("alert")
    opened.click_text("Back to the pictures")
    wait_until(lambda: opened.view == "ask")
    assert "No space left on device" in opened.text("alert")
    opened.press("1")
    assert opened.text("alert") == ""
    assert len(opened.page.labels()) == 2
    fails.clear()
    opened.click("#done")
    wait_until(lambda: "12 labels are written." in opened.text("finish"))


def test_different_answers_are_listed_before_the_files_are_written(person):
    opened = person("ask")
    number = opened.asked()
    opened.page.act("say", tab="a", who="Anna", number=number, label="bird")
    opened.page.act("say", tab="b", who="Bob", number=number, label="clock")
    opened.click("#done")
    wait_until(lambda: "1 picture with different answers" in opened.text("finish"))
    assert "Anna: bird, Bob: clock" in opened.text("finish")
    opened.click_text("bird", "#disputed button")
    assert opened.page.labels()[number] == "bird"
    opened.click_text("Write the files")
    wait_until(lambda: "Done: the files are written" in opened.text("finish"))


def test_what_the_model_doubts_is_shown_before_the_files_are_written(person):
    opened = person("look", n=90)
    birds = [*range(0, 90, 3)]
    clocks = [*range(1, 90, 3)]
    for numbers, shown in ((birds[:2], "clock"), (birds[2:], "bird"), (clocks, "clock")):
        pictures = [{"number": i, "shown": shown, "label": shown} for i in numbers]
        opened.page.act("page", tab="b", who="Anna", pictures=pictures)
    # The same person corrects them, so that no answers differ.
    opened.run("sessionStorage.who = 'Anna'")
    opened.page.session.learner.wait()
    opened.click("#done")
    opened.wait_for("Before the files are written: 2 pictures in doubt", "look-count")
    opened.wait()
    assert opened.tiles() == [(number, "clock") for number in birds[:2]]
    opened.click("#look-tiles .tile")
    opened.press("Enter")
    opened.wait_for("Done: the files are written", "finish")
    assert opened.text("note") == ""
    assert opened.page.labels()[birds[0]] == "bird"
    # What was looked at once is not shown again.
    opened.click_text("Back to the pictures")
    opened.wait_for("not yet seen", "look-count")
    opened.page.session.learner.wait()
    opened.wait()
    opened.click("#done")
    wait_until(lambda: opened.view == "finish")
    opened.wait_for("Done: the files are written", "finish")


def test_what_is_not_saved_is_said_and_asked_again(person, monkeypatch):
    opened = person("ask")
    number = opened.asked()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", Mock(side_effect=OSError(28, "No space left on device")))
        opened.press("1")
        assert opened.text("alert") == "Not saved: No space left on device"
    assert opened.asked() == number
    opened.press("1")
    assert opened.text("alert") == ""
    assert opened.page.labels().keys() == {number}


def test_a_program_that_has_ended_is_said(person, monkeypatch):
    opened = person("ask")
    # It ends without a farewell.
    monkeypatch.setattr("sksemobridge.labelling._live.server.FAREWELL", 0)
    opened.page.close()
    opened.browser.press("1")
    wait_until(lambda: "The program does not answer" in opened.text("alert"))
    assert "labels.answers.jsonl" in opened.text("alert")
