"""Learning from pages that does not break what was right.

The labels of a page are those of its least certain images, and of a few classes only. A classifier
that is fitted to them again is better on the whole, but now and then it is wrong where it was
right. Such errors are certain ones, which nobody finds soon. The mean over the classifiers of
several pages makes few of them. Decisions are linear, so their mean is linear too.
"""

from __future__ import annotations

from numbers import Real

import numpy as np
from sklearn.utils import check_scalar
from sklearn.utils.validation import check_is_fitted

from ._base import LinearClassifier
from ._model.linear import Linear
from ._utils.validation import positions


def running_mean(
    before: LinearClassifier, after: LinearClassifier, *, kept: float = 0.7
) -> LinearClassifier:
    """Return the classifier `after`, with the decision `kept * before + (1 - kept) * after`.

    Call it after each page of `review_next`, with what it returned for the page before. After
    single answers it gains nothing.

    Parameters
    ----------
    before : FewShotClassifier or ZeroShotClassifier
        Fitted, or what an earlier call returned.
    after : FewShotClassifier or ZeroShotClassifier
        Fitted to more answers. It may have other classes. A class that `before` does not have
        decides as `after` does, relative to the classes that both have.
    kept : float, default=0.7
        The weight of `before`, from 0 to 1.

    Returns
    -------
    classifier of the type of `after`
        Fitted. `with_unlabeled` of it, and `partial_fit`, forget `before`.

    Raises
    ------
    TypeError
        If one of them is not linear.
    ValueError
        If `kept` is not from 0 to 1, or the embeddings have two widths.

    Examples
    --------
    >>> from sksemobridge import FewShotClassifier, running_mean
    >>> X, y = [[1.0, 0.1], [0.2, 1.0], [0.5, 1.0]], ["a", "b", "b"]
    >>> before = FewShotClassifier(class_names="ignore").fit(X[:2], y[:2])
    >>> after = FewShotClassifier(class_names="ignore").fit(X, y)
    >>> mean = running_mean(before, after)
    >>> bool(abs(mean.coef_ - 0.7 * before.coef_ - 0.3 * after.coef_).max() < 1e-6)
    True
    """
    check_scalar(kept, "kept", Real, min_val=0, max_val=1)
    for classifier in (before, after):
        if not isinstance(classifier, LinearClassifier):
            raise TypeError(
                "running_mean takes FewShotClassifier and ZeroShotClassifier, and not"
                f" {type(classifier).__name__}."
            )
        check_is_fitted(classifier)
    if before.n_features_in_ != after.n_features_in_:
        raise ValueError(
            f"The classifiers have embeddings of {before.n_features_in_} and"
            f" {after.n_features_in_} features. They must be of one model."
        )
    at = positions(before.classes_, after.classes_)
    is_common = at >= 0
    if not is_common.any():
        return after
    old = _centred(before._decision_, at[is_common])
    new = _centred(after._decision_, np.flatnonzero(is_common))
    # Of a new class, the decision is the later one.
    weight = kept * is_common
    weights = new.weights + weight[:, None] * (old.weights[at] - new.weights)
    offsets = new.offsets + weight * (old.offsets[at] - new.offsets)
    change = Linear(weights - after._decision_.weights, offsets - after._decision_.offsets)
    return after._clone_with(after._fitted.with_change(change))


def _centred(linear, rows):
    """A `Linear` minus the mean of some of its classes. What all have in common cancels in
    probabilities, so that two decisions compare without it.
    """
    return Linear(
        linear.weights - linear.weights[rows].mean(axis=0),
        linear.offsets - linear.offsets[rows].mean(),
    )
