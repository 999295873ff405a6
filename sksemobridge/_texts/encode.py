"""Text embeddings from a text encoder, which are checked."""

from dataclasses import dataclass, replace

import numpy as np
from sklearn.utils import check_array

from .._utils.array_api import l2_normalize, to_numpy
from .._utils.validation import listed, refuse_masked

# Squared lengths of embeddings with larger values might overflow.
LARGEST_VALUE = 1e100


@dataclass(frozen=True, eq=False)
class ClassTexts:
    """The texts of the classes. Only the bridge of the paper needs the fields after `logit_scale`."""

    # `T_c = nrm(mean_j nrm(eos_cj @ W + b_W))`, shape (C, D); None without texts
    embeddings: np.ndarray | None = None
    logit_scale: float = 100.0  # factor of the cosines
    eos_directions: np.ndarray | None = None  # `E_c = nrm(mean_j nrm(eos_cj))`, shape (C, d)
    projection: np.ndarray | None = None  # `W (d, D)`
    projection_bias: np.ndarray | None = None  # `b_W (D,)`
    text_length: float = 1.0  # `L`, the mean over the classes of `|| mean_j eos_cj ||`

    def take(self, rows):
        """The texts of some classes."""
        parts = {"embeddings": self.embeddings, "eos_directions": self.eos_directions}
        taken = {name: part[rows] for name, part in parts.items() if part is not None}
        return replace(self, **taken)


def read_texts(text_encoder, prompt_lists, for_bridge=False):
    """`ClassTexts` from an encoder (or None) and the prompts of each class.

    `prompt_lists` has C lists of texts. None in it is a class without text. It is None if no class has a text. `for_bridge` also
    reads what the bridge of the paper needs. If the encoder does not return one finite row for each text, a ValueError names the
    texts. Rows whose width is not that of the projection are a ValueError too.
    """
    if text_encoder is None:
        return ClassTexts()
    projection, bias = read_projection(text_encoder) if for_bridge else (None, None)
    result = {
        "logit_scale": read_logit_scale(text_encoder),
        "projection": projection,
        "projection_bias": bias,
    }
    if prompt_lists is not None:
        result["embeddings"], *eos = _by_class(text_encoder, prompt_lists, projection, bias)
        if for_bridge:
            result |= {"eos_directions": eos[0], "text_length": float(eos[1].mean())}
    return ClassTexts(**result)


def embed_classes(text_encoder, prompt_lists):
    """`T_c` of each class, shape (C, D), float64. It raises the errors of `read_texts`."""
    return _by_class(text_encoder, prompt_lists)[0]


def _by_class(text_encoder, prompt_lists, projection=None, bias=None):
    """`T_c`, and with a projection also `E_c` and `|| mean_j eos_cj ||`. Each array has one row for each class.

    A class without text has the mean row of the other classes. This row prefers no class, and is zero after centring.
    """
    if hasattr(text_encoder, "_of_each"):
        # Several models: weighted by their scales, so that logits of texts alone are the mean of those of the models.
        parts = text_encoder._of_each(lambda encoder: embed_classes(encoder, prompt_lists), len(prompt_lists))
        return [l2_normalize(np.hstack([s * part for s, part in zip(text_encoder.logit_scales_, parts)]))]
    with_text = [i for i, texts in enumerate(prompt_lists) if texts is not None]
    counts = [len(prompt_lists[i]) for i in with_text]
    texts = [text for i in with_text for text in prompt_lists[i]]

    def mean(rows):
        return np.add.reduceat(rows, np.cumsum([0, *counts[:-1]]), axis=0) / np.asarray(counts)[:, None]

    def of_all_classes(rows):
        result = np.repeat(rows.mean(axis=0, keepdims=True), len(prompt_lists), axis=0)
        result[with_text] = rows
        return result

    if projection is None:
        joint = encode_texts(text_encoder, "transform", texts)
        return [of_all_classes(l2_normalize(mean(l2_normalize(joint))))]
    eos = encode_texts(text_encoder, "encode", texts)
    if eos.shape[1] != len(projection):
        raise ValueError(
            f"{_name(text_encoder)}.encode gives rows of {eos.shape[1]} values, and its projection_ takes "
            f"{len(projection)}."
        )
    joint = eos @ projection if bias is None else eos @ projection + bias
    means = (
        l2_normalize(mean(l2_normalize(joint))),
        l2_normalize(mean(l2_normalize(eos))),
        np.linalg.norm(mean(eos), axis=1),
    )
    return [of_all_classes(rows) for rows in means]


def encode_texts(text_encoder, method, texts):
    """The rows that a method of the encoder returns for texts, float64. Each row must be finite and not zero."""
    if not hasattr(text_encoder, method):
        raise ValueError(f"text_encoder must offer {method}, and {_name(text_encoder)} does not.")
    said = f"{_name(text_encoder)}.{method}"
    answer = to_numpy(getattr(text_encoder, method)(list(texts)))
    try:
        refuse_masked(answer, method)
        answer = check_array(answer, dtype=np.float64, ensure_all_finite=False)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{said} must give an array with one row of numbers for each text: {error}"
        ) from error
    if len(answer) != len(texts):
        raise ValueError(
            f"{said} gives {len(answer)} rows for {len(texts)} texts; expected one for each, in their order."
        )
    # A comparison with NaN is false.
    largest = np.abs(answer).max(axis=1)
    for what, is_good in (
        (f"NaN, infinity or more than {LARGEST_VALUE:g}", largest <= LARGEST_VALUE),
        ("nothing but zeros", largest > 0),
    ):
        bad = list(dict.fromkeys(text for text, good in zip(texts, is_good) if not good))
        if bad:
            shown = listed(map(repr, bad), 3)
            raise ValueError(f"{said} gives {what} for {len(bad)} of the texts: {shown}.")
    return answer


def read_projection(text_encoder, prefix=""):
    """`W (d, D)` and `b_W (D,)` (or None) of an encoder, as copies in float64.

    `prefix="image_"` reads the image projection. Other shapes, NaN and infinity are a ValueError.
    """
    name, name_of_bias = f"{prefix}projection_", f"{prefix}projection_bias_"
    given = getattr(text_encoder, name, None), getattr(text_encoder, name_of_bias, None)
    projection, bias = (
        None if value is None else np.array(to_numpy(value), dtype=np.float64) for value in given
    )
    if np.ndim(projection) != 2 or bias is not None and bias.shape != projection.shape[1:]:
        shapes = " and ".join(str(None if part is None else part.shape) for part in (projection, bias))
        raise ValueError(
            f"text_encoder must offer {name} of shape (d, D), and {name_of_bias} of shape (D,) or None. "
            f"{_name(text_encoder)} offers {shapes}. CLIPTextEncoder has both."
        )
    if not np.isfinite(projection).all() or bias is not None and not np.isfinite(bias).all():
        raise ValueError(f"The {name} of {_name(text_encoder)} or its bias has NaN or infinity.")
    return projection, bias


def read_logit_scale(text_encoder):
    """The factor of cosines before the softmax. A ValueError if it is missing, or not positive and finite."""
    given = getattr(text_encoder, "logit_scale_", None)
    try:
        scale = float(given)
    except (TypeError, ValueError):
        scale = np.nan
    if not 0 < scale < np.inf:
        raise ValueError(
            f"text_encoder must offer logit_scale_, a positive number. {_name(text_encoder)} offers {given!r}. "
            "CLIPTextEncoder has one."
        )
    return scale


def _name(text_encoder):
    return type(text_encoder).__name__
