"""Emoji and icon pictures with their words, read from npm packages.

Install the packages once, anywhere (`python tools/emoji_pictures.py` prints the command), and hand
the `node_modules` folder to the other tools. Drawing SVG needs `pip install resvg-py`.
"""

import io
import json
import re
from pathlib import Path

import numpy as np
from PIL import Image

# Colour emoji: trained on. Skin-tone variants are left out.
EMOJI_SETS = ("noto", "twemoji", "noto-v1", "emojione", "fxemoji", "streamline-emojis")
COLOUR_ICON_SETS = (
    "icon-park",
    "flat-color-icons",
    "meteocons",
    "streamline-ultimate-color",
    "streamline-freehand-color",
)
MONO_ICON_SETS = (
    "game-icons",
    "mdi",
    "ph",
    "tabler",
    "lucide",
    "mingcute",
    "healthicons",
    "streamline-plump",
)
DEVELOPMENT_SET = "openmoji"  # settings are chosen on it; neither trained on nor shipped
HELD_OUT_SET = "fluent-emoji-flat"  # evaluated once, then shipped as `load_emoji`

# Emoji subgroups of Unicode (as emojibase-data names them), with a colon and plain English where
# that is another.
_SUBGROUPS = """
face-smiling: smiling face; face-affection: affectionate face; face-tongue: face with tongue;
face-hand: face with hand; face-neutral-skeptical: neutral or skeptical face; face-sleepy: sleepy
face; face-unwell: unwell face; face-hat: face with hat; face-glasses: face with glasses;
face-concerned: concerned face; face-negative: angry face; face-costume: costume face; cat-face;
monkey-face; heart; emotion: emotion symbol; hand-fingers-open: open hand; hand-fingers-partial:
hand sign; hand-single-finger: pointing finger; hand-fingers-closed: fist; hands: two hands;
hand-prop: hand holding something; body-parts: body part; person; person-gesture: person making a
gesture; person-role: person at work; person-fantasy: fantasy character; person-activity: person
doing an activity; person-sport: person doing sport; person-resting; family; person-symbol;
skin-tone; hair-style; animal-mammal: mammal; animal-bird: bird; animal-amphibian: amphibian;
animal-reptile: reptile; animal-marine: sea animal; animal-bug: bug; plant-flower: flower;
plant-other: plant; food-fruit: fruit; food-vegetable: vegetable; food-prepared: prepared food;
food-asian: asian food; food-sweet: sweet food; drink; dishware; place-map: map; place-geographic:
landscape; place-building: building; place-religious: religious building; place-other: place;
transport-ground: ground vehicle; transport-water: boat; transport-air: aircraft; hotel; time:
clock; sky-weather: sky and weather; event: celebration; award-medal; sport: sport equipment;
game: game or toy; arts-crafts: arts and crafts; clothing; sound: sound symbol; music;
musical-instrument; phone; computer; light-video: lamp or camera; book-paper: book or paper;
money; mail; writing: writing tool; office: office supplies; lock: lock or key; tool; science:
science equipment; medical: medical item; household: household item; other-object: object;
transport-sign; warning: warning sign; arrow; religion: religious symbol; zodiac: zodiac sign;
av-symbol: media button; gender: gender symbol; math: math symbol; punctuation: punctuation mark;
currency: currency symbol; other-symbol: symbol; keycap; alphanum: letter or word button;
geometric: geometric shape; flag; country-flag; subdivision-flag: regional flag
"""
SUBGROUP_NAMES = {
    subgroup: name or subgroup.replace("-", " ")
    for subgroup, _, name in (
        part.partition(": ") for part in " ".join(_SUBGROUPS.split()).split("; ")
    )
}

_SKIN_TONE = re.compile(r"skin-tone|-tone\d|-(light|medium|dark)$")
_ICON_STYLE = re.compile(
    r"-(outline|outlined|filled|fill|line|bold|thin|light|duotone|rounded|sharp|solid|off|negative|"
    r"alt|variant|\d+(px)?)(?=-|$)"
)


def install_command():
    """The npm command that fetches every package read here."""
    sets = EMOJI_SETS + COLOUR_ICON_SETS + MONO_ICON_SETS + (DEVELOPMENT_SET, HELD_OUT_SET)
    return "npm install emojibase-data " + " ".join(f"@iconify-json/{name}" for name in sets)


def _slug(text):
    return re.sub(
        r"[^a-z0-9]", "", text.lower().replace("ñ", "n").replace("é", "e").replace("å", "a")
    )


