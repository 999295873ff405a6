""" "Look through" in a real browser: marks, the rest, several tiles, and undo."""

import os
import shutil

import pytest

from ...browser import wait_until

CTRL, SHIFT = 2, 8


@pytest.fixture
def look(person):
    """Opens "Look through"."""
    return lambda **params: person("look", **params)


def test_the_rest_is_right(look):
    person = look()
    shown = dict(person.tiles())
    assert len(shown) > 3
    person.wait_until_seen()
    assert person.text("rest-right").startswith("All are right")
    person.press("Enter")
    assert person.page.labels() == shown
    assert f"{len(shown)} pictures labelled, 0 of them changed" in person.text("note")


def test_a_click_marks_a_wrong_tile_with_the_likeliest_other_class(look):
    person = look()
    (first, label), (second, _) = person.tiles()[:2]
    person.click("#look-tiles .tile")
    likeliest = person.tiles()[0][1]
    assert likeliest != label
    assert likeliest == person.all("#look-chooser .first .what")[0]
    person.wait_until_seen()
    assert person.text("rest-right").startswith("The rest is right")
    assert f"changed to {likeliest}" in person.all("#look-tiles .tile", "ariaLabel")[0]
    # Another click takes it back.
    person.click("#look-tiles .tile")
    assert person.tiles()[0][1] == label
    person.click("#look-tiles .tile", which=1)
    other = next(key for key, name in person.choices() if name not in (label, likeliest))
    person.press(other)
    shown = dict(person.tiles())
    person.press("Enter")
    assert person.page.labels() == shown
    assert shown[first] == label


def test_letters_choose_any_class_and_escape_leaves_a_change(look):
    person = look()
    _, label = person.tiles()[0]
    person.click("#look-tiles .tile")
    person.press("Escape")
    assert person.tiles()[0][1] == label
    person.click("#look-tiles .tile")
    person.type("somethi")
    person.press("Escape")
    assert person.tiles()[0][1] == label
    person.click("#look-tiles .tile")
    person.type("something new")
    person.press("Enter")
    assert person.tiles()[0][1] == "something new"
    assert person.page.labels() == {}
    person.press("Enter")
    assert "something new" in person.page.labels().values()


def test_several_tiles_get_one_class(look):
    person = look()
    person.click("#look-tiles .tile")
    for which in (1, 2):
        person.click("#look-tiles .tile", which, modifiers=SHIFT)
    assert len({label for _, label in person.tiles()[:3]}) == 1
    assert person.text("look-question") == "What are these 3 pictures?"
    person.press("0")
    assert [label for _, label in person.tiles()[:3]] == [""] * 3
    # The same by touch.
    person.click("#many")
    for which in (1, 2):
        person.click("#look-tiles .tile", which)
    person.click(".choice")
    assert [label for _, label in person.tiles()[1:3]] == [person.choices()[0][1]] * 2 or (
        len({label for _, label in person.tiles()[1:3]}) == 1
    )
    assert person.tiles()[0][1] == ""


def test_a_second_tile_is_added_only_with_shift_or_ctrl(look):
    person = look()
    person.click("#look-tiles .tile")
    first = person.tiles()[0]
    person.click("#look-tiles .tile", 1)
    # The change of the first stays.
    assert person.tiles()[0] == first
    assert person.text("look-question") == "What is this picture?"
    person.click("#look-tiles .tile", 2, modifiers=CTRL)
    assert person.text("look-question") == "What are these 2 pictures?"
    person.press("ArrowRight", "ArrowRight", "ArrowRight", "ArrowRight")
    person.press(" ", modifiers=SHIFT)
    assert person.text("look-question") == "What are these 3 pictures?"


def test_undo_takes_the_whole_page_back_and_shows_it_again(look):
    person = look()
    person.click("#look-tiles .tile")
    sent = person.tiles()
    person.press("Enter")
    assert len(person.page.labels()) == len(sent)
    person.press("Backspace")
    assert person.page.labels() == {}
    assert sorted(person.tiles()) == sorted(sent)


