"""A browser that the tests of pages share, and pages for it."""

import pytest

from sksemobridge import write_report
from sksemobridge.datasets import load_image_folder

from ...browser import Browser
from ...user_folder import fitted_to_shots


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def report(place):
    """Writes a page of a folder with shots, and gives its path."""

    def write(folder="photos", name="report.html", **params):
        shots = load_image_folder("shots")
        labels = shots.target_names[shots.target]
        write_report(place / name, fitted_to_shots(), folder, shots.paths, labels, progress=False, **params)
        return place / name

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
