""" "Classes" in a real browser: figures, a gallery that is corrected in place, and changes."""

import pytest

from ...browser import wait_until


@pytest.fixture
def classes(person):
    """Opens "Classes" after the first page was labelled."""

    def start(**params):
        opened = person("look", **params)
        opened.press("Enter")
        opened.go("classes/bird")
        return opened

    return start


def names(person):
    return person.all(".class-row .what", "textContent")


def select_two(person):
    """Select the first two tiles of the gallery; their numbers."""
    tiles = "[...document.querySelectorAll('#gallery .tile')].map((one) => one.dataset.number)"
    numbers = [int(number) for number in person.run(tiles)[:2]]
    person.click("#gallery .tile")
    person.click("#gallery .tile", which=1, modifiers=8)
    return numbers


def test_each_class_has_its_figures_and_its_pictures(classes):
    person = classes()
    assert names(person) == ["bird", "clock", "fruit", "none of these"]
    n_birds = sum(label == "bird" for label in person.page.labels().values())
    assert f"{n_birds} labelled" in person.all(".class-row")[0]
    assert person.text("gallery-name") == "bird"
    assert len(person.all("#gallery .tile", "className")) >= n_birds
    person.click(".class-row", which=1)
    person.wait_for("clock", "gallery-name")


def test_a_picture_is_corrected_in_place(classes):
    person = classes()
    number = int(person.run("document.querySelector('#gallery .tile').dataset.number"))
    person.click("#gallery .tile")
    person.press(person.key_of("clock"))
    assert person.page.labels()[number] == "clock"
    person.press("Backspace")
    assert person.page.labels()[number] == "bird"


def test_several_pictures_are_corrected_at_once(classes):
    person = classes()
    numbers = select_two(person)
    person.type("cloc")
    person.press("Enter")
    assert [person.page.labels()[number] for number in numbers] == ["clock"] * 2
    person.press("Backspace")
    assert [person.page.labels()[number] for number in numbers] == ["bird"] * 2


def test_pictures_that_were_picked_by_hand_are_no_evidence(classes):
    person = classes()

    def heard():
        annotations = person.page.session.annotations
        return annotations.rounds, annotations.n_in_round, annotations.attention.n_pages

    before = heard()
    select_two(person)
    person.press(person.key_of("clock"))
    person.click("#gallery .tile")
    person.press(person.key_of("clock"))
    for event in person.page.answers.events[-2:]:
        assert event.kind == "say"
        assert not any(picture.likely for picture in event.pictures)
    assert heard() == before


def test_more_pictures_than_a_page_has_are_corrected_at_once(classes):
    person = classes(n=240)
    tiles = "document.querySelectorAll('#gallery .tile')"
    person.run("document.getElementById('gallery-more').click()")
    wait_until(lambda: person.run(f"{tiles}.length") > 60)
    person.run(
        f"{tiles}.forEach((one) => one.dispatchEvent(new MouseEvent('click',"
        " { shiftKey: true, bubbles: true })))"
    )
    n_tiles = person.run(f"{tiles}.length")
    person.type("owl")
    person.press("Enter")
    wait_until(lambda: [*person.page.labels().values()].count("owl") == n_tiles)


def groups_in(person):
    """The numbers of the tiles under each heading of the gallery."""
    headings = person.all("#gallery .group h3 span", "textContent")
    numbers = person.run(
        "[...document.querySelectorAll('#gallery .group')].map((group) =>"
        " [...group.querySelectorAll('.tile')].map((one) => Number(one.dataset.number)))"
    )
    return dict(zip(headings, numbers))


def test_all_pictures_of_a_large_class_stay_in_sight_each_under_its_heading(person):
    opened = person("ask", n=780, shots=["bird"] * 3)
    birds = [*range(0, 780, 3)]
    opened.page.act("say_same", numbers=birds[:70], label="bird")
    opened.go("classes/bird")
    assert {name: len(shown) for name, shown in groups_in(opened).items()} == {
        "Labelled by a person": 60
    }
    tiles = "document.querySelectorAll('#gallery .tile').length"
    for n in (120, 180, 240):
        opened.run("document.getElementById('gallery-more').click()")
        wait_until(lambda n=n: opened.run(tiles) == n)
    groups = groups_in(opened)
    assert groups["Labelled by a person"] == birds[:70]
    assert groups["Given before"] == [780, 781, 782]
    assert len(groups["Predicted"]) == 240 - 70 - 3
    # What changes is drawn, and nothing that was in sight is taken away.
    opened.page.act("say_same", tab="b", numbers=[groups["Predicted"][0]], label="bird")
    wait_until(lambda: len(groups_in(opened)["Labelled by a person"]) == 71)
    assert opened.run(tiles) == 240


