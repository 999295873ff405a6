"""What names predict: the affinities of a class that has few shots, or none, are read off its text.

For a query `q`, `z_k` of a class `c` is predicted from `z1` as it goes with `z1` among the classes with shots:

    zhat_k,c = mean_c' z_k,c' + slope_k * (z1_c - mean_c' z1_c')        (means over the classes c' with shots)

The slope is that of a regression over pairs of different classes with shots, the mean image of one as a query
to the other. Without text `zhat_k,c` is the mean alone. What is used of a class whose own shots are worth the share
`lambda_c` is `lambda_c z_k,c + (1 - lambda_c) zhat_k,c`; a class that is known by name only has `lambda_c = 0`.
"""

import numpy as np

from .._utils.array_api import namespace

# Classes that slopes are fitted on; more tell no more.
MOST_CLASSES = 1000


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


def lean_on_names(affinities, share, slopes):
    """The affinities of classes with few shots moved towards what names predict.

    Each row is treated linearly, so rows may also be those of matrices that give affinities.

    Parameters
    ----------
    affinities : dict of array of shape (n, C)
        Columns of classes without shots are ignored, except in `"z1"`.
    share : dict of array of shape (C,)
        `lambda_c` for each affinity but `"z1"`; zero for classes without shots.
    slopes : dict of float
        `slope_k`; without `"z1"` they count as zero.
    """
    result = {"z1": affinities["z1"]} if "z1" in affinities else {}
    for name, lambdas in share.items():
        xp, z = namespace(lambdas), affinities[name]
        own = lambdas > 0
        predicted = _mean(xp, z, own)
        if "z1" in affinities:
            text = affinities["z1"]
            predicted = predicted + slopes[name] * (text - _mean(xp, text, own))
        result[name] = lambdas * xp.where(own, z, xp.zeros_like(z)) + (1 - lambdas) * predicted
    return result


def _mean(xp, z, own):
    n_own = int(xp.count_nonzero(own))
    return xp.sum(xp.where(own, z, xp.zeros_like(z)), axis=1, keepdims=True) / n_own
