""" "Ask" in a real browser: keys that stay, letters, a check, other tabs, and what goes wrong."""

import pytest

from ...browser import wait_until
from .live import CLASSES, paint

HOSTILE = "<img src=x onerror=\"document.title='hurt'\">"


@pytest.fixture
def ask(person):
    """Opens "Ask"."""
    return lambda **params: person("ask", **params)


@pytest.mark.parametrize(
    "asked", ['"add", { names: ["owl"] }', '"find", { text: "bird", start: 0, n_images: 3 }']
)
def test_what_waits_for_a_model_is_waited_for(ask, asked):
    person = ask()
    # As if the patience of the page had ended at once.
    reply = person.run(
        "AbortSignal.timeout = () => AbortSignal.abort(),"
        f" import('/_live/static/api.js').then(({{ request }}) => request({asked}, {{}}))"
        ".catch((error) => ({ failed: error.message }))"
    )
    assert "failed" not in reply


def test_it_opens_without_an_error_and_fetches_from_itself_alone(ask):
    person = ask()
    assert person.run("location.search + document.cookie") == ""
    assert {address.split("/")[2] for address in person.browser.fetched} == {
        f"127.0.0.1:{person.page.port}"
    }
    assert person.browser.errors == []


def test_keys_and_buttons_label_and_take_back(ask):
    person = ask()
    first, choices = person.asked(), person.choices()
    person.press(choices[1][0])
    assert person.page.labels() == {first: choices[1][1]}
    second = person.asked()
    person.click_text("None of these")
    assert person.page.labels()[second] == ""
    person.press("Backspace")
    assert person.asked() == second
    assert person.page.labels() == {first: choices[1][1]}
    person.press("ArrowRight")
    assert person.asked() != second
    likeliest = person.all("#ask-chooser .first .what")[0]
    third = person.asked()
    person.press("Enter")
    assert person.page.labels()[third] == likeliest.removesuffix(" ✓")
    # What was answered can be answered again.
    person.click("#recent button", which=-1)
    assert person.asked() == first
    assert f"Your answer: “{choices[1][1]}”" in person.text("question")
    person.press("Escape")
    assert person.asked() != first


def test_a_class_keeps_its_key(ask):
    person = ask()
    keys = dict(map(reversed, person.choices()))
    for _ in range(4):
        person.press("Enter")
        assert dict(map(reversed, person.choices())) == keys


def test_classes_that_had_the_same_key_have_two_beside_each_other(ask):
    person = ask()
    n_keys = person.run(
        "import('/_live/static/keys.js').then(({ class_keys }) => {"
        " const names = [...'abcdefghi']; class_keys.assign(names); class_keys.assign(['x']);"
        " return names.map((name) => class_keys.assign([name, 'x']).size); })"
    )
    assert n_keys == [2] * 9


def test_at_most_five_likely_classes_have_a_key_the_likeliest_first(ask):
    person = ask(classes=["bird", "clock", "fruit", *(f"other {i}" for i in range(20))])
    likely = person.page.state()["queue"][0]["likely"]
    assert 1 <= len(person.choices()) <= 5
    assert [name for _, name in person.choices()] == [name for name, _ in likely][
        : len(person.choices())
    ]
    shares = person.all("#ask-chooser .likely .share")
    assert "0 %" not in shares
    # Few classes are all in sight.
    person = ask()
    assert len(person.choices()) == 3


def test_an_empty_field_lists_all_classes_and_letters_find_or_add_one(ask):
    person = ask()
    number = person.asked()
    person.press("/")
    assert set(person.all("#ask-chooser [role=option]")) == {
        "bird",
        "clock",
        "fruit",
        "none of these",
    }
    # With nothing typed and nothing gone to, Enter says nothing.
    person.press("Enter", "Escape")
    assert person.page.labels() == {}
    person.type("loc")
    assert person.all("#ask-chooser [role=option]") == ["clock", "Add “loc” as a class"]
    assert person.all("[aria-selected=true]") == ["clock"]
    person.press("Enter")
    assert person.page.labels() == {number: "clock"}
    number = person.asked()
    person.type("loc")
    person.press("ArrowDown", "Enter")
    assert person.page.labels()[number] == "loc"
    number = person.asked()
    person.type("none of")
    person.press("Enter")
    assert person.page.labels()[number] == ""


def test_letters_find_the_whole_name_first_then_beginnings_of_it_and_of_words(ask):
    names = ["House cat", "birdhouse", "dog house", "house"]
    person = ask(classes=names)
    person.type("house")
    found = ["house", "House cat", "dog house", "birdhouse"]
    assert person.all("#ask-chooser [role=option]") == found
    person.press("Enter")
    assert {*person.page.labels().values()} == {"house"}


def test_keys_do_nothing_while_one_types(ask):
    person = ask()
    number = person.asked()
    person.press("/")
    person.type("b1 0/2?")
    person.press("Backspace", "ArrowRight")
    assert person.page.labels() == {}
    assert person.asked() == number
    person.press("Escape", "1")
    assert len(person.page.labels()) == 1


def test_names_of_classes_are_text(ask):
    person = ask()
    person.type(f"a{HOSTILE}")
    person.press("Enter")
    person.wait_for(HOSTILE, "ask")
    person.go("classes")
    assert any(HOSTILE in name for name in person.all(".class-row .what", "textContent"))
    assert person.run("document.title").startswith("Label")


