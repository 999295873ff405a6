"""The bridge between CLIP's modalities as a transformer of embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from ._classifier import SeMoBridgeClassifier
from ._model.shots import blocks
from ._paper.bridge import Bridge
from ._paper.model import PaperModel
from ._paper.parameters import PaperBlend
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
    gallery, and transform the gallery **and** the queries. For a search among texts (`direction="text_to_image"`),
    transform the queries only.

    Parameters
    ----------
    text_encoder : object or None, default=None
        `CLIPTextEncoder`, `PrecomputedTextEncoder` or another object with `transform` or `projection_`, of the CLIP model
        of the embeddings. `direction="text_to_image"` needs `image_projection_`. None is the identity.
    vocabulary : "auto", sequence of str or None, default="auto"
        The words that the bridge is learnt from: whole texts, such as `"a red squirrel"`. `"auto"`: bundled names of
        things, if the encoder embeds any text. None: the paper's bridge, for queries only.
    direction : {"image_to_text", "text_to_image"}, default="image_to_text"
        Which modality is mapped into which. From texts to images there are no words.
    atol : "auto" or float, default="auto"
        Without words: singular values of the projection up to it count as zero. `"auto"` is 0.7 times their median. The
        paper uses 0.3.
    normalize : bool, default=True
        Whether to scale results to unit length.

    Attributes
    ----------
    bridge_ : ndarray of shape (D, d)
        With words the projector on their span, else `W+`.
    mean_ : ndarray of shape (D,) or None
        `m`, the mean of the unit embeddings that `fit` saw; None without words.
    rank_ : int
        Number of directions that are kept.
    n_features_in_ : int
        `D`.
    feature_names_in_ : ndarray of shape (D,)
        Names of the features of `X`, if it has any.

    See Also
    --------
    mean_average_precision : How good a search is.

    Notes
    -----
    With words `bridge(x) = nrm(V V' (nrm(x) - m))`. The columns of `V` are the directions in which the words differ most. A
    row that equals the mean gives zeros.

    Without words `bridge(x) = nrm(L * nrm((x - b) @ W+) @ W + b)`, as in the paper (arXiv 2509.26036). `L` is the mean length
    of `(x - b) @ W+` in `fit`. If no direction is cut off and there is no bias, the result is `nrm(x)`, and no search can
    change.

    Examples
    --------
    >>> from sklearn.neighbors import NearestNeighbors
    >>> from sksemobridge import CLIPImageEncoder, CLIPTextEncoder, SemanticBridge
    >>> from sksemobridge.datasets import load_emoji
    >>> images = load_emoji().images[:100]
    >>> embeddings = CLIPImageEncoder("mini", pretrained="bundled").transform(images)
    >>> bridge = SemanticBridge(CLIPTextEncoder("mini", pretrained="bundled")).fit(embeddings)
    >>> search = NearestNeighbors(n_neighbors=5, metric="cosine").fit(embeddings)
    >>> search.kneighbors(bridge.transform(embeddings[:2]), return_distance=False).shape
    (2, 5)
    """

    _fitted: FittedBridge
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

    @classmethod
    def from_classifier(cls, classifier: SeMoBridgeClassifier, *, normalize: bool = True) -> Self:
        """The bridge of a fitted classifier, trained or in closed form.

        Parameters
        ----------
        classifier : SeMoBridgeClassifier
            Fitted with `blend=PaperBlend(...)`.
        normalize : bool, default=True
            As of `SemanticBridge`.

        Returns
        -------
        SemanticBridge
            Fitted. Its `text_encoder` is the classifier in a `FrozenEstimator`: clones, and `fit` as part of
            a pipeline, take the bridge of that classifier again.

        Raises
        ------
        NotFittedError
            If the classifier is not fitted.
        TypeError
            If it is no `SeMoBridgeClassifier`.
        ValueError
            If it has no bridge: the default classifier has none.

        Examples
        --------
        >>> import numpy as np
        >>> from sksemobridge import PaperBlend, PrecomputedTextEncoder, SeMoBridgeClassifier, SemanticBridge
        >>> rng = np.random.default_rng(0)
        >>> texts = ["a photo of a cat.", "a photo of a dog."]
        >>> encoder = PrecomputedTextEncoder(texts, rng.normal(size=(2, 6)), rng.normal(size=(6, 4)))
        >>> X, y = encoder.transform(texts), ["cat", "dog"]
        >>> classifier = SeMoBridgeClassifier(encoder, prompts="a photo of a {}.", blend=PaperBlend())
        >>> SemanticBridge.from_classifier(classifier.fit(X, y)).transform(X).shape
        (2, 4)
        """
        if not isinstance(classifier, SeMoBridgeClassifier):
            raise TypeError(
                f"classifier must be a fitted SeMoBridgeClassifier; got {type(classifier).__name__}. Of a "
                "pipeline or a search, give the classifier within it."
            )
        check_is_fitted(classifier)
        atol = classifier.blend.atol if isinstance(classifier.blend, PaperBlend) else "auto"
        bridge = cls(FrozenEstimator(classifier), atol=atol, normalize=normalize)
        bridge.n_features_in_ = classifier.n_features_in_
        if hasattr(classifier, "feature_names_in_"):
            bridge.feature_names_in_ = classifier.feature_names_in_
        bridge._set_fitted(bridge._of_classifier(classifier, classifier.n_features_in_))
        return bridge

    @checks_parameters
    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Learn the bridge and, with words, the mean of the gallery.

        Parameters
        ----------
        X : array-like of shape (n, D)
            The embeddings to search among. With words their mean matters; without, only their width and
            precision, and their average length where the projection has a bias.
        y : ignored

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If `X` has NaN or infinite values (names the rows) or another width than the texts, or the text encoder
            does not offer what `vocabulary` or `direction` needs.
        NoProjectionError
            If the model of `CLIPTextEncoder` has no linear projection where the bridge is read off it.
        """
        return self._learn(X, earlier=None)

    @checks_parameters
    def partial_fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Add embeddings to the gallery. A bridge of words subtracts the mean of the gallery.

        Embeddings that were transformed before keep the old mean: transform them again.

        Parameters
        ----------
        X : array-like of shape (n, D)
        y : ignored

        Returns
        -------
        self : object
        """
        return self._learn(X, self._fitted if self.__sklearn_is_fitted__() else None)

    def _learn(self, X, earlier):
        """`fit`, or `partial_fit` after an earlier part of the gallery. Nothing changes if it fails."""
        check_text_encoder(self, method=None)
        embeddings = to_numpy(validate_embeddings(self, X, reset=earlier is None))
        source, width = self.text_encoder, embeddings.shape[1]
        images_to_texts = self.direction == "image_to_text"
        if self.vocabulary is not None and not isinstance(self.vocabulary, str) and not images_to_texts:
            raise ValueError(
                'vocabulary is for direction="image_to_text"; from texts to images there are no words.'
            )
        if isinstance(source, FrozenEstimator) and isinstance(source.estimator, SeMoBridgeClassifier):
            fitted = self._of_classifier(source.estimator, width)
        elif images_to_texts and (basis := word_span(source, self.vocabulary)) is not None:
            require_width(width, len(basis))
            total, n_rows = (0.0, 0) if earlier is None else (earlier.total, earlier.n_rows)
            for rows in blocks(len(embeddings)):
                total = total + l2_normalize(embeddings[rows].astype(np.float64, copy=False)).sum(axis=0)
            n_rows += len(embeddings)
            fitted = FittedBridge(Span(basis, total / n_rows), basis.shape[1], total, n_rows)
        elif source is None:
            fitted = FittedBridge(Bridge.identity(width), width)
        else:
            bridge = self._closed_form(embeddings)
            fitted = FittedBridge(bridge, bridge.basis.shape[1])
        if earlier is None:
            record_features(self, X)
        self._set_fitted(replace(fitted, bridge=astype(fitted.bridge, embeddings.dtype)))
        return self

    def _set_fitted(self, fitted):
        self._fitted = fitted
        self.bridge_ = fitted.bridge.matrix
        self.mean_ = getattr(fitted.bridge, "mean", None)
        self.rank_ = fitted.rank
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

        Raises
        ------
        ValueError
            If `X` has NaN or infinite values (names the rows) or another width than in `fit`.
        """
        check_is_fitted(self)
        X = validate_embeddings(self, X, reset=False)
        bridge = constants_like(X, self._fitted.bridge, replace)
        return in_blocks(bridge.apply if self.normalize else bridge.apply_unscaled, X)

    def _closed_form(self, X):
        """The bridge of the encoder's projection."""
        projection, bias = self._projection_and_bias()
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

    def _projection_and_bias(self):
        prefix = "" if self.direction == "image_to_text" else "image_"
        if getattr(self.text_encoder, f"{prefix}projection_", None) is None:
            raise ValueError(
                f"direction={self.direction!r} needs a text_encoder that offers {prefix}projection_, and "
                f"{type(self.text_encoder).__name__} does not. CLIPTextEncoder does; the bridge of a fitted "
                "classifier comes with SemanticBridge.from_classifier(classifier)."
            )
        return read_projection(self.text_encoder, prefix)

    def _of_classifier(self, classifier, width):
        """The bridge of a fitted classifier."""
        check_is_fitted(classifier)
        if self.direction != "image_to_text":
            raise ValueError(
                "The bridge of a classifier maps images to texts, so it cannot be used with "
                f"direction={self.direction!r}."
            )
        if classifier.n_features_in_ != width:
            raise ValueError(
                f"X has {width} features, but the classifier was fitted on {classifier.n_features_in_}."
            )
        if not isinstance(classifier._fitted.model, PaperModel):
            raise ValueError(
                'The classifier has no bridge: with blend="auto" it is a linear classifier. Fit it with '
                "blend=PaperBlend(), or use SemanticBridge(text_encoder)."
            )
        return FittedBridge(classifier._fitted.model.bridge, classifier.rank_)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


@dataclass(frozen=True, eq=False)
class Span:
    """`nrm(V V' (nrm(x) - m))`: subtracts the mean image, and keeps the directions that words describe.

    A row that equals the mean up to rounding becomes zero, and so does a row without a part in the span.

    Attributes
    ----------
    basis : ndarray of shape (D, r)
        Orthonormal columns `V`.
    mean : ndarray of shape (D,)
        `m`.
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


@dataclass(frozen=True, eq=False)
class FittedBridge:
    """What `fit` leaves behind.

    Attributes
    ----------
    bridge : Bridge or Span
    rank : int
        Number of directions that are kept.
    total : ndarray of shape (D,)
        With words, the sum of the gallery's unit embeddings, float64.
    n_rows : int
        How many they are.
    """

    bridge: Bridge | Span
    rank: int
    total: np.ndarray | float = 0.0
    n_rows: int = 0
