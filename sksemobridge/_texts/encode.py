"""Embeddings of texts, asked of a text encoder and checked."""

import os
from dataclasses import dataclass
from functools import partial

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_array

from .._utils.array_api import l2_normalize, to_numpy
from .._utils.lru import LRUCache
from .._utils.validation import refuse_masked

# Embeddings with larger values leave no room for the squares of lengths.
LARGEST_VALUE = 1e100

# One item is a few kilobytes: the texts of one class. A search over parameters asks for the same texts in every fit.
_class_texts = LRUCache(max_items=8192)


@dataclass(frozen=True, eq=False)
class ClassTexts:
    """What is known of classes before any shot. A class without text has the mean of the others.

    Attributes
    ----------
    embeddings : ndarray of shape (C, D) or None
        `T_c = nrm(mean_j nrm(eos_cj @ W + b_W))`, the zero-shot classifier; None without texts of the classes.
    logit_scale : float
        Factor of CLIP's cosines.
    model : tuple of (str, str or None) or None
        Name and weights of the text model.
    eos_directions : ndarray of shape (C, d) or None
        `E_c = nrm(mean_j nrm(eos_cj))`. This and what follows is for the paper's bridge alone.
    projection, projection_bias : ndarray of shape (d, D) and (D,), or None
        `W` and `b_W`.
    text_length : float
        `L`, the mean over the classes of `|| mean_j eos_cj ||`.
    """

    embeddings: np.ndarray | None = None
    logit_scale: float = 100.0
    model: tuple | None = None
    eos_directions: np.ndarray | None = None
    projection: np.ndarray | None = None
    projection_bias: np.ndarray | None = None
    text_length: float = 1.0


def read_texts(text_encoder, prompt_lists, of_bridge=False):
    """`ClassTexts` of an encoder and the prompts of each class; None is a class without text.

    Parameters
    ----------
    text_encoder : object or None
        None: nothing is known.
    prompt_lists : list of C lists of str, or None
        None: the classes have no texts.
    of_bridge : bool
        Whether to read what the paper's bridge needs.

    Raises
    ------
    ValueError
        If the encoder does not give one finite row for each text (names the texts), or rows of another width
        than its projection takes.
    """
    if text_encoder is None:
        return ClassTexts()
    result = {"logit_scale": read_logit_scale(text_encoder), "model": name_text_model(text_encoder)}
    if of_bridge:
        projection, bias = read_projection(text_encoder)
        result |= {"projection": projection, "projection_bias": bias}
        if prompt_lists is not None:
            encode = partial(_encode, text_encoder, projection, bias)
            embeddings, eos, lengths = _by_class("eos", text_encoder, prompt_lists, encode)
            result |= {"embeddings": embeddings, "eos_directions": eos, "text_length": float(lengths.mean())}
    elif prompt_lists is not None:
        result["embeddings"] = embed_classes(text_encoder, prompt_lists)
    return ClassTexts(**result)


def embed_classes(text_encoder, prompt_lists):
    """`T_c` of each class, shape (C, D), float64; errors as of `read_texts`."""

    def compute(lists):
        joint = encode_texts(text_encoder, "transform", _flat(lists))
        yield l2_normalize(_mean_by_class(l2_normalize(joint), lists))

    return _by_class("joint", text_encoder, prompt_lists, compute)[0]


def _encode(text_encoder, projection, bias, lists):
    """`T_c`, `E_c` and the length of the mean of the encoded texts, of each class."""
    eos = encode_texts(text_encoder, "encode", _flat(lists))
    if eos.shape[1] != len(projection):
        raise ValueError(
            f"{_name(text_encoder)}.encode gives rows of {eos.shape[1]} values, and its projection_ takes "
            f"{len(projection)}."
        )
    joint = eos @ projection if bias is None else eos @ projection + bias
    yield l2_normalize(_mean_by_class(l2_normalize(joint), lists))
    yield l2_normalize(_mean_by_class(l2_normalize(eos), lists))
    yield np.linalg.norm(_mean_by_class(eos, lists), axis=1)


def _by_class(kind, text_encoder, prompt_lists, compute):
    """The arrays of `compute(lists)`, one row for each class. Each class is encoded once per process.

    Answers of encoders of others may change, so they are not kept. A class without text has the mean row of the others:
    it tells no class from another, and vanishes where texts are centred.
    """
    told = [i for i, texts in enumerate(prompt_lists) if texts is not None]
    lists, key = [prompt_lists[i] for i in told], encoder_key(text_encoder)
    if key is None:
        rows = list(zip(*compute(lists)))
    else:
        keys = [(kind, key, tuple(texts)) for texts in lists]
        rows = _class_texts.get_many(keys, lists, lambda missing: zip(*compute(missing)))
    result = []
    for part in map(np.stack, zip(*rows)):
        of_all = np.repeat(part.mean(axis=0, keepdims=True), len(prompt_lists), axis=0)
        of_all[told] = part
        result.append(of_all)
    return result


def encode_texts(text_encoder, method, texts):
    """Rows that a method of the encoder gives for texts: each finite and not zero, float64.

    `"embed_words"` is `transform` where the encoder has no such method.
    """
    if method == "embed_words" and not hasattr(text_encoder, method):
        method = "transform"
    if not hasattr(text_encoder, method):
        raise ValueError(f"text_encoder must offer {method}, and {_name(text_encoder)} does not.")
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

    `prefix="image_"` reads the image projection. Other shapes, NaN and infinity are a ValueError.
    """
    if not hasattr(text_encoder, f"{prefix}projection_"):
        raise ValueError(
            f"text_encoder must offer {prefix}projection_, and {_name(text_encoder)} does not. The paper's bridge is read "
            "off it."
        )
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
    """The factor of cosines before the softmax; a ValueError if it is not positive and finite."""
    try:
        scale = float(text_encoder.logit_scale_)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{_name(text_encoder)} offers a logit_scale_ that is no number: {error}") from error
    if not 0 < scale < np.inf:
        raise ValueError(
            f"{_name(text_encoder)} offers logit_scale_={scale}; it must be positive and finite."
        )
    return scale


def name_text_model(text_encoder):
    """`(model_name, pretrained)` of a text encoder, or None where it has no such parameters."""
    name, pretrained = getattr(text_encoder, "model_name", None), getattr(text_encoder, "pretrained", None)
    return None if name is None else (name, None if pretrained is None else os.fspath(pretrained))


def _name(text_encoder):
    return type(text_encoder).__name__


def _mean_by_class(values, lists):
    counts = [len(texts) for texts in lists]
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    return np.add.reduceat(values, starts, axis=0) / np.asarray(counts)[:, None]


def _flat(lists):
    return [text for texts in lists for text in texts]
