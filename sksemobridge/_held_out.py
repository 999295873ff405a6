"""Affinities of the shots as queries of a model that has not seen them."""

from dataclasses import dataclass

import numpy as np

from ._bridge import unit
from ._shots import sum_rows


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
    _, codes, units = shots.images()
    return (np.bincount(codes)[shots.codes] > 1) & (np.bincount(units)[shots.unit] == 1)


def leave_one_out(shots, bridge, n_classes, text_embeddings=None, whitening_fit=None):
    """Closed form, each image left out in turn: its class loses its rows, nothing else changes.

    Parameters
    ----------
    shots : Shots
    bridge : Bridge
        Closed form.
    n_classes : int
    text_embeddings : ndarray of shape (C, D) or None
    whitening_fit : WhiteningFit or None
        Of the shots' images, in the order of `Shots.images`.

    Returns
    -------
    HeldOut
    """
    image, image_codes, _ = shots.images()
    share = shots.share()
    mask = can_be_held_out(shots)
    rest = 1 - np.bincount(image, weights=share)  # share of the class that stays without the image
    rest[image[~mask]] = 1

    def means(values):
        """Class means of `values`, and what they are for each image once it is left out."""
        weighted = share[:, None] * values
        by_class = sum_rows(weighted, shots.codes, n_classes)
        left = by_class[image_codes] - sum_rows(weighted, image, len(image_codes))
        return by_class, left / rest[:, None]

    unit_shots, bridged = unit(shots.X), bridge.apply(shots.X)
    eos_means, eos_without = means(bridge.to_eos(shots.X))
    image_means, images_without = means(shots.X)
    rows, codes, image_of = np.flatnonzero(mask), shots.codes[mask], image[mask]

    def paired(a, b):
        return np.einsum("nd,nd->n", a[mask], b[image_of])

    affinities = {}
    if text_embeddings is not None:
        affinities["z1"] = unit_shots @ text_embeddings.T
    affinities["z2"] = unit_shots @ bridge.prototypes(eos_means).T
    affinities["z2"][rows, codes] = paired(unit_shots, bridge.prototypes(eos_without))
    affinities["z3"] = bridged @ unit(image_means).T
    affinities["z3"][rows, codes] = paired(bridged, unit(images_without))
    if whitening_fit is not None:
        affinities["z4"] = whitening_fit.fitted().affinity(unit_shots)
        affinities["z4"][mask] = whitening_fit.held_out(unit_shots[mask], image_of)
    return HeldOut(affinities, shots.codes, shots.weight, image, mask)
