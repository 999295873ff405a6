"""A browser that the tests of pages share, and pages for it."""

import numpy as np
import pytest

from sksemobridge import write_report
from sksemobridge.datasets import load_image_folder

from ..browser import Browser
from ..user_folder import fitted_to_shots


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def report(place):
    """Writes a page of `photos` with shots, and gives its path."""

    def write(name="report.html", **params):
        shots = load_image_folder("shots")
        labels = shots.target_names[shots.target]
        write_report(place / name, fitted_to_shots(), "photos", shots.paths, labels, progress=False, **params)
        return place / name

    return write


@pytest.fixture
def many_pictures():
    """`content` of 10,000 pictures of three classes."""
    classes, always = (
        ["bird", "clock", "fruit"],
        {"problem": "", "readable": True, "given": False, "closest": []},
    )
    pictures = [
        {"file": f"photos/{i}.png", "path": f"photos/{i}.png", "label": classes[i % 3], "probability": p}
        | {"runner_up": classes[(i + 1) % 3], "runner_up_probability": 1 - p}
        | always
        for i, p in enumerate(np.random.default_rng(0).uniform(0.5, 1, size=10_000).tolist())
    ]
    return {"classes": classes, "shots": [], "doubtful": [], "corrections": {}, "pictures": pictures}
