"""Saving of estimators: the saved state, and the classes that a file may hold."""

from importlib import import_module
from typing import Any, get_args, get_origin, get_type_hints

from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone

from . import __version__
from .sklearn import LinkedToDocs
from .validation import warn_caller

# Fitted attributes that are saved. All other attributes that end in "_" are computed from
# `_fitted`.
KEPT = ("n_features_in_", "feature_names_in_")


def trusted_types() -> list[str]:
    """Return the names of the classes that a file of an estimator of this package may hold.

    The names are the argument `trusted` of `skops.io.load`, which refuses files with other classes.

    Returns
    -------
    list of str
        Sorted names of the public estimators, and of the classes in their fitted states.

    Examples
    --------
    >>> from sksemobridge import trusted_types
    >>> "sksemobridge._few_shot_classifier.FewShotClassifier" in trusted_types()
    True
    """
    found: set[type] = set()
    package: Any = import_module("sksemobridge")
    public = [getattr(package, name) for name in package.__all__]
    # Annotations name the classes of parameters and of the parts of a fitted state.
    waiting: list[Any] = [part for part in public if hasattr(part, "get_params")]
    while waiting:
        kind = waiting.pop()
        waiting += get_args(kind)
        kind = get_origin(kind) or kind
        is_ours = isinstance(kind, type) and kind.__module__.startswith("sksemobridge.")
        if is_ours and kind not in found:
            found.add(kind)
            waiting += get_type_hints(kind).values()
    return sorted(f"{kind.__module__}.{kind.__qualname__}" for kind in found)


class SavedEstimator(LinkedToDocs, BaseEstimator):
    """An estimator whose fitted state is one object, `_fitted`, with public names for its arrays:
    `_set_fitted` sets both.

    Only `_fitted` is saved, because joblib would store an array once for each name. An annotation
    of `_fitted` names its class for `trusted_types`.
    """

    n_features_in_: int
    feature_names_in_: NDArray[Any]

    def __sklearn_is_fitted__(self):
        return getattr(self, "_fitted", None) is not None

    def __getstate__(self):
        state = super().__getstate__().items()
        saved = {
            # Save a dict in place of a Series of pandas, which skops would refuse.
            name: value.to_dict() if hasattr(value, "to_dict") else value
            for name, value in state
            if name in KEPT or not name.endswith("_")
        }
        return saved | {"_version": __version__}

    def __setstate__(self, state):
        state = dict(state)
        saved = state.pop("_version", None)
        if saved != __version__:
            warn_caller(
                f"This {type(self).__name__} was saved with sksemobridge {saved} and is loaded with"
                f" {__version__}. Its results may differ or be wrong; fit it again, or load it with"
                " that version."
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
