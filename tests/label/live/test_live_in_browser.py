"""The live page in a real browser: by clicks, by keys, while typing, and in a second tab."""

import os
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from ...browser import wait_until
from .live import paint

PLACE = "[state.changes, current?.number].join()"
HOSTILE = "<img src=x onerror=\"document.title='hurt'\">"


@pytest.fixture
def enter(live, browser):
    """Opens the page, and gives it and the browser."""

    def start(**params):
        page = live(**params)
        browser.open(page.address)
        wait_until(lambda: shown(browser) is not None)
        return page

    return start


def shown(browser):
    """Number of the picture that is shown."""
    return browser.run("current && current.number")


def text(browser, name):
    return browser.run(f"document.getElementById({name!r}).textContent")


def press(browser, *keys):
    """Press keys, and wait for the answer to each."""
    for key in keys:
        before = browser.run(PLACE)
        browser.press(key)
        wait_until(lambda before=before: not browser.run("busy") and browser.run(PLACE) != before)


def type_in(browser, words):
    for letter in words:
        browser.press(letter)


def test_it_opens_without_an_error_and_the_secret_leaves_the_address(enter, browser):
    page = enter()
    assert browser.run("location.pathname + location.search") == "/"
    assert browser.run("document.cookie") == ""
    assert text(browser, "progress").startswith("labelled 0 of 12, about ")
    assert browser.run("document.getElementById('picture').decode().then(() => true)")
    assert {address.split("/")[2] for address in browser.fetched} == {f"127.0.0.1:{page.port}"}
    assert browser.errors == []


def test_keys_and_buttons_label_and_take_back(enter, browser):
    page = enter()
    first = shown(browser)
    likely = browser.run("current.likely.map(([name]) => name)")
    press(browser, "2")
    assert page.labels() == {first: likely[1]}
    second = shown(browser)
    browser.run("document.getElementById('none').click()")
    wait_until(lambda: page.labels().get(second) == "")
    wait_until(lambda: shown(browser) != second)
    press(browser, "Backspace")
    assert shown(browser) == second
    assert page.labels() == {first: likely[1]}
    press(browser, "0", "ArrowRight")
    browser.run("document.querySelector('#likely button').click()")
    wait_until(lambda: len(page.labels()) == 3)
    wait_until(lambda: text(browser, "progress").startswith("labelled 3 of 12"))
    # What was clicked can be clicked again.
    browser.run("document.querySelector('#recent button:last-child').click()")
    assert shown(browser) == first
    pressed = browser.run("document.querySelector('#likely [aria-pressed=true]').textContent")
    assert pressed.split()[1] == likely[1]
    # The model may have learnt meanwhile.
    likely = browser.run("choices().map(([name]) => name)")
    press(browser, "1")
    assert page.labels()[first] == likely[0]


def test_keys_do_nothing_while_one_types(enter, browser):
    page = enter()
    number = shown(browser)
    type_in(browser, "/")
    type_in(browser, "b1 0/2")
    for key in ("Backspace", "ArrowRight", "z"):
        browser.press(key)
    assert browser.run("document.activeElement.id") == "find"
    assert page.labels() == {}
    assert shown(browser) == number
    browser.press("Escape")
    assert browser.run("document.getElementById('find').value") == ""
    press(browser, "1")
    assert len(page.labels()) == 1


def test_letters_find_a_class_or_add_one(enter, browser):
    page = enter()
    number = shown(browser)
    type_in(browser, "loc")
    assert browser.run("options.map(([, name]) => name)") == ["clock", "Add “loc” as a class"]
    assert (
        browser.run("document.getElementById('find').getAttribute('aria-activedescendant')")
        == "found-0"
    )
    press(browser, "Enter")
    assert page.labels() == {number: "clock"}
    number = shown(browser)
    type_in(browser, "loc")
    browser.press("ArrowDown")
    press(browser, "Enter")
    assert page.labels()[number] == "loc"
    wait_until(lambda: "loc" in browser.run("state.classes"))
    number = shown(browser)
    type_in(browser, "none of")
    press(browser, "Enter")
    assert page.labels()[number] == ""


def test_names_of_files_and_classes_are_text(enter, browser):
    if sys.platform == "win32":
        pytest.skip("Windows has no such names")
    paint()
    for i, path in enumerate(sorted(Path("photos").iterdir())):
        os.rename(path, os.path.join("photos", f"{i}{HOSTILE}.png"))
    page = enter(n=0)
    type_in(browser, f"/{HOSTILE}")
    press(browser, "Enter")
    wait_until(lambda: browser.run("state.learnt") == 2)
    assert HOSTILE in text(browser, "recent")
    assert HOSTILE in text(browser, "name")
    wait_until(lambda: HOSTILE in text(browser, "likely"))
    assert browser.run("document.title") == "Label photos"
    browser.run(f"document.getElementById('note').innerHTML = {HOSTILE!r}")
    browser.run("new Promise((done) => setTimeout(done, 200))")
    assert browser.run("document.title") == "Label photos"
    assert list(page.labels().values()) == [HOSTILE]


