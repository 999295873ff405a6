"""A plot of images with their predictions and the closest shots, in the manner of scikit-learn's
displays.
"""

from __future__ import annotations

import textwrap
from dataclasses import KW_ONLY, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_consistent_length

from ._utils.sklearn import best_of, check_matplotlib_support
from .encoders import ImageReadError, read_image
from .encoders._decoding import describe
from .encoders._shared import list_images

__all__ = ["PredictionsDisplay"]


@dataclass(eq=False, repr=False)
class PredictionsDisplay:
    """Draw images with predicted class, probability, and the closest shots.

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
    figure_ : matplotlib.figure.Figure
    axes_ : ndarray of matplotlib.axes.Axes of shape (n, 1 + k)
        For each image: its axes, and the axes of its closest shots.

    Examples
    --------
    >>> from sksemobridge import PredictionsDisplay, make_few_shot_pipeline
    >>> from sksemobridge.datasets import load_emoji
    >>> emoji = load_emoji()
    >>> images, labels = emoji.images[:60:4], emoji.target_names[emoji.target[:60:4]]
    >>> pipeline = make_few_shot_pipeline("mini", "bundled").fit(images, labels)
    >>> shots = {"shots": images, "y_shots": labels}
    >>> display = PredictionsDisplay.from_estimator(pipeline, emoji.images[1:5], **shots)
    >>> display.axes_.shape
    (4, 4)
    """

    images: Any
    y_pred: Any
    probability: Any
    _: KW_ONLY
    y_true: Any = None
    shots: Any = None
    y_shots: Any = None
    closest: Any = None

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        shots: Any = None,
        y_shots: Any = None,
        n_shots: int = 3,
    ) -> Self:
        """Predict some images and draw them.

        Parameters
        ----------
        estimator : Pipeline
            Fitted pipeline from images to predictions, or a search over one.
        X : list, array or series of n images
            Some images.
        y : array-like of shape (n,) or None, default=None
            Labels of the images, if known.
        shots, y_shots
            Labelled images, usually the images of `fit`, and their labels. Beside each image are
            the shots whose embeddings have the largest cosine to it.
        n_shots : int, default=3
            Number of shots beside each image.
        """
        estimator = best_of(estimator)
        if not isinstance(estimator, Pipeline):
            raise TypeError(
                f"estimator must be a Pipeline from images, not {type(estimator).__name__}."
            )
        embed, classifier = estimator[:-1].transform, estimator[-1]
        embeddings, closest = embed(X), None
        if shots is not None:
            neighbors = NearestNeighbors(n_neighbors=min(n_shots, len(shots)), metric="cosine")
            closest = neighbors.fit(embed(shots)).kneighbors(embeddings, return_distance=False)
        y_pred, probability = (
            classifier.predict(embeddings),
            classifier.predict_proba(embeddings).max(axis=1),
        )
        return cls(
            X, y_pred, probability, y_true=y, shots=shots, y_shots=y_shots, closest=closest
        ).plot()

    @classmethod
    def from_predictions(cls, images: Any, y_pred: Any, probability: Any, **parts: Any) -> Self:
        """Draw predictions from any source.

        Parameters
        ----------
        images, y_pred, probability, **parts
            Parameters of `PredictionsDisplay`.
        """
        return cls(images, y_pred, probability, **parts).plot()

    def plot(self) -> Self:
        """Draw the grid into a new figure. A row has about eight pictures.

        Returns
        -------
        PredictionsDisplay
            This display, with `figure_`.
        """
        check_matplotlib_support(type(self).__name__)
        import matplotlib.pyplot as plt

        images = list_images(self.images)
        check_consistent_length(images, self.y_pred, self.probability, self.y_true, self.closest)
        closest: Any = [[]] * len(images)
        if self.closest is not None:
            shots, y_shots, closest = (
                list_images(self.shots),
                np.asarray(self.y_shots),
                self.closest,
            )
            check_consistent_length(shots, y_shots)
        width = 1 + len(closest[0])
        n_across = min(len(images), max(1, 8 // width))
        n_rows = -(-len(images) // n_across)
        size = 1.4 * n_across * width, 1.9 * n_rows + 0.3
        self.figure_ = plt.figure(figsize=size, layout="constrained")
        ticks: dict[str, list] = {"xticks": [], "yticks": []}
        panels = self.figure_.subplots(n_rows, n_across * width, squeeze=False, subplot_kw=ticks)
        for panel in panels.flat:
            panel.spines[:].set_visible(False)
        self.axes_ = panels.reshape(n_rows * n_across, width)[: len(images)]
        y_pred, y_true, probability = map(np.asarray, (self.y_pred, self.y_true, self.probability))
        for i, (own, *beside) in enumerate(self.axes_):
            title, color = f"{_wrap(y_pred[i])}\n{probability[i]:.0%}", "black"
            if self.y_true is not None:
                color = "tab:green" if y_pred[i] == y_true[i] else "tab:red"
                title += "" if y_pred[i] == y_true[i] else f"\n{_wrap(f'is: {y_true[i]}')}"
            _draw(own, images[i], title, color)
            own.spines[:].set(visible=True, color=color, linewidth=2)
            for panel, j in zip(beside, closest[i]):
                _draw(panel, shots[j], _wrap(y_shots[j]), "dimgray")
        description = "Predicted class, probability" + (
            ", closest shots" if self.closest is not None else ""
        )
        self.figure_.suptitle(description, fontsize=10)
        return self


def _wrap(label):
    return textwrap.fill(str(label), 17)


def _draw(ax, image, title, color):
    try:
        picture = read_image(image)
    except ImageReadError as error:
        raise ImageReadError(f"The image {describe(image)} cannot be read: {error}.") from error
    picture.thumbnail((224, 224))  # whole photographs would make figures of many megabytes
    ax.imshow(picture)
    ax.set_title(title, fontsize=8, color=color)
