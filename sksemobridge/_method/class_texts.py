"""Embeddings of the class texts, and of the words that the bridge is learnt from."""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_array

from .._utils.array_api import l2_normalize, to_numpy
from .._utils.lru import LRUCache
from .._utils.svd import read_only
from .._utils.validation import refuse_masked
from ..datasets import load_vocabulary
from .bridge import Bridge, are_same
from .spans import class_balanced_mean, span_of_texts

# One item is a few kilobytes: the texts of one class.
_class_texts = LRUCache(max_items=8192)
# One item is some megabytes: the bridge of one vocabulary.
_word_bridges = LRUCache(max_items=8)

# Embeddings with larger values leave no room for the squares of lengths.
LARGEST_VALUE = 1e100


# Factor of the cosines in CLIP's models, where there is no text.
CLIP_LOGIT_SCALE = 100.0


@dataclass(frozen=True)
class TextSide:
    """All that is known before any shot. A class without text has the mean of the others.

    Attributes
    ----------
    bridge : Bridge
        In closed form, of the text projection or of words.
    embeddings : ndarray of shape (C, D) or None
        `T_c = nrm(mean_j nrm(eos_cj @ W + b_W))`, the zero-shot classifier; None without texts of the classes.
    eos_directions : ndarray of shape (C, d) or None
        `E_c = nrm(mean_j nrm(eos_cj))`.
    logit_scale : float
    has_words : bool
        Whether the bridge is that of words.
    name : tuple of (str, str or None) or None
        Name and weights of the text model.
    is_centred : bool
        Whether images are compared after their mean is taken off.
    """

    bridge: Bridge
    embeddings: np.ndarray | None = None
    eos_directions: np.ndarray | None = None
    logit_scale: float = CLIP_LOGIT_SCALE
    has_words: bool = False
    name: tuple | None = None
    is_centred: bool = False

    @property
    def words(self):
        """Directions of a vocabulary, shape (D, r), or None."""
        return self.bridge.basis if self.has_words else None

    def take(self, classes):
        """The same with the texts of some classes."""
        if self.embeddings is None:
            return self
        return replace(self, embeddings=self.embeddings[classes], eos_directions=self.eos_directions[classes])

    def bridge_of(self, shots):
        """The bridge in closed form, with the mean of the shots of several classes if images are centred."""
        if not self.is_centred:
            return self.bridge
        mean = class_balanced_mean(shots.X, shots.codes, shots.weight)
        # The mean of a single class is what its images share, and nothing else is known of it.
        return replace(self.bridge, mean=mean if shots.codes.max() > 0 else np.zeros_like(mean))

    def leads_where(self, bridge):
        """Whether another bridge has the inputs and the text projection of this one, so that its training can go on."""
        if (bridge.mean is not None) != self.is_centred:
            return False
        was, now = bridge.projection, self.bridge.projection
        return was is now if was is None or now is None else are_same(was, now)


