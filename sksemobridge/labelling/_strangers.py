"""Images of none of the classes, learnt from examples."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit, logsumexp
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from .._model.unlabeled import typical_of_names
from .._texts.encode import read_logit_scale
from .._utils.array_api import l2_normalize, to_numpy
from .._utils.rows import blocks
from .._utils.same_image import SAME_COSINE
from .._utils.validation import validate_embeddings
from ._label_next import shot_directions

# Number of examples as which all images together count, each as a stranger with a probability.
# Without these images, one example by mistake would say that half of the images are strangers. 5 is
# as good.
WORTH_OF_IMAGES = 10.0
# With this number of strangers, all images count half, because strangers are then not as rare.
# Without halving, 20 answers lose a point; with half after 5 strangers, five answers lose two
# points if classes were forgotten.
STRANGERS_FOR_HALF = 10.0
# Probability that an image is a stranger, without other evidence. 0.1 is as good.
RARE = 0.05
# Prior probability that images which the names fit badly are strangers, and not images of classes
# with bad names. With 0.5, folders with a fifth of the classes forgotten lose 2 points after five
# answers. With 0.05, folders of half strangers lose as many.
ARE_STRANGERS = 0.2
# Share of strangers among the badly fitting examples, if images of this kind are strangers. The
# rest are images of classes, which are asked because they are as uncertain.
IF_STRANGERS = 0.8
# Share of strangers among the badly fitting examples, if images of this kind are of classes. The
# share is not small, since persons find strangers among uncertain images.
IF_BAD_NAMES = 0.3


def stranger_proba(classifier: Any, X: ArrayLike, strangers: ArrayLike) -> NDArray[np.float64]:
    """Return the probability that each image belongs to none of the classes, given examples of such
    images.

    Such images are called strangers here. A logistic regression has three features: how well the
    names of the classes fit, and the cosines to the most similar shot and to the most similar
    stranger. The regression learns from shots and strangers. All images together count as up to ten
    further examples, which are hardly strangers. One wrong example of a stranger therefore does
    little harm. But if the names fit two kinds of images differently well, and most examples of the
    worse kind are strangers, all of this kind are.

    Parameters
    ----------
    classifier : FewShotClassifier or ZeroShotClassifier
        Fitted classifier with names.
    X : array-like of shape (n, D)
        Embeddings of all images at hand, if possible also those of shots and strangers.
    strangers : array-like of shape (k, D)
        Embeddings of images that belong to none of the classes. At least one row.

    Returns
    -------
    ndarray of shape (n,)

    Raises
    ------
    ValueError
        If no strangers are given, the classifier has no names, or an array has NaN or another
        width.

    Examples
    --------
    >>> from sksemobridge import PrecomputedTextEncoder, ZeroShotClassifier
    >>> from sksemobridge.labelling import stranger_proba
    >>> texts = {"cat": [1.0, 0.0, 0.0], "dog": [0.0, 1.0, 0.0]}
    >>> encoder = PrecomputedTextEncoder.from_joint(texts)
    >>> classifier = ZeroShotClassifier(encoder, prompts="{}").fit(None, ["cat", "dog"])
    >>> X = [[0.9, 0.1, 0.1], [0.2, 0.9, 0.0], [0.1, 0.1, 0.9], [0.2, 0.1, 0.8], [0.1, 0.2, 0.9]]
    >>> stranger_proba(classifier, X, X[2:4]).round().tolist()
    [0.0, 0.0, 1.0, 1.0, 1.0]
    """
    return strangers_and_typical(classifier, X, strangers, 1.0)[0]


def strangers_and_typical(classifier, X, strangers, weight):
    """`stranger_proba`, and whether the names fit each image as well as images of the classes
    `(n,)`. `weight (k,)` are the weights of the strangers, or one number for all.
    """
    check_is_fitted(classifier)
    if classifier.text_embeddings_ is None:
        raise ValueError(
            "stranger_proba needs a classifier with names; this one has no text_encoder."
        )
    X, strangers = (
        to_numpy(validate_embeddings(classifier, part, reset=False)) for part in (X, strangers)
    )
    shots = shot_directions(classifier)
    labelled = np.vstack([shots, l2_normalize(strangers.astype(np.float64))])
    is_stranger = np.arange(len(labelled)) >= len(shots)
    features = np.vstack(
        [_features(classifier, rows, labelled, is_stranger) for rows in (X, labelled)]
    )
    level, n = features[:, 0].copy(), len(X)
    # The cosine of a missing neighbour is the median of the other cosines.
    for nearest in features[:, 1:].T:
        found = np.isfinite(nearest)
        nearest[~found] = np.median(nearest[found]) if found.any() else 0.0
    features = StandardScaler().fit(features[:n]).transform(features)

    typical = typical_of_names(level[:n])
    q = _stranger_by_names(level[:n], typical, level[n:], is_stranger)
    labels = np.concatenate([np.zeros(n), np.ones(n), is_stranger])
    examples = np.ones(len(labelled))
    examples[is_stranger] = weight
    worth = WORTH_OF_IMAGES / (1 + examples[is_stranger].sum() / STRANGERS_FOR_HALF)
    weight = np.concatenate([np.concatenate([1 - q, q]) * worth / n, examples])
    # Many strangers beside few shots, or none, do not mean that all images are strangers.
    own, of_strangers = np.bincount(labels.astype(int), weight)
    weight[labels == 0] *= max(of_strangers / own, 1.0)
    regression = LogisticRegression(max_iter=1000).fit(
        np.concatenate([features[:n], features]), labels, sample_weight=weight
    )
    return regression.predict_proba(features[:n])[:, 1], typical


def _features(classifier, rows, labelled, is_stranger):
    """Features `(n, 3)` of the `rows (n, D)`: how well the names fit, the cosine to the most
    similar shot, and the cosine to the most similar stranger. Shots and strangers are the rows of
    `labelled (k, D)`, by `is_stranger (k,)`. Without a neighbour, a cosine is -inf.
    """
    texts, scale = classifier.text_embeddings_, read_logit_scale(classifier.text_encoder)
    features = np.empty((len(rows), 3))
    for block in blocks(len(rows)):
        u = l2_normalize(rows[block].astype(np.float64))
        cosines = u @ labelled.T
        # An example is not its own neighbour.
        cosines[cosines > SAME_COSINE] = -np.inf
        features[block, 0] = logsumexp(scale * (u @ texts.T), axis=1)
        for column, is_kind in ((1, ~is_stranger), (2, is_stranger)):
            features[block, column] = cosines[:, is_kind].max(axis=1, initial=-np.inf)
    return features


def _stranger_by_names(level, typical, levels, is_stranger):
    """The probability `(n,)` that each image is a stranger, by how well the names fit it,
    `level (n,)`, and whether this level is `typical (n,)` of the classes.

    The examples say whether images that the names fit badly are strangers. Examples have
    `levels (k,)`, how well the names fit, and `is_stranger (k,)`.
    """
    if typical.all():
        return np.full(len(level), RARE)
    between = (level[typical].min() + level[~typical].max()) / 2
    n_own, n_strangers = np.bincount(is_stranger[levels < between], minlength=2)
    log_odds = n_strangers * np.log(IF_STRANGERS / IF_BAD_NAMES)
    log_odds += n_own * np.log((1 - IF_STRANGERS) / (1 - IF_BAD_NAMES))
    are_strangers = expit(logit(ARE_STRANGERS) + log_odds)
    return np.where(typical, RARE, RARE + are_strangers * (1 - 2 * RARE))
