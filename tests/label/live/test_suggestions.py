"""What may be in a folder, for the page."""

from sksemobridge import PrecomputedTextEncoder


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


def test_how_many_is_checked(live):
    page = live()
    assert page.act("suggest", n_names=0)[0] == 409
    assert page.act("suggest", n_names="all")[0] == 409
