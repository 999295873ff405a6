"""Accuracy of a classifier on its own held-out shots, and doubtful labels among them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d

from ._few_shot_classifier import FewShotClassifier
from ._texts.encode import read_logit_scale
from ._utils.array_api import l2_normalize, softmax, to_numpy
from ._utils.same_image import merge_within_rounding
from ._utils.sklearn import best_of
from ._utils.validation import listed, plural, validate_embeddings

# Below this probability, a label is more likely wrong than right.
DOUBTFUL = 0.5
# Least number of shots of a class for a comparison with the names alone. With fewer shots, leaving
# out a shot takes much from the classifier, and nothing from the names.
FEWEST_COMPARED = 4
# Prior log-odds that a name is right, and the share of images of a class that say nothing of its
# name. One image alone does not refute a name. On seven sets with four shots, 1.7 % of the right
# names are doubtful, and 96 % of two exchanged names.
NAME_IS_RIGHT, SAYS_NOTHING = 3.0, 0.05


@dataclass(frozen=True, eq=False)
class ShotEvaluation:
    """The result of `evaluate_shots`. `str(evaluation)` is a short summary.

    Attributes
    ----------
    classes, n_shots : ndarrays of shape (C,)
        Sorted labels, and number of shots of each class.
    accuracy, names_accuracy : float
        Share of held-out shots with the right prediction, by the classifier and by the names alone.
        NaN if the accuracy cannot be measured.
    held_out_proba, label_proba : ndarrays of shape (n, C) and (n,)
        See `FewShotClassifier`.
    doubtful : ndarray of int
        Rows of the shots whose label is more likely wrong than right. The most doubtful come first.
    duplicates : ndarray of shape (k, 2), int
        Rows of shots that are the same picture as an earlier shot, and the first row of that
        picture.
    doubtful_names : ndarray
        Labels of the classes whose name is more likely wrong than right, because at least two of
        their shots fit other names. The most doubtful come first.
    """

    classes: NDArray[Any]
    n_shots: NDArray[np.int64]
    accuracy: float
    names_accuracy: float
    held_out_proba: NDArray[Any]
    label_proba: NDArray[Any]
    doubtful: NDArray[np.intp]
    duplicates: NDArray[np.intp]
    doubtful_names: NDArray[Any]

    @classmethod
    def from_fitted(
        cls, classifier: Any, X: ArrayLike, y: ArrayLike, *, groups: ArrayLike | None = None
    ) -> Self:
        """Evaluate a classifier that is fitted already.

        Parameters
        ----------
        classifier : FewShotClassifier
            Fitted to these shots, with `store_held_out=True`. With `label_noise=0`, a copy is
            fitted too, for `label_proba`.
        X : array-like of shape (n, D)
            Embeddings of the shots.
        y : array-like of shape (n,)
            Labels of the shots.
        groups : array-like of shape (n,) or None, default=None
            Groups of the shots, as they were given to `fit`.

        Returns
        -------
        ShotEvaluation

        Raises
        ------
        NotFittedError
            If the classifier was not fitted, or without `store_held_out=True`.
        ValueError
            If X and y are not the shots of the fit: other numbers of rows, or labels of no class.
        """
        check_is_fitted(
            classifier,
            "held_out_proba_",
            msg="Nothing was held out when this %(name)s was fitted: fit it with"
            " store_held_out=True, or call evaluate_shots.",
        )
        check_consistent_length(X, y, classifier.held_out_proba_)
        labels = column_or_1d(np.asarray(y))
        if not (is_known := np.isin(labels, classifier.classes_)).all():
            raise ValueError(
                f"y has labels of no class: {listed(np.unique(labels[~is_known]))}. Give the shots"
                " to which the classifier was fitted."
            )
        label_proba = classifier.label_proba_
        if classifier.label_noise == 0:
            judge = clone(classifier).set_params(label_noise="auto")
            label_proba = judge.fit(X, y, groups=groups).label_proba_
        classes, held_out = classifier.classes_, classifier.held_out_proba_
        codes = np.searchsorted(classes, labels.astype(classes.dtype))
        unit = l2_normalize(to_numpy(validate_embeddings(classifier, X, reset=False)))
        known = np.isfinite(held_out).all(axis=1)
        truth = codes[known]
        names_accuracy, doubtful_names = np.nan, classes[:0]
        if classifier.text_embeddings_ is not None:
            name_proba = _name_proba(classifier)
            by_doubt = np.argsort(name_proba, kind="stable")
            doubtful_names = classes[by_doubt[name_proba[by_doubt] < DOUBTFUL]]
            by_names = (unit[known] @ classifier.text_embeddings_.T).argmax(axis=1)
            names_accuracy = _mean(by_names == truth)
        order = np.argsort(label_proba, kind="stable")
        chain, first = merge_within_rounding(unit, np.zeros(len(unit)))
        pairs = np.column_stack([np.arange(len(unit)), first[chain]])
        return cls(
            classes=classes,
            n_shots=np.bincount(codes, minlength=len(classes)),
            accuracy=_mean(held_out[known].argmax(axis=1) == truth),
            names_accuracy=names_accuracy,
            held_out_proba=held_out,
            label_proba=label_proba,
            doubtful=order[label_proba[order] < DOUBTFUL],
            duplicates=pairs[pairs[:, 0] != pairs[:, 1]],
            doubtful_names=doubtful_names,
        )

    def __str__(self) -> str:
        counts = listed([f"{label} {n}" for label, n in zip(self.classes, self.n_shots)], 10)
        n, n_classes, n_doubtful = self.n_shots.sum(), len(self.classes), len(self.doubtful)
        lines = [f"{n} {plural(n, 'shot')} of {n_classes} {plural(n_classes, 'class')}: {counts}"]
        if not np.isfinite(self.held_out_proba).all(axis=1).any():
            lines.append(
                "No shot could be held out, so probabilities are a rough guess. Give each class a"
                " second shot, or a name. The shots of a group are one image, which has one label"
            )
        if not math.isnan(self.accuracy):
            n_held_out = np.isfinite(self.held_out_proba).all(axis=1).sum()
            n_right = round(self.accuracy * n_held_out)
            line = f"Held-out shots predicted right: {n_right} of {n_held_out}, {self.accuracy:.1%}"
            if not math.isnan(self.names_accuracy) and np.median(self.n_shots) >= FEWEST_COMPARED:
                line += f" (names alone {self.names_accuracy:.1%})"
            lines.append(line)
        if n_names := len(self.doubtful_names):
            labels = listed(self.doubtful_names)
            lines.append(f"{n_names} {plural(n_names, 'class')} with a doubtful name: {labels}")
        lines.append(
            f"{n_doubtful} {plural(n_doubtful, 'shot')} with a doubtful label"
            if n_doubtful
            else "No label looks doubtful, which does not prove that all are right"
        )
        return "\n".join(lines)


def evaluate_shots(
    estimator: Any, X: ArrayLike, y: ArrayLike, *, groups: ArrayLike | None = None
) -> ShotEvaluation:
    """Measure the accuracy of a classifier on its own held-out shots, and find doubtful labels.

    Parameters
    ----------
    estimator : FewShotClassifier, Pipeline that ends in one, or a search over one
        A copy of the estimator is fitted.
    X, y, groups
        Shots and labels, as for `fit` of the estimator.

    Returns
    -------
    ShotEvaluation
        Result, whose `print` is a short summary.

    Raises
    ------
    TypeError
        If the estimator is none of these.

    Examples
    --------
    >>> from sksemobridge import evaluate_shots, make_few_shot_pipeline
    >>> from sksemobridge.datasets import load_emoji
    >>> emoji = load_emoji()
    >>> images, labels = emoji.images[:60:3], emoji.target_names[emoji.target[:60:3]]
    >>> print(evaluate_shots(make_few_shot_pipeline("mini", "bundled"), images, labels))
    20 shots of 3 classes: arrow 7, bird 8, building 5
    Held-out shots predicted right: 20 of 20, 100.0% (names alone 100.0%)
    No label looks doubtful, which does not prove that all are right
    """
    estimator = best_of(estimator)
    classifier = estimator[-1] if isinstance(estimator, Pipeline) else estimator
    if not isinstance(classifier, FewShotClassifier):
        raise TypeError(
            "evaluate_shots needs a FewShotClassifier, a pipeline that ends in one, or a fitted"
            f" search over one; got {estimator!r:.200}. For others use"
            " sklearn.model_selection.cross_val_predict."
        )
    if isinstance(estimator, Pipeline) and len(estimator) > 1:
        X = clone(estimator[:-1]).fit_transform(X, y)
    fitted = clone(classifier).set_params(store_held_out=True).fit(X, y, groups=groups)
    return ShotEvaluation.from_fitted(fitted, X, y, groups=groups)


def _name_proba(fitted):
    """The probability that the name of each class is right `(C,)`, by its shots. The probability is
    one for a class without text.
    """
    images = fitted._fitted.memory.grouped_shots.images()
    has_text = np.array([name is not None for name in fitted.class_names_])
    rows, named = has_text[images.codes], np.flatnonzero(has_text)
    logits = read_logit_scale(fitted.text_encoder) * fitted.text_embeddings_[named]
    p = softmax(images.u[rows] @ logits.T)
    p_own = p[np.arange(len(p)), np.searchsorted(named, images.codes[rows])]
    evidence = np.log((1 - SAYS_NOTHING) * len(named) * p_own + SAYS_NOTHING)
    by_class = np.bincount(images.codes[rows], weights=evidence, minlength=len(has_text))
    return np.where(has_text, expit(NAME_IS_RIGHT + by_class), 1.0)


def _mean(right):
    return float(np.mean(right)) if len(right) else np.nan
