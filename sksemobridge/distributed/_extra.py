"""The optional dependency."""


def import_ray():
    """The module `ray` with `ray.data`.

    Raises
    ------
    ImportError
        If the extra is not installed.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ImportError(
            'sksemobridge.distributed runs on Ray Data, which is not installed: pip install "sksemobridge[ray]".'
        ) from error
    return ray
