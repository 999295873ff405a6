"""What names predict: affinities of a class with few shots, or none, lean on its text.

For a query `q`, `z_k` of a class `c` is predicted from `z1`, by how the two go together among the classes with shots:

    zhat_k,c = mean_c' z_k,c' + slope_k * (z1_c - mean_c' z1_c')        (means over the classes c' that were fitted)

The slope is that of a regression over pairs of different classes with shots, the mean image of one as a query
to the other. Without text `zhat_k,c` is the mean alone. With `lambda_c` the share of a class's own shots
(`class_means`), `lambda_c z_k,c + (1 - lambda_c) zhat_k,c` is used; a class known by name only has `lambda_c = 0`.
"""

from dataclasses import dataclass

import numpy as np

from .._utils.array_api import namespace
from .whitening import Affine

# Slopes are fitted on at most this many classes; more do not change them.
MOST_CLASSES = 1000
# Spread of cosines that rounding explains: texts that are all the same predict nothing.
LEAST_SPREAD = 1e-6


def fit_slopes(affinities):
    """`slope_k` from the affinities of class mean images to the classes, each of shape (C, C).

    With three classes or more, a class is not compared with itself.
    """
    n = len(affinities["z1"])
    pairs = ~np.eye(n, dtype=bool) if n > 2 else np.ones((n, n), dtype=bool)

    def centred(z):
        return z - (z * pairs).sum(axis=1, keepdims=True) / pairs.sum(axis=1, keepdims=True)

    text = centred(affinities["z1"])[pairs]
    square = text @ text
    differ = square > len(text) * LEAST_SPREAD**2
    return {
        name: float(text @ centred(z)[pairs] / square) if differ else 0.0
        for name, z in affinities.items()
        if name != "z1"
    }


@dataclass(frozen=True, eq=False)
class MeanClass:
    """The mean of the classes that had shots when the model was fitted, and the slopes.

    Attributes
    ----------
    text_embeddings : ndarray of shape (1, D) or None
    prototypes, image_means : ndarray of shape (1, D)
    whitening : Affine or None
        Of one row.
    slopes : dict of float
        `slope_k`; empty without text.
    """

    text_embeddings: np.ndarray | None
    prototypes: np.ndarray
    image_means: np.ndarray
    whitening: Affine | None
    slopes: dict

    @classmethod
    def of(cls, model, slopes):
        """Of a model whose classes all have shots."""

        def mean(values):
            return None if values is None else values.mean(axis=0, keepdims=True)

        whitening = model.whitening
        return cls(
            mean(model.text_embeddings),
            mean(model.prototypes),
            mean(model.image_means),
            whitening and Affine(mean(whitening.weights), whitening.offsets.mean(keepdims=True)),
            slopes,
        )


def lean_on_names(affinities, means, share, slopes):
    """The affinities of classes with few shots moved towards what names predict.

    Linear in each row, so that rows may also be those of matrices that give affinities.

    Parameters
    ----------
    affinities : dict of array of shape (n, C)
        Columns of classes without shots are ignored, except in `"z1"`.
    means : dict of array of shape (n, 1)
        Those of the mean class.
    share : dict of array of shape (C,)
        `lambda_c` for each affinity that leans; zero for classes without shots.
    slopes : dict of float
        `slope_k`; without `"z1"` they are not needed.
    """
    result = dict(affinities)
    for name, lambdas in share.items():
        xp = namespace(lambdas)
        predicted = means[name]
        if "z1" in affinities:
            predicted = predicted + slopes[name] * (affinities["z1"] - means["z1"])
        own = xp.where(lambdas > 0, affinities[name], xp.zeros_like(affinities[name]))
        result[name] = lambdas * own + (1 - lambdas) * predicted
    return result
