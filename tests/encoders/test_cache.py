"""Embeddings kept between runs: found again by content, by several processes, after crashes."""

import os
import pickle
import shutil
import sqlite3
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from sksemobridge.encoders import CLIPImageEncoder
from sksemobridge.encoders._cache import _HELD, FolderSession
from sksemobridge.encoders._embedding import to_contents

from ..encoder_helpers import n_cached, small_config, some_pictures, write_model, write_pictures


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def encoder(directory):
    return CLIPImageEncoder("mini", "bundled", precision="fp32", cache=directory)


@pytest.fixture
def paths(tmp_path):
    return write_pictures(tmp_path, 6)


class FullDisk(sqlite3.Connection):
    """A disk without room for one page more."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.execute("PRAGMA max_page_count = 1")


def rows(n, width=8, seed=0):
    return np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)


def database(directory):
    return closing(sqlite3.connect(directory / "embeddings.sqlite3", check_same_thread=False))


def fill(directory, n=3, width=8):
    with closing(FolderSession(directory)) as cache:
        keys = [row.tobytes() for row in rows(n)]
        cache.keep(dict(zip(keys, to_contents(rows(n, width)))))


# With the encoder


def test_the_second_time_nothing_is_embedded(encoder, paths, passes):
    first = encoder.transform(paths)
    assert sum(passes) == 6
    assert_array_equal(encoder.transform(paths[::-1]), first[::-1])
    loaded = pickle.loads(pickle.dumps(encoder))
    assert_array_equal(loaded.transform(paths), first)
    unit = loaded.set_params(normalize=True).transform(paths)
    assert_allclose(np.linalg.norm(unit, axis=1), 1, rtol=1e-6)
    assert sum(passes) == 6
    assert_allclose(encoder.set_params(cache=None).transform(paths), first, atol=1e-5)


def test_only_new_images_are_embedded_in_full_batches(encoder, paths, passes):
    encoder.transform(paths[1:6:2])
    passes.clear()
    encoder.set_params(batch_size=2).transform(paths)
    assert passes == [2, 1]


def test_a_file_changed_in_place_is_seen(encoder, paths):
    before = encoder.transform(paths[:1])
    status = os.stat(paths[0])
    other = Path(paths[1]).read_bytes()
    Path(paths[0]).write_bytes(other)
    os.utime(paths[0], ns=(status.st_atime_ns, status.st_mtime_ns))
    after = encoder.transform(paths[:1])
    assert not np.allclose(after, before)
    assert_array_equal(after, encoder.transform(paths[1:2]))


def test_another_model_or_precision_is_another_entry_and_a_copy_elsewhere_is_not(
    encoder, paths, directory, tmp_path
):
    encoder.transform(paths)
    config = small_config("ViT-B-16")
    names = [
        write_model(tmp_path / "a", config),
        write_model(tmp_path / "b", config, seed=1),
        write_model(tmp_path / "c", config, preprocess={"mean": [0.5, 0.5, 0.5]}),
        write_model(tmp_path / "d", config | {"quick_gelu": True}),
        f"local-dir:{shutil.copytree(tmp_path / 'a', tmp_path / 'copy of a')}",
    ]
    for name in names:
        CLIPImageEncoder(name, precision="fp32", cache=directory).transform(paths)
    encoder.set_params(precision="bf16").transform(paths)
    assert n_cached(directory) == 6 * 6


def test_images_that_cannot_be_read_are_not_kept(encoder, paths, tmp_path):
    encoder.set_params(on_error="nan")
    late = tmp_path / "late.png"
    with pytest.warns(UserWarning, match="1 of 2 images"):
        encoder.transform([paths[0], late])
    Image.fromarray(some_pictures(1, seed=9)[0]).save(late)
    assert np.isfinite(encoder.transform([paths[0], late])).all()


def test_what_was_embedded_before_an_error_is_kept(encoder, paths, directory):
    with pytest.raises(ValueError, match="Image 4"):
        encoder.set_params(batch_size=2).transform([*paths[:4], "missing.jpg"])
    assert n_cached(directory) >= 2


def full_disk(_, monkeypatch):
    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=FullDisk))


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (lambda path, _: (shutil.rmtree(path.parent), path.parent.touch()), ""),
        (full_disk, "disk is full"),
    ],
    ids=["file in place of directory", "full disk"],
)
def test_a_cache_that_cannot_be_used_gives_one_warning_and_goes_on(
    encoder, paths, directory, break_it, reason, monkeypatch
):
    encoder.transform(paths[:3])
    break_it(directory / "embeddings.sqlite3", monkeypatch)
    with pytest.warns(
        UserWarning, match=f"cannot be used .*{reason}.*going on without it"
    ) as caught:
        got = encoder.transform(paths)
    assert [warning.filename for warning in caught] == [__file__]
    assert_allclose(got, encoder.set_params(cache=None).transform(paths), atol=1e-5)


# The store


def test_several_may_write_at_once_to_a_cache_that_none_has_made(directory):
    together = threading.Barrier(4)

    def write(seed):
        together.wait()
        with closing(FolderSession(directory)) as cache:
            for number in range(20):
                values = rows(20, 256, seed=20 * seed + number)
                # Keys that tell what belongs under them.
                cache.keep({content[:12]: content for content in to_contents(values)})

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write, range(4)))
    with database(directory) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        found = [key for (key,) in connection.execute("SELECT key FROM embeddings")]
    assert len(found) == 4 * 20 * 20
    with closing(FolderSession(directory)) as cache:
        for start in range(0, len(found), 200):
            some = found[start : start + 200]
            contents = cache.find(some)
            assert {key: contents[key][:12] for key in some} == dict(zip(some, some))


# Damage


@pytest.mark.parametrize(
    "damage",
    [
        lambda embedding, _: embedding[:10],
        lambda embedding, _: embedding[:2],
        lambda embedding, _: "text",
        lambda embedding, _: embedding[:20] + bytes([embedding[20] ^ 1]) + embedding[21:],
        lambda _, last: last,
    ],
    ids=["cut", "no checksum", "text", "bit", "of another key"],
)
def test_a_damaged_embedding_is_noticed_and_computed_anew(
    encoder, paths, directory, damage, passes
):
    expected = encoder.transform(paths)
    with database(directory) as connection, connection:
        connection.create_function("damaged", 2, damage)
        last = "(SELECT embedding FROM embeddings WHERE rowid = 6)"
        connection.execute(
            f"UPDATE embeddings SET embedding = damaged(embedding, {last}) WHERE rowid < 3"
        )
    found = encoder.transform(paths)
    assert sum(passes) == 6 + 2
    assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert_array_equal(encoder.transform(paths), found)
    assert sum(passes) == 6 + 2


def other_columns(path):
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("ALTER TABLE embeddings RENAME COLUMN embedding TO vector")


def no_text(path):
    # The name of a column in the description of the table, which SQLite reads as text.
    content = path.read_bytes()
    path.write_bytes(content.replace(b"embedding BLOB", b"embeddi\xff BLOB"))


BREAK = {
    "other columns": other_columns,
    "no text": no_text,
    "no database": lambda path: path.write_bytes(b"x" * 10_000),
    "cut off": lambda path: os.truncate(path, 2000),
    "zeros": lambda path: path.write_bytes(
        path.read_bytes()[:4096] + bytes(path.stat().st_size - 4096)
    ),
}


@pytest.mark.parametrize("name", BREAK)
def test_a_broken_file_is_set_aside_with_one_warning_and_made_anew(encoder, paths, directory, name):
    fill(directory, 300, 16)
    expected = encoder.transform(paths)
    path = directory / "embeddings.sqlite3"
    BREAK[name](path)
    with pytest.warns(
        UserWarning, match=r"is broken .*; it is set aside, and a new one begun"
    ) as caught:
        assert_allclose(encoder.transform(paths), expected, atol=1e-5)
    assert len(caught) == 1
    assert path.with_name(f"{path.name}.broken").exists()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_allclose(encoder.transform(paths), expected, atol=1e-5)
    assert n_cached(directory) == 6


@pytest.mark.filterwarnings("ignore:The cache in")
@pytest.mark.parametrize("seed", range(8))
def test_damage_to_the_description_of_the_tables_changes_no_embedding(paths, directory, seed):
    encoder = CLIPImageEncoder("mini", "bundled", precision="fp32", cache=directory)
    expected, rng = encoder.transform(paths), np.random.default_rng(seed)
    path = directory / "embeddings.sqlite3"
    content = bytearray(path.read_bytes())
    for place in rng.integers(0, 1024, 5):
        content[place] = rng.integers(256)
    path.write_bytes(content)
    for _ in range(2):
        assert_allclose(encoder.transform(paths), expected, atol=1e-5)


@pytest.mark.parametrize("holds", ["the database", "the lock to open it"])
@pytest.mark.parametrize("lets_go", [True, False])
def test_what_another_process_holds_is_waited_for_with_a_note_but_not_for_ever(
    directory, monkeypatch, holds, lets_go
):
    for name, seconds in {"NOTE": 0.1, "MORE": 60 if lets_go else 0.2, "AGAIN": 0.2}.items():
        monkeypatch.setattr(f"sksemobridge.encoders._cache._{name}_SECONDS", seconds)
    fill(directory, 3)
    said, lock = [], FileLock(directory / "embeddings.open.lock", thread_local=False)
    with database(directory) as writer, lock, warnings.catch_warnings():
        if holds == "the database":
            writer.execute("BEGIN IMMEDIATE")
            lock.release()

        def note(message, *_):
            said.append(str(message))
            if lets_go:
                writer.rollback()
                lock.release()

        warnings.simplefilter("always")
        monkeypatch.setattr(warnings, "showwarning", note)
        fill(directory, 4)
        fill(directory, 5)
    assert f"The cache in {str(directory)!r} is held by another process; waiting for it" in said[0]
    assert ["going on without it" in text for text in said[1:]] == ([] if lets_go else [True, True])
    assert n_cached(directory) == (5 if lets_go else 3)
    # Once it is free again, it is waited for as long as before.
    fill(directory, 6)
    assert directory / "embeddings.sqlite3" not in _HELD


def test_a_directory_in_the_home_of_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    fill("~/cache")
    assert n_cached(tmp_path / "cache") == 3


def test_a_name_that_names_no_directory_is_refused(encoder):
    with pytest.raises(ValueError, match="cache='' names no directory"):
        encoder.set_params(cache="").transform([])
