"""The bridge between images and texts, as a transformer of embeddings for search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from .._semobridge.bridge import Bridge
from .._texts.encode import read_projection
from .._texts.words import RESOLUTION, word_span
from .._utils.array_api import astype, constants_like, in_blocks, l2_normalize, namespace
from .._utils.saving import SavedEstimator
from .._utils.sklearn import Interval, StrOptions, checks_parameters
from .._utils.validation import (
    check_text_encoder,
    require_width,
    validate_embeddings,
    validate_training_embeddings,
)


class SemanticBridge(ClassNamePrefixFeaturesOutMixin, TransformerMixin, SavedEstimator):
    """Prepare image embeddings for a search by image, or text embeddings for a search by text.

    The bridge keeps the directions that words describe, and subtracts the mean image. Fit it on the
    gallery, and transform the gallery **and** the queries. The :doc:`page of the guide
    </image_search>` has the formulas.

    Parameters
    ----------
    text_encoder : object or None, default=None
        `CLIPTextEncoder`, or another object with `transform` (for words) or `projection_`. The same
        model must have embedded the images. Without a text encoder, the bridge is the identity.
    vocabulary : "auto", sequence of str or None, default="auto"
        Words, as whole texts such as `"a red squirrel"`. `"auto"` is a bundled list, if the encoder
        can embed any text. None is the bridge of the SeMoBridge paper (arXiv 2509.26036), for which
        only the queries are transformed.
    direction : {"image_to_text", "text_to_image"}, default="image_to_text"
        `"text_to_image"` is for a search among texts. This direction uses `image_projection_` and
        no words. Only the queries are transformed.
    atol : "auto" or float, default="auto"
        Without words: singular values of the projection up to `atol` count as zero. `"auto"` is
        0.3, as in the paper, if this keeps between a quarter and 95 % of the singular values, and
        otherwise 0.7 times their median.
    normalize : bool, default=True
        Whether results get unit length.

    Attributes
    ----------
    bridge_, mean_ : ndarrays of shape (D, d) and (D,)
        With words: the projector on the span of the words, and the mean of the unit embeddings of
        the gallery. Without words: `W+` and None.
    rank_ : int
        Number of directions that are kept.
    atol_ : float or None
        The cutoff of the singular values. None with words, and for the identity.
    n_features_in_, feature_names_in_
        The width `D`, and the names of the columns of `X`, if it has names.

    Examples
    --------
    >>> from sksemobridge import CLIPImageEncoder, CLIPTextEncoder, SemanticBridge
    >>> from sksemobridge.datasets import load_emoji
    >>> images = load_emoji().images[:100]
    >>> embeddings = CLIPImageEncoder("mini", pretrained="bundled").transform(images)
    >>> bridge = SemanticBridge(CLIPTextEncoder("mini", pretrained="bundled")).fit(embeddings)
    >>> bridge.transform(embeddings[:2]).shape
    (2, 128)
    """

    _fitted: Bridge | Span
    _parameter_constraints = {
        # The methods that a text encoder needs depend on the direction. `fit` says what is missing.
        "text_encoder": [object],
        "vocabulary": [StrOptions({"auto"}), "array-like", None],
        "direction": [StrOptions({"image_to_text", "text_to_image"})],
        "atol": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "normalize": ["boolean"],
    }

    def __init__(
        self,
        text_encoder: Any = None,
        *,
        vocabulary: str | Sequence[str] | None = "auto",
        direction: Literal["image_to_text", "text_to_image"] = "image_to_text",
        atol: float | Literal["auto"] = "auto",
        normalize: bool = True,
    ) -> None:
        self.text_encoder = text_encoder
        self.vocabulary = vocabulary
        self.direction = direction
        self.atol = atol
        self.normalize = normalize

    @checks_parameters
    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Learn the bridge. With words, this includes the mean of the gallery.

        Parameters
        ----------
        X : array-like of shape (n, D)
            The embeddings of the gallery.
        y : ignored

        Returns
        -------
        SemanticBridge
            This transformer, fitted.

        Raises
        ------
        ValueError
            If `X` is not finite or has another width than the texts, or if the text encoder lacks a
            method that is needed.
        """
        check_text_encoder(self, method=None)
        embeddings = validate_training_embeddings(self, X, reset=True)
        width, words = embeddings.shape[1], None
        if self.direction == "image_to_text":
            words = word_span(self.text_encoder, self.vocabulary)
        elif self.vocabulary is not None and not isinstance(self.vocabulary, str):
            raise ValueError(
                'vocabulary is for direction="image_to_text"; from texts to images there are no'
                " words."
            )
        if words is not None:
            require_width(width, len(words))
            bridge = Span(words, l2_normalize(embeddings).mean(axis=0, dtype=np.float64))
        elif self.text_encoder is None:
            bridge = Bridge.identity(width)
        else:
            prefix = "" if self.direction == "image_to_text" else "image_"
            projection, bias = read_projection(self.text_encoder, prefix)
            require_width(width, projection.shape[1])
            bridge = Bridge.closed_form(projection, bias, atol=self.atol)
            if bias is not None:
                lengths = np.linalg.norm(bridge.inputs(embeddings) @ bridge.matrix, axis=1)
                bridge = replace(bridge, text_length=float(lengths.mean()))
        validate_data(self, X, skip_check_array=True)
        self._set_fitted(astype(bridge, embeddings.dtype))
        return self

    def _set_fitted(self, fitted):
        self._fitted = fitted
        self.bridge_ = fitted.matrix
        self.mean_ = getattr(fitted, "mean", None)
        self.rank_ = fitted.basis.shape[1]
        self.atol_ = getattr(fitted, "atol", None)
        self._n_features_out = self.n_features_in_

    def transform(self, X: ArrayLike) -> NDArray[Any]:
        """Transform embeddings.

        Parameters
        ----------
        X : array-like of shape (n, D)
            Embeddings. Rows may have any length. Half precision becomes float32.

        Returns
        -------
        array of shape (n, D)
            Result in the precision of `X`, and with `array_api_dispatch=True` in its library and on
            its device. A row without a part in the kept directions becomes zero (without a bias of
            the projection).
        """
        check_is_fitted(self)
        X = validate_embeddings(self, X, reset=False)
        bridge = constants_like(X, self._fitted)
        return in_blocks(bridge.apply if self.normalize else bridge.apply_unscaled, X)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


@dataclass(frozen=True, eq=False)
class Span:
    """`nrm(V V' (nrm(x) - m))`: subtracts the mean image `m (D,)`, and keeps the directions
    `V (D, r)` of words.
    """

    basis: np.ndarray
    mean: np.ndarray

    @property
    def matrix(self):
        return self.basis @ self.basis.T

    def apply_unscaled(self, x):
        """The result without the outer `nrm`, shape (n, D)."""
        return ((l2_normalize(x) - self.mean) @ self.basis) @ self.basis.T

    def apply(self, x):
        """The result, shape (n, D). A row that equals the mean up to rounding becomes zero."""
        x, xp = self.apply_unscaled(x), namespace(x)
        return x / xp.clip(xp.linalg.vector_norm(x, axis=1, keepdims=True), RESOLUTION, None)
