"""Images and texts in the joint space, before and after the bridge."""

from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_array, check_is_fitted

from .._classifier import SeMoBridgeClassifier
from .._semantic_bridge import SemanticBridge
from .._utils.array_api import l2_normalize
from ._axes import divide_axes


class ModalityGapDisplay:
    """Image, text and bridged embeddings in two dimensions.

    CLIP's images and texts lie apart in their joint space, even where they mean the same. Two panels show them
    before and after the bridge, in the same two principal components. Use `from_estimator` or
    `from_embeddings`.

    Parameters
    ----------
    image_points, text_points : ndarray of shape (n, 2) and (C, 2)
        Images and class texts in the plane of the plot.
    bridged_points, bridged_text_points : ndarray of shape (n, 2) and (C, 2)
        Both after the bridge. The paper's bridge leaves the texts where they are.
    gap, bridged_gap : float
        Distance between the mean image and the mean text before and after the bridge, in the whole space and
        with embeddings of unit length.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
    ax_ : matplotlib.axes.Axes
        The frame of both panels.
    axes_ : ndarray of matplotlib.axes.Axes of shape (2,)
        Before and after.
    image_artists_, text_artists_ : list of two matplotlib.collections.PathCollection
        Images and texts in both panels. Images are in the same places, texts where a bridge of words puts them.
    bridged_artist_ : matplotlib.collections.PathCollection
        Bridged images, in the second panel.

    See Also
    --------
    SemanticBridge : The bridge as a transformer.

    References
    ----------
    Liang et al.: "Mind the Gap: Understanding the Modality Gap in Multi-modal Contrastive Representation
    Learning", NeurIPS 2022.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sksemobridge import ModalityGapDisplay, make_semobridge_pipeline
    >>> from sksemobridge.datasets import load_emoji
    >>> emoji = load_emoji()
    >>> images, labels = emoji.images[:60], emoji.target_names[emoji.target[:60]]
    >>> pipeline = make_semobridge_pipeline("mini", "bundled").fit(images, labels)
    >>> display = ModalityGapDisplay.from_estimator(pipeline, images)
    >>> display.image_points.shape, display.text_points.shape
    ((60, 2), (3, 2))
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        image_points: Any,
        text_points: Any,
        bridged_points: Any,
        bridged_text_points: Any,
        *,
        gap: Any,
        bridged_gap: Any,
    ) -> None:
        self.image_points = image_points
        self.text_points = text_points
        self.bridged_points = bridged_points
        self.bridged_text_points = bridged_text_points
        self.gap = gap
        self.bridged_gap = bridged_gap

    @classmethod
    def from_estimator(cls, estimator: Any, X: ArrayLike, *, ax: Any = None) -> Self:
        """Draw images and the class texts of a fitted classifier.

        Parameters
        ----------
        estimator : SeMoBridgeClassifier or Pipeline
            Fitted, with a text encoder; or a fitted pipeline that ends in one, or a search over either.
        X : array-like of shape (n, D), or what the pipeline takes
            Images or their embeddings, which are bridged as queries are.
        ax : matplotlib.axes.Axes or None, default=None
            See `plot`.

        Returns
        -------
        ModalityGapDisplay

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If it is not a `SeMoBridgeClassifier`.
        ValueError
            If the classifier was fitted without texts.
        """
        classifier = estimator = getattr(estimator, "best_estimator_", estimator)
        if isinstance(estimator, Pipeline):
            check_is_fitted(estimator)
            classifier = estimator[-1]
            X = estimator[:-1].transform(X)
        if isinstance(classifier, SeMoBridgeClassifier) and hasattr(classifier, "coef_"):
            # The default classifier has no bridge: show that of a search among the images.
            bridge = SemanticBridge(classifier.text_encoder).fit(X)
        else:
            bridge = SemanticBridge.from_classifier(classifier)
        if classifier.text_embeddings_ is None:
            raise ValueError("The classifier was fitted without a text_encoder, so there is no text to draw.")
        texts, bridged_texts = classifier.text_embeddings_, None
        if bridge.mean_ is not None:
            # In the span of words, each modality without its own mean.
            bridged_texts = replace(bridge._fitted.bridge, mean=texts.mean(axis=0)).apply(texts)
        return cls.from_embeddings(X, texts, bridge.transform(X), bridged_texts, ax=ax)

    @classmethod
    def from_embeddings(
        cls, image: Any, text: Any, bridged: Any, bridged_text: Any = None, *, ax: Any = None
    ) -> Any:
        """Draw embeddings of any source.

        Parameters
        ----------
        image : array-like of shape (n, D)
        text : array-like of shape (C, D)
        bridged : array-like of shape (n, D)
            The images after the bridge. Rows of all are scaled to unit length.
        bridged_text : array-like of shape (C, D) or None, default=None
            The texts after the bridge; None where it leaves them as they are.
        ax : matplotlib.axes.Axes or None, default=None
            See `plot`.

        Returns
        -------
        ModalityGapDisplay

        Raises
        ------
        ValueError
            If an array is empty or not finite, or shapes do not fit together.
        """
        repeated = (text,) if bridged_text is None else (text, bridged_text)
        parts = {"image": image, "text": text, "bridged": bridged, "bridged_text": repeated[-1]}
        image, text, bridged, bridged_text = (
            l2_normalize(check_array(part, dtype=np.float64, input_name=name, ensure_min_features=2))
            for name, part in parts.items()
        )
        if (
            image.shape != bridged.shape
            or text.shape != bridged_text.shape
            or image.shape[1] != text.shape[1]
        ):
            raise ValueError(
                "image and bridged must have one shape (n, D), and the texts one shape (C, D) with the same D; got "
                f"{image.shape}, {bridged.shape}, {text.shape} and {bridged_text.shape}."
            )
        # Few texts beside many images would hardly turn the plane: they are repeated to count as much.
        texts = [np.resize(part, image.shape) for part in (text, bridged_text)[: len(repeated)]]
        plane = PCA(2, svd_solver="full").fit(np.vstack([image, bridged, *texts]))
        return cls(
            *map(plane.transform, (image, text, bridged, bridged_text)),
            gap=float(np.linalg.norm(image.mean(axis=0) - text.mean(axis=0))),
            bridged_gap=float(np.linalg.norm(bridged.mean(axis=0) - bridged_text.mean(axis=0))),
        ).plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw both panels.

        Parameters
        ----------
        ax : matplotlib.axes.Axes or None, default=None
            The panels take its place; by default they get a new figure.

        Returns
        -------
        ModalityGapDisplay
        """
        self.ax_, axes = divide_axes(ax, 1, 2, (9, 4.5))
        self.axes_, self.figure_ = axes[0], self.ax_.figure
        before, after = self.axes_
        after.sharex(before)
        after.sharey(before)
        dots = {"s": 14, "alpha": 0.5, "linewidths": 0}
        self.image_artists_ = [
            before.scatter(*self.image_points.T, color="tab:blue", label="images", **dots),
            after.scatter(*self.image_points.T, color="darkgray", label="images", **dots),
        ]
        self.bridged_artist_ = after.scatter(
            *self.bridged_points.T, color="tab:green", label="bridged images", **dots
        )
        self.text_artists_ = [
            panel.scatter(*points.T, color="tab:red", marker="*", s=60, label="class texts")
            for panel, points in zip(self.axes_, (self.text_points, self.bridged_text_points))
        ]
        before.set(title=f"Before the bridge: gap {self.gap:.2f}", ylabel="principal component 2")
        after.set_title(f"After the bridge: gap {self.bridged_gap:.2f}")
        for panel in self.axes_:
            panel.set_xlabel("principal component 1")
            panel.legend(loc="upper center", ncols=3, fontsize="small", handletextpad=0.1, columnspacing=1)
        # Room for the legends above all points.
        bottom, top = before.get_ylim()
        before.set_ylim(bottom, top + 0.15 * (top - bottom))
        return self
