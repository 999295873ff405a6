"""Answers follow the content of their pictures."""

import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from sksemobridge._utils.files import changed_ns, settled_change
from sksemobridge.labelling._answers.answers_file import digest_of
from sksemobridge.labelling._answers.events import Event, PictureEvent
from sksemobridge.labelling._photos.picture_index import Pictures

from ...user_folder import link


@pytest.fixture(autouse=True)
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b", "more/c"):
        path = Path(f"photos/{name}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"content of {name}")


def found(*names):
    """Where the pictures are that once had these names below `photos`, with content of theirs."""
    files = sorted(str(path) for path in Path("photos").rglob("*.png"))
    pictures = Pictures({"photos": "photos"}, {"photos": files})
    parts = [
        PictureEvent(f"{name}.png", "photos", *digest_of(f"content of {name}".encode()), label="x")
        for name in names
    ]
    find = pictures.finder([Event("page", pictures=tuple(parts))])
    real = os.path.realpath("photos")
    return [
        sorted(Path(os.path.relpath(path, real)).as_posix() for path in find(part))
        for part in parts
    ]


def test_a_picture_is_where_it_was():
    assert found("a", "more/c") == [["a.png"], ["more/c.png"]]


def test_a_moved_and_a_renamed_picture_is_found_by_its_content():
    os.rename("photos/a.png", "photos/more/new.png")
    Path("photos/a.png").write_text("another of a")
    assert found("a") == [["more/new.png"]]
    os.rename("photos", "elsewhere")
    os.mkdir("photos")
    os.rename("elsewhere", "photos/moved")
    assert found("b", "more/c") == [["moved/b.png"], ["moved/more/c.png"]]


def test_equal_pictures_share_an_answer_only_if_its_path_is_gone():
    for name in ("copy", "copy too"):
        Path(f"photos/{name}.png").write_text("content of a")
    assert found("a") == [["a.png"]]
    os.remove("photos/a.png")
    assert found("a") == [["copy too.png", "copy.png"]]


def test_a_file_with_an_answer_of_its_own_takes_none_of_an_equal_one():
    Path("photos/b.png").write_text("content of a")
    os.remove("photos/a.png")
    files = ["photos/b.png"]
    pictures = Pictures({"photos": "photos"}, {"photos": files})
    digest = digest_of(b"content of a")
    gone, own = (PictureEvent(name, "photos", *digest, label="x") for name in ("a.png", "b.png"))
    find = pictures.finder([Event("page", pictures=(gone, own))])
    assert (find(gone), find(own)) == ([], [os.path.realpath("photos/b.png")])


def test_a_changed_picture_is_nowhere_and_one_without_a_digest_is_any():
    Path("photos/a.png").write_text("another...a")
    assert found("a") == [[]]
    pictures = Pictures({"photos": "photos"}, {"photos": ["photos/a.png"]})
    part = PictureEvent("a.png")
    assert pictures.finder([Event("skip", pictures=(part,))])(part)


def test_links_lead_to_one_picture():
    link(Path("photos/a.png").absolute(), "photos/link.png")
    files = ["photos/a.png", "photos/link.png"]
    pictures = Pictures({"photos": "photos"}, {"photos": files})
    find = pictures.finder([])
    assert find(PictureEvent("link.png")) == find(PictureEvent("a.png"))
    assert pictures.place[os.path.realpath("photos/a.png")] == ("photos", "a.png")


def test_a_file_that_was_not_changed_since_is_not_read(monkeypatch):
    monkeypatch.setattr("sksemobridge._utils.files.SETTLED_NS", 0)
    pictures = Pictures({"photos": "photos"}, {"photos": ["photos/a.png"]})
    status = os.stat("photos/a.png")
    # Its content would not fit.
    for changed, is_found in ((changed_ns(status), True), (changed_ns(status) - 1, False)):
        part = PictureEvent("a.png", "photos", status.st_size, "0" * 64, changed)
        assert bool(pictures.finder([Event("skip", pictures=(part,))])(part)) == is_found


def test_the_time_of_a_change_is_kept_only_if_it_would_tell_the_next_one():
    long_ago = os.stat(__file__)
    assert settled_change(long_ago, long_ago) == changed_ns(long_ago)
    now = SimpleNamespace(st_size=1, st_mtime_ns=long_ago.st_mtime_ns, st_ctime_ns=time.time_ns())
    # Programs can set the first time, but not the second.
    assert changed_ns(now) == now.st_ctime_ns
    assert settled_change(now, now) is None
    assert settled_change(SimpleNamespace(**vars(now) | {"st_size": 2}), long_ago) is None