def test_a_page_that_is_back_after_undo_wins_over_answers_before_it(look):
    person = look()
    shown = dict(person.tiles())
    person.press("Enter")
    person.page.act("say", tab="b", number=0, label="something else")
    heard = "import('/_live/static/state.js').then(({ now }) => now.state.changes)"
    wait_until(lambda: person.run(heard) == person.page.state()["changes"])
    person.press("Backspace")
    assert person.page.labels() == {0: "something else"}
    person.press("Enter")
    assert person.page.labels() == shown


def test_a_held_enter_counts_once(look):
    person = look(n=90)
    n = len(person.tiles())
    person.wait_until_seen()
    person.browser.send("Input.dispatchKeyEvent", type="keyDown", key="Enter")
    person.wait()
    for _ in range(5):
        person.browser.send("Input.dispatchKeyEvent", type="keyDown", key="Enter", autoRepeat=True)
    person.wait()
    person.browser.send("Input.dispatchKeyEvent", type="keyUp", key="Enter")
    assert len(person.page.labels()) == n


def test_a_picture_that_did_not_load_gets_no_label(look, live):
    page = live()
    os.remove("photos/004.png")
    person = look(page=page)
    shown = dict(person.tiles())
    person.press("Enter")
    shown.pop(4, None)
    assert person.page.labels() == shown


def test_what_is_labelled_is_what_was_shown(look):
    person = look(n=30)
    shown = dict(person.tiles())
    # Another tab teaches a new class, which changes predictions.
    for number in set(range(30)) - set(shown):
        person.page.act("say", tab="other", number=number, label="new")
    wait_until(lambda: "new" in person.page.state()["classes"])
    person.press("Enter")
    said = person.page.labels()
    assert {number: said[number] for number in shown} == shown


def test_arrows_and_space_need_no_mouse(look):
    person = look()
    person.press("ArrowRight")
    assert person.run("document.activeElement.className").startswith("tile")
    stops = person.all("#look-tiles .tile", "tabIndex")
    assert stops.count(0) == 1
    person.press("ArrowRight", "ArrowRight", "ArrowLeft", " ")
    changed = person.run(
        "[...document.querySelectorAll('.tile')].findIndex((one) =>"
        " one.getAttribute('aria-pressed') === 'true')"
    )
    assert changed == 1
    person.press("Escape", ".")
    assert person.run("document.getElementById('large').open")
    person.press("Escape")
    assert not person.run("document.getElementById('large').open")


def test_arrows_down_and_up_go_to_the_nearest_picture_of_another_row(look):
    person = look(n=60)
    place = "(({ x, y }) => [x, y])(document.activeElement.getBoundingClientRect())"
    person.press("ArrowRight", "ArrowRight")
    x, y = person.run(place)
    person.press("ArrowDown")
    below_x, below_y = person.run(place)
    assert below_y > y
    assert abs(below_x - x) < side(person)
    person.press("ArrowUp")
    assert person.run(place)[1] == y


def test_a_held_picture_is_enlarged_and_keeps_its_label(look):
    person = look()
    before = person.tiles()
    large = "document.getElementById('large').open"
    person.mouse("mousePressed", "#look-tiles .tile")
    wait_until(lambda: person.run(large))
    person.mouse("mouseReleased", "#look-tiles .tile")
    wait_until(lambda: not person.run(large))
    assert person.tiles() == before
    person.click("#look-tiles .tile")
    assert person.tiles() != before


def test_after_a_click_of_the_mouse_space_does_nothing(look):
    person = look()
    person.click("#look-tiles .tile")
    before = person.tiles()
    person.press(" ")
    assert person.tiles() == before
    person.click("#rest-right")
    said = person.page.labels()
    person.press(" ")
    assert person.page.labels() == said


