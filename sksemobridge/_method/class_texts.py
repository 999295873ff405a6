"""What the text tower says: of each class, and of the words that the bridge is learnt from."""

from dataclasses import dataclass
from functools import cache

import joblib
import numpy as np

from .._utils.array_api import l2_normalize
from .._utils.lru import LRUCache
from ..datasets import load_vocabulary
from .spans import span_of_texts

# One item is a few kilobytes: the texts of one class.
_class_texts = LRUCache(max_items=8192)
# One item is a megabyte or two: the directions of one vocabulary.
_word_bases = LRUCache(max_items=8)


@dataclass(frozen=True)
class ClassTexts:
    """Text side of the method, one row per class.

    Attributes
    ----------
    embeddings : ndarray of shape (C, D)
        `T_c = nrm(mean_j nrm(eos_cj @ W + b_W))`, the zero-shot classifier.
    eos_directions : ndarray of shape (C, d)
        `E_c = nrm(mean_j nrm(eos_cj))`.
    lengths : ndarray of shape (C,)
        `|| mean_j eos_cj ||`; their mean over the classes is `L`.
    """

    embeddings: np.ndarray
    eos_directions: np.ndarray
    lengths: np.ndarray

    def take(self, classes):
        """The texts of some classes."""
        return ClassTexts(self.embeddings[classes], self.eos_directions[classes], self.lengths[classes])


def encode_classes(text_encoder, prompt_lists):
    """Encode the prompts of every class with the text tower, before and after its projection.

    The prompts of a class under an equal encoder are encoded once per process.

    Parameters
    ----------
    text_encoder : object
        Offers `encode`, `projection_` and `projection_bias_`, as `CLIPTextEncoder` does.
    prompt_lists : list of lists of str
        Prompts of each class.

    Returns
    -------
    ClassTexts
    """

    def compute(lists):
        counts = [len(texts) for texts in lists]
        eos = np.asarray(text_encoder.encode(_flat(lists)), dtype=np.float64)
        joint = eos @ np.asarray(text_encoder.projection_, dtype=np.float64)
        if text_encoder.projection_bias_ is not None:
            joint = joint + np.asarray(text_encoder.projection_bias_, dtype=np.float64)
        lengths = np.linalg.norm(_mean_by_class(eos, counts), axis=1)
        return zip(
            l2_normalize(_mean_by_class(l2_normalize(joint), counts)),
            l2_normalize(_mean_by_class(l2_normalize(eos), counts)),
            lengths,
        )

    rows = _remember("eos", text_encoder, prompt_lists, compute)
    return ClassTexts(*(np.stack(part) for part in zip(*rows)))


def embed_classes(text_encoder, prompt_lists):
    """`T_c` alone, through `transform`: also for towers that have no projection to read before.

    Returns
    -------
    ndarray of shape (C, D), float64
    """

    def compute(lists):
        joint = np.asarray(text_encoder.transform(_flat(lists)), dtype=np.float64)
        return l2_normalize(_mean_by_class(l2_normalize(joint), [len(texts) for texts in lists]))

    return np.stack(_remember("joint", text_encoder, prompt_lists, compute))


def word_basis(text_encoder, vocabulary):
    """Directions in which words differ: `span_of_texts` of a vocabulary, computed once per process.

    Parameters
    ----------
    text_encoder : object or None
    vocabulary : "auto", sequence of str or None
        Whole texts. `"auto"` is the bundled list where the encoder can embed any text (`open_vocabulary`).

    Returns
    -------
    ndarray of shape (D, r) or None
        None where the bridge is to be read off the text projection instead.

    Raises
    ------
    ValueError
        If texts are given without an encoder, or do not differ.
    """
    if vocabulary is None:
        return None
    if isinstance(vocabulary, str):
        if not getattr(text_encoder, "open_vocabulary", False):
            return None
        texts = bundled_words()
    elif text_encoder is None:
        raise ValueError(
            "vocabulary is given but no text_encoder that could embed it. Pass text_encoder too."
        )
    else:
        texts = tuple(vocabulary)

    if not hasattr(text_encoder, "transform"):
        raise ValueError(
            f"vocabulary needs a text_encoder that offers transform, and {type(text_encoder).__name__} does not."
        )

    def compute():
        embed = getattr(text_encoder, "embed_words", text_encoder.transform)
        embeddings = np.asarray(embed(list(texts)), dtype=np.float64)
        basis = span_of_texts(embeddings)
        if not basis.shape[1]:
            raise ValueError(
                f"vocabulary has {len(texts)} texts whose embeddings do not differ; give some hundred names of "
                "different things."
            )
        return basis

    key = _encoder_key(text_encoder)
    return compute() if key is None else _word_bases.get((key, texts), compute)


@cache
def bundled_words():
    """The bundled names of things as texts."""
    return tuple(f"{'an' if name[0] in 'aeiou' else 'a'} {name}" for name in load_vocabulary())


def _remember(kind, text_encoder, prompt_lists, compute):
    key = _encoder_key(text_encoder)
    if key is None:
        return list(compute(prompt_lists))
    return _class_texts.get_many([(kind, key, tuple(texts)) for texts in prompt_lists], prompt_lists, compute)


def _encoder_key(text_encoder):
    """What embeddings of an encoder are remembered by; None if nothing is to be remembered."""
    if hasattr(text_encoder, "_memo_key"):
        return text_encoder._memo_key()
    try:
        return joblib.hash(text_encoder)
    except Exception:  # an encoder that cannot be pickled has no content to remember by
        return None


def _mean_by_class(values, counts):
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    return np.add.reduceat(values, starts, axis=0) / np.asarray(counts)[:, None]


def _flat(lists):
    return [text for texts in lists for text in texts]
