"""How a long run behaves: it can be stopped, shows how far it is, and reads only little ahead."""

import signal
import subprocess
import sys
import threading
import time

import numpy as np
import open_clip
import pytest
import torch
from numpy.testing import assert_array_equal
from PIL import Image

from sksemobridge import make_semobridge_pipeline
from sksemobridge.encoders import CLIPImageEncoder, EmbeddingCache, _image_encoder
from sksemobridge.encoders._cache import CacheSession
from sksemobridge.encoders._embedding import Item, embed, iterate_items

from .encoder_helpers import some_pictures

LONG_RUN = """
import sys
import numpy as np
import open_clip
from sksemobridge.encoders import CLIPImageEncoder

pictures = np.random.default_rng(0).integers(0, 256, (50_000, 8, 8, 3), dtype=np.uint8)
CLIPImageEncoder("mini", "bundled", cache=sys.argv[1], n_jobs=2).transform(pictures)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows interrupts processes otherwise")
def test_an_interrupt_stops_promptly_and_keeps_what_is_cached(tmp_path):
    cache = EmbeddingCache(tmp_path / "cache")
    run = subprocess.Popen(
        [sys.executable, "-c", LONG_RUN, str(cache.directory)], stderr=subprocess.PIPE, text=True
    )
    while len(cache) < 300:
        assert run.poll() is None, run.stderr.read()
        time.sleep(0.2)
    kept = len(cache)
    run.send_signal(signal.SIGINT)
    start = time.monotonic()
    _, errors = run.communicate(timeout=60)
    assert time.monotonic() - start < 15
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert kept <= len(cache) < 50_000
    pictures = np.random.default_rng(0).integers(0, 256, (50_000, 8, 8, 3), dtype=np.uint8)[:300]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(open_clip.CLIP, "encode_image", None)
        encoder = CLIPImageEncoder("mini", "bundled", cache=cache.directory)
        assert np.isfinite(encoder.transform(pictures)).all()


def test_the_bar_counts_repeated_broken_and_equal_images(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(_image_encoder, "_BAR_AFTER_SECONDS", 0)
    pictures = some_pictures(4)
    for i, picture in enumerate([*pictures, pictures[0]]):
        Image.fromarray(picture).save(tmp_path / f"{i}.png")
    paths = [str(tmp_path / f"{i}.png") for i in range(5)]
    encoder = CLIPImageEncoder("mini", "bundled", on_error="nan", progress=True, cache=tmp_path / "cache")
    for _ in range(2):
        with pytest.warns(UserWarning, match="1 of 7 images"):
            encoder.transform([*paths, paths[2], "missing.jpg"])
        shown = capsys.readouterr().err
        # Six different sources: one path is there twice.
        assert "6/6" in shown
        assert "image/s" in shown


def test_a_transform_that_is_soon_done_shows_no_bar(capsys, monkeypatch):
    monkeypatch.setattr(_image_encoder, "_BAR_AFTER_SECONDS", 1000)
    CLIPImageEncoder("mini", "bundled", progress=True).transform(some_pictures(3))
    assert capsys.readouterr().err == ""


class Listener:
    """A callback of scikit-learn that pipelines hand on to their steps."""

    max_propagation_depth = 1

    def __init__(self):
        self.ended = []

    def setup(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        self.ended.append((type(estimator).__name__, context.task_name))

    def teardown(self, estimator, context):
        pass


def test_scikit_learns_callbacks_hear_of_every_batch(tmp_path):
    pytest.importorskip("sklearn.callback", reason="needs scikit-learn 1.9")
    pictures, y = some_pictures(5), ["red", "red", "green", "green", "green"]
    params = {"batch_size": 2, "cache": tmp_path / "cache"}
    pipeline = make_semobridge_pipeline("mini", "bundled", encoder_params=params)
    for _ in range(2):
        listener = Listener()
        pipeline.set_callbacks(listener).fit(pictures, y)
        assert listener.ended.count(("CLIPImageEncoder", "batch")) == 3
        assert listener.ended[-1] == ("SeMoBridgePipeline", "fit")
    encoder = CLIPImageEncoder("mini", "bundled", **params)
    expected = encoder.transform(pictures)
    listener = Listener()
    # One picture is there twice, and embedded once.
    embeddings = encoder.set_callbacks(listener).fit_transform([*pictures, pictures[0]])
    assert_array_equal(embeddings[:5], expected)
    assert listener.ended == [("CLIPImageEncoder", "batch")] * 3 + [("CLIPImageEncoder", "fit")]
    encoder.transform(pictures)
    assert len(listener.ended) == 4


@pytest.mark.parametrize("n_threads", [1, 3])
def test_only_so_many_items_are_read_ahead(n_threads):
    begun = []

    def work(item):
        begun.append(item)
        return item

    taken = 0
    for item in iterate_items(work, range(100), n_ahead=8, n_threads=n_threads):
        assert item == taken
        taken += 1
        assert len(begun) <= taken + 8
    assert taken == 100


def test_errors_of_readers_reach_the_caller():
    def work(item):
        if item == 5:
            raise RuntimeError("five")
        return item

    with pytest.raises(RuntimeError, match="five"):
        list(iterate_items(work, range(10), n_ahead=2))


def reader_of(*keys):
    """A reader of rows with these keys, for `embed`."""

    def make_reader(cache):
        def read(rows):
            for row in rows:
                embedding, locked = cache.find_or_lock(keys[row])
                yield Item(keys[row], embedding, np.zeros(3) if locked else None)

        return read

    return make_reader


def test_what_another_process_embeds_is_waited_for(tmp_path):
    """The other process is played by a second session on the same directory."""
    wanted = np.arange(8, dtype=np.float32).reshape(2, 4)
    theirs, ours = b"t" * 32, b"o" * 32
    with CacheSession(tmp_path) as other:
        assert other.find_or_lock(theirs) == (None, True)

        def forward(inputs):
            # While we compute ours, they finish theirs.
            other.put([theirs], wanted[1:])
            return torch.from_numpy(wanted[: len(inputs)])

        embeddings, _ = embed(2, 4, forward, reader_of(ours, theirs), cache=tmp_path, batch_size=4)
    assert_array_equal(embeddings, wanted)


def test_what_another_process_gives_up_is_computed_here(tmp_path):
    key = b"k" * 32
    computed = []
    with CacheSession(tmp_path) as other:
        other.find_or_lock(key)
        threading.Timer(0.1, other.release, [[key]]).start()

        def forward(inputs):
            computed.append(len(inputs))
            return torch.ones(len(inputs), 4)

        embeddings, _ = embed(2, 4, forward, reader_of(key, key), cache=tmp_path, batch_size=4)
    assert computed == [1]
    assert_array_equal(embeddings, np.ones((2, 4)))
