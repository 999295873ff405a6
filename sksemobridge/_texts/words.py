"""The directions in which embeddings of words differ (not in the paper).

Search by image keeps these directions. The classifier uses them if there are no class names.
"""

from functools import cache

import numpy as np
from scipy import linalg

from .._utils.array_api import l2_normalize
from .._utils.lru import LRUCache, content_key
from .._utils.threads import threads_for
from .encode import encode_texts

# The kept directions have this share of the variance of the texts. In the other directions, no two
# words differ much. RN50 has hundreds of the other directions, and loses most of the gain if all
# are kept.
VARIANCE_SHARE = 0.9
# Least rank as a share of `D`. Coarse words need few directions, but fine classes need more.
LEAST_RANK = 1 / 3
# Largest rank as a share of `D`. Texts that differ equally in all directions must not make the
# bridge the identity.
MOST_RANK = 1 / 2
# Parts of unit embeddings that are shorter than this are rounding errors.
RESOLUTION = 1e-5

# A span has some megabytes. A decomposition of thousands of words takes longer than a fit.
_spans = LRUCache(max_size=8)


def word_span(text_encoder, vocabulary):
    """The span of a vocabulary (see `text_span`), or None without a vocabulary.

    `"auto"` is the bundled list if the encoder can embed any text (`open_vocabulary`).
    """
    is_auto = isinstance(vocabulary, str)
    if vocabulary is None or (is_auto and not getattr(text_encoder, "open_vocabulary", False)):
        return None
    if text_encoder is None:
        raise ValueError("vocabulary is given, but no text_encoder that could embed it.")
    texts = bundled_words() if is_auto else tuple(vocabulary)
    if not all(isinstance(text, str) for text in texts) or len(set(texts)) < 2:
        raise ValueError(
            "vocabulary must be some hundred names of different things, or None; got"
            f" {vocabulary!r:.200}."
        )
    embeddings = encode_texts(text_encoder, "transform", texts)
    return _spans.get(content_key(embeddings), lambda: text_span(embeddings))


@cache
def bundled_words():
    """The bundled names, each with its article."""
    # The module imports all that reads pictures, which predictions do not need.
    from ..datasets import load_vocabulary

    return tuple(f"{'an' if name[0] in 'aeiou' else 'a'} {name}" for name in load_vocabulary())


def text_span(texts):
    """Orthonormal directions in which the embeddings `texts (n, D)` differ, the strongest first,
    shape (D, r), float64.

    The directions have `VARIANCE_SHARE` of the variance of the texts. Their number is at least
    `LEAST_RANK` and at most `MOST_RANK` of `D`. If texts span fewer directions, all of these are
    kept. If all texts are the same, `r` is zero.
    """
    unit = l2_normalize(np.asarray(texts, dtype=np.float64))
    with threads_for(unit.size * unit.shape[1]):
        _, deviations, right = linalg.svd(unit - unit.mean(axis=0), full_matrices=False)
    variances = np.square(deviations) / len(unit)
    share = np.cumsum(variances) / max(variances.sum(), RESOLUTION**2)
    rank = np.searchsorted(share, VARIANCE_SHARE) + 1
    least, most = np.ceil(LEAST_RANK * unit.shape[1]), np.ceil(MOST_RANK * unit.shape[1])
    n_spanned = np.sum(variances > RESOLUTION**2)
    basis = right[: min(int(np.clip(rank, least, most)), n_spanned)].T
    # The sign of a singular vector is arbitrary.
    largest = np.abs(basis).argmax(axis=0)
    return np.ascontiguousarray(basis * np.sign(basis[largest, np.arange(basis.shape[1])]))