def test_another_tab_is_told(enter, browser):
    page = enter()
    number = shown(browser)
    page.act("say", number=number, label="fruit")
    wait_until(lambda: shown(browser) != number)
    assert "Another tab said “fruit”" in text(browser, "note")
    mine = shown(browser)
    press(browser, "1")
    page.act("say", number=mine, label="another")
    wait_until(lambda: "Another tab said “another”" in text(browser, "note"))
    assert page.labels()[mine] == "another"


def test_a_check_asks_for_what_was_predicted(enter, browser):
    enter(n=40)
    browser.run("document.getElementById('check').click()")
    wait_until(lambda: text(browser, "question").startswith("Check: is this “"))
    predicted = browser.run("current.predicted")
    assert (
        browser.run("document.querySelector('#likely button').textContent").split()[1] == predicted
    )
    press(browser, "1", "1", "0")
    assert text(browser, "checked").startswith("Check: 3 of 30 seen, 2 right, so 20.8 to 93.9 %")
    press(browser, "Backspace")
    assert text(browser, "checked").startswith("Check: 2 of 30 seen, 2 right")
    browser.run("document.getElementById('check').click()")
    wait_until(lambda: text(browser, "question").startswith("What is this?"))


def test_what_is_not_saved_is_said_and_asked_again(enter, browser, monkeypatch):
    page = enter()
    number = shown(browser)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", Mock(side_effect=OSError(28, "No space left on device")))
        browser.press("1")
        wait_until(lambda: text(browser, "alert") == "Not saved: No space left on device")
    assert shown(browser) == number
    assert text(browser, "progress").startswith("labelled 0 of 12, about ")
    press(browser, "1")
    assert browser.run("document.getElementById('alert').hidden")
    assert page.labels().keys() == {number}


def test_done_and_a_program_that_has_ended(enter, browser):
    page = enter()
    press(browser, "1")
    browser.run("document.getElementById('done').click()")
    wait_until(lambda: "Done. You may close this page." in text(browser, "live"))
    assert "1 labels are written." in text(browser, "live")
    page.thread.join(60)
    page = enter()
    page.close()
    browser.press("1")
    wait_until(lambda: "The program does not answer" in text(browser, "alert"))
    assert "labels.answers.jsonl" in text(browser, "alert")


def test_all_pictures_that_are_there_can_be_labelled_by_keys_alone(enter, browser):
    page = enter()
    # One that the browser has not fetched yet.
    gone = page.state()["queue"][6]["number"]
    os.remove(page.session.files.paths[gone])
    while shown(browser) is not None:
        press(browser, "1")
    expected = {i: ["bird", "clock", "fruit"][i % 3] for i in range(12) if i != gone}
    assert page.labels() == expected
    assert text(browser, "progress").startswith("labelled 11 of 12")


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1400, "dark")])
def test_the_page_fits_its_window_and_all_that_is_pressed_has_a_name(enter, browser, width, scheme):
    browser.look(width, scheme)
    enter()
    press(browser, "1")
    type_in(browser, "a very long name of a class that is not there")
    assert browser.run("document.documentElement.scrollWidth <= innerWidth")
    assert browser.is_light() == (scheme == "light")
    nodes = browser.send("Accessibility.getFullAXTree")["nodes"]
    roles = ("button", "combobox", "option", "listbox")
    pressed = [node for node in nodes if node.get("role", {}).get("value") in roles]
    assert len(pressed) > 8
    assert all(node["name"]["value"].strip() for node in pressed if not node["ignored"])


def test_what_a_picture_offers_stays_while_it_is_looked_at(enter, browser):
    page = enter(n=30)
    number, likely = shown(browser), browser.run("choices().map(([name]) => name)")
    # Another tab teaches that this is something new.
    page.act("say", number=(number + 3) % 30, label="new")
    wait_until(lambda: browser.run("state.learnt") == 2)
    assert shown(browser) == number
    assert [name for name in text(browser, "likely").split() if name in (*likely, "new")] == likely
    press(browser, "1")
    assert page.labels()[number] == likely[0]
    assert "new" in text(browser, "likely")


def test_a_double_click_labels_once(enter, browser):
    page = enter()
    place = "document.querySelector('#likely button').getBoundingClientRect()"
    x, y = browser.run(f"(({{x, y}}) => [x + 9, y + 9])({place})")
    for count in (1, 2):
        for kind in ("mousePressed", "mouseReleased"):
            browser.send(
                "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=count
            )
        wait_until(lambda: not browser.run("busy") and len(page.labels()) == 1)
        # However slow this machine is.
        browser.run("shown_at = Date.now() + 60000")
    browser.run("new Promise((done) => setTimeout(done, 200))")
    assert len(page.labels()) == 1
