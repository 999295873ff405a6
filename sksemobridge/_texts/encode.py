"""Text embeddings from a text encoder, which are checked."""

from dataclasses import dataclass, replace

import numpy as np

from .._utils.array_api import l2_normalize, to_numpy
from .._utils.threads import threads_for
from .._utils.validation import listed


@dataclass(frozen=True, eq=False)
class ClassTexts:
    """The texts of the classes. Only the paper's bridge needs the fields after `logit_scale`."""

    # `T_c = nrm(mean_j nrm(eos_cj @ W + b_W))`, shape (C, D); None without texts
    embeddings: np.ndarray | None = None
    has_text: np.ndarray | None = None  # whether each class has a text of its own `(C,)`
    logit_scale: float = 100.0  # factor of the cosines
    projection: np.ndarray | None = None  # `W (d, D)`
    projection_bias: np.ndarray | None = None  # `b_W (D,)`
    # `E_c = nrm(mean_j nrm(eos_cj))`, shape (C, d), only for training, in single precision
    eos_directions: np.ndarray | None = None
    text_length: float = 1.0  # `L`, the mean over the classes of `|| mean_j eos_cj ||`
    is_chance: bool = False  # whether names are no better than chance on the shots

    def without_embeddings(self):
        """The fields that are left if the texts of the classes are not used."""
        return replace(self, embeddings=None, has_text=None, eos_directions=None)

    def take(self, rows):
        """The texts of some classes."""
        parts = {name: getattr(self, name) for name in ("embeddings", "has_text", "eos_directions")}
        return replace(
            self, **{name: part[rows] for name, part in parts.items() if part is not None}
        )


def read_texts(text_encoder, prompts, for_bridge=False):
    """`ClassTexts` of each class from an encoder (or None) and lists of prompts (None without
    text), also `for_bridge`.
    """
    if text_encoder is None:
        return ClassTexts()
    logit_scale = read_logit_scale(text_encoder)
    projection, bias = read_projection(text_encoder) if for_bridge else (None, None)
    result = ClassTexts(logit_scale=logit_scale, projection=projection, projection_bias=bias)
    has_text = np.array([texts is not None for texts in prompts])
    if not has_text.any():
        return result
    result = replace(result, has_text=has_text)
    if not for_bridge:
        return replace(result, embeddings=embed_classes(text_encoder, prompts))
    eos = encode_texts(text_encoder, "encode", _flat(prompts))
    with threads_for(eos.size * projection.shape[1]):
        joint = eos @ projection + (0 if bias is None else bias)
    return replace(
        result,
        embeddings=_class_directions(joint, prompts),
        eos_directions=_class_directions(eos, prompts).astype(np.float32),
        text_length=float(np.linalg.norm(_class_means(eos, prompts), axis=1).mean()),
    )


def embed_classes(text_encoder, prompts):
    """`T_c (C, D)` of the prompts of each class, float64."""
    if hasattr(text_encoder, "_embed_each"):
        # Several models are weighted by their scales, so that logits of texts alone are the mean of
        # the logits of the models.
        parts = text_encoder._embed_each(
            lambda encoder: embed_classes(encoder, prompts), len(prompts)
        )
        return l2_normalize(
            np.hstack([s * part for s, part in zip(text_encoder.logit_scales_, parts)])
        )
    return _class_directions(encode_texts(text_encoder, "transform", _flat(prompts)), prompts)


def _flat(prompts):
    return [text for texts in prompts if texts is not None for text in texts]


def _class_directions(rows, prompts):
    """The unit mean of the directions of each class `(C, k)`. `rows` are the rows of all texts.

    A class without text has the mean of the other classes. This mean prefers no class, and is zero
    after centring.
    """
    has_text = np.array([texts is not None for texts in prompts])
    result = np.empty((len(prompts), rows.shape[1]))
    result[has_text] = l2_normalize(_class_means(l2_normalize(rows), prompts))
    result[~has_text] = result[has_text].mean(axis=0)
    return result


def _class_means(rows, prompts):
    """The means of the rows of each class that has text."""
    counts = np.array([len(texts) for texts in prompts if texts is not None])
    return np.add.reduceat(rows, np.cumsum(counts) - counts, axis=0) / counts[:, None]


def encode_texts(text_encoder, method, texts):
    """The rows that a method of the encoder returns for texts, float64. Each row must be finite and
    not zero.
    """
    source = f"{type(text_encoder).__name__}.{method}"
    rows = np.asarray(to_numpy(getattr(text_encoder, method)(list(texts))), dtype=np.float64)
    if rows.ndim != 2 or len(rows) != len(texts):
        raise ValueError(
            f"{source} must give one row of numbers for each of {len(texts)} texts, and gives an"
            f" array of shape {rows.shape}."
        )
    is_good = np.isfinite(rows).all(axis=1) & rows.any(axis=1)
    if not is_good.all():
        bad = [repr(text) for text, good in zip(texts, is_good) if not good]
        raise ValueError(
            f"{source} gives NaN, infinity or nothing but zeros for {len(bad)} texts:"
            f" {listed(bad, 3)}."
        )
    return rows


def read_projection(text_encoder, prefix=""):
    """`W (d, D)` and `b_W (D,)` (or None) of an encoder, as copies in float64. With
    `prefix="image_"`, the projection of images.
    """

    def read(name):
        value = getattr(text_encoder, f"{prefix}{name}", None)
        return None if value is None else np.array(to_numpy(value), dtype=np.float64)

    projection, bias = read("projection_"), read("projection_bias_")
    parts = [part for part in (projection, bias) if part is not None]
    fits = np.ndim(projection) == 2 and (bias is None or bias.shape == projection.shape[1:])
    if not fits or not all(np.isfinite(part).all() for part in parts):
        raise ValueError(
            f"text_encoder must offer {prefix}projection_ of shape (d, D), and"
            f" {prefix}projection_bias_ of shape (D,) or None, without NaN or infinity, as"
            f" CLIPTextEncoder does. {type(text_encoder).__name__} offers shapes"
            f" {[part.shape for part in parts]}."
        )
    return projection, bias


def read_logit_scale(text_encoder):
    """The factor of cosines before the softmax."""
    value = getattr(text_encoder, "logit_scale_", None)
    try:
        scale = float(value)
    except (TypeError, ValueError):
        scale = np.nan
    if not 0 < scale < np.inf:
        raise ValueError(
            "text_encoder must offer logit_scale_, a positive number."
            f" {type(text_encoder).__name__} offers {value!r}."
        )
    return scale
