"""Ray, the optional dependency, and arrays that are sent to a cluster once."""

import numpy as np

NOT_INSTALLED = (
    'sksemobridge.distributed runs on Ray Data, which is not installed: pip install "sksemobridge[ray]".'
)


def import_ray():
    """The module `ray` with `ray.data`."""
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ImportError(NOT_INSTALLED) from error
    return ray


def share_array(array):
    """Return an equal, read-only array that other processes of a Ray cluster get as a reference.

    Use it with the backend `"ray"` of joblib. Without it, `cross_val_score` or `GridSearchCV` would send all embeddings with each
    fit. With it, every machine fetches the array once, and its processes share it.

    Parameters
    ----------
    array : ndarray

    Returns
    -------
    ndarray
        Slices of it are ordinary arrays.

    Raises
    ------
    ImportError
        If Ray is not installed.
    """
    return _fetch(import_ray().put(np.asarray(array)))


class _SharedArray(np.ndarray):
    _reference = None

    def __reduce_ex__(self, protocol):
        if self._reference is None:
            return np.asarray(self).__reduce_ex__(protocol)
        return _fetch, (self._reference,)


def _fetch(reference):
    import ray

    array = ray.get(reference).view(_SharedArray)
    array._reference = reference
    return array
