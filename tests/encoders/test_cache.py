"""Embeddings kept between runs: found again by content, by several processes, after crashes."""

import os
import pickle
import shutil
import sqlite3
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from sksemobridge.encoders import CLIPImageEncoder, EmbeddingCache
from sksemobridge.encoders._cache import CacheSession

from ..encoder_helpers import small_config, some_pictures, write_model, write_pictures


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def encoder(directory):
    return CLIPImageEncoder("mini", "bundled", precision="fp32", cache=directory)


@pytest.fixture
def paths(tmp_path):
    return write_pictures(tmp_path, 6)


@pytest.fixture
def impatient(monkeypatch):
    """Other processes are waited for no longer than a moment."""
    for name, seconds in (("_WAIT_SECONDS", 0.1), ("_SAY_SECONDS", 0.1), ("_TURN_SECONDS", 0.2)):
        monkeypatch.setattr(f"sksemobridge.encoders._cache.{name}", seconds)


class FullDisk(sqlite3.Connection):
    """A disk without room for one page more."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.execute("PRAGMA max_page_count = 1")


class NotShared(sqlite3.Connection):
    """A database on a network share: SQLite answers with the mode that stays."""

    def execute(self, statement, *values):
        return super().execute(statement.replace("= WAL", "= DELETE"), *values)


def connect_as(kind, monkeypatch):
    """Connections to databases are of this kind from now on."""
    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=kind))


def keys(n, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.bytes(32) for _ in range(n)]


def rows(n, width=8, seed=0):
    return np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)


def database(directory):
    return closing(sqlite3.connect(directory / "embeddings.sqlite3"))


def fill(directory, n=3, width=8):
    """Keep the first rows; return keys and rows."""
    with CacheSession(directory) as cache:
        cache.put(keys(n), rows(n, width))
    return keys(n), rows(n, width)


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
    assert len(EmbeddingCache(directory)) == 6 * 6


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
    assert len(EmbeddingCache(directory)) >= 2


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (lambda path, _: (shutil.rmtree(path.parent), path.parent.touch()), ""),
        (
            lambda _, patch: patch.setattr(os, "makedirs", Mock(side_effect=PermissionError("refused"))),
            "refused",
        ),
        (lambda _, patch: connect_as(FullDisk, patch), "disk is full"),
        (lambda _, patch: connect_as(NotShared, patch), "name a directory on a local disk"),
    ],
    ids=["file in place of directory", "refused", "full disk", "not shared"],
)
def test_a_cache_that_cannot_be_used_gives_one_warning_and_goes_on(
    encoder, paths, directory, break_it, reason, monkeypatch
):
    encoder.transform(paths[:3])
    break_it(directory / "embeddings.sqlite3", monkeypatch)
    with pytest.warns(RuntimeWarning, match=f"cannot be used .*{reason}.*went on without it") as caught:
        got = encoder.transform(paths)
    assert len(caught) == 1
    assert_allclose(got, encoder.set_params(cache=None).transform(paths), atol=1e-5)


# The store


@pytest.mark.parametrize("width", [128, 512, 768, 1152])
@pytest.mark.parametrize(("n", "at_once"), [(128, 64), (2000, 64), (200, 1)])
def test_the_file_is_little_larger_than_the_embeddings(directory, n, width, at_once):
    with CacheSession(directory) as cache:
        for start in range(0, n, at_once):
            count = min(at_once, n - start)
            cache.put(keys(count, seed=start), rows(count, width, seed=start))
    assert EmbeddingCache(directory).size() <= 1.3 * n * width * 4


def test_a_cache_can_be_cleared_while_it_is_in_use(directory):
    cache = EmbeddingCache(directory)
    assert (len(cache), cache.size()) == (0, 0)
    cache.clear()
    fill(directory, 5000, 128)
    assert cache.size() > 2_000_000
    with CacheSession(directory) as session:
        cache.clear()
        assert session.get(keys(5)[0]) is None
        session.put(keys(5), rows(5))
        assert session.get(keys(5)[4]) is not None
    cache.clear()
    assert len(cache) == 0
    assert cache.size() < 3_000


def test_several_may_write_at_once_to_a_cache_that_none_has_made(directory):
    together = threading.Barrier(4)

    def write(seed):
        together.wait()
        with CacheSession(directory) as cache:
            for number in range(20):
                values = rows(20, 256, seed=20 * seed + number)
                # Keys that tell what belongs under them.
                cache.put([value[:3].tobytes() for value in values], values)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write, range(4)))
    with database(directory) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        found = [key for (key,) in connection.execute("SELECT key FROM embeddings")]
    assert len(found) == 4 * 20 * 20
    with CacheSession(directory) as cache:
        for key in found:
            assert cache.get(key)[:3].tobytes() == key


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
def test_a_damaged_embedding_is_noticed_and_computed_anew(encoder, paths, directory, damage, passes):
    expected = encoder.transform(paths)
    with database(directory) as connection, connection:
        connection.create_function("damaged", 2, damage)
        last = "(SELECT embedding FROM embeddings WHERE rowid = 6)"
        connection.execute(f"UPDATE embeddings SET embedding = damaged(embedding, {last}) WHERE rowid < 3")
    found = encoder.transform(paths)
    assert sum(passes) == 6 + 2
    assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert_array_equal(encoder.transform(paths), found)
    assert sum(passes) == 6 + 2


BREAK = {
    "no database": lambda path: path.write_bytes(b"x" * 10_000),
    "cut off": lambda path: os.truncate(path, 2000),
    "zeros": lambda path: path.write_bytes(path.read_bytes()[:4096] + bytes(path.stat().st_size - 4096)),
    "of another program": lambda path: (path.unlink(), other_database(path)),
}


def other_database(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE embeddings (something INT)")


@pytest.mark.parametrize("name", BREAK)
def test_a_broken_file_is_set_aside_with_one_warning_and_made_anew(encoder, paths, directory, name):
    fill(directory, 300, 16)
    expected = encoder.transform(paths)
    path = directory / "embeddings.sqlite3"
    BREAK[name](path)
    with pytest.warns(
        RuntimeWarning, match=r"was broken .*; it was set aside, and a new one begun"
    ) as caught:
        assert_allclose(encoder.transform(paths), expected, atol=1e-5)
    assert len(caught) == 1
    assert path.with_name(f"{path.name}.broken").exists()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_allclose(encoder.transform(paths), expected, atol=1e-5)
    assert len(EmbeddingCache(directory)) == 6


@pytest.mark.filterwarnings("ignore:The cache in:RuntimeWarning")
def test_who_finds_that_another_has_set_the_file_aside_uses_the_new_one(directory):
    fill(directory, 300, 16)
    with CacheSession(directory) as first, CacheSession(directory) as second:
        BREAK["no database"](directory / "embeddings.sqlite3")
        for session in (first, second):
            assert all(session.get(key) is None for key in keys(300)[3:])
            session.put(keys(3), rows(3))
        assert_array_equal(first.get(keys(3)[2]), rows(3)[2])
    assert len(EmbeddingCache(directory)) == 3


@pytest.mark.parametrize("use", [len, EmbeddingCache.clear])
def test_using_it_beside_a_writer_that_does_not_end_says_so(directory, impatient, use):
    fill(directory)
    with database(directory) as writer:
        writer.execute("PRAGMA locking_mode = EXCLUSIVE")
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(OSError, match="cannot be used now: database is locked. Another process"):
            use(EmbeddingCache(directory))
    assert len(EmbeddingCache(directory)) == 3


@pytest.mark.parametrize("use", [len, EmbeddingCache.clear])
def test_a_broken_file_holds_nothing(directory, use):
    fill(directory)
    BREAK["no database"](directory / "embeddings.sqlite3")
    assert not use(EmbeddingCache(directory))
    assert len(EmbeddingCache(directory)) == 0


def test_a_directory_in_the_home_of_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with CacheSession("~/cache") as cache:
        cache.put(keys(3), rows(3))
    assert len(EmbeddingCache(tmp_path / "cache")) == len(EmbeddingCache("~/cache")) == 3


@pytest.mark.parametrize("directory", ["", "~nobody-of-this-name/cache"])
def test_a_name_that_names_no_directory_is_refused(directory, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for use in (EmbeddingCache, CLIPImageEncoder("mini", "bundled", cache=directory).transform):
        with pytest.raises(ValueError, match=f"cache='{directory}' names no directory"):
            use(directory if use is EmbeddingCache else some_pictures(1))
    assert list(tmp_path.iterdir()) == []


# Turns


HOLDER = """
import sys, time
from sksemobridge.encoders._cache import CacheSession