def test_a_class_is_renamed_joined_dropped_and_added_and_all_is_undone(classes):
    person = classes()
    before = person.page.labels()
    person.click("#rename")
    person.fill("gallery-input", "Owl")
    person.click_text("OK")
    assert names(person)[0] == "Owl"
    person.press("Backspace")
    assert names(person)[0] == "bird"
    person.go("classes/bird")
    person.click("#join")
    person.fill("gallery-input", "clock")
    person.click_text("OK")
    assert names(person) == ["clock", "fruit", "none of these"]
    assert "bird" not in person.page.labels().values()
    person.click("#undo")
    assert person.page.labels() == before
    person.go("classes/fruit")
    person.click("#drop")
    assert names(person) == ["bird", "clock", "none of these"]
    assert "fruit" not in person.page.labels().values()
    person.click_text("Undo", "#note button")
    assert person.page.labels() == before
    person.fill("class-find", "parrot")
    person.click("#add-class")
    assert "parrot" in names(person)
    assert "parrot" in person.page.state()["classes"]


def test_escape_leaves_a_change(classes):
    person = classes()
    before = person.page.labels()
    person.click("#gallery .tile")
    person.press("Escape")
    person.press("2")
    assert person.page.labels() == before
    person.click("#rename")
    person.press("Escape")
    assert person.run("document.getElementById('gallery-form').hidden")


@pytest.mark.parametrize("order", ["name", "size", "doubt"])
def test_classes_are_sorted_by_name_size_or_doubt(classes, order):
    person = classes(n=60)
    person.page.act("say_same", numbers=[*range(1, 60, 3), 0, 3, 6], label="clock")
    wait_until(lambda: not person.page.state()["learning"])
    person.run(
        f"(field => {{ field.value = {order!r}; field.dispatchEvent(new Event('change')); }})"
        "(document.getElementById('class-order'))"
    )

    def is_sorted():
        rows = person.page.act("overview")[1]["overview"]
        values = {
            row["name"]: {
                "name": 0,
                "size": -row["labelled"] - row["predicted"],
                "doubt": -row["doubt"],
            }[order]
            for row in rows
        }
        shown = [name.replace("none of these", "") for name in names(person)]
        # Where it says nothing, the order is that of names.
        return shown == sorted(values, key=lambda name: (values[name], name == "", name))

    wait_until(is_sorted)


def test_a_class_is_called_by_what_stands_there(classes):
    person = classes()
    assert person.all(".class-row", "ariaLabel") == [None] * 4


def test_letters_narrow_the_list(classes):
    person = classes()
    person.fill("class-find", "FRU")
    assert names(person) == ["fruit"]
    person.fill("class-find", "")
    assert len(names(person)) == 4


def test_one_class_can_be_looked_through(classes):
    person = classes()
    person.go("classes/clock")
    person.click("#look-at-it")
    wait_until(lambda: person.view == "look")
    assert {label for _, label in person.tiles()} <= {"clock"}


def test_find_or_add_labels_what_is_selected_after_a_question(classes):
    person = classes()
    numbers = select_two(person)
    person.fill("class-find", "owl")
    person.click("#add-class")
    assert person.text("sure-question") == "Label the 2 selected pictures “owl”?"
    person.click("#sure-no")
    assert "owl" not in person.page.state()["classes"]
    assert len(person.all("#gallery .tile.chosen", "className")) == 2
    person.click("#add-class")
    person.click("#sure-yes")
    wait_until(lambda: person.page.labels()[numbers[0]] == "owl")
    assert [person.page.labels()[number] for number in numbers] == ["owl"] * 2


@pytest.mark.parametrize("answer", ["sure-yes", "sure-no"])
@pytest.mark.parametrize("leave", ["byid('sure-no').click()", "byid('sure').close()"])
def test_a_question_right_after_another_gets_its_own_answer(classes, leave, answer):
    person = classes()
    numbers = select_two(person)
    person.fill("class-find", "owl")
    person.click("#add-class")
    # A browser says only with its next frame that a question was closed.
    person.run(
        f"(byid => {{ {leave}; byid('add-class').click(); }})((id) => document.getElementById(id))"
    )
    person.wait_for_frame()
    person.click(f"#{answer}")
    person.wait_for_frame()
    owls = {number for number, label in person.page.labels().items() if label == "owl"}
    assert owls == ({*numbers} if answer == "sure-yes" else set())


def test_what_is_selected_stays_when_somebody_else_answers(classes):
    person = classes()
    numbers = select_two(person)
    last = "[...document.querySelectorAll('#gallery .tile')].at(-1).dataset.number"
    other = int(person.run(last))
    person.page.act("say_same", tab="b", numbers=[other], label="clock")
    gone = f"!document.querySelector('#gallery .tile[data-number=\"{other}\"]')"
    wait_until(lambda: person.run(gone))
    person.press(person.key_of("fruit"))
    wait_until(lambda: person.page.labels()[numbers[1]] == "fruit")
    assert [person.page.labels()[number] for number in numbers] == ["fruit"] * 2


def test_letters_without_a_selected_picture_go_into_find_or_add(classes):
    person = classes()
    person.type("fru")
    assert person.run("document.getElementById('class-find').value") == "fru"
    assert names(person) == ["fruit"]
    person.run("document.activeElement.blur()")
    person.press("2")
    assert "No picture is selected" in person.text("note")
