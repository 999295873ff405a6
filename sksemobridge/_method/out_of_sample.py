"""Affinities of the shots as queries of a model that has not seen them."""

from dataclasses import dataclass

import numpy as np
from sklearn.utils import check_random_state

from .._utils.array_api import l2_normalize
from .shots import sum_rows

# Folds in which a trained bridge is fitted anew; fewer where no class has as many images.
N_FOLDS = 3


@dataclass(frozen=True)
class HeldOut:
    """Affinities of all shots, each as far as possible by a model without it.

    Attributes
    ----------
    affinities : dict of ndarray of shape (n, C)
        In rows outside of `mask` the own class has seen the shot; the other classes never have.
    codes : ndarray of shape (n,)
        True class of each shot.
    weight : ndarray of shape (n,)
        Sample weight of each shot.
    image : ndarray of shape (n,)
        See `Shots.images`.
    mask : ndarray of shape (n,)
        Shots that were held out.
    """

    affinities: dict
    codes: np.ndarray
    weight: np.ndarray
    image: np.ndarray
    mask: np.ndarray


def can_be_held_out(shots):
    """Mask of the shots whose class keeps another image, and whose copies have one label.

    The others still compete: they stay in the model that the held-out shots are put to.
    """
    _, codes, groups = shots.images
    return (np.bincount(codes)[shots.codes] > 1) & (np.bincount(groups)[shots.group] == 1)


def leave_one_out(shots, model, unit_shots, eos, whitening_fit=None):
    """Closed form, each image left out in turn: its class loses its rows, nothing else changes.

    Parameters
    ----------
    shots : Shots
    model : Model
        Of all shots, in closed form.
    unit_shots, eos : ndarray of shape (n, D) and (n, d)
        Of `l2_normalize` and of `Bridge.to_eos`.
    whitening_fit : WhiteningFit or None
        Of the shots' images, in the order of `Shots.images`.

    Returns
    -------
    HeldOut
    """
    image, image_codes, _ = shots.images
    share, bridge, n_classes = shots.weight_in_class, model.bridge, len(model.has_shots)
    mask = can_be_held_out(shots)
    rest = 1 - np.bincount(image, weights=share)  # share of the class that stays without the image
    rest[image[~mask]] = 1

    def means_without(values):
        """The class mean of `values` for each image once it is left out."""
        weighted = share[:, None] * values
        by_class = sum_rows(weighted, shots.codes, n_classes)
        left = by_class[image_codes] - sum_rows(weighted, image, len(image_codes))
        return left / rest[:, None]

    bridged = l2_normalize(bridge.to_joint(eos))
    rows, codes, image_of = np.flatnonzero(mask), shots.codes[mask], image[mask]

    def paired(a, b):
        return np.einsum("nd,nd->n", a[mask], b[image_of])

    affinities = {}
    if model.text_embeddings is not None:
        affinities["z1"] = unit_shots @ model.text_embeddings.T
    affinities["z2"] = unit_shots @ model.prototypes.T
    affinities["z2"][rows, codes] = paired(unit_shots, bridge.prototypes(means_without(eos)))
    affinities["z3"] = bridged @ model.image_means.T
    affinities["z3"][rows, codes] = paired(bridged, l2_normalize(means_without(shots.X)))
    if whitening_fit is not None:
        affinities["z4"] = model.whitening.affinity(unit_shots)
        affinities["z4"][mask] = whitening_fit.held_out(unit_shots[mask], image_of)
    return HeldOut(affinities, shots.codes, shots.weight, image, mask)


def cross_fit(shots, model, fit_fold, unit_shots, whitening_fit=None, random_state=None):
    """Trained bridge: shots of each fold are put to a model that was trained on the other folds.

    Parameters
    ----------
    shots : Shots
    model : Model
        Of all shots.
    fit_fold : callable
        `fit_fold(shots)` gives the `Model` of some of the shots.
    unit_shots, whitening_fit
        See `leave_one_out`.
    random_state : int, RandomState instance or None
        Shuffles the images of each class before they are dealt to folds; None leaves them in the order of
        their content.

    Returns
    -------
    HeldOut
    """
    image, image_codes, _ = shots.images
    mask = can_be_held_out(shots)
    n_folds = min(N_FOLDS, int(np.bincount(image_codes).max()))
    fold = _deal(image_codes, n_folds, random_state)[image]
    affinities = model.affinities(shots.X)
    for k in range(n_folds):
        held = mask & (fold == k)
        if not held.any():
            continue
        of_fold = fit_fold(shots.take(~held)).affinities(shots.X[held])
        for name, z in of_fold.items():
            affinities[name][held] = z
    if whitening_fit is not None:
        affinities["z4"][mask] = whitening_fit.held_out(unit_shots[mask], image[mask])
    return HeldOut(affinities, shots.codes, shots.weight, image, mask)


def _deal(codes, n_folds, random_state):
    """A fold for each image, dealt class by class so that folds are as even as can be."""
    order = np.arange(len(codes))
    if random_state is not None:
        order = check_random_state(random_state).permutation(len(codes))
    order = order[np.argsort(codes[order], kind="stable")]
    fold = np.empty(len(codes), dtype=np.intp)
    fold[order] = np.arange(len(codes)) % n_folds
    return fold
