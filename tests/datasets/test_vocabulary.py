"""The bundled names of things."""

import re

from sksemobridge.datasets import load_vocabulary

# Some of each field that photographs are of.
FINE_WORDS = (
    "golden retriever, dachshund, tabby, snow leopard, puffin, bald eagle, stingray, goldfish, gecko, sea turtle, dragonfly, "
    "ladybug, hedgehog, polar bear, sunflower, orchid, palm tree, mangrove, sushi, fruit salad, tiramisu, apple pie, avocado, "
    "zucchini, espresso, red wine, tank top, cowboy hat, velvet, tweed, aircraft carrier, mountain bike, screwdriver, table saw, "
    "electric guitar, accordion, rocking chair, wardrobe, teapot, toothbrush, cast iron, marble, stripe, weave, rock climbing, "
    "ballet, lighthouse, supermarket, canyon, tennis court, thunderstorm, rainbow, skull, ear, nurse, photographer"
)


def test_there_are_two_to_three_thousand_plain_names_each_once_with_fine_words_of_every_field():
    names = load_vocabulary()
    assert 2000 <= len(names) <= 3000
    assert names == sorted(set(names))
    assert [name for name in names if not re.fullmatch("[a-z]+( [a-z]+){,2}", name)] == []
    assert [name for name in names if name.split()[0] in ("a", "an", "the")] == []
    assert set(FINE_WORDS.split(", ")) - set(names) == set()
