"""From class labels to prompts, which are the texts of each class."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np

from .._utils.validation import NUMBERED, as_words, listed, warn_caller

# The authors of CLIP found that these seven templates together work best on ImageNet.
ENSEMBLE_TEMPLATES = (
    "itap of a {}.",
    "a bad photo of the {}.",
    "a origami {}.",
    "a photo of the large {}.",
    "a {} in a video game.",
    "art of the {}.",
    "a photo of the small {}.",
)

# If only one class has text, this is the name of the others.
EVERYTHING_ELSE = "other"


@dataclass(frozen=True)
class ClassPrompts:
    """Name and texts of each class, in the order of the classes. A class without text has None for both."""

    names: list  # of str
    prompts: list  # of lists of str

    def for_classes(self, indices, new=None):
        """The names and texts of the classes at `indices`. For each -1, the next one of `new`, or no text."""
        ours = list(zip(self.names, self.prompts))
        new = repeat((None, None)) if new is None else zip(new.names, new.prompts)
        names, prompts = zip(*(next(new) if index < 0 else ours[index] for index in indices))
        return ClassPrompts(list(names), list(prompts))


def describe_classes(classes, text_encoder, prompts, class_names, earlier=None):
    """`ClassPrompts` of sorted labels. It warns if two classes have the same prompts.

    `prompts` and `class_names` are those of `SeMoBridgeClassifier`. `earlier` maps classes of earlier calls to their names.
    """
    labels = classes.tolist()
    names = name_classes(labels, class_names, earlier)
    if class_names is None and not isinstance(prompts, Mapping) and not isinstance(labels[0], str):
        warn_caller(
            f"The labels are not text, so the text encoder reads '{labels[0]}' as a name. "
            f"Pass class_names, a mapping from labels to names. {NUMBERED}"
        )
    if getattr(text_encoder, "takes_class_names", False):  # such an encoder takes names instead of prompts
        prompts = "{}"
    lists = build_prompts(labels, prompts, names)
    takes_any = getattr(text_encoder, "open_vocabulary", False) and not isinstance(prompts, Mapping)
    if takes_any and sum(name is not None for name in names) == 1:
        # The mean of the other texts would be the only text itself.
        lists = build_prompts(labels, prompts, [EVERYTHING_ELSE if name is None else name for name in names])
    _warn_about_duplicates(labels, lists)
    return ClassPrompts(names, lists)


def name_classes(labels, class_names=None, earlier=None):
    """The name of each of the sorted labels. The name is None if a mapping says so.

    `earlier` maps classes of earlier calls to their names. These names stay if a list no longer fits the classes. It is a
    ValueError if names are missing, if their number is wrong, or if they are the labels in another order. Names that are not
    strings are a TypeError.
    """
    own = [as_words(str(label)) for label in labels]
    if class_names is None:
        return own
    if _is_series(class_names):
        if not class_names.index.is_unique:
            raise ValueError("class_names is a Series that has a label twice in its index.")
        class_names = class_names.to_dict()
    if isinstance(class_names, Mapping):
        _refuse_unnamed([label for label in labels if label not in class_names])
        names = [None if class_names[label] is None else _name_of(class_names[label]) for label in labels]
        if not earlier and not any(names):
            raise ValueError(
                "class_names has no name for any class. Leave it out to read the labels, or set it to 'ignore' to do "
                "without text."
            )
        return [word if name == str(label) else name for label, name, word in zip(labels, names, own)]
    if isinstance(class_names, (set, frozenset, str)):
        raise TypeError(
            f"class_names is a {type(class_names).__name__}, which has no order of names. Give a mapping from labels to "
            "names, or one name for each class."
        )
    # A tool may have turned labels into numbers. So names are not compared with their labels.
    names = [as_words(_name_of(name)) for name in class_names]
    if len(names) == len(labels) and set(earlier or ()) <= set(labels):
        _check_order(labels, own, names)
        return names
    if earlier:
        _refuse_unnamed([label for label in labels if label not in earlier and not isinstance(label, str)])
        return [earlier.get(label, word) for label, word in zip(labels, own)]
    if set(own) <= set(names):
        return own
    raise ValueError(
        f"class_names has {len(names)} names for {len(labels)} classes ({_listed(labels)}). Give one for "
        "each class in sorted order, or a mapping from labels to names."
    )


def build_prompts(labels, prompts, names):
    """All prompts of each class. Only `{}` in a template is replaced by the name. Other braces stay.

    A template without `{}` is a ValueError. So is a mapping that lacks a class or its prompts, or that has a prompt with `{}`.
    """
    if isinstance(prompts, Mapping):
        by_name = {as_words(key): texts for key, texts in prompts.items() if isinstance(key, str)}
        found = {
            label: prompts.get(label, by_name.get(as_words(name)))
            for label, name in zip(labels, names)
            if name is not None
        }
        if missing := [label for label, texts in found.items() if texts is None]:
            numbered = "" if any(isinstance(label, str) for label in missing) else f" {NUMBERED}"
            raise ValueError(
                f"prompts has no entry for {_listed(missing)}, neither under the label nor under the class "
                f"name. Add one, or use a template such as 'a photo of a {{}}.'.{numbered}"
            )
        return [_whole_prompts(label, found[label]) if label in found else None for label in labels]
    if isinstance(prompts, str):
        templates = ENSEMBLE_TEMPLATES if prompts == "auto" else [prompts]
    else:
        templates = list(prompts) if isinstance(prompts, (Sequence, np.ndarray)) else []
    if not templates:
        raise ValueError(
            f"prompts must be 'auto', a template, a list of some, or a mapping; got {prompts!r}."
        )
    for template in templates:
        if not isinstance(template, str) or "{}" not in template:
            raise ValueError(
                f"The template {template!r} has no '{{}}' for the class name. Write for example "
                "'a photo of a {}.', or give whole prompts as a mapping from labels to lists."
            )
    return [
        None if name is None else [str(template).replace("{}", name) for template in templates]
        for name in names
    ]


def _whole_prompts(label, texts):
    given, texts = texts, [texts] if isinstance(texts, str) else texts
    texts = list(texts) if np.iterable(texts) and not isinstance(texts, Mapping) else []
    if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise ValueError(f"prompts[{label!r}] must be a list of one or more strings; got {given!r}.")
    templates = [text for text in texts if "{}" in text]
    if templates:
        raise ValueError(
            f"prompts[{label!r}] holds {templates[0]!r}, but the prompts in a mapping are whole: nothing is put "
            "in the place of '{}'. Write the name there, or give templates as a list."
        )
    return [str(text) for text in texts]


def _refuse_unnamed(labels):
    if labels:
        numbered = "" if any(isinstance(label, str) for label in labels) else f" {NUMBERED}"
        raise ValueError(
            f"class_names has no name for {_listed(labels)}. Give a mapping from labels to names that has "
            f"{'it' if len(labels) == 1 else 'them'} too.{numbered}"
        )


def _check_order(labels, own, names):
    """Refuse labels in another order. Warn if sorted text is not in the order of numbers: "10" comes before "2"."""
    expected, given = [word.casefold() for word in own], [name.casefold() for name in names]
    if given != expected and sorted(given) == sorted(expected):
        raise ValueError(
            f"class_names holds the labels in another order. The sorted labels are {_listed(labels, 20)}; class_names "
            f"is {_listed(names, 20)}. Names are read in the order of the labels: sort them, give a mapping from "
            "labels to names, or leave class_names out."
        )

    def by_number(label):
        return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"(\d+)", label))]

    is_text = all(isinstance(label, str) for label in labels)
    if is_text and own != names and sorted(labels, key=by_number) != labels:
        shown = ", ".join(f"{label!r} is {name!r}" for label, name in zip(labels[:5], names))
        warn_caller(
            f"The labels are text, sorted as text, and class_names is read in this order: {shown}. Give a mapping "
            "from labels to names, or labels that are numbers."
        )


def _warn_about_duplicates(labels, lists):
    """Warn of the first group of classes with the same prompts."""
    alike = defaultdict(list)
    for label, texts in zip(labels, lists):
        if texts is not None:
            alike[tuple(sorted(texts))].append(label)
    same = next((same for same in alike.values() if len(same) > 1), None)
    if same:
        warn_caller(
            f"The classes {_listed(same)} have the same names and prompts, so text cannot tell them apart.",
            advice="Give each a name of its own in class_names.",
        )


def is_sequence(class_names):
    """True if `class_names` is a list with a name for each of the sorted classes."""
    return not (class_names is None or isinstance(class_names, (str, Mapping)) or _is_series(class_names))


def _is_series(class_names):
    """Whether `class_names` is a pandas Series, without importing pandas."""
    return hasattr(class_names, "to_dict") and hasattr(class_names, "index") and np.ndim(class_names) == 1


def _name_of(name):
    if not isinstance(name, str):
        raise TypeError(f"class_names holds {name!r} ({type(name).__name__}); a name is a string.")
    if not name.strip():
        raise ValueError(
            f"class_names holds {name!r}, which has no letters; in a mapping, None is a class without text."
        )
    return str(name)


def _listed(items, limit=5):
    return listed(map(repr, items), limit)
