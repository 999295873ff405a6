"""What may be in a folder, for the page."""

import pytest

from sksemobridge import PrecomputedTextEncoder
from sksemobridge.labelling._answers.events import Event
from sksemobridge.labelling._answers.history import fold
from sksemobridge.labelling._photos.embeddings_file import TextsOfFile

from .live import CLASSES, embed_text, make_job


def suggestions(page, n_names=30):
    return page.act("suggest", n_names=n_names)[1]["suggestions"]


def test_names_come_with_their_pictures(live):
    page = live(n=60, classes=[])
    found = suggestions(page)
    assert found
    assert len(suggestions(page, 1)) == 1
    for one in found:
        assert 0 <= one["share"] <= 1
        assert {*one["numbers"]} <= {*range(60)}
    page.act("add", names=["bird"])


def test_a_model_without_words_gives_groups_that_look_alike(live):
    page = live(n=60)
    step = page.session.job.pipeline[-1]
    own = step.text_encoder
    # None, and one that knows a few texts alone.
    for encoder in (None, PrecomputedTextEncoder.from_joint({"bird": [1.0, 0.0, 0.0]})):
        step.text_encoder = encoder
        found = suggestions(page)
        assert {one["name"] for one in found} == {""}
        for one in found:
            assert len({number % 3 for number in one["numbers"]}) == 1
    step.text_encoder = own


def test_beside_known_classes_others_are_found(live):
    page = live(n=60, classes=["bird"])
    assert "bird" not in {one["name"] for one in suggestions(page)}


@pytest.mark.parametrize(
    ("known", "word", "names"), [("a cat", "cat", {""}), ("Maße", "Masse", {"Masse"})]
)
def test_a_word_is_a_class_by_one_rule_of_spelling(live, known, word, names):
    page = live(n=60, classes=[])
    texts = {name: embed_text(name) for name in (known, word)}
    encoder = TextsOfFile.from_joint(texts, logit_scale=10.0)
    page.session.job.pipeline[-1].set_params(text_encoder=encoder)
    page.act("add", names=[known])
    assert {one["name"] for one in suggestions(page)} == names


def test_how_many_is_checked(live):
    page = live()
    assert page.act("suggest", n_names=0)[0] == 409
    assert page.act("suggest", n_names="all")[0] == 409


def test_what_was_renamed_or_joined_is_not_suggested_again(live):
    page = live(n=60, classes=[])
    texts = {name: embed_text(name) for name in [*CLASSES, "owl", "nut"]}
    encoder = TextsOfFile.from_joint(texts, logit_scale=10.0)
    page.session.job.pipeline[-1].set_params(text_encoder=encoder)
    first, second, third = [one["name"] for one in suggestions(page)][:3]
    page.act("card", name=first, how="kept", into="my own")
    page.act("card", name=second, how="joined", into="my own")
    page.act("card", name=third, how="dropped", into=third)
    assert page.state()["cards"] == [
        [first, "kept", "my own"],
        [second, "joined", "my own"],
        [third, "dropped", third],
    ]
    # Until they are a class, they stay on the screen.
    assert {first, second} <= {one["name"] for one in suggestions(page)}
    page.act("add", names=["my own"])
    found = {one["name"] for one in suggestions(page)}
    assert not {first, second} & found
    page.act("rename", name="my own", into="other")
    assert not {first, second} & {one["name"] for one in suggestions(page)}
    page.act("drop", name="other")
    page.act("add", names=["bird"])
    assert [how for _, how, _ in page.state()["cards"]] == ["dropped"] * 3


def test_a_card_is_of_a_name_or_of_a_picture(live):
    page = live(n=60, classes=[])
    page.act("card", number=3, how="kept", into="wren")
    assert page.state()["cards"] == [[3, "kept", "wren"]]
    assert live(n=60, classes=[]).state()["cards"] == [[3, "kept", "wren"]]
    page = live(n=60)
    for wrong in (
        {"how": "eaten", "into": "x", "name": "y"},
        {"how": "kept", "into": 5, "name": "y"},
        {"how": "kept", "into": "x"},
        {"how": "kept", "into": "x" * 101, "name": "y"},
    ):
        assert page.act("card", **wrong)[0] == 409


@pytest.mark.parametrize("way", ["class", "card"])
def test_a_class_with_a_new_name_without_a_text_keeps_its_text(tmp_path, monkeypatch, way):
    monkeypatch.chdir(tmp_path)
    job, _ = make_job(n=60)
    texts = {name: embed_text(name) for name in CLASSES}
    job.pipeline[-1].set_params(text_encoder=TextsOfFile.from_joint(texts, logit_scale=10.0))
    before = job.fit(fold([], None, CLASSES)).rows
    events = [Event("rename", 1, names=("bird",), into="Rex")]
    if way == "card":
        events = [
            Event("drop", 1, names=("bird",)),
            Event("card", 2, names=("bird",), among="kept", into="Rex"),
            Event("add", 3, names=("Rex",)),
        ]
    after = job.fit(fold(events, None, CLASSES)).rows
    names = {"bird": "Rex"}
    assert [row["label"] for row in after] == [
        names.get(row["label"], row["label"]) for row in before
    ]
    assert sum(row["label"] == "Rex" for row in after) == 20
