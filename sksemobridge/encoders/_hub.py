"""The hub of Hugging Face: whether it answers, and which of its files are on this machine."""

import os
import time
from functools import lru_cache

# In seconds: how long the hub has for an answer, and how long the result counts.
_TIMEOUT, _MEMORY = 5.0, 30.0
_PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY")


def find_kept(needs):
    """Paths on this machine by repository, if the hub does not answer or must not be asked. If it does, nothing.

    `needs` maps each repository to names of files, one of which must be there: `ConnectionError` if none is.
    huggingface_hub itself would try for a minute or two, with some fifty lines of log.
    """
    from huggingface_hub import constants, try_to_load_from_cache

    # A configuration may name a folder instead of a repository.
    needs = {repository: names for repository, names in needs.items() if not os.path.isdir(repository)}
    if not needs:
        return {}
    error = None if constants.HF_HUB_OFFLINE else _try_to_reach(time.monotonic() // _MEMORY)
    if error is None and not constants.HF_HUB_OFFLINE:
        return {}
    kept = {}
    for repository, names in needs.items():
        paths = [try_to_load_from_cache(repository, name) for name in names]
        # For a file that the hub does not have, the answer is an object, not a path.
        kept[repository] = next((path for path in paths if isinstance(path, str)), None)
        if kept[repository] is None:
            problem = "HF_HUB_OFFLINE is set"
            if error is not None:
                # Only the name of the variable: the address may hold a password.
                proxy = next((name for name in _PROXIES if os.environ.get(name)), None)
                way = f"through the proxy in {proxy}" if proxy else "without a proxy (HTTPS_PROXY is not set)"
                problem = f"{constants.ENDPOINT} does not answer {way} ({error})"
            raise ConnectionError(
                f"{problem}, and {repository!r} is not in {constants.HF_HUB_CACHE!r}."
            ) from error
    return kept


@lru_cache(maxsize=1)
def _try_to_reach(_):
    """Ask the hub once for each argument: the error, or None."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    try:
        get_session().head(constants.ENDPOINT, timeout=_TIMEOUT)
    # huggingface_hub may use requests, httpx or another client, each with errors of its own.
    except Exception as error:
        # The message says all. The traceback has a hundred lines of the client.
        error.__cause__ = error.__context__ = None
        return error.with_traceback(None)
    return None
