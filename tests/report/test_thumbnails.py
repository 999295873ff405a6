"""Small pictures inside a page, and links to files beside it."""

import base64
import io
import os
import sys
from pathlib import Path
from urllib.parse import unquote_to_bytes, urljoin

import numpy as np
import pytest
from PIL import Image

from sksemobridge._report._thumbnails import address, thumbnails


def test_small_pictures_hold_their_own_content(tmp_path):
    Image.fromarray(np.full((400, 800, 3), 200, dtype=np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no image")
    a, b = (str(tmp_path / name) for name in ("a.png", "b.png"))
    made = thumbnails([b, a], progress=False)
    assert list(made) == [a]
    kind, _, content = made[a].partition(",")
    assert kind == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(content))).size == (160, 80)


NAMES = [
    "a.png",
    "with space.png",
    "a:b.png",
    "javascript:alert(1).png",
    "#?%41.png",
    "Vögel.png",
    "\udcff.png",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.skipif(sys.platform != "linux", reason="other systems have fewer names")
def test_an_address_leads_to_its_file_and_to_nothing_else(tmp_path, name):
    (tmp_path / "pages").mkdir()
    (tmp_path / name).touch()
    found = address(str(tmp_path / name), tmp_path / "pages")
    page = (tmp_path / "pages" / "report.html").as_uri()
    path = urljoin(page, found).removeprefix("file://")
    assert os.path.samefile(unquote_to_bytes(path), tmp_path / name)
    assert address(str(tmp_path / name), tmp_path).count(":") == 0


def test_another_drive_has_a_whole_address(tmp_path, monkeypatch):
    def relpath(path, start):
        raise ValueError("path is on mount 'D:', start on mount 'C:'")

    monkeypatch.setattr(os.path, "relpath", relpath)
    assert address(str(tmp_path / "a.png"), tmp_path) == Path(os.path.realpath(tmp_path), "a.png").as_uri()
