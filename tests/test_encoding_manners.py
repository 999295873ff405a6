"""How a long run behaves: it can be stopped, shows how far it is, and reads only little ahead."""

import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from sksemobridge import make_semobridge_pipeline
from sksemobridge.encoders import CLIPImageEncoder, EmbeddingCache

from .encoder_helpers import some_pictures

LONG_RUN = """
import sys
import numpy as np
import open_clip
from sksemobridge.encoders import CLIPImageEncoder

pictures = np.random.default_rng(0).integers(0, 256, (50_000, 8, 8, 3), dtype=np.uint8)
CLIPImageEncoder("mini", "bundled", cache=sys.argv[1], n_jobs=2).transform(pictures)
"""


only_linux_has_locks = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux has locks of open files"
)


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


def test_a_transform_that_is_soon_done_shows_no_bar(capsys, bars_after):
    bars_after(1000)
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


# Two calls at once, which locks tell apart as they do processes


class OtherCall:
    """A call of `transform` in a thread that stays in the model until it may end, well or with an error."""

    def __init__(self, thread, transform, pictures, on_pass):
        self.may_end, self.error, self.sizes = threading.Event(), None, []
        self._is_in_the_model = threading.Event()
        on_pass("image", self._count_and_hold)
        self.result = thread.submit(transform, pictures).result
        assert self._is_in_the_model.wait(60)

    def _count_and_hold(self, n):
        self.sizes.append(n)
        if threading.current_thread() is threading.main_thread():
            self.may_end.set()
            return
        self._is_in_the_model.set()
        assert self.may_end.wait(60)
        if self.error is not None:
            raise self.error


@pytest.fixture
def encoder(tmp_path):
    return CLIPImageEncoder("mini", "bundled", precision="fp32", cache=tmp_path)


@pytest.fixture
def other_call(encoder, on_pass):
    """Another call that embeds two of `some_pictures(3)`."""
    with ThreadPoolExecutor(1) as thread:
        yield OtherCall(thread, encoder.transform, some_pictures(3)[:2], on_pass)


@only_linux_has_locks
def test_what_another_call_embeds_is_waited_for(encoder, other_call):
    # While we compute ours, they finish theirs.
    ours = encoder.transform(some_pictures(3)[1:])
    assert other_call.sizes == [2, 1]
    assert_array_equal(ours[0], other_call.result()[1])
    assert_allclose(ours, encoder.set_params(cache=None).transform(some_pictures(3))[1:], atol=1e-5)


@only_linux_has_locks
def test_what_another_call_gives_up_is_computed_here(encoder, other_call):
    other_call.error = RuntimeError("given up")
    threading.Timer(0.1, other_call.may_end.set).start()
    ours = encoder.transform([some_pictures(3)[1], some_pictures(3)[1]])
    assert other_call.sizes == [2, 1]
    assert_allclose(ours, encoder.set_params(cache=None).transform(some_pictures(3)[1:2] * 2), atol=1e-5)
    with pytest.raises(RuntimeError, match="given up"):
        other_call.result()
