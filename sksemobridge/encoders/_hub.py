"""The hub that models come from: whether it answers, and what huggingface_hub keeps of it on this machine."""

import os
import time
from functools import lru_cache

# In seconds: how long the hub has for an answer, and how long it counts as out of reach without one.
_TIMEOUT, _MEMORY = 5.0, 30.0
_PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY")


def find_kept(needs):
    """Files on this machine by repository, where the hub does not answer; nothing where it does.

    Without this question huggingface_hub would try again and again, for a minute or two and some fifty lines of log.

    Parameters
    ----------
    needs : dict
        From repositories to names of files, one of which must be there.

    Raises
    ------
    ConnectionError
        If the hub does not answer, or must not be asked, and a repository has none of its files here.
    """
    from huggingface_hub import constants, try_to_load_from_cache

    # A configuration may name a folder in the place of a repository.
    needs = {repository: names for repository, names in needs.items() if not os.path.isdir(repository)}
    error = None
    if needs and not constants.HF_HUB_OFFLINE:
        error = _try_to_reach(time.monotonic() // _MEMORY)
    if not needs or (error is None and not constants.HF_HUB_OFFLINE):
        return {}
    kept = {}
    for repository, names in needs.items():
        paths = [try_to_load_from_cache(repository, name) for name in names]
        # For a file that the hub does not have, too, something is remembered, which is no path.
        kept[repository] = next((path for path in paths if isinstance(path, str)), None)
        if kept[repository] is None:
            # Only its name: an address may hold a password.
            proxy = next((name for name in _PROXIES if os.environ.get(name)), None)
            way = f"through the proxy in {proxy}" if proxy else "without a proxy (HTTPS_PROXY is not set)"
            problem = (
                f"{constants.ENDPOINT} does not answer {way} ({error})" if error else "HF_HUB_OFFLINE is set"
            )
            raise ConnectionError(
                f"{problem}, and {repository!r} is not in {constants.HF_HUB_CACHE!r}."
            ) from error
    return kept


@lru_cache(maxsize=1)
def _try_to_reach(_):
    """The error of a try to reach the hub, or None; remembered for one argument."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    try:
        get_session().head(constants.ENDPOINT, timeout=_TIMEOUT)
    # Of the client that huggingface_hub uses: requests, httpx or another.
    except Exception as error:
        # Its message says all. With it would come a hundred lines of how the client found out.
        error.__cause__ = error.__context__ = None
        return error.with_traceback(None)
    return None
