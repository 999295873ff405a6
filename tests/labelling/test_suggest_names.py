"""Names for what images show."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sksemobridge import (
    CLIPTextEncoder,
    FewShotClassifier,
    PrecomputedTextEncoder,
    ZeroShotClassifier,
)
from sksemobridge._utils.array_api import l2_normalize
from sksemobridge.labelling import _suggest_names as module
from sksemobridge.labelling import suggest_names

WIDTH, N_WORDS = 64, 40
WORDS = [f"a thing {number}" for number in range(N_WORDS)]
SHOWN = {3: 40, 7: 30, 20: 20, 31: 12}  # images of each word, by its number


@pytest.fixture(scope="module")
def texts():
    """Texts around one direction, as those of CLIP."""
    rng = np.random.default_rng(0)
    return 2 * rng.normal(size=WIDTH) + 2 * rng.normal(size=(N_WORDS, WIDTH))


@pytest.fixture(scope="module")
def encoder(texts):
    return PrecomputedTextEncoder(WORDS, texts, np.eye(WIDTH))


@pytest.fixture(scope="module")
def folder(texts):
    """Images, far from all texts, and the word of each."""
    rng = np.random.default_rng(1)
    word = rng.permutation(np.repeat([*SHOWN], [*SHOWN.values()]))
    own = 0.6 * (texts - texts.mean(axis=0))[word] + rng.normal(size=(len(word), WIDTH))
    return 3 * rng.normal(size=WIDTH) + own, word


def names_of(suggestions):
    return [suggestion.name for suggestion in suggestions]


def test_names_come_by_falling_share_with_their_images(encoder, folder):
    X, word = folder
    suggestions = suggest_names(X, encoder, vocabulary=WORDS)
    assert names_of(suggestions)[:4] == ["thing 3", "thing 7", "thing 20", "thing 31"]
    shares = [suggestion.share for suggestion in suggestions]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) <= 1 + 1e-6
    for (number, n_images), suggestion in zip(SHOWN.items(), suggestions):
        assert suggestion.share == pytest.approx(n_images / len(X), abs=0.02)
        assert suggestion.rows.dtype.kind == "i"
        assert (word[suggestion.rows[:8]] == number).all()
        assert len(set(suggestion.rows.tolist())) == len(suggestion.rows)


def test_at_most_so_many_names_are_given(encoder, folder):
    X, _ = folder
    all_names = names_of(suggest_names(X, encoder, vocabulary=WORDS))
    assert names_of(suggest_names(X, encoder, vocabulary=WORDS, n_names=2)) == all_names[:2]


@given(seed=st.integers(0, 2**32 - 1))
def test_neither_the_order_of_images_nor_copies_of_all_matter(encoder, folder, seed):
    X, _ = folder
    expected = suggest_names(X, encoder, vocabulary=WORDS)
    order = np.random.default_rng(seed).permutation(len(X))
    for images, originals in (
        (X[order], order),
        (np.vstack([X, 5 * X]), np.tile(range(len(X)), 2)),
    ):
        found = suggest_names(images, encoder, vocabulary=WORDS)
        assert names_of(found) == names_of(expected)
        for one, other in zip(found, expected):
            assert one.share == pytest.approx(other.share, abs=1e-5)
            assert {*originals[one.rows]} >= {*other.rows[:4].tolist()}


def test_the_same_images_give_the_same_names(encoder, folder):
    one, other = (suggest_names(folder[0], encoder, vocabulary=WORDS) for _ in range(2))
    assert names_of(one) == names_of(other)
    for first, second in zip(one, other):
        np.testing.assert_array_equal(first.rows, second.rows)


def test_a_few_images_or_equal_ones_have_a_name_too(encoder, folder):
    X, word = folder
    for images in (X[:1], X[:1].repeat(20, axis=0), X[word == 7][:3]):
        first, *_ = suggest_names(images, encoder, vocabulary=WORDS)
        assert first.share > 0.5
        assert len(first.rows) == len(images)
    first, *_ = suggest_names(X[word == 7][:3], encoder, vocabulary=WORDS)
    assert sorted(first.rows) == [0, 1, 2]


def test_an_image_is_assigned_as_when_the_words_were_fitted(texts):
    rng = np.random.default_rng(1)
    word = np.repeat([*SHOWN], [*SHOWN.values()])
    # So far from their words that frequent ones take images of rare ones.
    own = 0.2 * (texts - texts.mean(axis=0))[word] + rng.normal(size=(len(word), WIDTH))
    u = l2_normalize(3 * rng.normal(size=WIDTH) + own)
    words = module._Words(u, texts[:0], texts)
    words.move()
    chosen = words.best()
    p, _ = np.split(words.assign(u, chosen), 2, axis=1)
    np.testing.assert_allclose(p, words.p[:, chosen], atol=1e-3)


def test_articles_and_second_spellings_are_dropped(folder, texts):
    vocabulary = ["An apple", "apple", "a cat", "anchor", "a"]
    encoder = PrecomputedTextEncoder(vocabulary, texts[[3, 4, 7, 20, 31]], np.eye(WIDTH))
    names = names_of(suggest_names(folder[0], encoder, vocabulary=vocabulary))
    assert sorted(names) == ["a", "anchor", "apple", "cat"]


@pytest.fixture(params=["names alone", "with shots"])
def known(request, encoder, folder):
    X, word = folder
    labels = np.array([f"Thing_{number}" for number in word])
    few = np.isin(word, [3, 20])
    names = {label: label.lower().replace("_", " ") for label in labels}
    params = {"prompts": "a {}", "class_names": names}
    if request.param == "names alone":
        return ZeroShotClassifier(encoder, **params).fit(None, labels[few])
    return FewShotClassifier(encoder, **params).fit(X[few][:9], labels[few][:9])


def test_with_known_classes_the_others_come_first(encoder, folder, known):
    X, _ = folder
    suggestions = suggest_names(X, encoder, vocabulary=WORDS, known=known)
    assert names_of(suggestions)[:2] == ["thing 7", "thing 31"]
    assert not {"thing 3", "thing 20"} & {*names_of(suggestions)}
    assert suggestions[0].share == pytest.approx(30 / len(X), abs=0.02)
    pipeline = make_pipeline(FunctionTransformer(), known)
    search = GridSearchCV(known, {"priors": [None]})
    search.best_estimator_ = known
    for other in (pipeline, search):
        again = suggest_names(X, encoder, vocabulary=WORDS, known=other)
        assert names_of(again) == names_of(suggestions)


def test_synonyms_of_known_classes_are_last(folder, texts):
    X, _ = folder
    rng = np.random.default_rng(2)
    vocabulary = [*WORDS, "another word for 3"]
    synonym = texts[3] + 0.5 * rng.normal(size=WIDTH)
    encoder = PrecomputedTextEncoder(vocabulary, np.vstack([texts, synonym]), np.eye(WIDTH))
    known = ZeroShotClassifier(encoder, prompts="a {}").fit(None, ["thing 3", "thing 20"])
    names = names_of(suggest_names(X, encoder, vocabulary=vocabulary, known=known))
    assert names[:2] == ["thing 7", "thing 31"]
    assert "another word for 3" not in names[:2]


def test_a_class_without_a_name_explains_nothing(encoder, folder):
    X, word = folder
    few, names = np.isin(word, [3, 20]), {3: "thing 3", 20: None}
    known = FewShotClassifier(encoder, prompts="a {}", class_names=names)
    known.fit(X[few][:9], word[few][:9])
    suggestions = suggest_names(X, encoder, vocabulary=WORDS, known=known)
    assert names_of(suggestions)[:3] == ["thing 7", "thing 20", "thing 31"]


def test_if_names_explain_all_images_there_may_be_no_other(encoder, folder):
    X, word = folder
    known = ZeroShotClassifier(encoder, prompts="a {}").fit(None, ["thing 3", "thing 7"])
    rest = X[np.isin(word, [3, 7])]
    others = suggest_names(rest, encoder, vocabulary=WORDS, known=known)
    assert sum(suggestion.share for suggestion in others) < 0.1


def test_of_many_images_some_decide_and_all_have_a_name(encoder, folder, monkeypatch):
    X, word = folder
    expected = suggest_names(X, encoder, vocabulary=WORDS)
    monkeypatch.setattr(module, "MOST_FITTED", 60)
    found = suggest_names(X, encoder, vocabulary=WORDS)
    assert names_of(found)[:3] == names_of(expected)[:3]
    assert {*found[0].rows} == {*np.flatnonzero(word == 3)}


def test_wrong_arguments_are_named(encoder, folder, known):
    X, word = folder
    with pytest.raises(ValueError, match="PrecomputedTextEncoder cannot embed any text"):
        suggest_names(X, encoder)
    for no_encoder in (None, CLIPTextEncoder):
        with pytest.raises(ValueError, match="needs an encoder of texts"):
            suggest_names(X, no_encoder, vocabulary=WORDS)
    with pytest.raises(ValueError, match="'auto' or a list of texts"):
        suggest_names(X, encoder, vocabulary="a cat")
    with pytest.raises(ValueError, match="no text that is not a known name"):
        suggest_names(X, encoder, vocabulary=["a thing 3"], known=known)
    with pytest.raises(ValueError, match="n_names"):
        suggest_names(X, encoder, vocabulary=WORDS, n_names=0)
    with pytest.raises(ValueError, match="NaN.*1 of 102 rows"):
        suggest_names(np.where(np.arange(len(X))[:, None] == 1, np.nan, X), encoder)
    with pytest.raises(ValueError, match="features"):
        suggest_names(X[:, 1:], encoder, vocabulary=WORDS)
    unnamed = FewShotClassifier().fit(X, word)
    with pytest.raises(ValueError, match="classifier with names"):
        suggest_names(X, encoder, vocabulary=WORDS, known=unnamed)
    with pytest.raises(TypeError, match="known must be"):
        suggest_names(X, encoder, vocabulary=WORDS, known="thing 3")
