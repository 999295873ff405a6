"""A page that a person confirmed: its validation, and the pictures that newer answers leave."""

from collections import Counter

from ..._utils.validation import comparable, plural
from .._photos.folder_table import plain
from .named_class import as_label
from .refused import Refused

# Most pictures of a page, see `SIZES` of fit.js.
MOST_TILES = 60
# Seconds that a page may be on the screen: a year.
MOST_SECONDS = 366 * 86400
# Fields that a page sends of each picture.
MARKED = ("number", "label", "shown")


def check_page(snapshot, pictures, seconds):
    """Refuse a request whose pictures are no page, or whose `seconds` on the screen do not fit."""
    if not isinstance(pictures, list) or not 0 < len(pictures) <= MOST_TILES:
        raise Refused(f"A page has 1 to {MOST_TILES} pictures.")
    if not all(isinstance(one, dict) and {*MARKED} <= {*one} for one in pictures):
        raise Refused("A picture of a page has its number, its label, and what was shown.")
    numbers = [picture["number"] for picture in pictures]
    for number in numbers:
        snapshot.pictures.check(number)
    if len({*numbers}) < len(numbers):
        raise Refused("A picture is twice on the page.")
    if type(seconds) not in (int, float, type(None)) or not 0 <= (seconds or 0) < MOST_SECONDS:
        raise Refused("A page is on the screen for some seconds.")


def without_newer(snapshot, pictures, knew, notes):
    """The pictures of a page, without pictures that were answered since, and without labels that
    were dropped since. The page knew the first `knew` events. `notes` says how many are left out.
    """
    if type(knew) is not int or not 0 <= knew <= len(snapshot.events):
        raise Refused("A page knew some of the events.")
    last = snapshot.events[knew - 1].id if knew else 0
    later = snapshot.events[knew:]
    dropped = {comparable(name) for event in later if event.kind == "drop" for name in event.names}
    kept, n_answered, n_dropped = [], 0, Counter()
    for picture in pictures:
        answer = snapshot.annotations.answers.get(snapshot.pictures.real[picture["number"]])
        label = as_label(snapshot.annotations.names, picture["label"], [])
        if answer is not None and answer.event > last:
            n_answered += 1
        elif (
            comparable(label) in dropped and snapshot.annotations.names.current_name(label) is None
        ):
            n_dropped[label] += 1
        else:
            kept.append(picture)
    if n_answered:
        notes.append(f"{n_answered} got a label since this page was shown, which stays.")
    notes += [
        f"“{plain(label)}” was dropped since, so {n} {plural(n, 'picture')} got no label."
        for label, n in n_dropped.items()
    ]
    return kept
