"""From class labels to prompts: what is said of each class to the text tower."""

from collections.abc import Mapping, Sequence

import numpy as np

# The seven templates that the authors of CLIP found to do best together on ImageNet.
ENSEMBLE_TEMPLATES = (
    "itap of a {}.",
    "a bad photo of the {}.",
    "a origami {}.",
    "a photo of the large {}.",
    "a {} in a video game.",
    "art of the {}.",
    "a photo of the small {}.",
)


def _plain(label):
    return label.item() if isinstance(label, np.generic) else label


def name_classes(classes, class_names=None):
    """The words for each class, in the order of `classes`.

    Parameters
    ----------
    classes : array-like of shape (C,)
        Sorted labels.
    class_names : mapping, sequence or None
        See `SeMoBridgeClassifier`.

    Raises
    ------
    ValueError
        If a class has no name, or a sequence has another length than `classes`.
    """
    labels = [_plain(label) for label in classes]
    if class_names is None:
        return [str(label).replace("_", " ") for label in labels]
    if isinstance(class_names, Mapping):
        missing = [label for label in labels if label not in class_names]
        if missing:
            raise ValueError(
                f"class_names has no name for {_some(missing)}. Add "
                f"{'it' if len(missing) == 1 else 'them'} to the mapping from labels to names."
            )
        return [str(class_names[label]) for label in labels]
    if isinstance(class_names, (set, frozenset)):
        raise TypeError("class_names is a set, which has no order; give a mapping from labels to names.")
    if isinstance(class_names, str):
        raise TypeError("class_names is a string; give a mapping or one name for each class.")
    names = [str(name) for name in class_names]
    if len(names) != len(labels):
        raise ValueError(
            f"class_names has {len(names)} names for {len(labels)} classes ({_some(labels)}). Give one for "
            "each class in sorted order, or a mapping from labels to names."
        )
    return names


def build_prompts(classes, prompts="auto", class_names=None):
    """All prompts of each class: a list of lists of str, in the order of `classes`.

    Only `{}` in a template is replaced; other braces stand.

    Raises
    ------
    ValueError
        If a template has no `{}`, a mapping lacks a class or holds no prompt for it.
    """
    if isinstance(prompts, Mapping):
        # Names are only needed for classes that are not keyed by their label.
        by_label = {label: prompts.get(_plain(label)) for label in map(_plain, classes)}
        unnamed = [label for label, found in by_label.items() if found is None]
        if class_names is None or isinstance(class_names, Mapping):
            known = [label for label in unnamed if class_names is None or label in class_names]
            names = dict(zip(known, name_classes(known, class_names)))
        else:
            names = dict(zip(by_label, name_classes(classes, class_names)))
        missing = [label for label in unnamed if label not in names or names[label] not in prompts]
        if missing:
            raise ValueError(
                f"prompts has no entry for {_some(missing)}, neither under the label nor under the class "
                "name. Add one, or use a template such as 'a photo of a {}.'."
            )
        lists = [found if found is not None else prompts[names[label]] for label, found in by_label.items()]
        lists = [[texts] if isinstance(texts, str) else list(texts) for texts in lists]
        for label, texts in zip(by_label, lists):
            if not texts or not all(isinstance(text, str) for text in texts):
                raise ValueError(f"prompts[{label!r}] must be a list of one or more strings; got {texts!r}.")
        return lists
    if isinstance(prompts, str) and prompts == "auto":
        templates = ENSEMBLE_TEMPLATES
    elif isinstance(prompts, str):
        templates = [prompts]
    elif isinstance(prompts, (Sequence, np.ndarray)):
        templates = list(prompts)
    else:
        raise TypeError(
            f"prompts must be a template, a list of templates, 'auto' or a mapping; got {prompts!r}."
        )
    if not len(templates):
        raise ValueError("prompts is an empty list of templates; give at least one, or 'auto'.")
    for template in templates:
        if not isinstance(template, str) or "{}" not in template:
            raise ValueError(
                f"The template {template!r} has no '{{}}' for the class name. Write for example "
                "'a photo of a {}.', or give whole prompts as a mapping from labels to lists."
            )
    return [
        [template.replace("{}", name) for template in templates]
        for name in name_classes(classes, class_names)
    ]


def _some(items, limit=5):
    shown = ", ".join(repr(item) for item in items[:limit])
    return shown if len(items) <= limit else f"{shown} and {len(items) - limit} more"
