"""Prompts of classes, the texts that are made from the labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np

from .._utils.validation import (
    NUMBERED,
    as_words,
    is_whole,
    labels_of_numbers,
    listed,
    warn_caller,
)

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


@dataclass(frozen=True)
class ClassPrompts:
    """Name and texts of each class, in the order of the classes. A class without text has None for
    both.
    """

    names: list  # of str
    prompts: list  # of lists of str

    def for_classes(self, indices, new=None):
        """The names and texts of the classes at `indices`. For each -1, the next class of `new`, or
        no text.
        """
        ours = list(zip(self.names, self.prompts))
        new = repeat((None, None)) if new is None else zip(new.names, new.prompts)
        names, prompts = zip(*(next(new) if index < 0 else ours[index] for index in indices))
        return ClassPrompts(list(names), list(prompts))


def why_no_texts(labels, prompts, class_names, known_names):
    """The reason why the sorted labels have no texts, or None. Arguments are as in
    `describe_classes`.
    """
    names = _without_pandas(class_names)
    if names is None and isinstance(prompts, Mapping):
        names = prompts
    if isinstance(labels[0], str):
        return None
    if names is None:
        return (
            f"The labels ({_listed(labels, 3)}) are not text, so they are no names, and no texts"
            f" are used. Pass class_names, a mapping from labels to names. {NUMBERED}"
        )
    is_key = isinstance(names, Mapping) and -1 in names
    sides = [{0, 1}] if is_key else [{0, 1}, {-1, 1}]
    if set(labels) in sides and len(names) > 2 and not known_names:
        return (
            f"The labels are {int(labels[0])} and 1, but {len(names)} classes have names. Tools"
            " that compare some classes with others number these two sides so, and no texts are"
            " used. If these labels are yours, pass the names of these two only."
        )
    return None


def describe_classes(classes, text_encoder, prompts, class_names, known_names):
    """`ClassPrompts` of sorted labels. `prompts` and `class_names` are parameters of
    `FewShotClassifier`.

    `known_names` are the names of earlier calls, by label. A warning says if two classes have the
    same prompts.
    """
    class_names = _without_pandas(class_names)
    labels = classes.tolist()
    if isinstance(class_names, Mapping):
        labels = _labels_of_user(labels, class_names, known_names)
    elif class_names is None and isinstance(prompts, Mapping):
        labels_of_numbers(labels, prompts, "prompts")  # refuses labels that can be read in two ways
    names = name_classes(labels, class_names, known_names)
    is_mapping = isinstance(prompts, Mapping)
    if getattr(text_encoder, "takes_class_names", False):
        prompts = "{}"
    spoken, takes_any_text = (
        names,
        getattr(text_encoder, "open_vocabulary", False) and not is_mapping,
    )
    if takes_any_text and names.count(None) == len(names) - 1:
        # Nameless classes get the word "other": the mean of the other texts would be the only text
        # itself.
        spoken = [name or "other" for name in names]
    lists = build_prompts(labels, prompts, spoken)
    seen = {}
    for label, name, texts in zip(labels, names, lists):
        if name is None:
            continue
        other = seen.setdefault(frozenset(texts), label)
        if other != label:
            warn_caller(
                f"The classes {other!r} and {label!r} have the same names and prompts, so text"
                " cannot tell them apart.",
                advice="Give each a name of its own in class_names.",
            )
            break
    return ClassPrompts(names, lists)


def _labels_of_user(labels, class_names, known_names):
    """The labels of the user, which a tool may have numbered."""
    found = labels_of_numbers(labels, class_names, "class_names")
    if found != labels and not known_names:
        _warn_of_fewer(labels, "sorted keys of class_names", len(class_names))
    return found


def _warn_of_fewer(labels, names, n_names):
    """Warn if labels are the first numbers only: a fold may lack some classes, or a tool may number
    only the labels that it sees.
    """
    n = len(labels)
    if 1 < n < n_names and all(map(is_whole, labels)) and labels == [*range(n)]:
        warn_caller(
            f"The labels 0 to {n - 1} are read as the first {n} of the {n_names} {names}. A tool"
            " that numbers labels counts those that it sees, so if others than the last ones are"
            " missing, these names are of other classes. Leave out names whose labels you do not"
            " have."
        )


def name_classes(labels, class_names=None, known_names=()):
    """The name of each of the sorted labels, or None if a mapping says so.

    The `known_names` of earlier calls stay if a list no longer fits the classes.
    """
    own = [as_words(str(label)) for label in labels]
    if class_names is None:
        return own
    if isinstance(class_names, Mapping):
        _refuse_unnamed([label for label in labels if label not in class_names])
        names = [
            None if class_names[label] is None else _check_name(class_names[label])
            for label in labels
        ]
        if not known_names and not any(names):
            raise ValueError(
                "class_names has no name for any class. Set it to 'ignore' to do without text."
            )
        return [
            word if name == str(label) else name for label, name, word in zip(labels, names, own)
        ]
    if isinstance(class_names, (set, frozenset)):
        raise TypeError(
            "class_names is a set, which has no order. Give a mapping from labels to names, or a"
            " list."
        )
    # Numbers are places in the list, so they are not compared with the names.
    given = [_check_name(name) for name in class_names]
    names = [*map(as_words, given)]
    if all(is_whole(label) and 0 <= label < len(names) for label in [*labels, *known_names]):
        # Sorted names are in the order of labels.
        if not known_names and (given == sorted(given) or names == sorted(names)):
            _warn_of_fewer(labels, "sorted names in class_names", len(names))
        return [names[int(label)] for label in labels]
    if len(names) == len(labels) and set(known_names) <= set(labels):
        _check_order(labels, own, names)
        return names
    if known_names:
        _refuse_unnamed(
            [label for label in labels if label not in known_names and not isinstance(label, str)]
        )
        return [known_names.get(label, word) for label, word in zip(labels, own)]
    if set(own) <= set(names):
        return own
    raise ValueError(
        f"class_names has {len(names)} names for {len(labels)} classes ({_listed(labels)}), so"
        " nobody can tell which name is whose. Give a mapping from labels to names."
    )


def build_prompts(labels, prompts, names):
    """All prompts of each class. Only `{}` in a template is replaced by the name. Other braces
    stay.
    """
    if isinstance(prompts, Mapping):
        return _look_up_prompts(labels, prompts, names)
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


def _look_up_prompts(labels, prompts, names):
    """The whole prompts of each class in a mapping, by label or by name."""
    by_name = {as_words(key): texts for key, texts in prompts.items() if isinstance(key, str)}
    found = {
        label: prompts.get(label, by_name.get(as_words(name)))
        for label, name in zip(labels, names)
        if name is not None
    }
    missing = [label for label, texts in found.items() if texts is None]
    if missing:
        raise ValueError(
            f"prompts has no entry for {_listed(missing)}, neither under the label nor under the"
            " class name. Add one, or use a template such as 'a photo of a"
            f" {{}}.'.{_numbered(missing)}"
        )
    return [_check_whole(label, found[label]) if label in found else None for label in labels]


def _check_whole(label, value):
    texts = [value] if isinstance(value, str) else list(value) if np.iterable(value) else []
    if not texts or not all(
        isinstance(text, str) and text.strip() and "{}" not in text for text in texts
    ):
        raise ValueError(
            f"prompts[{label!r}] must be a list of one or more whole prompts, in which no '{{}}'"
            f" stands for the name; got {value!r}."
        )
    return [str(text) for text in texts]


def _refuse_unnamed(labels):
    if labels:
        raise ValueError(
            f"class_names has no name for {_listed(labels)}. Give a mapping that has them"
            f" too.{_numbered(labels)}"
        )


def _numbered(labels):
    """Advice if a tool has numbered the labels."""
    return "" if any(isinstance(label, str) for label in labels) else f" {NUMBERED}"


def _check_order(labels, own, names):
    """Refuse labels in another order. Warn if sorted text is not in the order of numbers: "10"
    comes before "2".
    """
    words, lower = [word.casefold() for word in own], [name.casefold() for name in names]
    if lower != words and sorted(lower) == sorted(words):
        raise ValueError(
            "class_names holds the labels in another order. The classes are"
            f" {_listed(labels, 20)}; class_names is {_listed(names, 20)}. Give the order of the"
            " classes, a mapping from labels to names, or leave class_names out."
        )

    is_digits = all(isinstance(label, str) and label.isdigit() for label in labels)
    if is_digits and own != names and sorted(labels, key=int) != labels:
        pairs = ", ".join(f"{label!r} is {name!r}" for label, name in zip(labels[:5], names))
        warn_caller(
            f"The labels are text, sorted as text, and class_names is read in this order: {pairs}."
            " Give a mapping from labels to names, or labels that are numbers."
        )


def is_sequence(class_names):
    """True if `class_names` is a list with a name for each of the sorted classes."""
    return not (
        class_names is None or isinstance(class_names, (str, Mapping)) or _is_series(class_names)
    )


def _is_series(class_names):
    """Whether `class_names` is a pandas Series, without importing pandas."""
    return hasattr(class_names, "to_dict") and hasattr(class_names, "index")


def _without_pandas(class_names):
    """`class_names`, in which a Series has become a mapping."""
    if not _is_series(class_names):
        return class_names
    if not class_names.index.is_unique:
        raise ValueError("class_names is a Series that has a label twice in its index.")
    return class_names.to_dict()


def _check_name(name):
    if not isinstance(name, str) or not name.strip():
        raise ValueError(
            f"class_names holds {name!r}; a name is text. In a mapping, None is a class without"
            " text."
        )
    return str(name)


def _listed(items, limit=5):
    return listed(map(repr, items), limit)
