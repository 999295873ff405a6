"""Choice of the images to label next."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import pairwise_distances_argmin
from sklearn.pipeline import Pipeline
from sklearn.utils import check_scalar
from sklearn.utils.validation import check_is_fitted

from .._base import EmbeddingClassifier, LinearClassifier
from .._utils.array_api import l2_normalize, margins, to_numpy
from .._utils.rows import blocks, evenly_spaced
from .._utils.same_image import are_among
from .._utils.sklearn import best_of
from .._utils.validation import group_codes, validate_embeddings
from ._bursts import proba_by_group

# Number of images that are drawn at random before the first answer. If names say little, the least
# certain images are untypical, and teach untypical things: a folder of clothes was less often right
# after half a label a class than by its names alone.
N_AT_RANDOM = 5
# Mean number of labels a class until which, without names, images of new clusters come first.
LEAST_LABELS = 1.25
# Largest number of images that are clustered.
MOST_CLUSTERED = 5000
# An image is uncertain if its two largest probabilities differ by less. Predicted classes take
# turns among uncertain images only, because certain images tell little.
UNCERTAIN = 0.5


def label_next(
    estimator: Any, X: ArrayLike, n_images: int = 20, *, groups: ArrayLike | None = None
) -> NDArray[np.intp]:
    """Return which images of `X` to label next: the images whose labels help most.

    A copy of the classifier first learns from all images (`with_unlabeled`). Then the images come
    first whose two most probable classes are nearly as probable, and the predicted classes take
    turns. Each third image is an uncertain image of the classifier that has not learnt from the
    images. A `SeMoBridgeClassifier` does not learn from them.

    Names alone may mislead, so without shots the first five images are random. The share of them
    that the names predict right says how good the names are. A classifier that knows no names first
    needs an image of each class. While such a classifier has few labels, the most typical image of
    each large cluster without a label comes first.

    Parameters
    ----------
    estimator : object
        Fitted `FewShotClassifier`, `SeMoBridgeClassifier` or `ZeroShotClassifier`, a pipeline that
        ends in one, or a search over one, such as `GridSearchCV`.
    X : array-like of shape (n, D)
        Embeddings of the images, or the input of the pipeline. Some images may have a label.
    n_images : int, default=20
        How many images to return.
    groups : array-like of shape (n,) or None, default=None
        Equal values mark images of one burst. One image of a burst is returned, or none if one of
        them is a shot. The probabilities of a burst are those of `proba_by_group`. An image with
        None or NaN is a burst by itself.

    Returns
    -------
    ndarray of shape (k,), int
        Indices into `X`, the best first. `k` is `n_images`, or less if `X` has fewer images without
        a label. Images that are shots are left out, and of equal images one is returned. The same
        arguments give the same result, also where it is drawn at random.

    Raises
    ------
    TypeError
        If the estimator is of another kind.
    ValueError
        If `n_images` is negative, or `X` has NaN or another width than the shots.

    Examples
    --------
    >>> from sksemobridge import FewShotClassifier, PrecomputedTextEncoder
    >>> from sksemobridge.labelling import label_next
    >>> encoder = PrecomputedTextEncoder.from_joint({"cat": [1.0, 0.0], "dog": [0.0, 1.0]})
    >>> classifier = FewShotClassifier(encoder, prompts="{}")
    >>> classifier = classifier.fit([[1.0, 0.2], [0.1, 1.0]], ["cat", "dog"])
    >>> label_next(classifier, [[0.9, 0.1], [0.7, 0.6], [0.2, 0.9]], n_images=1).tolist()
    [1]
    """
    return images_to_label(estimator, X, n_images, groups=groups)


def images_to_label(estimator, X, n_images=20, taught_by=(), groups=None, proba=None):
    """`label_next` for callers that know more. The estimator has learnt from the rows `taught_by`
    of `X`, and does not learn from them again. `proba (n, C)` are its probabilities, equal within a
    burst, if they are known.
    """
    check_scalar(n_images, "n_images", Integral, min_val=0)
    classifier, embeddings = read_estimator(estimator, X, "label_next")
    shots, codes = shot_directions(classifier), group_codes(groups, len(embeddings))
    is_shot = are_among(l2_normalize(embeddings), shots)
    rows = np.flatnonzero(~np.isin(codes, codes[is_shot]))
    if not len(rows) or not n_images:
        return rows[:0]
    # Images that are chosen by misleading names alone would teach untypical things.
    chosen = [] if len(shots) else draw_first(embeddings, codes, rows, min(N_AT_RANDOM, n_images))
    order = []
    if classifier.text_embeddings_ is None and len(shots) < LEAST_LABELS * len(classifier.classes_):
        order += rows[
            _typical_of_clusters(l2_normalize(embeddings)[rows], shots, n_images)
        ].tolist()

    # Take one image of each burst. Among these images, predicted classes take turns.
    first_of_burst = np.sort(np.unique(codes[rows], return_index=True)[1])
    images = embeddings[rows]

    def order_by(model):
        if model is classifier and proba is not None:
            table, places = proba, rows[first_of_burst]
        elif groups is None:
            return _by_certainty(
                model.predict_proba(images[block]) for block in blocks(len(images))
            )
        else:
            table, places = proba_by_group(model.predict_proba(images), codes[rows]), first_of_burst
        tables = (table[places[block]] for block in blocks(len(places)))
        return first_of_burst[_by_certainty(tables)]

    if len(order) < n_images and not isinstance(classifier, LinearClassifier):
        order += rows[order_by(classifier)].tolist()
    elif len(order) < n_images:
        # Images that taught may confirm an error, so each third image is chosen without their
        # teaching.
        is_taught = len(taught_by) > 0 and np.isin(rows, taught_by).all()
        # Answers are no random shots, so the share that would cause a warning is not used.
        taught = classifier if is_taught else classifier._taught_by(images, codes[rows])[0]
        untaught = classifier._without_unlabeled()
        first, third = order_by(taught), order_by(untaught)
        positions = np.minimum(2 * np.arange(1, len(first) + 1), len(first))
        order += rows[np.insert(first, positions, third)].tolist()
    return np.array(_different(order, n_images, embeddings, codes, chosen), dtype=np.intp)


def draw_first(X, codes, rows, n_images):
    """The first images to ask: some of these `rows`, in a random order that is always the same."""
    drawn = np.random.default_rng(0).permutation(len(X))
    return _different(drawn[np.isin(drawn, rows)].tolist(), n_images, X, codes)


def _different(order, n_images, X, codes, chosen=()):
    """The images `chosen`, and further images in this order until there are `n_images`. Images of
    one burst, and copies, are left out.
    """
    chosen = [*chosen]
    u = l2_normalize(X[chosen])
    for row in order:
        if len(chosen) == n_images:
            break
        one = l2_normalize(X[[row]])
        if codes[row] not in codes[chosen] and not are_among(one, u)[0]:
            chosen.append(row)
            u = np.concatenate([u, one])
    return chosen


def read_estimator(estimator, X, function):
    """The classifier of an estimator that a `function` takes, and the embeddings of `X`."""
    estimator = best_of(estimator)
    is_pipeline = isinstance(estimator, Pipeline)
    classifier = estimator[-1] if is_pipeline else estimator
    if not isinstance(classifier, EmbeddingClassifier):
        raise TypeError(
            f"{function} takes a FewShotClassifier, a SeMoBridgeClassifier, a ZeroShotClassifier,"
            " a pipeline that ends in one, or a fitted search over one, and not"
            f" {type(classifier).__name__}."
        )
    check_is_fitted(classifier)
    embeddings = estimator[:-1].transform(X) if is_pipeline else X
    return classifier, to_numpy(validate_embeddings(classifier, embeddings, reset=False))


def least_certain(p):
    """Rows of the probabilities `p (n, C)` in the order in which to label them."""
    return _by_certainty(p[block].copy() for block in blocks(len(p)))


def _by_certainty(tables):
    """`least_certain` of probabilities that come block by block. The blocks are overwritten, since
    a copy of many classes of many images would take more memory than all else.
    """
    found = [(p.argmax(axis=1), margins(p, least=0.0)) for p in tables]
    if not found:
        return np.zeros(0, dtype=np.intp)
    predicted, margin = map(np.concatenate, zip(*found))
    order = np.argsort(margin, kind="stable")
    predicted, turn = predicted[order], np.empty(len(order))
    by_class = np.argsort(predicted, kind="stable")
    turn[by_class] = np.arange(len(order)) - np.searchsorted(
        predicted[by_class], predicted[by_class]
    )
    turn[margin[order] >= UNCERTAIN] = len(order)
    return order[np.argsort(turn, kind="stable")]


def shot_directions(classifier):
    """Unit embeddings of the shots `(m, D)`. A classifier by names alone has no shots."""
    return l2_normalize(classifier._fitted.memory.shots.X)


def _typical_of_clusters(u, shots, n_images):
    """The image nearest to the centre of each cluster without a shot, of the largest clusters
    first.
    """
    sample = evenly_spaced(len(u), MOST_CLUSTERED)
    n_clusters = min(len(shots) + n_images, len(np.unique(u[sample], axis=0)))
    clusters = KMeans(n_clusters, n_init=3, random_state=0).fit(u[sample])
    size = np.bincount(clusters.labels_, minlength=n_clusters)
    if len(shots):
        size[np.unique(clusters.predict(shots.astype(u.dtype)))] = 0
    centres = clusters.cluster_centers_[np.argsort(-size, kind="stable")[: np.count_nonzero(size)]]
    return sample[pairwise_distances_argmin(centres, u[sample])] if len(centres) else sample[:0]
