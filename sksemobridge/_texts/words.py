"""Words tell which directions of an embedding matter: the span in which their texts differ (ours, not in the paper).

Search by image keeps these directions. The classifier uses them where there are no class names.
"""

from functools import cache

import numpy as np
from scipy import linalg

from .._utils.array_api import l2_normalize
from .._utils.lru import LRUCache
from ..datasets import load_vocabulary
from .encode import encode_texts, encoder_key

# The rank keeps this share of the variance of the texts. What is left are directions in which no two words
# differ much; RN50 has a tail of hundreds of them, and loses most of the gain where all are kept
# (`python studies/directions.py`).
VARIANCE_SHARE = 0.9
# Bounds of the rank as parts of `D`. Coarse words fill few directions, and fine classes need more of them; texts
# that differ in every direction alike must not turn the bridge into the identity.
LEAST_RANK, MOST_RANK = 1 / 3, 1 / 2
# Parts of unit embeddings shorter than this are rounding, of the embedding or of the mean.
RESOLUTION = 1e-5

# One item is some megabytes. Thousands of words take longer to decompose than a fit.
_spans = LRUCache(max_items=8)


def word_span(text_encoder, vocabulary):
    """The span of a vocabulary of whole texts, `span_of_texts`, or None where there is none.

    `"auto"` is the bundled list where the encoder can embed any text (`open_vocabulary`). The span is computed once per
    process for the encoders of this package; other encoders are asked at every call. Texts without an encoder, texts that
    do not differ or are none, and an encoder that does not give one finite row for each are a ValueError.
    """
    texts = vocabulary_texts(text_encoder, vocabulary)
    if texts is None:
        return None

    def compute():
        basis = span_of_texts(encode_texts(text_encoder, "embed_words", texts))
        if not basis.shape[1]:
            raise ValueError(
                f"vocabulary has {len(texts)} texts whose embeddings do not differ; give some hundred names of "
                "different things."
            )
        return basis

    key = encoder_key(text_encoder)
    return compute() if key is None else _spans.get((key, texts), compute)


def vocabulary_texts(text_encoder, vocabulary):
    """The texts that `vocabulary` stands for, or None; errors as of `word_span`."""
    if vocabulary is None:
        return None
    if isinstance(vocabulary, str):
        return bundled_words() if getattr(text_encoder, "open_vocabulary", False) else None
    if text_encoder is None:
        raise ValueError(
            "vocabulary is given but no text_encoder that could embed it. Pass text_encoder too."
        )
    texts = tuple(vocabulary)
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"vocabulary[{position}] is {text!r} ({type(text).__name__}), not a string.")
    if not texts:
        raise ValueError("vocabulary is empty; give some hundred names of different things, or None.")
    return texts


@cache
def bundled_words():
    """The bundled names of things as texts."""
    return tuple(f"{'an' if name[0] in 'aeiou' else 'a'} {name}" for name in load_vocabulary())


def span_of_texts(texts):
    """Orthonormal directions in which the embeddings `texts (n, D)` differ, the strongest first, shape (D, r), float64.

    The rank is that of `VARIANCE_SHARE` of the variance of the texts, but at least `LEAST_RANK` and at most `MOST_RANK` of
    `D`. Texts that span fewer directions than the least are kept whole; of texts that are all the same `r` is zero.
    """
    unit = l2_normalize(np.asarray(texts, dtype=np.float64))
    _, deviations, right = linalg.svd(unit - unit.mean(axis=0), full_matrices=False)
    variances = np.square(deviations) / len(unit)
    share = np.cumsum(variances) / max(variances.sum(), RESOLUTION**2)
    rank = np.searchsorted(share, VARIANCE_SHARE) + 1
    least, most = np.ceil(LEAST_RANK * unit.shape[1]), np.ceil(MOST_RANK * unit.shape[1])
    n_spanned = np.sum(variances > RESOLUTION**2)
    basis = right[: min(int(np.clip(rank, least, most)), n_spanned)].T
    # A singular vector has no sign of its own.
    largest = np.abs(basis).argmax(axis=0)
    return np.ascontiguousarray(basis * np.sign(basis[largest, np.arange(basis.shape[1])]))
