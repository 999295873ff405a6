"""How typical an image is of the classes, and whether it is of one of them at all (ours).

    score(q) = max_c sum_k s_k z_k,c / d + sum_k max_c z_k,c / d_k

The first part is the weighted affinities of the estimated blend. They grow with the likeness to a class, where
probabilities only compare classes. The weights were estimated to tell classes apart, so the cosines `z1` to the class
texts and `z2` to the prototypes are added. Each `d` is the standard deviation of its maximum over the held-out shots.
The correction of each class is left out: it was fitted to the shots, and would find them more typical than other
images.

A p-value is the share of held-out shots whose score is no higher than that of the image, which is counted among them
(conformal prediction). Of images of the classes about `alpha` have a p-value of at most `alpha`. They are fewer where
shots are few, because a class is known less well without one of its few shots.

Reference: Bates, Candès, Lei, Romano, Sesia: "Testing for outliers with conformal p-values",
Annals of Statistics 2023.
"""

from dataclasses import dataclass

import numpy as np

from .._utils.array_api import namespace
from .blend import fuse

COSINES = ("z1", "z2")
# Deviations, relative to the largest value, below which values are equal up to rounding.
EQUAL = 1e-9


@dataclass(frozen=True, eq=False)
class Typicality:
    """Units of the scores, and the scores of the held-out shots.

    Attributes
    ----------
    units : dict of float
        `d` of the blend and of each cosine.
    shots : ndarray of shape (n,)
        Scores of the held-out shots, sorted.
    below : ndarray of shape (n + 1,)
        Total weight, in images, of the 0, 1, ..., n shots with the lowest scores.
    """

    units: dict
    shots: np.ndarray
    below: np.ndarray

    @classmethod
    def of(cls, affinities, blend, weight):
        """From the held-out shots.

        Parameters
        ----------
        affinities : dict of ndarray of shape (n, C)
        blend : dict of float
        weight : ndarray of shape (n,)
            Weight of each shot, in images.
        """
        largest = {"blend": _blended(affinities, blend).max(axis=1, initial=-np.inf)}
        largest |= {
            name: affinities[name].max(axis=1, initial=-np.inf) for name in COSINES if name in affinities
        }
        units = {name: _deviation(z) for name, z in largest.items()}
        scores = _in_units(largest, units)
        order = np.argsort(scores, kind="stable")
        return cls(units, scores[order], np.concatenate([[0.0], np.cumsum(weight[order])]))

    def scores(self, affinities, blend):
        """Of queries, from the affinities that the blend sums; shape (n,)."""
        xp = namespace(affinities["z2"])
        largest = {name: xp.max(affinities[name], axis=1) for name in COSINES if name in self.units}
        return _in_units({"blend": xp.max(_blended(affinities, blend), axis=1)} | largest, self.units)

    def p_values(self, scores):
        """Of scores `(n,)`: one where no shot could be held out."""
        return (1 + self.below[np.searchsorted(self.shots, scores, side="right")]) / (1 + self.below[-1])


def _blended(affinities, blend):
    return fuse(affinities, {name: scale for name, scale in blend.items() if name != "correction"})


def _in_units(largest, units):
    return sum(z / units[name] for name, z in largest.items())


def _deviation(values):
    """Their standard deviation; one where they do not differ, as those of two shots that are each other's class."""
    deviation = float(np.std(values)) if len(values) else 0.0
    return deviation if deviation > EQUAL * np.abs(values).max(initial=0.0) else 1.0
