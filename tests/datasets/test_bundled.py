"""The bundled pictures, and the bundled names of things."""

import re

import numpy as np

from sksemobridge.datasets import load_emoji, load_vocabulary

FINE_WORDS = (
    "golden retriever, sea turtle, palm tree, fruit salad, cowboy hat, mountain bike, wardrobe,"
    " tennis court, nurse"
)


def test_the_pictures():
    emoji = load_emoji()
    counts = np.bincount(emoji.target)
    assert len(emoji.target_names) >= 25
    assert counts.min() >= 20
    assert emoji.images.dtype == np.uint8
    assert emoji.images.shape == (len(emoji.target), 72, 72, 3)
    assert len(emoji.names) == len(emoji.target)


def test_their_licence_and_that_of_the_words_come_with_them():
    assert "MIT" in load_emoji().DESCR
    assert "WordNet 3.1 Copyright 2011 by Princeton University" in load_emoji().DESCR


def test_there_are_two_to_three_thousand_plain_names_each_once_with_fine_words_of_every_field():
    names = load_vocabulary()
    assert 2000 <= len(names) <= 3000
    assert names == sorted(set(names))
    assert [name for name in names if not re.fullmatch("[a-z]+( [a-z]+){,2}", name)] == []
    assert [name for name in names if name.split()[0] in ("a", "an", "the")] == []
    assert set(FINE_WORDS.split(", ")) - set(names) == set()
