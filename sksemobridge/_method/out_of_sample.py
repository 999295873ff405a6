"""Affinities of the shots as queries of a model that has not seen them.

Where there is text every shot can be held out: a class without its only image is a class known by name only.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from sklearn.utils import check_random_state

from .._utils.array_api import l2_normalize
from .shots import sum_rows, weight_in_class
from .unseen_classes import lean_on_names

# Folds in which a trained bridge is trained again, fewer where no class has as many images. Each fold costs one
# training; three leave two thirds of the shots to train on.
N_FOLDS = 3
# Most held-out affinities of a kind: twelve megabytes. Of more, shots are sampled, at least so many.
MOST_AFFINITIES, LEAST_QUERIES = 3 * 2**19, 100


class Queries(NamedTuple):
    """The shots that are held out.

    Attributes
    ----------
    rows : ndarray of shape (n,)
        Their indices.
    codes : ndarray of shape (n,)
        Their classes.
    weight : ndarray of shape (n,)
        `omega_i`; in a class they sum to its effective number of images.
    z1 : ndarray of shape (n, C) or None
        None without text.
    """

    rows: np.ndarray
    codes: np.ndarray
    weight: np.ndarray
    z1: np.ndarray | None


@dataclass(frozen=True)
class HeldOut:
    """Affinities of held-out shots, each by a model without the shot and its copies.

    Attributes
    ----------
    affinities : dict of ndarray of shape (n, C)
    compared : ndarray of shape (n, D)
        `Bridge.compared` of the shots.
    rows, codes, weight : ndarray of shape (n,)
        See `Queries`.
    """

    affinities: dict
    compared: np.ndarray
    rows: np.ndarray
    codes: np.ndarray
    weight: np.ndarray


def queries_of(shots, n_classes, text_embeddings=None):
    """The shots that are held out: `Queries`.

    Without text a class must keep another image. Copies of one image must have one label. Of more than
    `MOST_AFFINITIES` an even sample is taken, in the order of the shots.
    """
    image, codes, groups = shots.images
    usable = np.bincount(groups)[shots.group] == 1
    if text_embeddings is None:
        usable &= np.bincount(codes)[shots.codes] > 1
    rows = np.flatnonzero(usable)
    most = max(MOST_AFFINITIES // n_classes, LEAST_QUERIES)
    if len(rows) > most:
        rows = rows[np.linspace(0, len(rows) - 1, most).astype(np.intp)]
    codes = shots.codes[rows]
    z1 = None if text_embeddings is None else l2_normalize(shots.X[rows]) @ text_embeddings.T
    return Queries(rows, codes, query_weights(codes, shots.weight[rows], image[rows]), z1)


def query_weights(codes, weight, image):
    """Weight of each held-out shot. In a class they sum to its effective number of images.

    That is `1 / sum_j v_j^2` over the images' shares `v_j` of their class.
    """
    share = weight_in_class(codes, weight)
    of_image = np.bincount(image, weights=share)[image]
    return share / np.bincount(codes, weights=share * of_image)[codes]


def leave_one_out(shots, queries, model, sums, compared, own_share_without, whitening):
    """Closed form: each image is left out in turn. Its class loses its rows, and nothing else changes.

    Parameters
    ----------
    shots : Shots
    queries : Queries
    model : Model
        Of all shots, in closed form.
    sums : ClassSums
        Of all shots.
    compared : ndarray of shape (n, D)
        `Bridge.compared` of all shots.
    own_share_without : ndarray of shape (m,)
        `lambda` of each image's class without the image.
    whitening : WhiteningFit or None

    Returns
    -------
    HeldOut
    """
    image, image_codes, _ = shots.images
    rows, share, bridge = queries.rows, shots.weight_in_class, model.bridge
    # Share of the class that stays without the image; none does without a class's only one.
    rest = 1 - np.bincount(image, weights=share)
    rest[np.bincount(image_codes)[image_codes] == 1] = np.nan
    queried, position = np.unique(image[rows], return_inverse=True)
    of_queried = np.isin(image, queried)

    removed, X = np.searchsorted(queried, image[of_queried]), shots.X[of_queried]
    projected = bridge.project(bridge.to_eos(X))

    def means_without(values, means):
        """The class mean without the image of each query, whose `values` it has."""
        left = means[image_codes[queried]]
        left -= sum_rows(values, share[of_queried], removed, len(queried))
        return (left / rest[queried, None])[position]

    codes, each = queries.codes, np.arange(len(rows))
    own_prototypes = bridge.prototypes(means_without(projected, sums.means()[0]))
    affinities = {"z2": compared[rows] @ model.prototypes.T}
    affinities["z2"][each, codes] = np.einsum("nd,nd->n", compared[rows], own_prototypes)
    if bridge.mean is None:
        bridged = l2_normalize(bridge.to_joint(projected[np.cumsum(of_queried)[rows] - 1]))
        own_means = l2_normalize(means_without(X, sums.means()[1]))
        affinities["z3"] = bridged @ model.image_means.T
        affinities["z3"][each, codes] = np.einsum("nd,nd->n", bridged, own_means)
    return _held_out(affinities, shots, queries, model, compared, own_share_without, whitening)


def cross_fit(shots, queries, model, fit_fold, compared, own_share_without, whitening, random_state=None):
    """Trained bridge: the shots of each fold are put to a model that was trained on the other folds.

    Parameters
    ----------
    shots, queries : Shots, Queries
    model : Model
        Of all shots.
    fit_fold : callable
        `fit_fold(shots)` gives the `Model` of some of the shots first.
    compared, own_share_without, whitening
        See `leave_one_out`.
    random_state : int, RandomState instance or None
        Shuffles the images of each class before they are dealt to folds; None leaves them in the order of
        their content.

    Returns
    -------
    HeldOut
    """
    (image, image_codes, _), rows = shots.images, queries.rows
    n_images = np.bincount(image_codes)
    several = n_images[shots.codes] > 1
    n_folds = min(N_FOLDS, int(n_images.max()))
    fold = _deal(image_codes, n_folds, random_state)[image]
    affinities = model.raw_affinities(shots.X[rows])
    for k in range(n_folds):
        held = several[rows] & (fold[rows] == k)
        if not held.any():
            continue
        of_fold = fit_fold(shots.take(~(several & (fold == k))))[0].raw_affinities(shots.X[rows[held]])
        for name, z in of_fold.items():
            affinities[name][held] = z
    for name in affinities.keys() - {"z1"}:
        affinities[name][~several[rows], queries.codes[~several[rows]]] = np.nan
    return _held_out(affinities, shots, queries, model, compared, own_share_without, whitening)


def _held_out(affinities, shots, queries, model, compared, own_share_without, whitening):
    """`HeldOut` of `z2` and `z3` that are NaN for a shot's own class where it has no other image."""
    image, codes, each = shots.images.index[queries.rows], queries.codes, np.arange(len(queries.rows))
    compared, lambdas = compared[queries.rows], own_share_without[image]
    if queries.z1 is not None:
        affinities["z1"] = queries.z1
    if whitening is not None:
        affinities["z4"] = whitening.held_out(compared, image)
    for name in affinities.keys() - {"z1", "z4"}:
        # A class without images counts in no mean.
        z = affinities[name]
        missing = np.isnan(z[each, codes])
        z[each[missing], codes[missing]] = 0
        z[each[missing], codes[missing]] = z[missing].sum(axis=1) / max(z.shape[1] - 1, 1)
    means = {name: z.mean(axis=1, keepdims=True) for name, z in affinities.items()}
    slopes = model.mean_class.slopes
    for name in affinities.keys() - {"z1", "z4"}:
        own = affinities[name][each, codes]
        predicted = means[name][:, 0]
        if "z1" in affinities:
            predicted = predicted + slopes[name] * (affinities["z1"][each, codes] - means["z1"][:, 0])
        affinities[name] = lean_on_names(affinities, means, {name: model.own_share}, slopes)[name]
        affinities[name][each, codes] = lambdas * own + (1 - lambdas) * predicted
    return HeldOut(affinities, compared, queries.rows, codes, queries.weight)


def _deal(codes, n_folds, random_state):
    """A fold for each image. Images are dealt class by class, which makes folds even."""
    order = np.arange(len(codes))
    if random_state is not None:
        order = check_random_state(random_state).permutation(len(codes))
    order = order[np.argsort(codes[order], kind="stable")]
    fold = np.empty(len(codes), dtype=np.intp)
    fold[order] = np.arange(len(codes)) % n_folds
    return fold
