"""The bridge between CLIP's modalities as a transformer of embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from ._model.shots import blocks
from ._paper.bridge import Bridge
from ._saving import SavedEstimator
from ._texts.encode import read_projection
from ._texts.words import RESOLUTION, word_span
from ._utils.array_api import astype, constants_like, in_blocks, l2_normalize, namespace, to_numpy
from ._utils.sklearn import Interval, StrOptions, checks_parameters
from ._utils.validation import (
    check_text_encoder,
    record_features,
    require_width,
    validate_embeddings,
    warn_caller,
)


class SemanticBridge(ClassNamePrefixFeaturesOutMixin, TransformerMixin, SavedEstimator):
    """Keep the part of image embeddings that texts can describe, or map one modality of CLIP into the other.

    CLIP was trained to compare images with texts, not images with images. For a search by image, fit the bridge on the
    gallery, and transform the gallery **and** the queries.

    Parameters
    ----------
    text_encoder : object or None, default=None
        `CLIPTextEncoder`, `PrecomputedTextEncoder` or another object with `transform` or `projection_`, of the CLIP model
        of the embeddings. None is the identity.
    vocabulary : "auto", sequence of str or None, default="auto"
        Words that the bridge is learnt from: whole texts, such as `"a red squirrel"`. `"auto"`: bundled names of things,
        if the encoder embeds any text. None: the paper's bridge, for queries only.
    direction : {"image_to_text", "text_to_image"}, default="image_to_text"
        `"text_to_image"` is for a search among texts, of queries only. It needs `image_projection_`, and has no words.
    atol : "auto" or float, default="auto"
        Without words: singular values of the projection up to it count as zero. `"auto"` is 0.7 times their median, and
        0.3 the paper's.
    normalize : bool, default=True
        Whether to scale results to unit length.

    Attributes
    ----------
    bridge_ : ndarray of shape (D, d)
        With words the projector on their span, else `W+`.
    mean_ : ndarray of shape (D,) or None
        `m`, with words the mean of the unit embeddings of the gallery.
    rank_ : int
        Number of directions that are kept.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (D,)
        If `X` has names of features.

    See Also
    --------
    mean_average_precision : How good a search is.

    Notes
    -----
    With words `bridge(x) = nrm(V V' (nrm(x) - m))`. The columns of `V` are the directions in which the words differ most.

    Without words `bridge(x) = nrm(L * nrm((x - b) @ W+) @ W + b)`, as in the paper (arXiv 2509.26036). `L` is the mean length
    of `(x - b) @ W+` in `fit`. If no direction is cut off and there is no bias, the result is `nrm(x)`.

    Examples
    --------
    >>> from sksemobridge import CLIPImageEncoder, CLIPTextEncoder, SemanticBridge
    >>> from sksemobridge.datasets import load_emoji
    >>> embeddings = CLIPImageEncoder("mini", pretrained="bundled").transform(load_emoji().images[:100])
    >>> bridge = SemanticBridge(CLIPTextEncoder("mini", pretrained="bundled")).fit(embeddings)
    >>> bridge.transform(embeddings[:2]).shape
    (2, 128)
    """

    _fitted: Bridge | Span
    _parameter_constraints = {
        # What it must offer depends on the direction; `fit` says what is missing.
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
        """Learn the bridge and, with words, the mean of the gallery.

        Parameters
        ----------
        X : array-like of shape (n, D)
            The embeddings to search among.
        y : ignored

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If `X` has NaN or infinite values, or another width than the texts, or the text encoder does not offer what
            `vocabulary` or `direction` needs. Of `CLIPTextEncoder` it is a `NoProjectionError`.
        """
        return self._learn(X)

    @checks_parameters
    def partial_fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Add embeddings to the gallery. With words, this moves its mean: transform the whole gallery again.

        Parameters
        ----------
        X : array-like of shape (n, D)
        y : ignored

        Returns
        -------
        self : object
        """
        return self._learn(X, self._gallery) if self.__sklearn_is_fitted__() else self._learn(X)

    def _learn(self, X, gallery=None):
        """`fit` to embeddings beside an earlier `gallery`: the sum of its unit rows, and their number."""
        check_text_encoder(self, method=None)
        is_first = gallery is None
        embeddings = to_numpy(validate_embeddings(self, X, reset=is_first))
        width, words = embeddings.shape[1], None
        if self.direction == "image_to_text":
            words = word_span(self.text_encoder, self.vocabulary)
        elif self.vocabulary is not None and not isinstance(self.vocabulary, str):
            raise ValueError(
                'vocabulary is for direction="image_to_text"; from texts to images there are no words.'
            )
        if words is not None:
            require_width(width, len(words))
            total, n = gallery or (0.0, 0)
            for rows in blocks(len(embeddings)):
                total = total + l2_normalize(embeddings[rows].astype(np.float64, copy=False)).sum(axis=0)
            gallery = total, n + len(embeddings)
            bridge = Span(words, total / gallery[1])
        elif self.text_encoder is None:
            bridge = Bridge.identity(width)
        else:
            bridge = self._closed_form(embeddings)
        if is_first:
            record_features(self, X)
        self._gallery = gallery or (0.0, 0)
        self._set_fitted(astype(bridge, embeddings.dtype))
        return self

    def _set_fitted(self, fitted):
        self._fitted = fitted
        self.bridge_ = fitted.matrix
        self.mean_ = getattr(fitted, "mean", None)
        self.rank_ = fitted.basis.shape[1]
        self._n_features_out = self.n_features_in_

    def transform(self, X: ArrayLike) -> NDArray[Any]:
        """Map embeddings into the other modality.

        Parameters
        ----------
        X : array-like of shape (n, D)
            Embeddings of any length. Half precision is computed in float32.

        Returns
        -------
        array of shape (n, D)
            In the precision of `X`, and under `array_api_dispatch=True` of its library and on its device. Without a
            bias, a row of which nothing is kept is zero.
        """
        check_is_fitted(self)
        X = validate_embeddings(self, X, reset=False)
        bridge = constants_like(X, self._fitted, replace)
        return in_blocks(bridge.apply if self.normalize else bridge.apply_unscaled, X)

    def _closed_form(self, X):
        """The bridge of the encoder's projection."""
        prefix = "" if self.direction == "image_to_text" else "image_"
        if getattr(self.text_encoder, f"{prefix}projection_", None) is None:
            raise ValueError(
                f"direction={self.direction!r} needs a text_encoder that offers {prefix}projection_, and "
                f"{type(self.text_encoder).__name__} does not. CLIPTextEncoder does."
            )
        projection, bias = read_projection(self.text_encoder, prefix)
        require_width(X.shape[1], projection.shape[1])
        bridge = Bridge.closed_form(projection, bias, 1.0, self.atol)
        if bridge.basis.shape[1] == 0:
            warn_caller(
                f"atol={self.atol} cuts off every direction of the projection, so nothing is left of any "
                'embedding. Use atol="auto".'
            )
        if bias is None:
            return bridge
        return replace(bridge, text_length=float(np.linalg.norm((X - bias) @ bridge.matrix, axis=1).mean()))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


@dataclass(frozen=True, eq=False)
class Span:
    """`nrm(V V' (nrm(x) - m))`: subtracts the mean image `m (D,)`, and keeps the directions `V (D, r)` of words.

    A row that equals the mean up to rounding becomes zero, and so does a row without a part in the span.
    """

    basis: np.ndarray
    mean: np.ndarray

    @property
    def matrix(self):
        """`V V'`, shape (D, D)."""
        return self.basis @ self.basis.T

    def apply_unscaled(self, x):
        """The same without the outer `nrm`, shape (n, D)."""
        return ((l2_normalize(x) - self.mean) @ self.basis) @ self.basis.T

    def apply(self, x):
        """The result for embeddings `(n, D)`, shape (n, D)."""
        x = self.apply_unscaled(x)
        xp = namespace(x)
        return x / xp.clip(xp.linalg.vector_norm(x, axis=1, keepdims=True), RESOLUTION, None)