def encode_classes(text_encoder, prompt_lists, projection, bias, key=None):
    """Encode the prompts of every class with the text tower, before and after its projection.

    The prompts of a class under an equal encoder of this package are encoded once per process. Answers of other
    encoders are not kept, since it is not known what they depend on.

    Parameters
    ----------
    text_encoder : object
        Offers `encode`, as `CLIPTextEncoder` does.
    prompt_lists : list of lists of str
        Prompts of each class; None for one without text.
    projection, bias
        `W` and `b_W`, see `read_projection`.
    key : tuple or None
        `encoder_key`, where the caller has it.

    Returns
    -------
    embeddings, eos_directions : ndarray of shape (C, D) and (C, d)
        See `TextSide`.
    text_length : float
        `L`, the mean over the classes of `|| mean_j eos_cj ||`.

    Raises
    ------
    ValueError
        If the encoder does not give one finite row for each text (names the texts), or rows of another width
        than its projection takes.
    """

    def compute(lists):
        counts = [len(texts) for texts in lists]
        eos = _ask(text_encoder, "encode", _flat(lists))
        if eos.shape[1] != len(projection):
            raise ValueError(
                f"{_name(text_encoder)}.encode gives rows of {eos.shape[1]} values, and its projection_ takes "
                f"{len(projection)}."
            )
        joint = eos @ projection if bias is None else eos @ projection + bias
        lengths = np.linalg.norm(_mean_by_class(eos, counts), axis=1)
        return zip(
            l2_normalize(_mean_by_class(l2_normalize(joint), counts)),
            l2_normalize(_mean_by_class(l2_normalize(eos), counts)),
            lengths,
        )

    told = [i for i, texts in enumerate(prompt_lists) if texts is not None]
    rows = _remember("eos", key or encoder_key(text_encoder), [prompt_lists[i] for i in told], compute)

    def of_all(part):
        # The mean tells no class from another, and vanishes where texts are centred.
        result = np.repeat(np.mean(part, axis=0, keepdims=True), len(prompt_lists), axis=0)
        result[told] = part
        return result

    embeddings, eos_directions, lengths = map(of_all, zip(*rows))
    return embeddings, eos_directions, lengths.mean()


def embed_classes(text_encoder, prompt_lists):
    """`T_c` alone, through `transform`: also for towers that have no projection to read before.

    Returns
    -------
    ndarray of shape (C, D), float64

    Raises
    ------
    ValueError
        If the encoder does not give one finite row for each text (names the texts).
    """

    def compute(lists):
        joint = _ask(text_encoder, "transform", _flat(lists))
        return l2_normalize(_mean_by_class(l2_normalize(joint), [len(texts) for texts in lists]))

    return np.stack(_remember("joint", encoder_key(text_encoder), prompt_lists, compute))


