"""The bundled pictures."""

import numpy as np

from sksemobridge.datasets import load_emoji


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
