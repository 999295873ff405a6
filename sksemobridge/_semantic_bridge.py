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

    CLIP was trained to compare images with texts, not images with images. For a search by image, fit the bridge
    on the gallery and send the gallery **and** the query images through it. For a search among texts by text
    (`direction="text_to_image"`), bridge the query texts into the image modality and leave the gallery as it is.

    Parameters
    ----------
    text_encoder : object or None, default=None
        `CLIPTextEncoder`, `PrecomputedTextEncoder` or another object with `transform`, or with `projection_`
        and, where there is one, `projection_bias_`, of the CLIP model of the embeddings. For
        `direction="text_to_image"` it must offer `image_projection_` and, where there is one,
        `image_projection_bias_`, as `CLIPTextEncoder` does. A fitted classifier in a `FrozenEstimator` gives its
        own bridge (see `from_classifier`). `None` is the identity.
    vocabulary : "auto", sequence of str or None, default="auto"
        What the bridge from images to texts is learnt from: whole texts, such as `"a red squirrel"`, or with
        `"auto"` a bundled list of names of things, where the encoder can embed any text (`CLIPTextEncoder`).
        `None`, and `"auto"` with `PrecomputedTextEncoder`, reads the bridge off the text projection, as the
        paper does; then only query images are to be bridged.
    direction : {"image_to_text", "text_to_image"}, default="image_to_text"
        Which modality is mapped into which. Both are embeddings in the joint space. From texts to images there are no
        words: the bridge is read off the image projection.
    atol : "auto" or float, default="auto"
        Singular values of the projection at or below it are treated as zero. `"auto"` is 0.7 times their
        median, as in `SeMoBridgeClassifier`; the paper uses 0.3. Not used with words.
    normalize : bool, default=True
        Whether to scale results to unit length. With `False`, `transform` gives `V V' (nrm(x) - m)` with words,
        and without them `x @ W+ @ W`, which keeps the lengths of the parts of `x` that are not cut off; with a
        bias of the projection, results are as long as the average embedding makes them (see Notes).

    Attributes
    ----------
    bridge_ : ndarray of shape (D, d)
        `W+`, the pseudo-inverse of the projection or what a classifier trained it to. With words it is
        the projector on their span.
    mean_ : ndarray of shape (D,) or None
        `m`, the mean of the unit embeddings that `fit` saw; None without words.
    rank_ : int
        Number of directions that are kept: the width of the words' span, or of the closed form. Equal to `D`,
        nothing was cut off: see Notes.
    n_features_in_ : int
        `D`.
    feature_names_in_ : ndarray of shape (D,)
        Only where `X` has names of features that are all strings.

    See Also
    --------
    SeMoBridgeClassifier : Bridges labelled shots, and can train the bridge on them.
    mean_average_precision : How good a search is.

    Notes
    -----
    With words `bridge(x) = nrm(V V' (nrm(x) - m))` (ours): the columns of `V` are the directions in which the words
    differ most, those of nine tenths of their variance, at least a third and at most half of `D` of them, and all
    where there are fewer texts. A row that equals the mean has nothing left and is zero.

    Without words `bridge(x) = nrm(L * nrm((x - b) @ W+) @ W + b)` with the projection `W` and its bias `b`.

    Without a bias `L` and the length of `x` cancel, and the closed form is the orthogonal projection onto the
    directions that are kept. Where none is cut off and the tower is at least as wide as the joint space
    (`rank_ == D`) that is the identity: **results are then the embeddings that came in**, of unit length, and
    no search can change. A smaller `rank_` alone promises no better search either; measure it on labelled
    data with `mean_average_precision`.

    With a bias (SigLIP's text tower, the image tower of OpenAI's ResNets) `L` sets how much the bias weighs
    against the rest. It is the average length of `(x - b) @ W+` over the rows that `fit` sees, so that a
    typical embedding keeps its length and no texts or images have to be encoded to know it. Nothing else is
    learnt from `X`.

    A classifier's bridge brings the `L` of its own prompts. Its biases of the classes are for labelled shots
    and are not used here.

    References
    ----------
    Timmermann, Lee, Lee: "SeMoBridge: Semantic Modality Bridge for Efficient Few-Shot Adaptation of CLIP",
    ICLR 2026, arXiv 2509.26036.

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
        if self.text_encoder is not None:
            check_text_encoder(self.text_encoder)
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
