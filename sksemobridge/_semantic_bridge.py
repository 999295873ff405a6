"""The bridge between CLIP's modalities as a transformer of embeddings."""

import warnings
from dataclasses import replace
from numbers import Real

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin, _fit_context
from sklearn.frozen import FrozenEstimator
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from ._classifier import SeMoBridgeClassifier
from ._method.bridge import Bridge
from ._saving import SavedEstimator
from ._utils.array_api import constants_like, in_blocks, to_numpy
from ._utils.validation import validate_embeddings


class SemanticBridge(ClassNamePrefixFeaturesOutMixin, TransformerMixin, SavedEstimator):
    """Map embeddings of one modality of CLIP into the other.

    CLIP was trained to compare images with texts, not images with images. For a search by image, bridge the
    *query* images into the text modality and leave the gallery as it is; for a search among texts by text,
    bridge the query texts into the image modality.

    Parameters
    ----------
    text_encoder : object or None, default=None
        `CLIPTextEncoder`, `PrecomputedTextEncoder` or another object with `projection_` and, where there is
        one, `projection_bias_`, of the CLIP model of the embeddings. For `direction="text_to_image"` it must
        offer `image_projection_` and, where there is one, `image_projection_bias_`, as `CLIPTextEncoder`
        does. A fitted classifier in a `FrozenEstimator` gives its own bridge (see `from_classifier`). `None`
        is the identity.
    direction : {"image_to_text", "text_to_image"}, default="image_to_text"
        What is mapped into what. Both are embeddings in the joint space.
    atol : "auto" or float, default="auto"
        Singular values of the projection at or below it are treated as zero. `"auto"` is 0.7 times their
        median, as in `SeMoBridgeClassifier`; the paper uses 0.3.
    normalize : bool, default=True
        Whether to scale results to unit length. With `False` and no bias of the projection, `transform` is
        the linear map `x @ W+ @ W`, which keeps the lengths of the parts of `x` that are not cut off; with a
        bias, results are as long as the average embedding makes them (see Notes).

    Attributes
    ----------
    bridge_ : ndarray of shape (D, d)
        `W+`, the pseudo-inverse of the projection or what a classifier trained it to.
    rank_ : int
        Number of directions that the closed form keeps. Equal to `D`, nothing was cut off: see Notes.
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
    `bridge(x) = nrm(L * nrm((x - b) @ W+) @ W + b)` with the projection `W` and its bias `b`.

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

    _parameter_constraints = {
        # What it must offer depends on the direction; `fit` says what is missing.
        "text_encoder": [object],
        "direction": [StrOptions({"image_to_text", "text_to_image"})],
        "atol": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "normalize": ["boolean"],
    }

    def __init__(self, text_encoder=None, *, direction="image_to_text", atol="auto", normalize=True):
        self.text_encoder = text_encoder
        self.direction = direction
        self.atol = atol
        self.normalize = normalize

    @classmethod
    def from_classifier(cls, classifier, *, normalize=True):
        """The bridge of a fitted classifier, trained or in closed form.

        Parameters
        ----------
        classifier : SeMoBridgeClassifier
            Fitted.
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

        Examples
        --------
        >>> import numpy as np
        >>> from sksemobridge import PrecomputedTextEncoder, SeMoBridgeClassifier, SemanticBridge
        >>> rng = np.random.default_rng(0)
        >>> texts = ["a photo of a cat.", "a photo of a dog."]
        >>> encoder = PrecomputedTextEncoder(texts, rng.normal(size=(2, 6)), rng.normal(size=(6, 4)))
        >>> X, y = encoder.transform(texts), ["cat", "dog"]
        >>> classifier = SeMoBridgeClassifier(encoder, prompts="a photo of a {}.").fit(X, y)
        >>> SemanticBridge.from_classifier(classifier).transform(X).shape
        (2, 4)
        """
        if not isinstance(classifier, SeMoBridgeClassifier):
            raise TypeError(
                f"classifier must be a fitted SeMoBridgeClassifier; got {type(classifier).__name__}. Of a "
                "pipeline or a search, give the classifier within it."
            )
        check_is_fitted(classifier)
        bridge = cls(FrozenEstimator(classifier), atol=classifier.atol, normalize=normalize)
        bridge.n_features_in_ = classifier.n_features_in_
        if hasattr(classifier, "feature_names_in_"):
            bridge.feature_names_in_ = classifier.feature_names_in_
        bridge._keep(*bridge._of_classifier(classifier))
        return bridge

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Set up the bridge.

        Parameters
        ----------
        X : array-like of shape (n, D)
            Embeddings as they will be transformed. Only their width and precision matter, and their average
            length where the projection has a bias.
        y : ignored

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If `X` has NaN or infinite values (names the rows) or another width than the projection, or the
            text encoder does not offer what `direction` needs.
        NoProjectionError
            If the model of `CLIPTextEncoder` has no linear projection where `direction` needs one.
        """
        X = to_numpy(validate_embeddings(self, X, reset=True))
        source = self.text_encoder
        if source is None:
            bridge, rank = Bridge.identity(self.n_features_in_), self.n_features_in_
        elif isinstance(source, FrozenEstimator) and isinstance(source.estimator, SeMoBridgeClassifier):
            bridge, rank = self._of_classifier(source.estimator)
        else:
            bridge, rank = self._closed_form(X)
        self._keep(bridge.astype(X.dtype), rank)
        return self

    def transform(self, X):
        """Map embeddings into the other modality.

        Parameters
        ----------
        X : array-like of shape (n, D)
            Embeddings of any length. Half precision is computed in float32.

        Returns
        -------
        array of shape (n, D)
            In the precision of `X`, and under `array_api_dispatch=True` of its library and on its device. A row of which nothing is kept is zero where there is no bias.

        Raises
        ------
        ValueError
            If `X` has NaN or infinite values (names the rows) or another width than in `fit`.
        """
        check_is_fitted(self)
        X = validate_embeddings(self, X, reset=False)
        bridge = constants_like(X, self._model, replace)
        return in_blocks(bridge.apply if self.normalize else bridge.apply_unscaled, X)

    def _closed_form(self, X):
        """The bridge of the encoder's projection, and its rank."""
        projection, bias = self._projection_and_bias()
        if projection.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {self.n_features_in_} features, but the projection of the text encoder gives "
                f"embeddings of {projection.shape[1]}. Use the encoder of the model that made X."
            )
        bridge = Bridge.closed_form(projection, bias, atol=self.atol)
        rank = bridge.basis.shape[1]
        if rank == 0:
            warnings.warn(
                f"atol={self.atol} cuts off every direction of the projection, so nothing is left of any "
                'embedding. Use atol="auto".',
                UserWarning,
                stacklevel=4,
            )
        if bias is not None:
            length = float(np.linalg.norm((X - bias) @ bridge.matrix, axis=1).mean())
            bridge = replace(bridge, text_length=length)
        return bridge, rank

    def _projection_and_bias(self):
        prefix = "" if self.direction == "image_to_text" else "image_"
        projection = getattr(self.text_encoder, f"{prefix}projection_", None)
        if projection is None:
            raise ValueError(
                f"direction={self.direction!r} needs a text_encoder that offers {prefix}projection_, and "
                f"{type(self.text_encoder).__name__} does not. CLIPTextEncoder does; the bridge of a fitted "
                "classifier comes with SemanticBridge.from_classifier(classifier)."
            )
        bias = getattr(self.text_encoder, f"{prefix}projection_bias_", None)
        return (
            np.asarray(projection, dtype=np.float64),
            None if bias is None else np.asarray(bias, dtype=np.float64),
        )

    def _of_classifier(self, classifier):
        """A fitted classifier's bridge, and the rank of its closed form."""
        check_is_fitted(classifier)
        if self.direction != "image_to_text":
            raise ValueError(
                "The bridge of a classifier maps images to texts, so it cannot be used with "
                f"direction={self.direction!r}."
            )
        if classifier.n_features_in_ != self.n_features_in_:
            raise ValueError(
                f"X has {self.n_features_in_} features, but the classifier was fitted on "
                f"{classifier.n_features_in_}."
            )
        return classifier._model.bridge, classifier.rank_

    def _keep(self, bridge, rank):
        self.rank_ = rank
        self._n_features_out = self.n_features_in_
        self._publish(bridge)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