def test_all_seen_offers_a_second_look_and_a_check(look):
    person = look()
    person.press("Enter")
    assert "Everything has been seen" in person.text("look-nothing")
    assert "Everything has been seen" in person.text("status")
    person.click_text("A second look")
    assert len(person.tiles()) == 12
    person.press("Enter")
    assert person.tiles() == []
    person.click_text("Check 24 of the seen")
    assert person.view == "ask"
    assert person.text("question").startswith("Check: is this “")


def test_a_burst_is_one_tile_with_a_row_of_its_pictures(look):
    person = look(bursts=[[0, 3, 6, 9], [1, 4]])
    assert person.text("status").endswith("8 bursts, 12 pictures.")
    assert {1, 4}.intersection(dict(person.tiles())) == {1}
    assert sorted(person.all("#look-tiles .tile .size")) == ["2", "4"]
    assert person.all("#look-tiles .tile .others img", "alt") == [""] * 4
    person.go("ask")
    while len(person.all("#burst button")) != 4:
        person.press("ArrowRight")
    assert "One answer labels all 4 of this burst." in person.text("burst-about")
    person.click("#burst button", which=2)
    assert person.run("document.getElementById('picture').getAttribute('src')") == "/picture/6?g=0"
    person.press(person.key_of("bird"))
    assert person.page.labels() == dict.fromkeys([0, 3, 6, 9], "bird")
    person.go("classes/bird")
    person.click("#gallery-tiles .tile[data-number='3']")
    person.press("0")
    assert person.page.labels() == dict.fromkeys([0, 6, 9], "bird") | {3: ""}


def test_what_was_said_in_another_view_stays(look):
    person = look(n=60)
    person.go("ask")
    # Pictures like these are of no class too.
    for number in (57, 58):
        person.page.act("say", tab="b", number=number, label="none of these")
    wait_until(lambda: person.page.state()["strangers"])
    person.run(
        "import('/_live/static/look_through.js').then(({ look }) => look.begin({ name: '' }))"
    )
    person.wait()
    wait_until(lambda: person.view == "look" and person.tiles())
    (number, _), *rest = person.tiles()
    person.go("classes/")
    person.click(f"#gallery-tiles .tile[data-number='{number}']")
    person.press(person.key_of("bird"))
    assert person.page.labels()[number] == "bird"
    person.go("look")
    assert person.tiles()[0] == (number, "bird")
    assert person.all("#look-tiles .tile", "ariaLabel")[0].endswith("you answered bird")
    person.press("Enter")
    said = person.page.labels()
    assert said[number] == "bird"
    assert {said[other] for other, _ in rest} <= {""}


@pytest.mark.parametrize("hurries", ["not"])
def test_a_page_is_confirmed_only_after_it_was_on_the_screen(look, hurries):
    person = look(n=90)
    for _ in range(6):
        person.browser.press("Enter")
    assert person.text("rest-right").startswith("Look first")
    person.wait()
    assert person.page.labels() == {}
    n = len(person.tiles())
    person.press("Enter")
    for _ in range(6):
        person.browser.press("Enter")
    person.wait()
    assert len(person.page.labels()) == n
    # Also when one comes back to it.
    person.go("ask")
    person.go("look")
    assert person.all("#rest-right.early")


def headings(person):
    """The heading over each tile."""
    return dict(
        person.run(
            "[...document.querySelectorAll('#look-tiles .tile')].map((one) =>"
            " [+one.dataset.number, one.closest('.group').ariaLabel])"
        )
    )


def confirm_three_pages(person):
    for _ in range(3):
        person.press("Enter")
    return person.page.labels()


