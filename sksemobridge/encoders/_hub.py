"""The hub from which models come, on a machine without a network."""

import logging
import socket
import threading
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

# Seconds to wait for a connection. A connection takes a tenth of this; behind a firewall, no answer
# comes.
PATIENCE = 3
# Ports of addresses and proxies that name none. Other schemes have port 80.
PORTS = {"https": 443, "socks4": 1080, "socks4a": 1080, "socks5": 1080, "socks5h": 1080}
# The setting is one for the process: only one thread may change it, and put it back, at a time.
_SETTING_LOCK = threading.RLock()


@contextmanager
def asking_hub_of(source):
    """Context in which a hub that cannot be reached is not asked: files on this machine are read at
    once, and missing files are an error at once. Without it, huggingface_hub asks five times for
    each file. A source of files asks no hub.
    """
    if source.files:
        yield
        return
    from huggingface_hub import constants

    with _SETTING_LOCK:
        root = logging.getLogger()
        root.addFilter(_is_no_error)
        was_offline = constants.HF_HUB_OFFLINE
        try:
            if not was_offline and not _is_reachable(hub_address()):
                constants.HF_HUB_OFFLINE = True
            yield
        finally:
            constants.HF_HUB_OFFLINE = was_offline
            root.removeFilter(_is_no_error)


def hub_address():
    """The address of the hub, or of its mirror."""
    from huggingface_hub import constants

    return constants.ENDPOINT


def is_out_of_question(repository):
    """Whether no file of a repository is on this machine, and the hub cannot be asked for one. With
    None as the name, the question is for any repository.
    """
    from huggingface_hub import constants

    name = "*" if repository is None else escape(repository.replace("/", "--"))
    if any(Path(constants.HF_HUB_CACHE).glob(f"models--{name}")):
        return False
    return constants.HF_HUB_OFFLINE or not _is_reachable(hub_address())


def _is_no_error(record):
    # open_clip logs its errors beside raising them.
    return record.levelno < logging.ERROR


def _is_reachable(url):
    """Whether there is a connection to an address, or to the proxy that leads to it. Problems of
    the address or the proxy are left to the hub's own client.
    """
    try:
        place, proxies = urlsplit(url), getproxies()
        proxy = proxies.get(place.scheme) or proxies.get("all")
        if proxy and not proxy_bypass(place.hostname or ""):
            place = urlsplit(proxy if "//" in proxy else f"//{proxy}")
        port = place.port or PORTS.get(place.scheme, 80)
        with suppress(OSError), socket.create_connection((place.hostname, port), PATIENCE):
            return True
    except ValueError:
        return True
    return False


def is_out_of_reach(error):
    """Whether a file is missing because the hub was not asked for it."""
    from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

    while error is not None:
        if isinstance(error, LocalEntryNotFoundError | OfflineModeIsEnabled):
            return True
        error = error.__cause__ or error.__context__
    return False
