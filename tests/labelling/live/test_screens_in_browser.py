"""Every view at every size, light and dark, with few and with many classes: what a designer would
look for.
"""

from pathlib import Path

import pytest

AUDIT = (Path(__file__).parent / "audit.js").read_text()
SIZES = [(390, 844), (768, 1024), (1366, 640), (1920, 1080)]
OTHERS = [f"a class of number {i}" for i in range(397)]
# Where a person may be, and what is opened there.
PLACES = {
    "look": "",
    "look with a tile": "document.querySelectorAll('#look-tiles .tile')[2].click()",
    "ask": "",
    "ask with the list": "document.querySelector('#ask .find').focus()",
    "classes": "",
    "classes/bird": "document.querySelector('#gallery .tile').click()",
    "find": "",
    "find/3": "",
    "find/5,6": "document.querySelector('#find-tiles .tile').click()",
    "names": "",
}


def tree(person):
    nodes = person.browser.send("Accessibility.getFullAXTree")["nodes"]
    return [node for node in nodes if not node["ignored"]]


def problems(person):
    pressed = ("button", "combobox", "option", "listbox", "textbox", "link")
    nameless = [
        node["role"]["value"]
        for node in tree(person)
        if node.get("role", {}).get("value") in pressed and not node["name"]["value"].strip()
    ]
    return person.run(AUDIT) + [f"no name: {role}" for role in nameless]


@pytest.mark.parametrize("n_classes", [3, 20, 400])
def test_all_is_in_view_readable_and_large_enough(person, n_classes):
    opened = person(n=60, classes=["bird", "clock", "fruit", *OTHERS[: n_classes - 3]])
    found = {}
    for width, height in SIZES:
        for place, action in PLACES.items():
            opened.browser.look(width, "light", height)
            opened.go(place.split()[0])
            opened.run(action)
            opened.wait()
            found[place, width, "light"] = problems(opened)
            assert opened.browser.is_light()
            opened.browser.look(width, "dark", height)
            found[place, width, "dark"] = opened.run(AUDIT)
            assert not opened.browser.is_light()
            opened.press("Escape", "Escape")
    assert {place: seen for place, seen in found.items() if seen} == {}
    assert opened.browser.errors == []


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_names_of_a_folder_fit_the_screen(person, width, height):
    opened = person(n=60, classes=[])
    opened.browser.look(width, "light", height)
    assert problems(opened) == []
    assert opened.view == "names"


@pytest.mark.parametrize(("size", "n_tiles"), [((1366, 640), 24), ((1920, 1080), 60)])
def test_a_page_has_as_many_tiles_as_fit_without_scrolling(person, size, n_tiles):
    opened = person(n=200)
    opened.browser.look(size[0], "light", size[1])
    # A window of this size from the beginning.
    opened.browser.open(opened.page.address)
    opened.wait()
    opened.go("look")
    assert len(opened.tiles()) == n_tiles
    assert opened.run(
        "(({ scrollHeight, clientHeight }) => scrollHeight <= clientHeight)"
        "(document.getElementById('look-tiles').parentElement)"
    )