class EmojiWords:
    """Labels, tags and subgroups of emojibase-data, found by code point or by name."""

    def __init__(self, node_modules):
        root = Path(node_modules) / "emojibase-data"
        entries = json.loads((root / "en" / "data.json").read_text())
        subgroups = json.loads((root / "meta" / "groups.json").read_text())["subgroups"]
        unicode_names = json.loads((root / "meta" / "unicode-names.json").read_text())
        self._by_code, self._by_name = {}, {}
        for entry in entries:
            if "subgroup" not in entry:
                continue
            words = {
                "label": entry["label"].lower().replace("flag: ", "flag of "),
                "tags": [tag.lower() for tag in entry.get("tags", [])],
                "subgroup": subgroups[str(entry["subgroup"])],
            }
            self._by_code[self._code(entry["hexcode"])] = words
            self._by_name[_slug(entry["label"])] = words
        for code, name in unicode_names.items():
            if self._code(code) in self._by_code:
                self._by_name.setdefault(_slug(name), self._by_code[self._code(code)])

    @staticmethod
    def _code(hexcode):
        return hexcode.lower().replace("-fe0f", "")

    def texts(self):
        """All labels and tags."""
        return {
            text for words in self._by_code.values() for text in (words["label"], *words["tags"])
        }

    def find(self, name, codes):
        for code in codes:
            if self._code(code) in self._by_code:
                return self._by_code[self._code(code)]
        return self._by_name.get(_slug(name)) or self._by_name.get(
            _slug(re.sub(r"-\d+$", "", name))
        )


def _draw(icon, defaults, size):
    import resvg_py

    width = icon.get("width", defaults.get("width", 16))
    height = icon.get("height", defaults.get("height", 16))
    left, top = icon.get("left", defaults.get("left", 0)), icon.get("top", defaults.get("top", 0))
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
        f' width="{width}" height="{height}" viewBox="{left} {top} {width}'
        f' {height}">{icon["body"]}</svg>'
    )
    png = resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size)
    return np.asarray(Image.open(io.BytesIO(bytes(png))).convert("RGBA").resize((size, size)))


def read_set(node_modules, name, words, *, size=64):
    """Draw one icon set.

    Returns a list of `(icon name, rgba (size, size, 4) uint8, label, tags, subgroup or None)`, one
    for each picture: emoji without skin-tone variants, icons once per name and style.
    """
    root = Path(node_modules) / "@iconify-json" / name
    icons = json.loads((root / "icons.json").read_text())
    codes = {}
    if name in ("noto", "twemoji", DEVELOPMENT_SET, HELD_OUT_SET):
        for code, icon_name in json.loads((root / "chars.json").read_text()).items():
            codes.setdefault(icon_name, []).append(code)
    is_emoji = name in EMOJI_SETS or name in (DEVELOPMENT_SET, HELD_OUT_SET)
    categories = {}
    if not is_emoji and (root / "metadata.json").exists():
        for category, members in (
            json.loads((root / "metadata.json").read_text()).get("categories", {}).items()
        ):
            for member in members:
                categories.setdefault(member, []).extend(
                    part.strip().lower() for part in re.split(r"[/&,]", category) if part.strip()
                )
    rows = []
    for icon_name, icon in icons["icons"].items():
        if icon.get("hidden") or (name == "ph" and re.search(r"-(thin|light|bold)$", icon_name)):
            continue
        found = words.find(icon_name, codes.get(icon_name, [])) if is_emoji else None
        # Concatenated file names make no caption; pictures with no entry are no labelled emoji.
        unnamed = _SKIN_TONE.search(icon_name) or name in ("fxemoji", DEVELOPMENT_SET, HELD_OUT_SET)
        if found is None and is_emoji and unnamed:
            continue
        if found is not None:
            label, tags, subgroup = found["label"], found["tags"], found["subgroup"]
        else:
            plain = icon_name if is_emoji else _ICON_STYLE.sub("", "-" + icon_name).strip("-")
            label = re.sub(r"(flag-for-)+", "flag of ", plain).replace("-", " ").strip()
            tags, subgroup = categories.get(icon_name, []), None
            if len(label) < 2:
                continue
        rows.append((icon_name, _draw(icon, icons, size), label, tags, subgroup))
    return rows


def read_emoji_once(node_modules, name, *, size=64):
    """One picture for each labelled emoji of a set (first drawing of a label wins), as `read_set`
    rows.
    """
    seen = {}
    for row in read_set(node_modules, name, EmojiWords(node_modules), size=size):
        seen.setdefault(row[2], row)
    return list(seen.values())


if __name__ == "__main__":
    print(install_command())
