""" "What is in this folder?" in a real browser: names to keep, change, join, drop, and add."""

import pytest

from ...browser import wait_until


@pytest.fixture
def begin(person):
    """Opens a page of a folder without classes."""
    opened = []

    def start():
        opened.append(person(n=60, classes=[]))
        return opened[0]

    yield start
    # Without a class, nothing can be written.
    opened[0].page.act("add", names=["bird"])


def test_without_classes_the_page_asks_what_is_in_the_folder(begin):
    person = begin()
    assert person.view == "names"
    assert person.text("names-title") == "What is in this folder?"
    assert person.all("#suggestions .card", "className")
    assert len(person.all("#suggestions .card:first-child img", "src")) > 1


def test_names_are_kept_changed_joined_dropped_and_added(begin):
    person = begin()
    fields = person.all("#suggestions input", "value")
    for i in range(3, len(fields)):
        if fields[i]:
            person.run(f"document.querySelectorAll('#suggestions .keep')[{i}].click()")
    person.run(
        "[...document.querySelectorAll('#suggestions input')].slice(0, 3).forEach((field, i) => {"
        " field.value = ['Bird', 'wren', 'clock'][i]; field.dispatchEvent(new Event('input')); })"
    )
    person.run(
        "(select => { select.value = '0'; select.dispatchEvent(new Event('change')); })"
        "(document.querySelectorAll('#suggestions select')[1])"
    )
    person.fill("own-name", "fruit, bird")
    person.click("#add-own")
    assert person.text("start") == "Start with 3 classes"
    person.click("#start")
    wait_until(lambda: person.view == "look")
    assert {name.lower() for name in person.page.state()["classes"]} == {"bird", "clock", "fruit"}


def set_name(person, which, name):
    person.run(
        f"(field => {{ field.value = {name!r}; field.dispatchEvent(new Event('input')); }})"
        f"(document.querySelectorAll('#suggestions .card:not([hidden]) input')[{which}])"
    )


def test_the_screen_of_names_is_kept_when_it_is_loaded_again(begin):
    person = begin()
    for which, name in enumerate(["my own", "wren", "owl"]):
        set_name(person, which, name)
    person.run("document.querySelectorAll('#suggestions .keep')[2].click()")
    person.run(
        "(select => { select.value = '0'; select.dispatchEvent(new Event('change')); })"
        "(document.querySelectorAll('#suggestions select')[1])"
    )
    person.run("document.getElementById('own-name').focus()")
    person.type("parrot")
    person.press("Enter")
    wait_until(lambda: len(person.page.state()["cards"]) == 4)
    assert person.text("start") == "Start with 2 classes"
    # A card counts what was joined with it.
    assert person.all("#suggestions .card div > .soft") == ["≈ 40 pictures", "≈ 20 pictures"]
    person.browser.open(person.page.address)
    person.wait()
    assert person.all("#suggestions .card input", "value") == ["my own", "owl"]
    assert person.all("#suggestions .joins button") == ["with a group ×"]
    assert person.all("#suggestions .card.dropped input", "value") == ["owl"]
    assert person.all("#own-names span") == ["parrot"]
    assert person.all("#suggestions .card div > .soft") == ["≈ 40 pictures", "≈ 20 pictures"]
    assert person.text("start") == "Start with 2 classes"
    person.click("#start")
    wait_until(lambda: person.view == "look")
    assert person.page.state()["classes"] == ["my own", "parrot"]


def test_cards_of_one_name_are_joined(begin):
    person = begin()
    set_name(person, 0, "parrot")
    for letter in " Parrot":
        person.run("document.querySelectorAll('#suggestions input')[1].focus()")
        person.type(letter)
    assert person.text("start") == "Start with 1 class"
    person.press("Tab")
    person.run("document.activeElement.blur()")
    assert person.text("note") == "Joined with “parrot”."
    assert person.all("#suggestions .card input", "value")[0] == "parrot"
    assert person.all("#suggestions .joins button") == ["with a group ×"]
    wait_until(lambda: [how for _, how, _ in person.page.state()["cards"]] == ["kept", "joined"])
    person.click("#suggestions .joins button")
    assert person.all("#suggestions .card input", "value")[:2] == ["parrot", ""]
    wait_until(lambda: "joined" not in [how for _, how, _ in person.page.state()["cards"]])
    assert person.all("#suggestions .joins button") == []


def test_a_reply_between_press_and_release_loses_no_click(begin):
    person = begin()
    for number in range(2):
        set_name(person, number, "parrot")
    person.run(
        "document.querySelectorAll('#suggestions .card:not([hidden]) input')[1]"
        ".dispatchEvent(new Event('change'))"
    )
    wait_until(lambda: person.all("#suggestions .joins button") == ["with a group ×"])
    person.mouse("mousePressed", "#suggestions .joins button")
    person.run("import('/_live/static/state.js').then(({ see }) => see('state')).then(() => null)")
    person.mouse("mouseReleased", "#suggestions .joins button")
    wait_until(lambda: person.all("#suggestions .joins button") == [])


def test_fewer_and_more_names_show_each_once(person, monkeypatch):
    names = [(f"thing {i}", 1 / 40, [i]) for i in range(40)]
    module = "sksemobridge.labelling._live.suggestions._names"
    monkeypatch.setattr(module, lambda now, n_names: names[:n_names])
    opened = person("names", n=60)

    def shown():
        return opened.all("#suggestions .card input", "value")

    def press(button):
        opened.run(f"document.getElementById({button!r}).click()")
        opened.wait()

    press("more-names")
    assert len(shown()) == 40
    opened.run("document.querySelectorAll('#suggestions .keep')[35].click()")
    press("fewer-names")
    assert len(shown()) == 31
    press("more-names")
    assert sorted(shown()) == sorted(name for name, _, _ in names)


def test_pictures_of_bursts_are_counted_each(person):
    opened = person("names", n=60, bursts=[[*range(0, 60, 3)]])
    assert opened.page.state()["total"] == 41
    about = opened.all("#suggestions .card div > .soft")
    assert sum(int(text.split()[1]) for text in about) == 60


def test_typed_names_are_enough(begin):
    person = begin()
    person.run("document.querySelectorAll('#suggestions .keep').forEach((one) => one.click())")
    person.run("document.getElementById('own-name').focus()")
    person.type("bird, clock")
    person.click("#start")
    assert person.page.state()["classes"] == ["bird", "clock"]


def test_what_else_is_in_here_keeps_only_what_one_wants(person):
    opened = person("classes")
    opened.click("#what-else")
    wait_until(lambda: opened.view == "names")
    opened.wait()
    assert opened.text("names-title") == "What else is in here?"
    assert opened.run("document.getElementById('start').disabled")
    opened.fill("own-name", "parrot")
    opened.click("#add-own")
    opened.click("#start")
    wait_until(lambda: opened.view == "classes")
    assert "parrot" in opened.page.state()["classes"]


def test_start_comes_before_the_names_in_the_order_of_tabs(person):
    opened = person(n=60, classes=[])
    stops = "[...document.querySelectorAll('#names :is(button, input)')]"
    first = f"{stops}.find((one) => one.tabIndex === 0 && one.checkVisibility()).id"
    assert opened.run(first) == "start"
