"""A browser that the tests of pages share, and pages for it."""

import pytest

from ...browser import Browser
from ...user_folder import SHOTS


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def report(label, place):
    """Writes a page of `photos` with the command, and gives its path."""

    def write(arguments=SHOTS):
        label(f"{arguments} --out table.csv --report report.html --overwrite")
        return place / "report.html"

    return write


@pytest.fixture
def live(tmp_path, monkeypatch):
    """Serves a page in an empty folder, with `photos` of a `Job`."""
    pytest.importorskip("uvicorn")
    from .live import Live

    monkeypatch.chdir(tmp_path)
    # No browser starts in tests, also where there is a screen.
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    pages = []

    def start(**params):
        for page in pages:
            page.close()
        pages.append(Live(**params))
        return pages[-1]

    yield start
    for page in pages:
        page.close()
