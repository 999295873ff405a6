"""Suggested names for the classes of a folder that nobody has looked at.

A mixture model explains the images by words, in two steps.

1. Each word has a fixed place, its text. `v_i` is the unit embedding of image `i` minus the mean
   of the images, and `t_w` the unit embedding of word `w` minus the mean of the words, both scaled
   to unit length again. `p_iw` is proportional to `pi_w exp(s v_i . t_w)`. Expectation maximisation
   finds the shares `pi_w`. With many words, the solution is sparse: a few words explain all images.
2. The remaining words move to their images. A place becomes the direction of
   `k t_w + sum_i p_iw v_i`, so images that look alike come under one word, also if its text fits
   only some of them.

Without the means, the words that fit all images a little would explain all of them. Known names are
added as words that always stay. `python benchmarks/classes_found.py` prints the number of classes
that are found.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils import check_scalar
from sklearn.utils.validation import check_is_fitted

from .._base import EmbeddingClassifier
from .._texts.encode import embed_classes
from .._texts.words import bundled_words
from .._utils.array_api import in_blocks, l2_normalize, log_softmax, to_numpy
from .._utils.rows import evenly_spaced
from .._utils.same_image import distinct_rows
from .._utils.sklearn import best_of
from .._utils.threads import threads_for
from .._utils.validation import comparable, require_width, validate_embeddings
from ..encoders._shared import list_texts

# Factor of the cosines between images and words, `s`. Of 30, 40, 60, 80 and 120, the last two find
# the most classes in eight real folders.
SHARPNESS_OF_WORDS = 80.0
# Factor of the cosines between images and places that have moved. Values from 30 to 60 are equally
# good.
SHARPNESS_OF_PLACES = 40.0
# Number of images as which a text counts, `k`. With 10, places stay near texts and fewer classes
# are found; with 1, classes fall apart into more names.
WORTH_OF_TEXT = 3.0
# Rounds of the first step, after which shares hardly change.
ROUNDS_OF_SHARES = 150
# Rounds of the second step. With 3 or 30 rounds, the results are level.
ROUNDS_OF_PLACES = 10
# A word with a smaller share is dropped, since its share would only fall further.
NO_SHARE = 1e-9
# Most images that the words are fitted to, in about two seconds. Other images are only assigned.
MOST_FITTED = 4000
# Least number of images of a suggestion, if the folder has as many.
LEAST_ROWS = 8


class SuggestedName(NamedTuple):
    """A name for some of the images."""

    name: str
    share: float  # share of the images
    rows: NDArray[np.intp]  # indices of images, the most typical first


def suggest_names(
    X: ArrayLike,
    text_encoder: Any,
    *,
    vocabulary: str | Sequence[str] = "auto",
    known: Any = None,
    n_names: int = 30,
) -> list[SuggestedName]:
    """Suggest names for images, without any label.

    A mixture model explains the images by as few words as possible. Coarse kinds of things are
    found well, and breeds or species hardly. Look at the images of each name before you use it.

    Parameters
    ----------
    X : array-like of shape (n, D)
        Embeddings of the images. Only 4,000 of them, evenly spaced, decide about the names.
    text_encoder : object
        `CLIPTextEncoder`, or another encoder of texts. The same model must have embedded the
        images.
    vocabulary : "auto" or sequence of str, default="auto"
        Whole texts, such as "a cat". `"auto"` is the bundled list of 3,000 things
        (`datasets.load_vocabulary`). The first call embeds the texts, and `progress=True` of the
        encoder shows a bar. The encoder remembers them, with its `cache` also on the disk.
    known : object or None, default=None
        A fitted classifier of this package with names, a pipeline that ends in one, or a search
        over one. The names of its classes are then not suggested, but names for images that they do
        not explain.
    n_names : int, default=30
        How many names to return.

    Returns
    -------
    list of k suggestions, k <= n_names
        `name` is the text without "a" or "an". `share` is the share of the images to which it is
        given. `rows` are indices into `X` of images that most probably have this name, the most
        typical first; at least eight, if `X` has as many. Names come by falling share. With
        `known`, names come by how much better they fit their images than any known name, so that
        synonyms of known names are last. The same arguments give the same result.

    Raises
    ------
    ValueError
        If the encoder cannot embed any text and no vocabulary is given, if `known` has no names, or
        if `X` has NaN or another width than the texts.

    Examples
    --------
    >>> from sksemobridge import CLIPImageEncoder, CLIPTextEncoder
    >>> from sksemobridge.labelling import suggest_names
    >>> from sksemobridge.datasets import load_emoji
    >>> emoji = load_emoji()
    >>> images = emoji.images[emoji.target_names[emoji.target] == "fruit"]
    >>> X = CLIPImageEncoder("mini", "bundled").transform(images)
    >>> words = ["a fruit", "an animal", "a house", "a clock", "a hat", "a star"]
    >>> names = suggest_names(X, CLIPTextEncoder("mini", "bundled"), vocabulary=words)
    >>> names[0].name
    'fruit'
    """
    check_scalar(n_names, "n_names", Integral, min_val=1)
    embeddings: Any = to_numpy(validate_embeddings(None, X, reset=True))
    known_names, known_texts = _read_known(known)
    names, texts = _read_words(text_encoder, vocabulary, known_names)
    if known_texts is None:
        known_texts = texts[:0]
    for part in (texts, known_texts):
        require_width(embeddings.shape[1], part.shape[1])
    # Equal images become one image, so that the result depends neither on copies nor on the order.
    sample, _ = distinct_rows(l2_normalize(embeddings[evenly_spaced(len(embeddings), MOST_FITTED)]))
    with threads_for(sample.size * len(texts)):
        words = _Words(sample, known_texts, texts)
        words.move()
        chosen = words.best()[:n_names]
        p, typical = np.split(
            in_blocks(lambda block: words.assign(block, chosen), embeddings), 2, axis=1
        )
    shares = p.mean(axis=0, dtype=np.float64)
    order = np.arange(len(chosen)) if len(known_texts) else np.argsort(-shares, kind="stable")
    return [
        SuggestedName(
            names[words.number[chosen[i]]], float(shares[i]), _rows_of(p[:, i], typical[:, i])
        )
        for i in order
    ]


def _rows_of(p, typical):
    """The rows that have a name with probabilities `p (n,)`, by falling `typical (n,)`."""
    rows = np.flatnonzero(p >= 0.5)
    if len(rows) < LEAST_ROWS:
        return np.argsort(-typical, kind="stable")[:LEAST_ROWS]
    return rows[np.argsort(-typical[rows], kind="stable")]


def _read_words(text_encoder, vocabulary, known_names):
    """The names of the vocabulary without known names, and their unit embeddings `(W, D)`."""
    if isinstance(text_encoder, type) or not hasattr(text_encoder, "transform"):
        raise ValueError(
            "suggest_names needs an encoder of texts, such as CLIPTextEncoder(...); got"
            f" {text_encoder!r:.100}."
        )
    if isinstance(vocabulary, str):
        if vocabulary != "auto":
            raise ValueError(
                f"vocabulary must be 'auto' or a list of texts; got {vocabulary!r:.100}."
            )
        if not getattr(text_encoder, "open_vocabulary", False):
            raise ValueError(
                f"{type(text_encoder).__name__} cannot embed any text, as vocabulary='auto' needs."
                " Give a vocabulary of texts that it knows, or use CLIPTextEncoder."
            )
        vocabulary = bundled_words()
    by_name = {}
    for text in list_texts(vocabulary):
        by_name.setdefault(without_article(text), text)
    names = [name for name, text in by_name.items() if spelling(text) not in known_names]
    if not names:
        raise ValueError("vocabulary has no text that is not a known name; give more texts.")
    return names, embed_classes(text_encoder, [[by_name[name]] for name in names])


def _read_known(known):
    """The spellings of the names of a classifier, and their unit embeddings `(C, D)`, or None."""
    if known is None:
        return set(), None
    known = best_of(known)
    if isinstance(known, Pipeline):
        known = known[-1]
    if not isinstance(known, EmbeddingClassifier):
        raise TypeError(
            f"known must be a fitted classifier of this package, and not {type(known).__name__}."
        )
    check_is_fitted(known)
    if known.text_embeddings_ is None:
        raise ValueError("known must be a classifier with names; this one has no text_encoder.")
    has_name = np.array([name is not None for name in known.class_names_])
    spellings = {spelling(name) for name in known.class_names_[has_name]}
    return spellings, known.text_embeddings_[has_name].astype(np.float64)


def without_article(text):
    """The text without a leading article."""
    first, _, rest = text.partition(" ")
    return rest if first.lower() in ("a", "an") and rest else text


def spelling(name):
    """The comparable form of a name: `comparable` without an article."""
    return comparable(without_article(name))


class _Words:
    """The mixture: `K` words of `number (K,)`, their `shares (K,)`, and `places (K, D)`.

    The first `n_known` words are known names. A word `w` of the vocabulary has the number `w`.
    """

    def __init__(self, u, known_texts, texts):
        self.n_known = len(known_texts)
        # The centre is a little less than the mean, so that a single image does not become zero.
        self.centre = (u.sum(axis=0) / (len(u) + 1)).astype(np.float32)
        self.v = self._centred(u)
        places = l2_normalize(np.vstack([known_texts, texts]) - texts.mean(axis=0))
        places = places.astype(np.float32)
        logits = SHARPNESS_OF_WORDS * self.v @ places.T
        shares = self._fit_shares(logits)
        # Words that explain less than one image are there by chance. One word must stay.
        is_word = np.arange(len(shares)) >= self.n_known
        kept = np.flatnonzero(~is_word | (len(u) * shares >= 1))
        if not len(kept):
            kept = np.array([shares.argmax()])
        self.number = kept - self.n_known
        self.texts, self.shares = places[kept], shares[kept]
        self.places, self.logits = self.texts, logits[:, kept]
        self.p = _probabilities(self.logits, self.shares)

    def _centred(self, u):
        return l2_normalize(u.astype(np.float32) - self.centre)

    def _fit_shares(self, logits):
        """Shares of the words, by expectation maximisation with `logits (n, W)`. Many are zero."""
        likelihood = np.exp(logits - logits.max(axis=1, keepdims=True))
        active, shares = np.arange(logits.shape[1]), np.full(logits.shape[1], 1 / logits.shape[1])
        for _ in range(ROUNDS_OF_SHARES):
            p = likelihood * shares[active].astype(np.float32)
            p /= np.maximum(p.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
            shares[active] = p.mean(axis=0, dtype=np.float64)
            shares[shares < NO_SHARE] = 0
            if not (is_left := shares[active] > 0).all():
                active, likelihood = active[is_left], likelihood[:, is_left]
        return shares

    def move(self):
        """Move places to their images: the second step."""
        for _ in range(ROUNDS_OF_PLACES):
            self.places = l2_normalize(WORTH_OF_TEXT * self.texts + self.p.T @ self.v)
            moved = SHARPNESS_OF_PLACES * self.v @ self.places.T
            self.p = _probabilities(moved, self.shares)
            self.shares = self.p.mean(axis=0, dtype=np.float64)

    def best(self):
        """Indices of words that are no known names, the best first."""
        words = np.arange(self.n_known, len(self.number))
        value = self.shares[words]
        if self.n_known:
            # Gain of the text of a word over the best known name, for each image.
            gain = self.logits[:, words] - self.logits[:, : self.n_known].max(axis=1, keepdims=True)
            value = np.einsum("nk,nk->k", self.p[:, words], np.maximum(gain, 0))
        return words[np.argsort(-value, kind="stable")]

    def assign(self, X, chosen):
        """Probabilities of the `chosen` words for images `X (n, D)`, and how typical each image is
        of each word, side by side `(n, 2 k)`.
        """
        cosines = self._centred(l2_normalize(X)) @ self.places.T
        log_p = log_softmax(SHARPNESS_OF_PLACES * cosines + _log(self.shares))[:, chosen]
        return np.hstack([np.exp(log_p), log_p + cosines[:, chosen]])


def _probabilities(logits, shares):
    return np.exp(log_softmax(logits + _log(shares))).astype(np.float32)


def _log(shares):
    return np.log(np.maximum(shares, np.finfo(float).tiny))
