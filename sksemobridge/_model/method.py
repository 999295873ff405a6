"""The method of `FewShotClassifier`: shots and texts give one linear model, with warnings of what
it finds among the shots.
"""

import numpy as np

from .._texts.words import word_span
from .._utils.threads import one_thread
from .._utils.validation import require_width, warn_caller
from .fit import fit_model


def join_copies(memory):
    """The `ShotMemory` in which near copies are one image. It warns if there are some."""
    with one_thread():
        memory = memory.with_near_copies()
    group = memory.near_copy_group
    joined = np.isin(group, group[group != memory.shots.group])
    if joined.any():
        n_images = len(np.unique(group[joined]))
        warn_caller(
            f"{joined.sum()} of {len(joined)} shots are near copies of others, such as"
            f" augmentations or frames of a film. They count as {n_images}"
            f" {'image' if n_images == 1 else 'images'}.",
            advice=(
                "Mark copies of one image with equal values of groups; groups=[None] * len(y)"
                " says that there are none."
            ),
        )
    return memory


def fit_shots(shots, texts, labels, text_encoder, vocabulary, label_noise, with_held_out):
    """The `FitResult` of `Shots` of classes with these `labels`, and `ClassTexts`, the first of
    these classes. The other arguments are parameters of `FewShotClassifier`.
    """
    # Where there are texts, words are not used.
    words = None if texts.embeddings is not None else word_span(text_encoder, vocabulary)
    if words is not None:
        require_width(shots.X.shape[1], len(words))
    with one_thread():
        fit = fit_model(shots, texts, words, label_noise, with_held_out)
    doubted = fit.belief < 0.5
    if doubted.any():
        warn_caller(
            f"{doubted.sum()} of {len(doubted)} shots hardly count, because their labels look"
            " wrong. The first is labelled"
            f" {labels[shots.codes[[doubted.argmax()]]].tolist()[0]!r}.",
            advice=(
                "Check the shots with the lowest label_proba_. label_noise=0 trusts all labels."
            ),
        )
    return fit