def test_a_check_asks_for_what_was_predicted(ask):
    person = ask(n=40)
    person.click("#check")
    assert person.text("question").startswith("Check: is this “")
    predicted = person.text("question").split("“")[1].split("”")[0]
    assert person.all("#ask-chooser .first .what") == [predicted]
    person.press("Enter", "Enter", "0")
    assert "Check: 3 of 30 seen, 2 right" in person.text("status")
    person.press("Backspace")
    assert "Check: 2 of 30 seen, 2 right" in person.text("status")
    person.click("#end-check")
    assert person.text("question") == "What is this?"


def test_a_check_says_of_which_pictures_it_is(ask):
    person = ask(n=40)
    person.click("#check")
    person.press(*["Enter"] * 30)
    person.wait_for("Checked: 30 of 30 right. ", "status")
    # Its end is said, before anything else is asked.
    assert "The check is over: 30 of 30 right\n" in person.text("ask-nothing")
    assert "89 to 100 % of the predictions were right" in person.text("ask-nothing")
    assert "you can stop" in person.text("status")
    paint(60)
    person.page.session.arrivals.look()
    person.wait_for("Read 20 new pictures")
    person.click("#arrived")
    person.wait_for("Checked: 30 of 30 right, of the 40 pictures that there were.", "status")


def test_when_all_is_labelled_nothing_is_left_to_check(ask):
    person = ask(n=12)
    assert person.text("check") == "Check 12 at random"
    person.click("#check")
    assert person.all("#check") == []
    person.press(*["Enter"] * 11, "0")
    assert "The check is over: 11 of 12 right" in person.text("ask-nothing")
    # All are labelled, so nothing else is left, and nothing to check.
    assert person.all("#ask-nothing button") == ["Done: write the files"]
    assert person.all("#check") == []
    # What was said may still be changed.
    person.press("Backspace")
    assert person.text("question").startswith("Check: is this “")
    person.press("Enter")
    assert "The check is over: 12 of 12 right" in person.text("ask-nothing")


def test_after_a_check_enter_looks_through_the_rest(ask):
    person = ask(n=40)
    person.click("#check")
    person.press(*["Enter"] * 30)
    assert person.all("#ask-nothing .main") == ["Go on: look through"]
    person.press("Enter")
    wait_until(lambda: person.view == "look")


def test_when_nothing_is_left_enter_writes_the_files(ask):
    person = ask(n=2)
    person.press("Enter", "Enter")
    assert "Nothing is left to ask" in person.text("ask-nothing")
    person.press("Enter")
    wait_until(lambda: "Done: the files are written" in person.text("finish"))


def test_the_first_line_says_how_many_of_the_first_five_the_names_had_right(ask):
    person = ask(n=60)
    person.press(person.choices()[1][0], "Enter", "Enter", "Enter")
    assert "first five" not in person.text("status")
    person.press("Enter")
    assert person.text("status").startswith("Four of the first five were right. ")


def test_only_all_is_a_hundred_percent_and_only_none_is_zero(ask):
    person = ask()
    texts = person.run(
        "import('/_web/words.js').then(({ percent }) => [0, 0.001, 0.424, 0.999, 1].map(percent))"
    )
    assert texts == ["0", "1", "42", "99", "100"]


def test_another_person_is_heard_of(ask):
    person = ask()
    number = person.asked()
    person.page.act("say", tab="other", who="Bob", number=number, label="fruit")
    wait_until(lambda: person.asked() != number)
    assert "Bob answered “fruit”" in person.text("note")


def test_a_name_is_typed_once(ask):
    person = ask()
    person.click("#who")
    person.type("Anna")
    person.click_text("OK", "#who-dialog button")
    wait_until(lambda: person.text("who") == "Anna")
    person.press("1")
    number = next(iter(person.page.labels()))
    recent = person.page.state()["recent"]
    assert {item["number"]: item["who"] for item in recent} == {number: "Anna"}
    again = ask(page=person.page)
    wait_until(lambda: again.text("who") == "Anna")
    again.run("delete sessionStorage.who")


def test_a_name_stays_after_escape(ask):
    person = ask()
    person.click("#who")
    person.type("Anna")
    person.press("Enter")
    assert person.text("who") == "Anna"
    person.click("#who")
    person.type("Bob")
    # As Escape does.
    person.run("document.getElementById('who-dialog').close()")
    person.wait_for_frame()
    assert person.text("who") == "Anna"
    person.run("delete sessionStorage.who")


def test_a_double_click_labels_once(ask):
    person = ask()
    person.click("#ask-chooser .choice", count=1)
    person.click("#ask-chooser .choice", count=2)
    assert len(person.page.labels()) == 1


def test_none_of_these_says_how_many_look_like_it(ask, live):
    page = live(n=60)
    # After the first five, which are random, the question is of a picture that is not clear.
    for number in range(5):
        page.act("say", number=number, label=CLASSES[number % 3])
    wait_until(lambda: page.state()["learnt"] == 2)
    person = ask(page=page)
    person.press("0")
    wait_until(lambda: "like “none of these”" in person.text("note"))
    # What was labelled is still said.
    assert ".png: none of these. About" in person.text("note")
    person.click_text("show them", "#note button")
    wait_until(lambda: person.view == "look")
    person.wait()
    assert person.all("#look-tiles h3") == ["none of these"]
    assert {label for _, label in person.tiles()} == {""}
