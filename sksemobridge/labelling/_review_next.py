"""Choice of the images to look through together: a page of images that are predicted alike, on
which a person marks wrong predictions.
"""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_scalar

from .._utils.array_api import l2_normalize
from .._utils.same_image import are_among
from .._utils.validation import group_codes
from ._bursts import first_of_each, proba_by_group
from ._label_next import read_estimator, shot_directions

# Seconds to look at a page of one class. This and the next two constants are assumptions, and only
# their ratios matter.
GLANCE = 3.0
# Further seconds for each further class on a page.
FURTHER_CLASS = 1.0
# Seconds to correct an image.
CORRECTION = 2.0
# Least expected errors of an image, so that pages are full even when nearly all images are certain.
# With 0 or 0.01, finding the last errors takes 1.1 to 1.6 times as long in one of five real
# folders, and as long in the other four.
LEAST_DOUBT = 1e-3
# Numbers of classes that may share a page.
CLASSES_OF_A_PAGE = (1, 2, 3, 4, 6)


def review_next(
    estimator: Any,
    X: ArrayLike,
    n_images: int = 24,
    *,
    seen: ArrayLike = (),
    groups: ArrayLike | None = None,
) -> NDArray[np.intp]:
    """Return which images of `X` to look through together, to find wrong predictions.

    A person sees the images under their predicted classes, marks wrong images, and thus confirms
    all others. A glance at many images that should be alike takes little longer than a question
    about one, and it also finds errors of which the model is certain.

    A page has equally many images of one, two, three, four or six classes, the least certain of
    each. Of all such pages, the result has the most expected errors a second. The estimator
    predicts as it is: if it should learn from the images first, give `estimator.with_unlabeled(X)`.

    Parameters
    ----------
    estimator : object
        Fitted `FewShotClassifier`, `SeMoBridgeClassifier` or `ZeroShotClassifier`, a pipeline that
        ends in one, or a search over one, such as `GridSearchCV`.
    X : array-like of shape (n, D)
        Embeddings of the images, or the input of the pipeline.
    n_images : int, default=24
        Number of images on a page.
    seen : array-like of int, default=()
        Indices of images that were looked at. These images are left out, as are images that are
        shots.
    groups : array-like of shape (n,) or None, default=None
        Equal values mark images of one burst. The first image of a burst is returned, and its
        probabilities are those of `proba_by_group`. A burst is left out if one of its images is. An
        image with None or NaN is a burst by itself.

    Returns
    -------
    ndarray of shape (k,), int
        Indices into `X`, k <= `n_images`. Images of one predicted class come together, the least
        certain first, and the class with the most expected errors first. No index is left when all
        images were looked at. The same arguments give the same result.

    Raises
    ------
    TypeError
        If the estimator is of another kind.
    ValueError
        If `n_images` is negative, an index of `seen` is none of `X`, or `X` has NaN or another
        width than the shots.

    Examples
    --------
    >>> from sksemobridge import PrecomputedTextEncoder, ZeroShotClassifier
    >>> from sksemobridge.labelling import review_next
    >>> encoder = PrecomputedTextEncoder.from_joint({"cat": [1.0, 0.0], "dog": [0.0, 1.0]})
    >>> classifier = ZeroShotClassifier(encoder, prompts="{}").fit(None, ["cat", "dog"])
    >>> X = [[0.9, 0.1], [0.70, 0.69], [0.2, 0.9], [0.71, 0.69]]
    >>> review_next(classifier, X, n_images=2).tolist()
    [1, 3]
    >>> review_next(classifier, X, n_images=2, seen=[1, 3]).tolist()
    [0, 2]
    """
    check_scalar(n_images, "n_images", Integral, min_val=0)
    classifier, embeddings = read_estimator(estimator, X, "review_next")
    p = classifier.predict_proba(embeddings)
    is_seen = are_among(l2_normalize(embeddings), shot_directions(classifier))
    is_seen[_rows(seen, len(embeddings))] = True
    if groups is not None:
        codes = group_codes(groups, len(embeddings))
        p = proba_by_group(p, codes)
        is_seen = np.isin(codes, codes[is_seen])
        is_seen |= ~first_of_each(codes)
    top, predicted = p.max(axis=1, initial=0), p.argmax(axis=1)
    return best_page(top, predicted, np.flatnonzero(~is_seen), n_images)


def best_page(top, predicted, rows, n_images):
    """The page of at most `n_images` of the `rows` of images, in order. `top (n,)` is the largest
    probability of each image, and `predicted (n,)` the class that has it.
    """
    best, best_rate = np.asarray(rows[:0], dtype=np.intp), -1.0
    top, predicted = top[rows], predicted[rows]
    order = np.lexsort((top, predicted))
    _, start, counts = np.unique(predicted[order], return_index=True, return_counts=True)
    # Expected errors among the first images of a class are differences of these sums.
    sums = np.append(0, np.cumsum(np.maximum(1 - top[order], LEAST_DOUBT)))
    for n_classes in CLASSES_OF_A_PAGE:
        if not (chunk := n_images // n_classes):
            break
        stop = start + np.minimum(counts, chunk)
        errors = sums[stop] - sums[start]
        chosen = np.argsort(-errors, kind="stable")[:n_classes]
        if not len(chosen):
            break
        total = errors[chosen].sum()
        rate = total / (GLANCE + FURTHER_CLASS * (len(chosen) - 1) + CORRECTION * total)
        if rate > best_rate:
            parts = [order[start[i] : stop[i]] for i in chosen]
            best, best_rate = np.asarray(rows)[np.concatenate(parts)], rate
    return best


def _rows(seen, n_images):
    """The checked indices of `seen`."""
    rows = np.asarray(seen)
    if not rows.size:
        return np.zeros(0, dtype=np.intp)
    if rows.ndim != 1 or rows.dtype.kind not in "iu" or rows.min() < 0 or rows.max() >= n_images:
        raise ValueError(
            f"seen must be indices of the {n_images} images, 0 to {n_images - 1}; got"
            f" {seen!r:.100}."
        )
    return rows
