"""Texts of classes: whether a class has a text, and its names and prompts."""

from sklearn.base import clone

from .._answers.class_names import words_of
from .embeddings_file import TextsOfFile
from .given_classes import usual_prompts


def has_text(text_encoder, name):
    """Whether a class with this name has a text."""
    if isinstance(text_encoder, TextsOfFile):
        return text_encoder.name_of(name) is not None
    return text_encoder is not None


def class_has_text(text_encoder, annotations, label):
    """Whether a class has a text, by any of its names."""
    return any(has_text(text_encoder, name) for name in annotations.names_for_text(label))


def with_texts(classifier, classes, annotations):
    """The classifier with the names and prompts of these classes, before it is fitted. If the user
    gave names, later classes get the usual names and prompts.
    """
    classifier = clone(classifier)
    names, prompts = classifier.class_names, classifier.prompts
    if isinstance(classifier.text_encoder, TextsOfFile):
        # A class whose new name has no text keeps the text of an earlier name.
        texts = {
            label: map(classifier.text_encoder.name_of, annotations.names_for_text(label))
            for label in classes
        }
        names = {label: next(filter(None, found), None) for label, found in texts.items()}
        return classifier.set_params(class_names=names if any(names.values()) else "ignore")
    if isinstance(names, dict):
        names = {label: names.get(label, words_of(label)) for label in classes}
        if prompts != "auto":
            prompts = {
                label: prompts.get(label) or usual_prompts(names[label]) for label in classes
            }
    return classifier.set_params(class_names=names, prompts=prompts)
