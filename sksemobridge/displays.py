"""A plot of images with their predictions and the closest shots, in the manner of scikit-learn's displays."""

from __future__ import annotations

import textwrap
from dataclasses import KW_ONLY, dataclass
from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import Pipeline
from sklearn.utils import check_scalar, column_or_1d
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from ._utils.sklearn import best_of, check_matplotlib_support
from .encoders._base import list_images
from .encoders._pictures import ImageReadError, decode, describe, fetch

__all__ = ["PredictionsDisplay"]

# Largest size of a drawn picture, in pixels. Whole photographs would make figures of many megabytes.
_DRAWN_SIZE = (224, 224)


@dataclass(eq=False, repr=False)
class PredictionsDisplay:
    """Draw images with predicted class, probability, and the closest shots.

    Use `from_estimator` for a pipeline that takes images, or `from_predictions`.

    Parameters
    ----------
    images : list, array or series of n images
        Images as in `CLIPImageEncoder.transform`.
    y_pred, probability : array-like of shape (n,)
        Predicted labels and their probabilities.
    y_true : array-like of shape (n,) or None, default=None
        True labels. Right predictions become green, and wrong ones red.
    shots, y_shots : lists or arrays of m images and of m labels, or None, default=None
        Labelled images.
    closest : array-like of shape (n, k) or None, default=None
        Positions in `shots` of the shots beside each image.

    Attributes
    ----------
    figure_, ax_
        The figure, and the axes that the grid replaces.
    axes_ : ndarray of matplotlib.axes.Axes of shape (n, 1 + k)
        For each image: its axes, and those of its closest shots.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sksemobridge import PredictionsDisplay, make_semobridge_pipeline
    >>> from sksemobridge.datasets import load_emoji
    >>> emoji = load_emoji()
    >>> images, labels = emoji.images[:60:4], emoji.target_names[emoji.target[:60:4]]
    >>> pipeline = make_semobridge_pipeline("mini", "bundled").fit(images, labels)
    >>> shots = {"shots": images, "y_shots": labels}
    >>> display = PredictionsDisplay.from_estimator(pipeline, emoji.images[1:5], **shots)
    >>> display.axes_.shape
    (4, 4)
    >>> plt.close(display.figure_)
    """

    images: Any
    y_pred: Any
    probability: Any
    _: KW_ONLY
    y_true: Any = None
    shots: Any = None
    y_shots: Any = None
    closest: Any = None

    def __post_init__(self):
        self.images = _some_images(self.images, "images")
        self.y_pred, self.probability = column_or_1d(self.y_pred), column_or_1d(self.probability, dtype=float)
        self.y_true = None if self.y_true is None else column_or_1d(self.y_true)
        check_consistent_length(self.images, self.y_pred, self.probability, self.y_true, self.closest)
        if len({part is None for part in (self.shots, self.y_shots, self.closest)}) > 1:
            raise ValueError("shots, y_shots (their labels) and closest (which to draw) belong together.")
        if self.shots is not None:
            self.shots, self.y_shots = _some_images(self.shots, "shots"), column_or_1d(self.y_shots)
            check_consistent_length(self.shots, self.y_shots)
            self.closest = np.asarray(self.closest)
            if self.closest.ndim != 2 or not np.isin(self.closest, range(len(self.shots))).all():
                raise ValueError(
                    f"closest must be an array of shape (n, k) with positions of the {len(self.shots)} shots."
                )

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        shots: Any = None,
        y_shots: Any = None,
        n_shots: Any = 3,
        ax: Any = None,
    ) -> Self:
        """Predict some images and draw them.

        Parameters
        ----------
        estimator : Pipeline
            Fitted pipeline from images to predictions, or a search over one.
        X : list, array or series of n images
            Some images.
        y : array-like of shape (n,) or None, default=None
            Their labels, if known.
        shots, y_shots
            Labelled images, usually those of `fit`, and their labels. Beside each image are the shots whose embeddings have
            the largest cosine to it.
        n_shots : int, default=3
            Number of shots beside each image.
        ax
            See `plot`.

        Returns
        -------
        PredictionsDisplay

        Raises
        ------
        TypeError
            If `estimator` is not a pipeline.
        ValueError
            If there are no images, if shots have no labels, or if numbers of images and labels differ.
        """
        estimator = best_of(estimator)
        if not isinstance(estimator, Pipeline):
            raise TypeError(
                "estimator must be a fitted Pipeline that takes images, such as make_pipeline(CLIPImageEncoder(...), "
                f"classifier), or a search over one that was fitted with refit=True; got {type(estimator).__name__}. For "
                "other predictions use PredictionsDisplay.from_predictions."
            )
        check_is_fitted(estimator)
        check_scalar(n_shots, "n_shots", Integral, min_val=1)
        embed, classifier = estimator[:-1].transform, estimator[-1]
        embeddings, closest = embed(_some_images(X, "X")), None
        if shots is not None:
            embedded = embed(_some_images(shots, "shots"))
            neighbors = NearestNeighbors(n_neighbors=min(n_shots, len(embedded)), metric="cosine").fit(
                embedded
            )
            closest = neighbors.kneighbors(embeddings, return_distance=False)
        probability = classifier.predict_proba(embeddings).max(axis=1)
        parts = {"y_true": y, "shots": shots, "y_shots": y_shots, "closest": closest}
        return cls(X, classifier.predict(embeddings), probability, **parts).plot(ax)

    @classmethod
    def from_predictions(
        cls, images: Any, y_pred: Any, probability: Any, *, ax: Any = None, **parts: Any
    ) -> Self:
        """Draw predictions from any source.

        Parameters
        ----------
        images, y_pred, probability, **parts
            Parameters of `PredictionsDisplay`.
        ax
            See `plot`.

        Returns
        -------
        PredictionsDisplay

        Raises
        ------
        ValueError
            If there are no images, if parameters that belong together are missing, or if shapes do not fit together.
        """
        return cls(images, y_pred, probability, **parts).plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw the grid. A row has about eight pictures.

        Parameters
        ----------
        ax : matplotlib.axes.Axes or None, default=None
            The grid replaces these axes. By default it gets a new figure.

        Returns
        -------
        PredictionsDisplay
        """
        check_matplotlib_support(type(self).__name__)
        import matplotlib.pyplot as plt

        n_images, n_shots = len(self.images), 0 if self.closest is None else self.closest.shape[1]
        # A narrow empty column sets each image and its shots apart from the next.
        widths = [1] * (1 + n_shots) + [0.25]
        n_columns = min(n_images, max(1, 8 // (1 + n_shots)))
        n_rows = -(-n_images // n_columns)
        is_new = ax is None
        if is_new:
            size = (1.35 * n_columns * sum(widths), 1.9 * n_rows + 0.3)
            _, ax = plt.subplots(figsize=size, layout="constrained")
        if getattr(ax, "get_subplotspec", lambda: None)() is None:
            raise ValueError(f"ax must be one Axes in a grid, as plt.subplots makes it; got {ax!r}.")
        ax.set_axis_off()
        self.ax_, self.figure_ = ax, ax.figure
        grid = ax.get_subplotspec().subgridspec(
            n_rows, n_columns * len(widths), width_ratios=widths * n_columns
        )
        panels = grid.subplots(squeeze=False)
        for panel in panels.flat:
            panel.set(xticks=[], yticks=[])
            panel.spines[:].set_visible(False)
        self.axes_ = panels.reshape(n_rows * n_columns, len(widths))[:n_images, :-1]
        for i, (own, *beside) in enumerate(self.axes_):
            title, color = f"{_wrap(self.y_pred[i])}\n{self.probability[i]:.0%}", "black"
            if self.y_true is not None:
                color = "tab:green"
                if self.y_pred[i] != self.y_true[i]:
                    title, color = f"{title}\n{_wrap(f'is: {self.y_true[i]}')}", "tab:red"
            _draw(own, self.images[i], title, color)
            own.spines[:].set(visible=True, color=color, linewidth=2)
            for panel, j in zip(beside, self.closest[i] if n_shots else ()):
                _draw(panel, self.shots[j], _wrap(self.y_shots[j]), "dimgray")
        if is_new:
            closest = ", closest shots" if n_shots else ""
            self.figure_.suptitle(f"Predicted class, probability{closest}", fontsize=10)
        return self


def _some_images(images, name):
    images = list_images(images)
    if not images:
        raise ValueError(f"{name} is empty: there are no images to draw.")
    return images


def _wrap(label):
    return textwrap.fill(str(label), 17)


def _draw(ax, image, title, color):
    try:
        picture = decode(fetch(image))
    except ImageReadError as error:
        raise ImageReadError(f"The image {describe(image)} cannot be read: {error}.") from error
    picture.thumbnail(_DRAWN_SIZE)
    ax.imshow(picture)
    ax.set_title(title, fontsize=8, color=color)
