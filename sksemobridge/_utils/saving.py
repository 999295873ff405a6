"""Estimators in files: what is saved, and which classes a file may hold."""

from importlib import import_module
from typing import Any, get_args, get_type_hints

import numpy as np
import sklearn
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone

from . import __version__
from .validation import warn_caller

# These fitted attributes are saved. All others that end in "_" are computed from `_fitted`.
KEPT = ("n_features_in_", "feature_names_in_")
# Versions that a saved estimator depends on: of this package, and the minor versions of NumPy and scikit-learn.
_OTHERS = {"numpy": np.__version__, "scikit-learn": sklearn.__version__}
_VERSIONS = {name: ".".join(version.split(".")[:2]) for name, version in _OTHERS.items()}
_VERSIONS["sksemobridge"] = __version__


def trusted_types() -> list[str]:
    """Return the names of the classes that a file of an estimator of this package may hold.

    They are the argument `trusted` of `skops.io.load`, which refuses files with other classes.

    Returns
    -------
    list of str
        Sorted names of the public estimators, and of the classes in their fitted states.

    Examples
    --------
    >>> from sksemobridge import trusted_types
    >>> "sksemobridge._classifier.SeMoBridgeClassifier" in trusted_types()
    True
    >>> import skops.io  # doctest: +SKIP
    >>> classifier = skops.io.load("classifier.skops", trusted=trusted_types())  # doctest: +SKIP
    """
    found: set[type] = set()
    package: Any = import_module("sksemobridge")
    public = [getattr(package, name) for name in package.__all__]
    # Annotations name the classes of parameters and of the parts of a fitted state.
    waiting: list[Any] = [part for part in public if hasattr(part, "get_params")]
    while waiting:
        kind = waiting.pop()
        waiting += get_args(kind)
        is_ours = isinstance(kind, type) and kind.__module__.startswith("sksemobridge.")
        if is_ours and kind not in found:
            found.add(kind)
            waiting += get_type_hints(kind).values()
    return sorted(f"{kind.__module__}.{kind.__qualname__}" for kind in found)


class SavedEstimator(BaseEstimator):
    """An estimator whose fitted state is one object, `_fitted`. Its arrays also have public names.

    `_set_fitted(fitted)` sets both. Only `_fitted` is saved, because joblib would store an array once for each name. Each
    estimator annotates the class of its `_fitted`, so that `trusted_types` finds it.
    """

    n_features_in_: int
    feature_names_in_: NDArray[Any]

    def __sklearn_is_fitted__(self):
        return getattr(self, "_fitted", None) is not None

    def __getstate__(self):
        state = super().__getstate__().items()
        saved = {name: value for name, value in state if name in KEPT or not name.endswith("_")}
        return saved | {"_versions": _VERSIONS}

    def __setstate__(self, state):
        state = dict(state)
        saved = state.pop("_versions", {})
        changed = [name for name in _VERSIONS if saved.get(name) != _VERSIONS[name]]
        if changed:
            then, today = (
                ", ".join(f"{name} {versions.get(name)}" for name in changed)
                for versions in (saved, _VERSIONS)
            )
            warn_caller(
                f"This {type(self).__name__} was saved with {then} and is loaded with {today}. Its results may differ or "
                "be wrong; fit it again, or load it with the versions that saved it."
            )
        super().__setstate__(state)
        if self.__sklearn_is_fitted__():
            self._set_fitted(self._fitted)

    def _clone_with(self, fitted, **params):
        """An estimator with the same features, other `params`, and another fitted state."""
        result = clone(self).set_params(**params)
        vars(result).update({name: value for name, value in vars(self).items() if name in KEPT})
        result._set_fitted(fitted)
        return result