with CacheSession(sys.argv[1]) as cache, cache.turn():
    print("mine", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(directory):
    """A process that keeps its turn."""
    command = [sys.executable, "-c", HOLDER, str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "mine\n"
        yield process
        process.kill()


def test_a_killed_process_gives_its_turn_up(directory, holder):
    holder.kill()
    with CacheSession(directory) as cache, cache.turn() as lock:
        assert lock.is_locked


def test_a_process_that_does_not_go_on_is_not_waited_for_for_ever(
    encoder, paths, directory, holder, impatient
):
    with (
        pytest.warns(UserWarning, match="Waiting for another process that embeds with the cache in"),
        pytest.warns(UserWarning, match="Went on, since the other process"),
    ):
        embeddings = encoder.set_params(batch_size=2).transform(paths)
    assert_allclose(embeddings, encoder.set_params(cache=None).transform(paths), atol=1e-5)
    assert len(EmbeddingCache(directory)) == 6


def test_a_process_that_stopped_while_it_wrote_is_not_waited_for_either(
    encoder, paths, directory, holder, impatient
):
    with closing(sqlite3.connect(directory / "embeddings.sqlite3")) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with (
            pytest.warns(UserWarning, match="Waiting for another process"),
            pytest.warns(UserWarning, match="Went on"),
            pytest.warns(RuntimeWarning, match="cannot be used .*locked"),
        ):
            embeddings = encoder.transform(paths)
    assert_allclose(embeddings, encoder.set_params(cache=None).transform(paths), atol=1e-5)
