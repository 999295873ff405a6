"""What is embedded how often, in a search, in several processes, in a second run; and how a long
run behaves.
"""

import itertools
import os
import shutil
import signal
import sys
import threading

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sksemobridge import FewShotClassifier
from sksemobridge.encoders import (
    CLIPImageEncoder,
    CLIPTextEncoder,
    _image_encoder,
    clear_model_cache,
)

from ..encoder_helpers import n_cached, some_pictures, write_pictures

MINI = {"model_name": "mini", "pretrained": "bundled"}


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return np.array(write_pictures(tmp_path_factory.mktemp("pictures"), 100), dtype=object)


@pytest.mark.filterwarnings("ignore:The names of the classes are no better than chance")
def test_a_search_in_several_processes_gives_what_one_gives_and_a_second_run_embeds_nothing(
    paths, tmp_path, passes
):
    pipeline = make_pipeline(
        CLIPImageEncoder(**MINI), FewShotClassifier(CLIPTextEncoder(**MINI), vocabulary=None)
    )
    grid = {"fewshotclassifier__prompts": ["a picture of a {}.", "auto"]}
    y, scores = np.resize(["apple", "car", "tree"], len(paths)), []
    for n_jobs in (1, 1, 2):
        pipeline.set_params(
            clipimageencoder__cache=tmp_path / str(n_jobs), clipimageencoder__precision="fp32"
        )
        search = GridSearchCV(pipeline, grid, cv=3, n_jobs=n_jobs, error_score="raise").fit(
            paths, y
        )
        scores.append(search.cv_results_["mean_test_score"])
        # With one job they are embedded here, with two elsewhere.
        assert sum(passes) == n_cached(tmp_path / str(n_jobs)) == 100
    assert_allclose(scores[1:], [scores[0]] * 2)


# Texts


@pytest.fixture
def encoded(on_pass):
    """The number of texts in each pass through the text encoder."""
    sizes = []
    on_pass("text", sizes.append)
    return sizes


TEXTS = ["a red apple", "a green tree", "a red apple", "a house"]


def test_texts_are_encoded_once_per_process_and_with_a_cache_once_per_machine(encoded, tmp_path):
    encoder = CLIPTextEncoder(**MINI)
    eos, joint = encoder.encode(TEXTS), encoder.transform(TEXTS)
    assert_array_equal(clone(encoder).transform(TEXTS), joint)
    assert encoded == [3, 3]
    # A new cache is filled, also with texts that the process knows.
    encoder.set_params(cache=tmp_path).encode(TEXTS)
    encoder.transform(TEXTS)
    assert n_cached(tmp_path) == 6
    encoded.clear()
    # As a new process.
    clear_model_cache()
    assert_array_equal(encoder.encode(TEXTS[::-1]), eos[::-1])
    assert_array_equal(encoder.transform(TEXTS), joint)
    assert encoded == []
    encoder.transform(["a new one", *TEXTS])
    encoder.set_params(precision="bf16").transform(TEXTS[:1])
    assert encoded == [1, 1]


def test_images_and_texts_may_share_a_cache(tmp_path, paths, own_memory):
    texts, images = (
        CLIPTextEncoder(**MINI, cache=tmp_path),
        CLIPImageEncoder(**MINI, cache=tmp_path),
    )
    wanted = texts.transform(TEXTS), images.transform(paths[:5])
    assert n_cached(tmp_path) == 3 + 5
    own_memory.clear()
    assert_array_equal(texts.transform(TEXTS), wanted[0])
    assert_array_equal(images.transform(paths[:5]), wanted[1])


# A long run can be stopped, and shows how far it is


@pytest.mark.skipif(sys.platform == "win32", reason="Windows interrupts processes otherwise")
def test_an_interrupt_stops_promptly_and_keeps_what_is_cached(tmp_path, passes, monkeypatch):
    pictures = np.random.default_rng(0).integers(0, 256, (1000, 8, 8, 3), dtype=np.uint8)
    encoder = CLIPImageEncoder("mini", "bundled", cache=tmp_path, n_jobs=2)
    fetch, n_read = _image_encoder.fetch, itertools.count()

    def interrupted(*args):
        if next(n_read) == 300:
            os.kill(os.getpid(), signal.SIGINT)
        return fetch(*args)

    # Programs that a shell starts in the background ignore interrupts.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with monkeypatch.context() as patch:
        patch.setattr(_image_encoder, "fetch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            encoder.transform(pictures)
    signal.signal(signal.SIGINT, before)
    assert not [thread for thread in threading.enumerate() if "sksemobridge" in thread.name]
    # All batches but those on their way.
    kept = n_cached(tmp_path)
    assert kept in (192, 256)
    passes.clear()
    assert np.isfinite(encoder.transform(pictures[:kept])).all()
    assert passes == []


def test_the_bar_counts_repeated_broken_and_equal_images(tmp_path, capsys, bars_after):
    bars_after(0)
    paths = write_pictures(tmp_path, 4)
    paths.append(shutil.copy(paths[0], tmp_path / "copy.png"))
    encoder = CLIPImageEncoder(
        "mini", "bundled", on_error="nan", progress=True, cache=tmp_path / "cache"
    )
    for _ in range(2):
        with pytest.warns(UserWarning, match="1 of 7 images"):
            encoder.transform([*paths, paths[2], "missing.jpg"])
        shown = capsys.readouterr().err
        assert "7/7" in shown
        assert "image/s" in shown


@pytest.mark.parametrize(("progress", "seconds"), [(True, 1000), (False, 0)])
def test_no_bar_is_shown_unless_asked_for_nor_where_it_is_soon_done(
    capsys, bars_after, progress, seconds
):
    bars_after(seconds)
    options = {"progress": progress, "cache": None}
    CLIPImageEncoder("mini", "bundled", **options).transform(some_pictures(3))
    CLIPTextEncoder("mini", "bundled", **options).transform(["a dog"])
    assert capsys.readouterr() == ("", "")


def test_texts_have_a_bar_if_it_is_asked_for(capsys, bars_after):
    bars_after(0)
    CLIPTextEncoder("mini", "bundled", progress=True, cache=None).transform(["a cow", "a dog"])
    assert "embedding 2 texts" in capsys.readouterr().err
