"""Images of none of the classes, learnt from examples."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from ._label_next import shot_directions
from ._model.unlabeled import typical_of_names
from ._texts.encode import read_logit_scale
from ._utils.array_api import l2_normalize, to_numpy
from ._utils.validation import validate_embeddings

# All images that nobody labelled together count as this many labels. Each counts as what the names
# say of it.
WORTH_OF_UNLABELED = 1.0


def stranger_proba(classifier: Any, X: ArrayLike, strangers: ArrayLike) -> NDArray[np.float64]:
    """Return the probability that each image belongs to none of the classes, given examples of such
    images.

    A logistic regression has three features: how well the names of the classes fit, and the cosines
    to the most similar shot and to the most similar stranger. It learns from shots and strangers,
    and a little from what the names say of all images. Shots and strangers count the same in total.

    Parameters
    ----------
    classifier : FewShotClassifier or ZeroShotClassifier
        Fitted, with names.
    X : array-like of shape (n, D)
        Embeddings of all images at hand, if possible also those of shots and strangers.
    strangers : array-like of shape (k, D)
        Embeddings of images that belong to none of the classes. At least one.

    Returns
    -------
    ndarray of shape (n,)

    Raises
    ------
    ValueError
        If there is no stranger, the classifier has no names, or an array has NaN or another width.

    Examples
    --------
    >>> from sksemobridge import PrecomputedTextEncoder, ZeroShotClassifier, stranger_proba
    >>> texts = {"cat": [1.0, 0.0, 0.0], "dog": [0.0, 1.0, 0.0]}
    >>> encoder = PrecomputedTextEncoder.from_joint(texts)
    >>> classifier = ZeroShotClassifier(encoder, prompts="{}").fit(None, ["cat", "dog"])
    >>> X = [[0.9, 0.1, 0.1], [0.2, 0.9, 0.0], [0.1, 0.1, 0.9], [0.2, 0.1, 0.8]]
    >>> p = classifier.predict_proba(X) * (1 - stranger_proba(classifier, X, X[2:3]))[:, None]
    >>> p.max(axis=1).round().tolist()
    [1.0, 1.0, 0.0, 0.0]
    """
    check_is_fitted(classifier)
    if classifier.text_embeddings_ is None:
        raise ValueError(
            "stranger_proba needs a classifier with names; this one has no text_encoder."
        )
    u, strangers = (
        l2_normalize(
            to_numpy(validate_embeddings(classifier, part, reset=False)).astype(np.float64)
        )
        for part in (X, strangers)
    )
    shots = shot_directions(classifier)
    cosines = np.vstack([u, shots, strangers]) @ classifier.text_embeddings_.T
    logits = read_logit_scale(classifier.text_encoder) * cosines
    level = logsumexp(logits, axis=1)
    known = np.vstack([shots, strangers])
    is_stranger = np.arange(len(known)) >= len(shots)
    # An example is not its own neighbour.
    cosines = np.vstack([u, known]) @ known.T
    cosines[cosines > 1 - 1e-9] = np.nan
    features = np.column_stack(
        [level, _nearest(cosines[:, ~is_stranger]), _nearest(cosines[:, is_stranger])]
    )
    features = StandardScaler().fit(features[: len(u)]).transform(features)

    typical = typical_of_names(logits[: len(u)])
    labels = np.concatenate([~typical, is_stranger])
    weight = np.concatenate([np.full(len(u), WORTH_OF_UNLABELED / len(u)), np.ones(len(known))])
    totals = np.bincount(labels, weight, 2)
    if not totals[0]:
        return np.ones(len(u))
    regression = LogisticRegression(max_iter=1000)
    regression.fit(
        features, labels, sample_weight=weight * (totals.sum() / 2 / totals)[labels.astype(int)]
    )
    return regression.predict_proba(features[: len(u)])[:, 1]


def _nearest(cosines):
    """The largest cosine of each row, or where there is none, the median of the others, or zero."""
    largest = np.where(np.isnan(cosines), -np.inf, cosines).max(axis=1, initial=-np.inf)
    found = np.isfinite(largest)
    return np.where(found, largest, np.median(largest[found]) if found.any() else 0.0)
