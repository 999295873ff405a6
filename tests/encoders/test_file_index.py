"""A second run reads no file that is as it was, and every one that may not be."""

import os
import shutil
import sqlite3
from contextlib import closing

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from sksemobridge.encoders import CLIPImageEncoder, JoinedImageEncoder, _image_encoder

from ..encoder_helpers import some_pictures, write_pictures


@pytest.fixture
def paths(tmp_path):
    return write_pictures(tmp_path, 6)


@pytest.fixture(params=["disk", "memory"])
def cache(request, tmp_path):
    return tmp_path / "cache" if request.param == "disk" else "memory"


on_disk = pytest.mark.parametrize("cache", ["disk"], indirect=True)


@pytest.fixture
def encoder(cache):
    return CLIPImageEncoder("mini", "bundled", precision="fp32", cache=cache, batch_size=2)


@pytest.fixture
def settled(monkeypatch):
    """Files count as settled at once."""
    monkeypatch.setattr("sksemobridge._utils.files.SETTLED_NS", 0)


@pytest.fixture
def read(monkeypatch):
    """Names of the files in the order in which they are read."""
    names, fetch = [], _image_encoder.fetch

    def fetch_and_note(image, *args):
        names.append(os.path.basename(image))
        return fetch(image, *args)

    monkeypatch.setattr(_image_encoder, "fetch", fetch_and_note)
    return names


def other_picture(path):
    """Another picture of the same size in bytes."""
    n_bytes = os.path.getsize(path)
    for seed in range(1, 1000):
        Image.fromarray(some_pictures(1, seed=seed)[0]).save(path)
        if (missing := n_bytes - os.path.getsize(path)) >= 0:
            with open(path, "ab") as file:
                file.write(bytes(missing))
            return
    raise AssertionError("no picture is as small")


def test_a_second_run_reads_nothing_and_gives_the_same(encoder, paths, settled, read):
    expected = encoder.transform(paths)
    assert sorted(read) == [os.path.basename(path) for path in paths]
    read.clear()
    assert_array_equal(encoder.transform(paths), expected)
    assert_array_equal(encoder.transform([os.path.relpath(path) for path in paths]), expected)
    assert read == []


def test_a_file_that_changed_just_before_it_was_read_is_read_again(encoder, paths, read):
    for _ in range(2):
        encoder.transform(paths)
    assert len(read) == 12


def replace(path):
    other = shutil.copy(path, f"{path}.new.png")
    other_picture(other)
    os.replace(other, path)


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps no time of change")
@pytest.mark.parametrize("change", [other_picture, replace])
def test_an_edit_that_keeps_size_and_time_is_noticed(encoder, paths, settled, read, change):
    before, status = encoder.transform(paths), os.stat(paths[2])
    change(paths[2])
    os.utime(paths[2], ns=(status.st_atime_ns, status.st_mtime_ns))
    now = os.stat(paths[2])
    assert (now.st_size, now.st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    read.clear()
    after = encoder.transform(paths)
    # On disk, once more with the model.
    assert set(read) == {"002.png"}
    assert not np.allclose(after[2], before[2])
    assert_array_equal(np.delete(after, 2, axis=0), np.delete(before, 2, axis=0))


def test_a_file_that_changes_while_it_is_read_is_read_again(encoder, paths, settled, monkeypatch):
    fetch, seen = _image_encoder.fetch, []

    def fetch_and_touch(image, *args):
        content = fetch(image, *args)
        if image == paths[1]:
            os.utime(image)
        seen.append(image)
        return content

    monkeypatch.setattr(_image_encoder, "fetch", fetch_and_touch)
    encoder.transform(paths)
    seen.clear()
    encoder.transform(paths)
    assert seen == [paths[1]]


def test_embeddings_go_by_content_whatever_the_path(encoder, paths, settled, read, passes):
    expected = encoder.transform(paths)
    assert sum(passes) == 6
    moved = f"{paths[0]}.moved.png"
    os.rename(paths[0], moved)
    read.clear()
    assert_array_equal(encoder.transform([moved, *paths[1:]]), expected)
    assert read == [os.path.basename(moved)]
    assert sum(passes) == 6
    # Another model has none of the embeddings, so the files are read.
    read.clear()
    encoder.set_params(precision="bf16").transform(paths[1:])
    assert (len(read), sum(passes)) == (5, 11)


def test_a_picture_whose_depth_depends_on_others_is_read_each_time(
    encoder, tmp_path, settled, read
):
    deep = tmp_path / "deep.png"
    Image.fromarray(np.arange(4096, dtype=np.uint16).reshape(64, 64)).save(deep)
    for _ in range(2):
        with pytest.warns(UserWarning, match="16 bits"):
            encoder.transform([deep])
    assert len(read) > 2


@on_disk
def test_the_index_has_digests_of_contents_alone(encoder, paths, tmp_path, settled, cache):
    deep = tmp_path / "deep.png"
    Image.fromarray(np.arange(4096, dtype=np.uint16).reshape(64, 64)).save(deep)
    with pytest.warns(UserWarning, match="16 bits"):
        encoder.transform([deep, *paths])
    with closing(sqlite3.connect(cache / "embeddings.sqlite3")) as connection:
        (n_files,) = connection.execute(
            "SELECT count(*) FROM embeddings WHERE length(key) = 16"
        ).fetchone()
    assert n_files == len(paths)


@on_disk
def test_files_that_are_forgotten_are_read_again(encoder, paths, settled, read, passes):
    encoder.transform(paths)
    read.clear()
    JoinedImageEncoder([encoder]).forget_files(paths[:2])
    encoder.transform(paths)
    assert sorted(read) == ["000.png", "001.png"]
    assert sum(passes) == 6


@on_disk
def test_a_damaged_index_is_not_trusted(encoder, paths, settled, read, cache):
    expected = encoder.transform(paths)
    with closing(sqlite3.connect(cache / "embeddings.sqlite3")) as connection, connection:
        connection.create_function("damaged", 1, lambda digest: digest[:9] + b"\0" + digest[10:])
        of_files = "SELECT rowid FROM embeddings WHERE length(key) = 16 LIMIT 2"
        connection.execute(
            f"UPDATE embeddings SET embedding = damaged(embedding) WHERE rowid IN ({of_files})"
        )
    read.clear()
    assert_array_equal(encoder.transform(paths), expected)
    assert len(read) == 2
