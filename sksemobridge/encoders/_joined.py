"""Several models as one encoder, which concatenates their unit embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from .._utils.array_api import l2_normalize
from ._image_encoder import CLIPImageEncoder
from ._shared import ImageEncoder, StatelessEncoder, TextEncoder
from ._source import NoProjectionError
from ._text_encoder import CLIPTextEncoder


class _Joined(StatelessEncoder):
    _parameter_constraints: dict = {"encoders": ["array-like"]}

    encoders: Sequence[Any]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters by name.

        Parameters
        ----------
        deep : bool, default=True
            Whether parameters of the first encoder are included.

        Returns
        -------
        dict
        """
        return {**(self.encoders[0].get_params() if deep else {}), "encoders": self.encoders}

    def set_params(self, **params: Any) -> Self:
        """Set parameters.

        Parameters
        ----------
        **params : dict
            `encoders`, and parameters of an encoder, which are set on all.

        Returns
        -------
        Self
            The encoder itself.
        """
        self.encoders = params.pop("encoders", self.encoders)
        for encoder in self.encoders:
            encoder.set_params(**params)
        return self

    @property
    def _n_features_out(self):
        return sum(encoder._n_features_out for encoder in self.encoders)


class JoinedImageEncoder(_Joined, ImageEncoder):
    """Embed images with several models, whose unit embeddings are concatenated.

    Two models are often more accurate than the better of them. Each model has its own entries in a
    cache, so that adding a model embeds with the new model only. An image that one model cannot
    read counts as unreadable for all.

    Parameters
    ----------
    encoders : list of CLIPImageEncoder
        Encoders. `set_params(device="cpu")` sets a parameter of all.

    Examples
    --------
    >>> import numpy as np
    >>> from sksemobridge import CLIPImageEncoder, JoinedImageEncoder
    >>> mini = CLIPImageEncoder("mini", "bundled")
    >>> encoder = JoinedImageEncoder([mini, mini])
    >>> encoder.transform(np.zeros((2, 32, 32, 3), dtype=np.uint8)).shape
    (2, 256)
    """

    def __init__(self, encoders: Sequence[CLIPImageEncoder]) -> None:
        self.encoders = encoders

    @property
    def on_error(self) -> Literal["raise", "nan"]:  # type: ignore[override]
        """Treatment of an image that cannot be read: `"nan"` if all encoders have this value."""
        return "nan" if all(encoder.on_error == "nan" for encoder in self.encoders) else "raise"

    def forget_files(self, paths: Sequence[str]) -> None:
        for encoder in self.encoders:
            encoder.forget_files(paths)

    forget_files.__doc__ = ImageEncoder.forget_files.__doc__

    def _embed_rows(self, images, ends_at_problem=False):
        embeddings = np.full((len(images), self._n_features_out), np.nan, dtype=np.float32)
        readable, problems, end = list(range(len(images))), {}, 0
        for encoder in self.encoders:
            # The next model embeds the images that this model could read.
            member = clone(encoder).set_params(normalize=True)
            part, refused = member._embed_rows([images[row] for row in readable], ends_at_problem)
            start, end = end, end + part.shape[1]
            embeddings[readable, start:end] = part
            problems |= {readable[i]: problem for i, problem in refused.items()}
            if problems and ends_at_problem:
                break
            readable = [row for row in readable if row not in problems]
        embeddings[list(problems)] = np.nan
        return embeddings, problems


class JoinedTextEncoder(_Joined, TextEncoder):
    """Embed texts with several models, whose unit embeddings are concatenated, for images of
    `JoinedImageEncoder`.

    Parameters
    ----------
    encoders : list of CLIPTextEncoder or PrecomputedTextEncoder
        Encoders in the order of the image encoders. Encoders of models without texts give zeros.

    Attributes
    ----------
    logit_scale_ : float
        The factor of cosines with which the logits of names alone are the mean of the logits of all
        models with texts.

    Examples
    --------
    >>> from sksemobridge import CLIPTextEncoder, JoinedTextEncoder
    >>> mini = CLIPTextEncoder("mini", "bundled")
    >>> encoder = JoinedTextEncoder([mini, mini])
    >>> encoder.transform(["a red apple", "a green tree"]).shape
    (2, 256)
    """

    def __init__(self, encoders: Sequence[CLIPTextEncoder]) -> None:
        self.encoders = encoders

    @property
    def open_vocabulary(self):
        return all(getattr(encoder, "open_vocabulary", False) for encoder in self._with_texts())

    @property
    def takes_class_names(self):
        return any(getattr(encoder, "takes_class_names", False) for encoder in self.encoders)

    def _with_texts(self):
        # An encoder of the user has texts.
        found = [encoder for encoder in self.encoders if getattr(encoder, "has_text_", True)]
        # If no encoder has texts, the first raises a `NoTextError`.
        return found or self.encoders[:1]

    def _embed(self, texts, project):
        if not project:
            self._refuse("embeddings before a projection")
        return np.hstack(
            self._embed_each(lambda encoder: l2_normalize(encoder.transform(texts)), len(texts))
        )

    def _embed_each(self, embed, n):
        """`embed(encoder)` of each model with texts, and zeros `(n, width)` of each without."""
        members = self._with_texts()
        return [
            (
                embed(encoder)
                if encoder in members
                else np.zeros((n, encoder._n_features_out), dtype=np.float32)
            )
            for encoder in self.encoders
        ]

    @property
    def logit_scales_(self) -> NDArray[Any]:
        """The factor of cosines of each model, zero for models without texts."""
        members = self._with_texts()
        return np.array(
            [encoder.logit_scale_ if encoder in members else 0.0 for encoder in self.encoders]
        )

    @property
    def logit_scale_(self) -> float:
        # With a part s_i t_i of each model, the cosine to k unit parts is sum_i s_i x_i t_i /
        # (sqrt(k) |s|).
        scales = self.logit_scales_
        return float(np.sqrt(len(scales)) * np.linalg.norm(scales) / np.count_nonzero(scales))

    def _refuse(self, what):
        raise NoProjectionError(
            f"Several models together have no {what}. SeMoBridgeClassifier and the bridge from"
            " texts to images need one model."
        )

    projection_ = property(lambda self: self._refuse("projection_"))
    image_projection_ = property(lambda self: self._refuse("image_projection_"))
