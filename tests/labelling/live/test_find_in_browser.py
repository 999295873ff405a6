""" "Find" in a real browser: by words, like others, and many labels at once."""

from sksemobridge.labelling._live import server

from ...browser import wait_until


def found(person):
    """Number of each picture in their order, and what stands under it."""
    numbers = person.all("#find-tiles .tile", "dataset.number")
    return [*zip(map(int, numbers), person.all("#find-tiles .mark"))]


def search(person, text):
    person.click("#find-text")
    person.fill("find-text", text)
    person.click_text("Find", "#find-words button")


def test_words_order_the_folder_with_answers_and_classes_in_sight(person):
    opened = person("find", n=30)
    assert "Type what you look for" in opened.text("find")
    opened.page.act("say", number=4, label="owl")
    search(opened, "a clock")
    pictures = found(opened)
    assert {number % 3 for number, _ in pictures[:10]} == {1}
    assert dict(pictures)[4] == "owl"
    assert dict(pictures)[7] == "clock"
    assert opened.all("#find-tiles .tile.labelled", "dataset.number") == ["4"]
    opened.click("#find-open")
    assert 4 not in dict(found(opened))
    assert opened.browser.errors == []


def test_a_class_nobody_thought_of_is_gathered_from_one_picture(person):
    opened = person("classes/clock", n=30)
    opened.click("#gallery-tiles .tile[data-number='4']")
    opened.click("#gallery-chosen .like")
    wait_until(lambda: opened.view == "find" and found(opened))
    assert found(opened)[0][0] == 4
    # All up to the tenth, but not the second.
    opened.click("#find-tiles .tile")
    opened.click("#find-tiles .tile", which=9, modifiers=8)
    opened.click("#find-tiles .tile", which=1)
    assert opened.text("find-question") == "What are these 9 pictures?"
    chosen = [number for i, (number, _) in enumerate(found(opened)[:10]) if i != 1]
    opened.type("tower clock")
    opened.press("Enter")
    assert opened.page.labels() == dict.fromkeys(chosen, "tower clock")
    assert dict(found(opened))[4] == "tower clock"
    assert "9 pictures: tower clock." in opened.text("note")
    # And what is like all nine.
    opened.click_text("More like these", "#note button")
    wait_until(lambda: {number for number, _ in found(opened)[:9]} == {*chosen})
    opened.press("Backspace")
    assert opened.page.labels() == {}


def test_shift_selects_all_between_two_pictures_in_either_order(person):
    opened = person("find/0", n=30)
    wait_until(lambda: found(opened))
    opened.click("#find-tiles .tile", which=4)
    opened.click("#find-tiles .tile", which=1, modifiers=8)
    assert opened.text("find-question") == "What are these 4 pictures?"


def test_every_view_leads_to_pictures_like_its_own(person):
    opened = person("look", n=30)
    opened.click("#look-tiles .tile")
    (number, _), *_ = opened.tiles()
    assert opened.all("#look-chosen .like", "hash") == [f"#find/{number}"]
    opened.press("Escape")
    opened.go("ask")
    asked = opened.asked()
    opened.click("#ask-like")
    wait_until(lambda: opened.view == "find" and found(opened))
    assert found(opened)[0][0] == asked
    opened.press("ArrowRight", "ArrowRight", ".")
    assert opened.all("#large-like", "hash") == [f"#find/{found(opened)[1][0]}"]


def test_keys_alone_find_and_label(person):
    opened = person("find", n=30)
    opened.type("fruit")
    opened.press("Enter")
    wait_until(lambda: found(opened))
    first = found(opened)[0][0]
    opened.press("ArrowDown", " ")
    opened.press(opened.key_of("bird"))
    assert opened.page.labels() == {first: "bird"}
    assert opened.browser.errors == []


def test_without_texts_pictures_are_found_by_pictures_alone(person, monkeypatch):
    monkeypatch.setattr(server, "words", lambda now: {"words": []})
    opened = person("find", n=30)
    assert opened.run("document.getElementById('find-words').hidden")
    opened.go("find/3")
    wait_until(lambda: found(opened))
    assert {number % 3 for number, _ in found(opened)[:10]} == {0}


def test_more_pictures_follow_and_escape_leaves_the_choice(person):
    opened = person("find/0", n=90)
    wait_until(lambda: len(found(opened)) == 60)
    opened.run("document.getElementById('find-more').click()")
    opened.wait()
    assert len(found(opened)) == 90
    opened.click("#find-tiles .tile")
    opened.press("Escape")
    assert opened.run("document.getElementById('find-chosen').hidden")
    assert opened.page.labels() == {}
