"""What is embedded how often, in a search, in several processes, in a second run; and how a long run behaves."""

import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sksemobridge import SeMoBridgeClassifier
from sksemobridge._utils.lru import LRUCache
from sksemobridge.encoders import (
    CLIPImageEncoder,
    CLIPTextEncoder,
    EmbeddingCache,
    _text_encoder,
    clear_model_cache,
)

from ..encoder_helpers import some_pictures, write_pictures

MINI = {"model_name": "mini", "pretrained": "bundled"}


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return np.array(write_pictures(tmp_path_factory.mktemp("pictures"), 100), dtype=object)


def search(encoder, paths, n_jobs):
    """3 folds x 2 candidates, and the best on all images; returns the scores."""
    pipeline = make_pipeline(encoder, SeMoBridgeClassifier(CLIPTextEncoder(**MINI), vocabulary=None))
    grid = {"semobridgeclassifier__prompts": ["a picture of a {}.", "auto"]}
    y = np.resize(["apple", "car", "tree"], len(paths))
    search = GridSearchCV(pipeline, grid, cv=3, n_jobs=n_jobs, error_score="raise").fit(paths, y)
    return search.cv_results_["mean_test_score"]


def n_written(cache):
    """How many embeddings were ever written: one that is written again has another row number."""
    with closing(sqlite3.connect(cache / "embeddings.sqlite3")) as connection:
        return connection.execute("SELECT max(rowid) FROM embeddings").fetchone()[0]


def test_a_search_in_any_number_of_processes_embeds_each_image_once_and_a_second_run_none(
    paths, tmp_path, passes
):
    scores = []
    for n_jobs in (1, 2):
        encoder = CLIPImageEncoder(**MINI, precision="fp32", cache=tmp_path / str(n_jobs))
        for _ in range(2):
            scores.append(search(encoder, paths, n_jobs))
            assert n_written(encoder.cache) == 100
            # With one job they are embedded here, with two elsewhere.
            assert sum(passes) == 100
    for again in scores[1:]:
        assert_allclose(again, scores[0])


def test_what_another_call_embeds_is_waited_for(tmp_path, on_pass, passes):
    encoder = CLIPImageEncoder(**MINI, precision="fp32", cache=tmp_path)
    is_in_the_model, may_end = threading.Event(), threading.Event()

    def hold(n):
        if threading.current_thread() is not threading.main_thread():
            is_in_the_model.set()
            assert may_end.wait(60)

    on_pass("image", hold)
    with ThreadPoolExecutor(1) as thread:
        other = thread.submit(encoder.transform, some_pictures(3)[:2])
        assert is_in_the_model.wait(60)
        threading.Timer(0.1, may_end.set).start()
        ours = encoder.transform(some_pictures(3)[1:])
    assert passes == [2, 1]
    assert_array_equal(ours[0], other.result()[1])
    assert_allclose(ours, encoder.set_params(cache=None).transform(some_pictures(3))[1:], atol=1e-5)


# Texts


@pytest.fixture
def encoded(on_pass):
    """The number of texts in each pass through the text tower."""
    sizes = []
    on_pass("text", sizes.append)
    return sizes


@pytest.fixture
def forget(monkeypatch):
    """Call this to forget texts, as a new process would."""
    return lambda: monkeypatch.setattr(_text_encoder, "_known", LRUCache(max_items=100))


TEXTS = ["a red apple", "a green tree", "a red apple", "a house"]


def test_texts_are_encoded_once_per_process_and_with_a_cache_once_per_machine(encoded, forget, tmp_path):
    forget()
    encoder = CLIPTextEncoder(**MINI)
    eos, joint = encoder.encode(TEXTS), encoder.transform(TEXTS)
    assert_array_equal(clone(encoder).transform(TEXTS), joint)
    assert encoded == [3, 3]
    # A new cache is filled, also with texts that the process knows.
    encoder.set_params(cache=tmp_path).encode(TEXTS)
    encoder.transform(TEXTS)
    assert len(EmbeddingCache(tmp_path)) == 6
    encoded.clear()
    clear_model_cache()
    forget()
    assert_array_equal(encoder.encode(TEXTS[::-1]), eos[::-1])
    assert_array_equal(encoder.transform(TEXTS), joint)
    assert encoded == []
    encoder.transform(["a new one", *TEXTS])
    encoder.set_params(precision="bf16").transform(TEXTS[:1])
    assert encoded == [1, 1]


def test_images_and_texts_may_share_a_cache(tmp_path, paths, forget):
    texts, images = CLIPTextEncoder(**MINI, cache=tmp_path), CLIPImageEncoder(**MINI, cache=tmp_path)
    wanted = texts.transform(TEXTS), images.transform(paths[:5])
    assert len(EmbeddingCache(tmp_path)) == 3 + 5
    forget()
    assert_array_equal(texts.transform(TEXTS), wanted[0])
    assert_array_equal(images.transform(paths[:5]), wanted[1])


# A long run can be stopped, and shows how far it is

LONG_RUN = """
import sys
import numpy as np
import open_clip
from sksemobridge.encoders import CLIPImageEncoder

pictures = np.random.default_rng(0).integers(0, 256, (50_000, 8, 8, 3), dtype=np.uint8)
CLIPImageEncoder("mini", "bundled", cache=sys.argv[1], n_jobs=2).transform(pictures)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows interrupts processes otherwise")
def test_an_interrupt_stops_promptly_and_keeps_what_is_cached(tmp_path, passes):
    cache = EmbeddingCache(tmp_path / "cache")
    run = subprocess.Popen(
        [sys.executable, "-c", LONG_RUN, str(cache.directory)], stderr=subprocess.PIPE, text=True
    )
    while len(cache) < 300:
        assert run.poll() is None, run.stderr.read()
        time.sleep(0.2)
    # So that nothing is embedded while we look.
    run.send_signal(signal.SIGSTOP)
    kept = len(cache)
    run.send_signal(signal.SIGINT)
    run.send_signal(signal.SIGCONT)
    _, errors = run.communicate(timeout=60)
    assert errors.rstrip().endswith("KeyboardInterrupt")
    # No more batches than those on their way.
    assert kept <= len(cache) <= kept + 2 * 64
    pictures = np.random.default_rng(0).integers(0, 256, (50_000, 8, 8, 3), dtype=np.uint8)[:300]
    encoder = CLIPImageEncoder("mini", "bundled", cache=cache.directory)
    assert np.isfinite(encoder.transform(pictures)).all()
    assert passes == []


def test_the_bar_counts_repeated_broken_and_equal_images(tmp_path, capsys, bars_after):
    bars_after(0)
    paths = write_pictures(tmp_path, 4)
    paths.append(shutil.copy(paths[0], tmp_path / "copy.png"))
    encoder = CLIPImageEncoder("mini", "bundled", on_error="nan", progress=True, cache=tmp_path / "cache")
    for _ in range(2):
        with pytest.warns(UserWarning, match="1 of 7 images"):
            encoder.transform([*paths, paths[2], "missing.jpg"])
        shown = capsys.readouterr().err
        assert "7/7" in shown
        assert "image/s" in shown


@pytest.mark.parametrize(("progress", "seconds"), [(True, 1000), (False, 0)])
def test_no_bar_is_shown_unless_asked_for_nor_where_it_is_soon_done(capsys, bars_after, progress, seconds):
    bars_after(seconds)
    CLIPImageEncoder("mini", "bundled", progress=progress).transform(some_pictures(3))
    assert capsys.readouterr() == ("", "")
