"""Images with their predictions and the closest shots."""

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

from .._classifier import SeMoBridgeClassifier
from ..encoders._base import list_images
from ..encoders._pictures import ImageReadError, decode, describe, fetch

# The names of terms in plots.
TERM_NAMES = {"text": "name", "shots": "shots", "correction": "correction", "prior": "prior"}

# The most pixels of a drawn picture: whole photographs would make figures of many megabytes.
_DRAWN_SIZE = (224, 224)


@dataclass(eq=False, repr=False)
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
    against : array-like of shape (n,) or None, default=None
        Another class for each image.
    shares : mapping from str to array-like of shape (n,), or None, default=None
        Parts of the difference between the logits of the predicted class and that of `against`, by name. Positive parts
        speak for the predicted class.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
    ax_ : matplotlib.axes.Axes
        The frame of the grid.
    axes_ : ndarray of matplotlib.axes.Axes of shape (n, 1 + k)
        For each image its own axes and those of its closest shots.
    why_axes_ : ndarray of matplotlib.axes.Axes of shape (n,), or None
        Bars of the shares of each image.

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

    images: Any
    y_pred: Any
    probability: Any
    _: KW_ONLY
    y_true: Any = None
    shots: Any = None
    y_shots: Any = None
    closest: Any = None
    against: Any = None
    shares: Any = None

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
        why: Any = False,
        n_columns: Any = None,
        ax: Any = None,
    ) -> Self:
        """Predict some images and draw them.

        Parameters
        ----------
        estimator : Pipeline
            Fitted, from images to predictions, or a search over one. All steps but the last make embeddings, whose
            cosines tell which shots are closest.
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
        why : bool, default=False
            Whether to draw the part of each term in the difference of logits between the predicted class and the true
            one. If the prediction is right, or `y` is not given, the comparison is with the second most likely class.
            The pipeline must end in a `SeMoBridgeClassifier` with `blend="auto"`.
        n_columns, ax
            See `plot`.

        Returns
        -------
        PredictionsDisplay

        Raises
        ------
        NotFittedError
            If the pipeline is not fitted.
        TypeError
            If `estimator` is not a pipeline, or does not end in a `SeMoBridgeClassifier` with `why`.
        ValueError
            If there are no images, shots without labels, or numbers of images and labels differ.
        """
        estimator = getattr(estimator, "best_estimator_", estimator)
        if not isinstance(estimator, Pipeline):
            raise TypeError(
                "estimator must be a fitted Pipeline that takes images, such as "
                f"make_pipeline(CLIPImageEncoder(...), classifier); got {type(estimator).__name__}. For other "
                "predictions use PredictionsDisplay.from_predictions."
            )
        check_is_fitted(estimator)
        check_scalar(n_shots, "n_shots", Integral, min_val=1)
        _refuse_empty(list_images(X), "X")
        embed, classifier = estimator[:-1].transform, estimator[-1]
        embeddings = embed(X)
        closest = None
        if shots is not None:
            _refuse_empty(list_images(shots), "shots")
            neighbors = NearestNeighbors(n_neighbors=min(n_shots, len(shots)), metric="cosine")
            closest = neighbors.fit(embed(shots)).kneighbors(embeddings, return_distance=False)
        predicted = classifier.predict(embeddings)
        against = shares = None
        if why:
            check_consistent_length(embeddings, y)
            against, shares = _explain(classifier, embeddings, predicted, y)
        return cls.from_predictions(
            X,
            predicted,
            classifier.predict_proba(embeddings).max(axis=1),
            y_true=y,
            shots=shots,
            y_shots=y_shots,
            closest=closest,
            against=against,
            shares=shares,
            n_columns=n_columns,
            ax=ax,
        )

    @classmethod
    def from_predictions(
        cls,
        images: Any,
        y_pred: Any,
        probability: Any,
        *,
        y_true: Any = None,
        shots: Any = None,
        y_shots: Any = None,
        closest: Any = None,
        against: Any = None,
        shares: Any = None,
        n_columns: Any = None,
        ax: Any = None,
    ) -> Self:
        """Draw predictions from any source.

        Parameters
        ----------
        images, y_pred, probability, y_true, shots, y_shots, closest, against, shares
            See `PredictionsDisplay`.
        n_columns, ax
            See `plot`.

        Returns
        -------
        PredictionsDisplay

        Raises
        ------
        ValueError
            If there are no images, only some of `shots`, `y_shots` and `closest` or of `against` and `shares` are
            given, or their shapes do not fit together.
        """
        images = list_images(images)
        _refuse_empty(images, "images")
        y_pred, probability = column_or_1d(y_pred), column_or_1d(probability, dtype=np.float64)
        y_true, y_shots, against = (
            None if y is None else column_or_1d(y) for y in (y_true, y_shots, against)
        )
        if (against is None) != (shares is None):
            raise ValueError("shares, and against, the classes that they speak against, belong together.")
        shares = {name: column_or_1d(share, dtype=np.float64) for name, share in (shares or {}).items()}
        check_consistent_length(images, y_pred, probability, y_true, closest, against, *shares.values())
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
            against=against,
            shares=shares or None,
        )
        return display.plot(ax, n_columns=n_columns)

    def plot(self, ax: Any = None, *, n_columns: Any = None) -> Self:
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
        # A narrow empty column sets each image, its shots and its bars apart from the next.
        widths = [1] * (1 + n_shots) + ([1.6] if self.shares else []) + [0.25]
        n_columns = min(n_images, max(1, int(8 // (sum(widths) - 0.25))) if n_columns is None else n_columns)
        n_rows = -(-n_images // n_columns)
        figsize = (1.35 * n_columns * sum(widths), 1.9 * n_rows + 0.3)
        self.ax_, grid = _divide_axes(
            ax, n_rows, n_columns * len(widths), figsize, width_ratios=widths * n_columns
        )
        self.figure_ = self.ax_.figure
        for panel in grid.flat:
            panel.set(xticks=[], yticks=[])
            panel.spines[:].set_visible(False)
        blocks = grid.reshape(n_rows * n_columns, len(widths))[:n_images]
        self.axes_ = blocks[:, : 1 + n_shots]
        self.why_axes_ = blocks[:, -2] if self.shares else None
        for i, (own, *beside) in enumerate(self.axes_):
            _draw(own, self.images[i], self._title(i), self._color(i))
            own.spines[:].set(visible=True, color=self._color(i), linewidth=2)
            for panel, j in zip(beside, self.closest[i] if n_shots else ()):
                _draw(panel, self.shots[j], _wrap(self.y_shots[j]), "dimgray")
        if self.shares:
            self._draw_shares()
        drawn = ["the closest shots"] * bool(n_shots) + ["what speaks for it, in logits"] * bool(self.shares)
        if ax is None and drawn:
            self.figure_.suptitle(
                f"Predicted class and its probability, {', '.join([*drawn[:-1], f'and {drawn[-1]}'])}",
                fontsize=10,
            )
        return self

    def _draw_shares(self):
        names = [TERM_NAMES.get(name, name) for name in self.shares]
        shares = np.stack(list(self.shares.values()), axis=1)
        # One scale for all images.
        least, most = min(shares.min(), 0.0), max(shares.max(), 0.0)
        room = 0.35 * (most - least)
        for ax, share, against in zip(self.why_axes_, shares, self.against):
            bars = ax.barh(names, share, color=np.where(share < 0, "tab:orange", "tab:blue"))
            ax.bar_label(bars, fmt="%+.1f", padding=2, fontsize=7)
            ax.axvline(0, color="black", linewidth=0.8)
            ax.set_xlim(least - room * (least < 0), most + room)
            ax.set_yticks(range(len(names)), names, fontsize=7)
            ax.tick_params(length=0)
            ax.invert_yaxis()
            ax.set_title(f"rather than\n{_wrap(against)}", fontsize=8, color="dimgray")

    def _title(self, i):
        title = f"{_wrap(self.y_pred[i])}\n{self.probability[i]:.0%}"
        wrong = self.y_true is not None and self.y_pred[i] != self.y_true[i]
        return title + (f"\n{_wrap(f'is: {self.y_true[i]}')}" if wrong else "")

    def _color(self, i):
        if self.y_true is None:
            return "black"
        return "tab:green" if self.y_pred[i] == self.y_true[i] else "tab:red"


def _explain(classifier, embeddings, predicted, y):
    """Another class for each image, and what each term adds to the difference of logits to it."""
    if not isinstance(classifier, SeMoBridgeClassifier) or not isinstance(classifier.blend, str):
        raise TypeError(
            f'why needs a pipeline that ends in a SeMoBridgeClassifier with blend="auto"; got {classifier!r}.'
        )
    classes, rows = classifier.classes_, np.arange(len(predicted))
    if len(classes) < 2:
        raise ValueError("why compares two classes, and there is only one.")
    terms = classifier.affinities(embeddings)
    logits = sum(terms.values())
    chosen = np.searchsorted(classes, predicted)
    logits[rows, chosen] = -np.inf
    other = logits.argmax(axis=1)
    if y is not None:
        # For wrong predictions the true class, if the classifier knows it.
        y = np.asarray(y)
        known = np.isin(y, classes) & (y != predicted)
        other[known] = np.searchsorted(classes, y[known])
    shares = {name: z[rows, chosen] - z[rows, other] for name, z in terms.items()}
    return classes[other], shares


def _divide_axes(ax, n_rows, n_columns, figsize, width_ratios):
    """`ax`, or that of a new figure, without its own frame, and a grid of axes `(n_rows, n_columns)` in its place."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        message = "Displays need matplotlib, which is not installed: pip install matplotlib."
        raise ImportError(message) from error

    if ax is None:
        _, ax = plt.subplots(figsize=figsize, layout="constrained")
    if not hasattr(ax, "get_subplotspec"):
        raise TypeError(f"ax must be one Axes of matplotlib; got {type(ax).__name__}.")
    place = ax.get_subplotspec()
    if place is None:
        raise ValueError(
            "ax must lie in a grid, so that it can be divided: take one that plt.subplots makes."
        )
    ax.set_axis_off()
    return ax, place.subgridspec(n_rows, n_columns, width_ratios=width_ratios).subplots(squeeze=False)


def _refuse_empty(images, name):
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
