"""Embeddings kept between runs: found again by content, by several processes, after crashes."""

import os
import pickle
import shutil
import sqlite3
import subprocess
import sys
import threading
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
    for name in ("_WAIT_SECONDS", "_TURN_SECONDS"):
        monkeypatch.setattr(f"sksemobridge.encoders._cache.{name}", 0.1)


class FullDisk(sqlite3.Connection):
    """A disk without room for one page more."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.execute("PRAGMA max_page_count = 1")


class NotShared(sqlite3.Connection):
    """A database on a network share: SQLite answers with the mode that stays."""

    def execute(self, statement, *values):
        return super().execute(statement.replace("= WAL", "= DELETE"), *values)


class NotWrittenAnew(sqlite3.Connection):
    """A database that cannot be written anew, for want of room or another reason of SQLite's."""

    reason = sqlite3.SQLITE_FULL

    def execute(self, statement, *values):
        if statement == "VACUUM":
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = self.reason
            raise error
        return super().execute(statement, *values)


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
        (lambda path, _: path.write_bytes(b"x" * 10_000), "not a database"),
        (lambda path, _: os.truncate(path, 2000), ""),
        (
            lambda _, patch: patch.setattr(os, "makedirs", Mock(side_effect=PermissionError("refused"))),
            "refused",
        ),
        (lambda _, patch: connect_as(FullDisk, patch), "disk is full"),
        (lambda _, patch: connect_as(NotShared, patch), "name a directory on a local disk"),
    ],
    ids=["file in place of directory", "no database", "cut off", "refused", "full disk", "not shared"],
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


def test_a_cache_can_be_pruned_and_the_newest_stay(directory):
    some, values = keys(5000), rows(5000, 128)
    with CacheSession(directory) as session:
        for start in range(0, 5000, 500):
            session.put(some[start : start + 500], values[start : start + 500])
    cache = EmbeddingCache(directory)
    before = cache.size()
    cache.prune(before)
    assert len(cache) == 5000
    cache.prune(before // 2)
    assert 2000 < len(cache) < 2600
    assert cache.size() <= before // 2
    with CacheSession(directory) as session:
        assert session.get(some[0]) is None
        assert_array_equal(session.get(some[-1]), values[-1])


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
def test_a_damaged_embedding_is_noticed_and_computed_anew(encoder, paths, directory, damage):
    expected = encoder.transform(paths)
    with database(directory) as connection, connection:
        connection.create_function("damaged", 2, damage)
        last = "(SELECT embedding FROM embeddings WHERE rowid = 6)"
        connection.execute(f"UPDATE embeddings SET embedding = damaged(embedding, {last}) WHERE rowid < 3")
    with pytest.warns(RuntimeWarning, match="is damaged; 2 embeddings were computed anew"):
        found = encoder.transform(paths)
    assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert_array_equal(encoder.transform(paths), found)


def test_damaged_pages_give_no_error_and_no_wrong_row(directory):
    some, values = fill(directory, 300, 16)
    path = directory / "embeddings.sqlite3"
    content = path.read_bytes()
    path.write_bytes(content[:4096] + bytes(len(content) - 4096))
    with pytest.warns(RuntimeWarning, match="cannot be used"), CacheSession(directory) as cache:
        assert all(cache.get(key) is None for key in some)
    EmbeddingCache(directory).clear()
    fill(directory, 300, 16)
    with CacheSession(directory) as cache:
        assert_array_equal(cache.get(some[-1]), values[-1])


def test_on_a_full_disk_a_cache_can_be_emptied(directory, monkeypatch):
    fill(directory, 100)
    connect_as(NotWrittenAnew, monkeypatch)
    with pytest.warns(RuntimeWarning, match="disk is full.*all of it was dropped"):
        EmbeddingCache(directory).prune(4000)
    assert EmbeddingCache(directory).size() == 0
    fill(directory, 100)
    EmbeddingCache(directory).clear()
    assert EmbeddingCache(directory).size() == 0


@pytest.mark.parametrize("use", [len, EmbeddingCache.clear])
def test_using_it_beside_a_writer_that_does_not_end_says_so(directory, impatient, use):
    fill(directory)
    with database(directory) as writer:
        writer.execute("PRAGMA locking_mode = EXCLUSIVE")
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(OSError, match="cannot be used now: database is locked. Another process"):
            use(EmbeddingCache(directory))
    assert len(EmbeddingCache(directory)) == 3


@pytest.mark.parametrize("content", [b"no database" * 1000, b"SQLite format 3\0" * 1000])
def test_in_a_file_that_is_no_database_nothing_is_counted_and_the_reason_said(directory, content):
    directory.mkdir()
    (directory / "embeddings.sqlite3").write_bytes(content)
    with pytest.warns(RuntimeWarning, match=r"is damaged \(.*\), so nothing is found in it"):
        assert len(EmbeddingCache(directory)) == 0


@pytest.mark.parametrize("max_bytes", [-1, None, "9000", np.nan])
def test_a_limit_that_is_none_drops_nothing(directory, max_bytes):
    fill(directory)
    with pytest.raises(ValueError, match="max_bytes must be a number of bytes, at least 0"):
        EmbeddingCache(directory).prune(max_bytes)
    assert len(EmbeddingCache(directory)) == 3


@pytest.mark.parametrize(
    "code", [sqlite3.SQLITE_BUSY_SNAPSHOT, sqlite3.SQLITE_READONLY_DBMOVED, sqlite3.SQLITE_LOCKED]
)
def test_what_others_hold_or_may_not_be_written_is_not_dropped(directory, monkeypatch, code):
    fill(directory)
    connect_as(type("Refused", (NotWrittenAnew,), {"reason": code}), monkeypatch)
    with pytest.raises(OSError, match="cannot be used now"):
        EmbeddingCache(directory).prune(100)
    assert (directory / "embeddings.sqlite3").exists()


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


def test_a_process_that_does_not_go_on_is_not_waited_for_for_ever(directory, holder, impatient):
    with CacheSession(directory) as cache:
        for key, row in zip(keys(2), rows(2)):
            with cache.turn():
                cache.put([key], row[None])
        assert not cache._wait_seconds
    assert len(EmbeddingCache(directory)) == 2
