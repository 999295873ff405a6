"""How fitted estimators are saved: each array once, with the version of this package."""

import warnings

from sklearn.base import BaseEstimator


class SavedEstimator(BaseEstimator):
    """An estimator whose fitted state is one object, `_model`, that also has its arrays under public names.

    `_model.public()` is a dict of the fitted attributes. Only `_model` is saved, since joblib would store an
    array as often as it meets it.
    """

    def _publish(self, model):
        """Keep the fitted model, and its arrays under their public names."""
        self._model = model
        vars(self).update(model.public())

    def __sklearn_is_fitted__(self):
        return getattr(self, "_model", None) is not None

    def __getstate__(self):
        from . import __version__

        state = dict(super().__getstate__())
        model = state.get("_model")
        for name in () if model is None else model.public():
            state.pop(name, None)
        return state | {"_sksemobridge_version": __version__}

    def __setstate__(self, state):
        from . import __version__

        state = dict(state)
        saved = state.pop("_sksemobridge_version", "unknown")
        if saved != __version__:
            warnings.warn(
                f"This {type(self).__name__} was saved with version {saved} of sksemobridge and is loaded with "
                f"{__version__}. Its results may differ or be wrong; fit it anew, or load it with {saved}.",
                UserWarning,
                stacklevel=2,
            )
        super().__setstate__(state)
        if state.get("_model") is not None:
            self._publish(state["_model"])
