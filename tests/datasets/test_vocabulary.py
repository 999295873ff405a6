"""The bundled names of things."""

import re

import pytest

from sksemobridge.datasets import load_vocabulary

DOMAINS = {
    "dogs": "golden retriever, beagle, poodle, dachshund, rottweiler, border collie",
    "cats": "cheetah, tabby, ocelot, snow leopard",
    "birds": "puffin, hummingbird, flamingo, cormorant, bald eagle",
    "fish": "salmon, stingray, goldfish, barracuda",
    "reptiles": "gecko, rattlesnake, crocodile, sea turtle",
    "insects": "dragonfly, ladybug, grasshopper, cicada",
    "mammals": "zebra, hedgehog, walrus, polar bear",
    "flowers": "sunflower, orchid, snapdragon, marigold",
    "trees": "willow, palm tree, cottonwood, mangrove",
    "dishes": "pizza, sushi, paella, fruit salad",
    "baked goods": "waffle, tiramisu, baklava, apple pie",
    "fruit and vegetables": "strawberry, avocado, broccoli, zucchini",
    "drinks": "espresso, red wine, lemonade",
    "clothes": "jeans, tank top, cardigan, sneaker, cowboy hat",
    "fabrics": "velvet, tweed, paisley, gingham",
    "vehicles": "helicopter, airliner, seaplane, canoe, aircraft carrier, minivan, tractor, mountain bike",
    "tools": "screwdriver, chisel, table saw",
    "musical instruments": "electric guitar, cello, accordion",
    "furniture": "rocking chair, coffee table, wardrobe",
    "household": "teapot, toothbrush, refrigerator, wallet",
    "materials": "marble, brick, cast iron, wood",
    "textures": "weave, stripe, grid, wrinkle",
    "activities": "skiing, archery, rock climbing, sewing, ballet",
    "buildings": "cathedral, lighthouse, barn, library, supermarket",
    "landscapes": "beach, canyon, forest, tennis court",
    "weather": "thunderstorm, tornado, rainbow",
    "body": "hand, ear, skull",
    "occupations": "chef, nurse, carpenter, photographer",
}


@pytest.fixture(scope="module")
def names():
    return load_vocabulary()


def test_there_are_two_to_three_thousand_each_once(names):
    assert 2000 <= len(names) <= 3000
    assert names == sorted(set(names))


def test_names_are_plain_lower_case_english_without_an_article(names):
    assert [name for name in names if not re.fullmatch("[a-z]+( [a-z]+){,2}", name)] == []
    assert [name for name in names if name.split()[0] in ("a", "an", "the")] == []


@pytest.mark.parametrize("domain", DOMAINS)
def test_every_domain_has_its_fine_words(names, domain):
    assert set(DOMAINS[domain].split(", ")) - set(names) == set()