def test_planted_pictures_that_are_passed_over_are_said_and_the_pages_shown_again(look):
    person = look(n=200)
    before = confirm_three_pages(person)
    shown = headings(person)
    planted = [number for number in shown if number in before]
    assert len(planted) == 2
    assert all(shown[number] != before[number] for number in planted)
    person.browser.look(1366, "light", 640)
    person.press("Enter")
    assert "2 planted pictures were passed over: the last 4 pages again?" in person.text("sure")
    # The page shows which, and what they are.
    about = person.all("#missed li")
    assert len(about) == len(person.all("#missed img")) == 2
    for number in planted:
        stood = f"stood under “{shown[number]}”, and is {before[number]}"
        assert any(stood in text for text in about)
    assert "no label was harmed" in person.text("sure")
    assert "the model learns nothing from them" in person.text("sure")
    # They keep their labels.
    after = person.page.labels()
    assert {number: after[number] for number in before} == before
    in_doubt = {*person.page.session.annotations.doubted()}
    # Until another page is there, Enter confirms nothing.
    n_events = person.page.state()["changes"]
    person.run("document.getElementById('sure').close()")
    person.browser.press("Enter")
    person.wait()
    assert person.page.state()["changes"] == n_events
    for _ in range(4):
        person.press("Enter")
    person.click("#sure-yes")
    wait_until(lambda: person.text("look-count").startswith("Second look"))
    assert {*dict(person.tiles())} <= {*person.page.labels()}
    # Nothing of these pages is in doubt when all was looked at again.
    while person.text("look-count").startswith("Second look"):
        assert {*person.page.session.annotations.doubted()} > in_doubt
        person.press("Enter")
    assert {*person.page.session.annotations.doubted()} == in_doubt


def test_a_planted_picture_whose_label_was_wrong_is_mended_by_a_click(look):
    person = look(n=200)
    before = confirm_three_pages(person)
    shown = headings(person)
    person.press("Enter")
    number = int(person.all("#missed img", "src")[0].split("/picture/")[1].split("?")[0])
    person.click("#missed button")
    assert person.page.labels()[number] == shown[number] != before[number]
    # Enter goes on to what is asked.
    person.browser.press("Enter")
    wait_until(lambda: person.text("look-count").startswith("Second look"))


def test_planted_pictures_that_are_found_change_no_label(look):
    person = look(n=200)
    before = confirm_three_pages(person)
    for number in [number for number in headings(person) if number in before]:
        person.click(f"#look-tiles .tile[data-number='{number}']")
    person.press("Enter")
    assert "2 planted pictures found." in person.text("note")
    after = person.page.labels()
    assert {number: after[number] for number in before} == before
    assert not person.page.session.annotations.doubted()


def test_planted_pictures_can_be_switched_off(look):
    person = look(n=200)
    person.click("#plant")
    before = confirm_three_pages(person)
    assert len(before) > 60
    assert not {*before} & {*dict(person.tiles())}
    assert not person.run("document.getElementById('plant').checked")
    # Also in the next run.
    assert not person.page.session.annotations.attention.is_on
    person.click("#plant")
    assert person.page.session.annotations.attention.is_on


def test_letters_without_a_selected_picture_find_or_add_a_class(look):
    person = look()
    person.click("#look-tiles .tile")
    person.click("#look-tiles .tile")
    person.type("kingfisher")
    assert "No picture is selected" in person.text("look-question")
    person.press("Enter")
    assert person.page.labels() == {}
    assert "kingfisher" in person.page.state()["classes"]
    assert "“kingfisher” was added. No picture was selected" in person.text("note")
    person.type("bir")
    person.press("Enter")
    assert person.page.labels() == {}
    person.press("3")
    assert "No picture is selected" in person.text("note")
    person.type("x")
    person.press("Escape")
    assert person.all("#look-chosen") == []
    shown = dict(person.tiles())
    person.press("Enter")
    assert person.page.labels() == shown


def test_a_second_look_is_there_at_any_time(look):
    person = look(n=90)
    assert person.all("#again") == []
    seen = dict(person.tiles())
    person.press("Enter")
    person.click("#again")
    wait_until(lambda: person.text("look-count").startswith("Second look"))
    assert {*dict(person.tiles())} <= {*seen}
    person.click("#leave-look")
    wait_until(lambda: "not yet seen" in person.text("look-count"))


def begin(person, which):
    person.run(f"import('/_live/static/look_through.js').then(({{ look }}) => look.begin({which}))")
    person.wait()