def word_bridge(text_encoder, vocabulary, key=None):
    """The bridge onto the span of a vocabulary, `span_of_texts`, without the mean of images.

    Computed once per process for the encoders of this package; other encoders are asked at every call.

    Parameters
    ----------
    text_encoder : object or None
    vocabulary : "auto", sequence of str or None
        Whole texts. `"auto"` is the bundled list where the encoder can embed any text (`open_vocabulary`).
    key : tuple or None
        `encoder_key`, where the caller has it.

    Returns
    -------
    Bridge or None
        None where the bridge is to be read off the text projection instead.

    Raises
    ------
    ValueError
        If texts are given without an encoder, there are none, they do not differ, or the encoder does not give one
        finite row for each (names the texts).
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
        for position, text in enumerate(texts):
            if not isinstance(text, str):
                raise TypeError(f"vocabulary[{position}] is {text!r} ({type(text).__name__}), not a string.")
        if not texts:
            raise ValueError("vocabulary is empty; give some hundred names of different things, or None.")

    if not hasattr(text_encoder, "transform"):
        raise ValueError(
            f"vocabulary needs a text_encoder that offers transform, and {type(text_encoder).__name__} does not."
        )

    def compute():
        embed = "embed_words" if hasattr(text_encoder, "embed_words") else "transform"
        basis = span_of_texts(_ask(text_encoder, embed, list(texts)))
        if not basis.shape[1]:
            raise ValueError(
                f"vocabulary has {len(texts)} texts whose embeddings do not differ; give some hundred names of "
                "different things."
            )
        has_projection = getattr(text_encoder, "projection_", None) is not None
        bridge = Bridge.of_words(basis, read_projection(text_encoder)[0] if has_projection else None)
        read_only(bridge.matrix)
        return bridge

    key = key or encoder_key(text_encoder)
    return compute() if key is None else _word_bridges.get((key, texts), compute)


@cache
def bundled_words():
    """The bundled names of things as texts."""
    return tuple(f"{'an' if name[0] in 'aeiou' else 'a'} {name}" for name in load_vocabulary())


def _remember(kind, key, prompt_lists, compute):
    if key is None:
        return list(compute(prompt_lists))
    return _class_texts.get_many([(kind, key, tuple(texts)) for texts in prompt_lists], prompt_lists, compute)


def encoder_key(text_encoder):
    """Key under which embeddings of an encoder are kept; None if they must not be kept.

    Only the class that defines `_memo_key` knows what its answers depend on. A subclass may answer otherwise, and so
    may an object whose methods were replaced.
    """
    while isinstance(text_encoder, FrozenEstimator):
        text_encoder = text_encoder.estimator
    if "_memo_key" not in vars(type(text_encoder)) or vars(text_encoder).keys() & {"encode", "transform"}:
        return None
    return text_encoder._memo_key()


def read_projection(text_encoder, prefix=""):
    """`W (d, D)` and `b_W (D,)` or None of an encoder, as float64 arrays of their own.

    `prefix="image_"` reads the image projection.

    Raises
    ------
    ValueError
        If they have other shapes, or values that are NaN or infinite.
    """
    projection = np.array(to_numpy(getattr(text_encoder, f"{prefix}projection_")), dtype=np.float64)
    bias = getattr(text_encoder, f"{prefix}projection_bias_", None)
    bias = None if bias is None else np.array(to_numpy(bias), dtype=np.float64)
    if projection.ndim != 2 or bias is not None and bias.shape != projection.shape[1:]:
        raise ValueError(
            f"{_name(text_encoder)} offers {prefix}projection_ of shape {projection.shape} and "
            f"{prefix}projection_bias_ of shape {None if bias is None else bias.shape}; expected (d, D), and (D,) "
            "or None."
        )
    if not (np.isfinite(projection).all() and (bias is None or np.isfinite(bias).all())):
        raise ValueError(f"The {prefix}projection_ of {_name(text_encoder)} or its bias has NaN or infinity.")
    return projection, bias


def read_logit_scale(text_encoder):
    """The factor of cosines before the softmax, positive and finite.

    Raises
    ------
    ValueError
        If it is none.
    """
    try:
        scale = float(text_encoder.logit_scale_)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{_name(text_encoder)} offers a logit_scale_ that is no number: {error}") from error
    if not 0 < scale < np.inf:
        raise ValueError(
            f"{_name(text_encoder)} offers logit_scale_={scale}; it must be positive and finite."
        )
    return scale


def _ask(text_encoder, method, texts):
    """Rows that the method of the encoder gives for texts: each finite and not zero, float64."""
    answer = to_numpy(getattr(text_encoder, method)(list(texts)))
    try:
        refuse_masked(answer, method)
        answer = check_array(answer, dtype=np.float64, ensure_all_finite=False)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{_name(text_encoder)}.{method} must give an array with one row of numbers for each text: {error}"
        ) from error
    if len(answer) != len(texts):
        raise ValueError(
            f"{_name(text_encoder)}.{method} gives {len(answer)} rows for {len(texts)} texts; expected one for "
            "each, in their order."
        )
    # A comparison with NaN is false.
    largest = np.abs(answer).max(axis=1)
    for what, is_good in (
        (f"NaN, infinity or more than {LARGEST_VALUE:g}", largest <= LARGEST_VALUE),
        ("nothing but zeros", largest > 0),
    ):
        if not is_good.all():
            bad = list(dict.fromkeys(text for text, good in zip(texts, is_good) if not good))
            raise ValueError(
                f"{_name(text_encoder)}.{method} gives {what} for {len(bad)} of the texts: "
                f"{', '.join(map(repr, bad[:3]))}{', ...' if len(bad) > 3 else ''}."
            )
    return answer


def _name(text_encoder):
    return type(text_encoder).__name__


def _mean_by_class(values, counts):
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    return np.add.reduceat(values, starts, axis=0) / np.asarray(counts)[:, None]


def _flat(lists):
    return [text for texts in lists for text in texts]
