"""Classes that are known by name only: their missing affinities are read off their text.

For a query `q` and a class `u` without shots, `z_k` (k = 2, 3, 4) is predicted from `z1` as it goes with `z1`
among the classes with shots:

    z_k,u = mean_c z_k,c + slope_k * (z1_u - mean_c z1_c)        (means over the classes c with shots)

The slope is that of a regression over pairs of different classes with shots, the mean image of one as a query
to the other. Left out instead, `z_k` would count as zero, and such classes would never win; as the mean alone,
they would win too rarely.
"""

import numpy as np

from .._utils.array_api import namespace


def fit_slopes(affinities):
    """`slope_k` from the affinities of class mean images to the classes, each of shape (C, C).

    A class is not put to itself, as long as three classes are there to compare.
    """
    n = len(affinities["z1"])
    pairs = ~np.eye(n, dtype=bool) if n > 2 else np.ones((n, n), dtype=bool)

    def centred(z):
        return z - (z * pairs).sum(axis=1, keepdims=True) / pairs.sum(axis=1, keepdims=True)

    text = centred(affinities["z1"])[pairs]
    square = text @ text
    return {
        name: float(text @ centred(z)[pairs] / square) if square > 0 else 0.0
        for name, z in affinities.items()
        if name != "z1"
    }


def fill_in(affinities, has_shots, slopes):
    """The affinities with the columns of classes without shots predicted from `z1`.

    Each row is filled in linearly, so rows may also be those of matrices that give affinities.
    """
    xp = namespace(has_shots)

    def mean(z):
        return xp.sum(xp.where(has_shots, z, xp.zeros_like(z)), axis=1, keepdims=True) / n_seen

    n_seen = int(xp.count_nonzero(has_shots))
    text = affinities["z1"]
    above = text - mean(text)
    return {"z1": text} | {
        name: xp.where(has_shots, affinities[name], mean(affinities[name]) + slope * above)
        for name, slope in slopes.items()
    }