def test_where_something_ends_enter_goes_on(look):
    person = look(n=60)
    person.click("#plant")
    n = len(person.tiles())
    person.press("Enter")
    event = person.page.session.answers_file.events[-1]
    # A look again goes on by itself.
    begin(person, f"{{ among: 'seen', of: [{event.id}] }}")
    wait_until(lambda: person.text("look-count").startswith("Second look"))
    person.press("Enter")
    wait_until(lambda: f"of {60 - n} not yet seen" in person.text("look-count"))
    # A second look ends, also for who comes back to it.
    person.click("#again")
    wait_until(lambda: person.text("look-count").startswith("Second look"))
    person.press("Enter")
    wait_until(lambda: "The second look is over" in person.text("look-nothing"))
    assert person.all("#look-nothing .main") == [f"Go on: {60 - n} not yet seen"]
    person.press("Enter")
    wait_until(lambda: "not yet seen" in person.text("look-count"))
    person.click("#again")
    wait_until(lambda: person.text("look-count").startswith("Second look"))
    person.press("Enter")
    wait_until(lambda: "The second look is over" in person.text("look-nothing"))
    person.go("ask")
    person.go("look")
    wait_until(lambda: "not yet seen" in person.text("look-count"))
    # When all was seen and looked at again, the files are next.
    while person.tiles():
        person.press("Enter")
    assert person.all("#look-nothing .main") == ["A second look"]
    person.press("Enter")
    while person.tiles():
        person.press("Enter")
    assert person.all("#look-nothing .main") == ["Done"]
    person.press("Enter")
    wait_until(lambda: "Done: the files are written" in person.text("finish"))


def test_pictures_that_arrive_are_counted_and_read(look):
    person = look(n=6)
    person.page.act("say", number=1, label="clock")
    # It comes second, so that the others have other numbers.
    shutil.copy("photos/003.png", "photos/0000.png")
    person.page.session.arrivals.look()
    wait_until(lambda: person.text("arrived") == "Read 1 new picture")
    person.click("#arrived")
    wait_until(lambda: "of 6 not yet seen" in person.text("look-count"))
    assert person.page.labels() == {2: "clock"}
    assert person.all("#arrived") == []
    shown = dict(person.tiles())
    assert shown[1] == "bird"
    sources = person.all("#look-tiles img", "src")
    assert all("?g=1" in source for source in sources)
    person.press("Enter")
    assert person.page.labels() == shown | {2: "clock"}


def side(person):
    return person.run("document.querySelector('#look-tiles .tile').getBoundingClientRect().width")


def test_tiles_have_the_size_that_one_chose_also_later(look):
    person = look(n=200)
    before, n_before = side(person), len(person.tiles())
    person.press("+", "+", "+", "+")
    assert side(person) > before
    person.browser.open(person.page.address)
    person.wait()
    assert len(person.tiles()) < n_before
    larger = side(person)
    assert larger > before
    # As large as that needs large pictures.
    wait_until(lambda: not any("small" in src for src in person.all("#look-tiles img", "src")))
    person.press(*["-"] * 9)
    assert side(person) < larger
    person.run("localStorage.removeItem('side')")


def test_pictures_are_as_large_as_there_is_room(look):
    person = look()
    person.browser.look(1280, "light", 800)
    place = "fit(document.getElementById('look-tiles'), [18, 18])"
    assert person.run(f"import('/_live/static/fit.js').then(({{ fit }}) => {place})") > 100


@pytest.mark.parametrize("size", [(390, 844), (390, 600)])
def test_pictures_on_a_phone_are_not_tiny(look, size):
    person = look(n=200)
    person.browser.look(size[0], "light", size[1])
    person.browser.open(person.page.address)
    person.wait()
    assert side(person) >= 78


def test_pages_that_are_left_follow_the_window(look):
    person = look(n=200)
    before = person.text("status")
    person.browser.look(600, "light", 700)
    wait_until(lambda: person.text("status") != before)
