"""Live pages."""

import asyncio
import warnings
from types import SimpleNamespace

import pytest

from .person import Person


@pytest.fixture
def ends_soon(monkeypatch):
    """Have servers look a hundred times a second whether they shall end, not ten times."""
    pytest.importorskip("uvicorn")

    parts = vars(asyncio) | {"sleep": lambda seconds: asyncio.sleep(seconds / 10)}
    monkeypatch.setattr("uvicorn.server.asyncio", SimpleNamespace(**parts))


def start_no_browser(monkeypatch):
    """No browser starts in tests, also where there is a screen."""
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def live(tmp_path, monkeypatch, ends_soon):
    """Serves a page in an empty folder, with `photos` of a tiny job."""
    from .live import Live

    monkeypatch.chdir(tmp_path)
    # A person may say anything.
    warnings.filterwarnings("ignore", ".* hardly count, because their labels look wrong")
    warnings.filterwarnings("ignore", "The names of the classes are no better than chance")
    start_no_browser(monkeypatch)
    pages = []

    def close_all():
        # No page in the browser needs to hear of it.
        with monkeypatch.context() as patch:
            patch.setattr("sksemobridge.labelling._live.server.FAREWELL", 0)
            for page in pages:
                page.close()

    def start(**params):
        close_all()
        pages.append(Live(**params))
        return pages[-1]

    yield start
    close_all()


@pytest.fixture
def hurries(browser):
    """Pages do not wait as long as a person needs. A test of this wait takes the fixture away."""
    with browser.hurrying():
        yield


@pytest.fixture
def person(live, browser, hurries):
    """Opens a view of a page that is served (or of a new one), as a person would."""

    def open_view(view="", page=None, **params):
        browser.look(1366, "light", 640)
        return Person(browser, page or live(**params), view)

    return open_view
