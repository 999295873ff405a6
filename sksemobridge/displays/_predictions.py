"""Images with their predictions and the closest shots."""

import textwrap
from numbers import Integral

import numpy as np
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import Pipeline
from sklearn.utils import check_scalar, column_or_1d
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from ..encoders._base import list_images
from ..encoders._pictures import ImageReadError, decode, describe, fetch
from ._axes import divide_axes

# The most pixels of a drawn picture: whole photographs would make figures of many megabytes.
_DRAWN_SIZE = (224, 224)


class PredictionsDisplay:
    """A grid of images, each with its predicted class, the probability of it, and the closest shots.

    Use `from_estimator` for a pipeline that takes images, or `from_predictions`.

    Parameters
    ----------
    images : list, array or series of n images
        As `CLIPImageEncoder` takes them.
    y_pred : array-like of shape (n,)
        Predicted labels.
    probability : array-like of shape (n,)
        Probability of the predicted label.
    y_true : array-like of shape (n,) or None, default=None
        True labels. With them, right predictions are green and wrong ones red.
    shots : list, array or series of images, or None, default=None
        Labelled images.
    y_shots : array-like or None, default=None
        Labels of the shots.
    closest : array-like of shape (n, k) or None, default=None
        Positions in `shots` of those to draw beside each image.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
    ax_ : matplotlib.axes.Axes
        The frame of the grid.
    axes_ : ndarray of matplotlib.axes.Axes of shape (n, 1 + k)
        For each image its own axes and those of its closest shots.

    See Also
    --------
    sklearn.metrics.ConfusionMatrixDisplay : Which classes are confused.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sksemobridge import PredictionsDisplay, make_semobridge_pipeline
    >>> from sksemobridge.datasets import load_emoji
    >>> emoji = load_emoji()
    >>> images, labels = emoji.images[:60], emoji.target_names[emoji.target[:60]]
    >>> pipeline = make_semobridge_pipeline("mini", "bundled").fit(images[::2], labels[::2])
    >>> display = PredictionsDisplay.from_estimator(
    ...     pipeline, images[1::2][:4], labels[1::2][:4], shots=images[::2], y_shots=labels[::2]
    ... )
    >>> display.axes_.shape
    (4, 4)
    >>> plt.close(display.figure_)
    """

    def __init__(self, images, y_pred, probability, *, y_true=None, shots=None, y_shots=None, closest=None):
        self.images = images
        self.y_pred = y_pred
        self.probability = probability
        self.y_true = y_true
        self.shots = shots
        self.y_shots = y_shots
        self.closest = closest

    @classmethod
    def from_estimator(
        cls, estimator, X, y=None, *, shots=None, y_shots=None, n_shots=3, n_columns=None, ax=None
    ):
        """Predict some images and draw them.

        Parameters
        ----------
        estimator : Pipeline
            Fitted, from images to predictions. All steps but the last make embeddings, whose cosines tell
            which shots are closest.
        X : list, array or series of n images
            A handful of images to predict and draw.
        y : array-like of shape (n,) or None, default=None
            Their labels, if known.
        shots : list, array or series of images, or None, default=None
            Labelled images, usually those of `fit`, of which the closest are drawn. `None` draws no shots.
        y_shots : array-like or None, default=None
            Labels of the shots.
        n_shots : int, default=3
            How many shots to draw beside each image.
        n_columns : int or None, default=None
            Images side by side, see `plot`.
        ax : matplotlib.axes.Axes or None, default=None
            The grid takes its place; by default it gets a new figure.

        Returns
        -------
        PredictionsDisplay

        Raises
        ------
        NotFittedError
            If the pipeline is not fitted.
        TypeError
            If `estimator` is not a pipeline.
        ValueError
            If there are no images, shots without labels, or numbers of images and labels differ.
        """
        if not isinstance(estimator, Pipeline):
            raise TypeError(
                "estimator must be a fitted Pipeline that takes images, such as "
                f"make_pipeline(CLIPImageEncoder(...), classifier); got {type(estimator).__name__}. Of a search, "
                "give its best_estimator_; for other predictions use PredictionsDisplay.from_predictions."
            )
        check_is_fitted(estimator)
        check_scalar(n_shots, "n_shots", Integral, min_val=1)
        _refuse_none(list_images(X), "X")
        embed, classifier = estimator[:-1].transform, estimator[-1]
        embeddings = embed(X)
        closest = None
        if shots is not None:
            _refuse_none(list_images(shots), "shots")
            neighbors = NearestNeighbors(n_neighbors=min(n_shots, len(shots)), metric="cosine")
            closest = neighbors.fit(embed(shots)).kneighbors(embeddings, return_distance=False)
        return cls.from_predictions(
            X,
            classifier.predict(embeddings),
            classifier.predict_proba(embeddings).max(axis=1),
            y_true=y,
            shots=shots,
            y_shots=y_shots,
            closest=closest,
            n_columns=n_columns,
            ax=ax,
        )

    @classmethod
    def from_predictions(
        cls,
        images,
        y_pred,
        probability,
        *,
        y_true=None,
        shots=None,
        y_shots=None,
        closest=None,
        n_columns=None,
        ax=None,
    ):
        """Draw predictions from any source.

        Parameters
        ----------
        images, y_pred, probability, y_true, shots, y_shots, closest
            See `PredictionsDisplay`.
        n_columns : int or None, default=None
            Images side by side, see `plot`.
        ax : matplotlib.axes.Axes or None, default=None
            The grid takes its place; by default it gets a new figure.

        Returns
        -------
        PredictionsDisplay

        Raises
        ------
        ValueError
            If there are no images, only some of `shots`, `y_shots` and `closest` are given, or their shapes do not
            fit together.
        """
        images = list_images(images)
        _refuse_none(images, "images")
        y_pred, probability = column_or_1d(y_pred), column_or_1d(probability, dtype=np.float64)
        y_true, y_shots = (None if y is None else column_or_1d(y) for y in (y_true, y_shots))
        check_consistent_length(images, y_pred, probability, y_true, closest)
        if len({part is None for part in (shots, y_shots, closest)}) > 1:
            raise ValueError(
                "shots and y_shots, their labels, belong together, and closest says which to draw."
            )
        if shots is not None:
            shots, closest = list_images(shots), np.asarray(closest)
            check_consistent_length(shots, y_shots)
            is_index = closest.ndim == 2 and closest.dtype.kind in "iu"
            if not is_index or not ((closest >= 0) & (closest < len(shots))).all():
                raise ValueError(
                    f"closest must be an array of shape (n, k) with positions of the {len(shots)} shots."
                )
        display = cls(
            images,
            y_pred,
            probability,
            y_true=y_true,
            shots=shots,
            y_shots=y_shots,
            closest=closest,
        )
        return display.plot(ax, n_columns=n_columns)

    def plot(self, ax=None, *, n_columns=None):
        """Draw the grid.

        Parameters
        ----------
        ax : matplotlib.axes.Axes or None, default=None
            The grid takes its place; by default it gets a new figure.
        n_columns : int or None, default=None
            Images side by side, each with its shots. By default a row has about eight pictures in all.

        Returns
        -------
        PredictionsDisplay
        """
        if n_columns is not None:
            check_scalar(n_columns, "n_columns", Integral, min_val=1)
        n_images, n_shots = len(self.images), 0 if self.closest is None else self.closest.shape[1]
        width = 1 + n_shots
        n_columns = min(n_images, max(1, 8 // width) if n_columns is None else n_columns)
        n_rows = -(-n_images // n_columns)
        # A narrow empty column sets each image and its shots apart from the next.
        widths = ([1] * width + [0.25]) * n_columns
        figsize = (1.35 * sum(widths), 1.9 * n_rows + 0.3)
        self.ax_, grid = divide_axes(ax, n_rows, len(widths), figsize, width_ratios=widths)
        self.figure_ = self.ax_.figure
        for panel in grid.flat:
            panel.set(xticks=[], yticks=[])
            panel.spines[:].set_visible(False)
        blocks = grid.reshape(n_rows * n_columns, width + 1)
        self.axes_ = blocks[:n_images, :width]
        for i, (own, *beside) in enumerate(self.axes_):
            _draw(own, self.images[i], self._title(i), self._color(i))
            own.spines[:].set(visible=True, color=self._color(i), linewidth=2)
            for panel, j in zip(beside, self.closest[i] if n_shots else ()):
                _draw(panel, self.shots[j], _wrap(self.y_shots[j]), "dimgray")
        if ax is None and n_shots:
            self.figure_.suptitle("Predicted class and its probability, and the closest shots", fontsize=10)
        return self

    def _title(self, i):
        title = f"{_wrap(self.y_pred[i])}\n{self.probability[i]:.0%}"
        wrong = self.y_true is not None and self.y_pred[i] != self.y_true[i]
        return title + (f"\n{_wrap(f'is: {self.y_true[i]}')}" if wrong else "")

    def _color(self, i):
        if self.y_true is None:
            return "black"
        return "tab:green" if self.y_pred[i] == self.y_true[i] else "tab:red"


def _refuse_none(images, name):
    if not len(images):
        raise ValueError(f"{name} is empty: there are no images to draw.")


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
