"""Live pages."""

import warnings

import pytest


@pytest.fixture
def live(tmp_path, monkeypatch):
    """Serves a page in an empty folder, with `photos` of a tiny job."""
    pytest.importorskip("uvicorn")
    from .live import Live

    monkeypatch.chdir(tmp_path)
    # A person may say anything.
    warnings.filterwarnings("ignore", ".* hardly count, because their labels look wrong")
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
