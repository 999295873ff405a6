"""Images to embeddings: every container, every batch, and rows that stay in place."""

import hashlib
import re
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import open_clip
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from PIL import Image
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sksemobridge.datasets import load_emoji
from sksemobridge.encoders import CLIPImageEncoder, ImageReadError, _image_encoder
from sksemobridge.encoders._decoding import decode, fetch
from sksemobridge.encoders._image_encoder import READING_VERSION

from ..encoder_helpers import (
    BUNDLED,
    get_model,
    small_config,
    some_pictures,
    write_model,
    write_pictures,
)


@pytest.fixture
def encoder():
    return CLIPImageEncoder("mini", "bundled", precision="fp32", cache=None)


@pytest.fixture(scope="module")
def pictures():
    return some_pictures(7)


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("pictures"), 7)


@pytest.fixture(scope="module")
def expected(pictures):
    """The usual loop over open_clip, one image at a time."""
    model, _, preprocess = open_clip.create_model_and_transforms(BUNDLED)
    model.eval()
    with torch.no_grad():
        rows = [
            model.encode_image(preprocess(Image.fromarray(picture))[None])[0]
            for picture in pictures
        ]
    return torch.stack(rows).numpy()


def close(got, wanted):
    assert got.dtype == np.float32
    assert_allclose(got, wanted, atol=1e-5)


def test_pixels_for_the_model_change_only_with_the_reading_version(tmp_path):
    # No JPEG: its pixels depend on the library that decodes it.
    emoji, model = load_emoji().images[0], get_model("mini", "bundled")
    wide, deep = emoji[5:35], emoji[..., 0].astype(np.uint16) * 200
    translucent = np.dstack([emoji, emoji[..., 1]])
    for name, pixels in (("wide", wide), ("translucent", translucent), ("deep", deep)):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    digest = hashlib.sha256()
    for source in (emoji, wide[..., 0], translucent, *sorted(tmp_path.iterdir())):
        picture = decode(fetch(source), shortest_side=max(model.image_size))
        digest.update(np.asarray(model.crop(picture)))
    # Whoever changes the digest must increase `READING_VERSION`. Else caches mix embeddings of
    # different pixels.
    assert (READING_VERSION, digest.hexdigest()[:16]) == (4, "09a736ea444af137")


def test_coca_is_not_normalised_either(tmp_path, pictures):
    name = write_model(tmp_path, small_config("coca_ViT-B-32"))
    lengths = np.linalg.norm(CLIPImageEncoder(name, precision="fp32").transform(pictures), axis=1)
    assert not np.allclose(lengths, 1, atol=0.01)


def test_unit_length_on_request(encoder, pictures, expected):
    lengths = np.linalg.norm(expected, axis=1, keepdims=True)
    assert not np.allclose(lengths, 1)
    close(encoder.set_params(normalize=True).transform(pictures), expected / lengths)


# Containers


def objects(items):
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def opened(paths):
    return [Image.open(path) for path in paths]


def contents(paths):
    return [Path(path).read_bytes() for path in paths]


def arrays(paths):
    return [np.asarray(image) for image in opened(paths)]


@pytest.mark.parametrize(
    "container",
    [
        list,
        tuple,
        np.array,
        objects,
        lambda paths: objects(paths)[:, None],
        contents,
        opened,
        lambda paths: np.stack(arrays(paths)),
        lambda paths: [
            paths[0],
            Path(paths[1]),
            *contents(paths[2:4]),
            *opened(paths[4:5]),
            *arrays(paths[5:6]),
            *torch.from_numpy(np.stack(arrays(paths[6:]))),
        ],
        pd.Series,
        lambda paths: pd.Series(arrays(paths)),
        lambda paths: pd.DataFrame({"image": contents(paths)}),
        lambda paths: pl.Series(opened(paths), dtype=pl.Object),
        lambda paths: pl.DataFrame({"image": paths}),
    ],
)
def test_images_come_in_any_container(encoder, paths, expected, container):
    close(encoder.transform(container(paths)), expected)


def test_masked_images_are_named(encoder, paths, pictures):
    for images in (np.ma.array(paths, dtype=object), np.ma.array(pictures)):
        images[1] = np.ma.masked
        with pytest.raises(ValueError, match="X has masked values"):
            encoder.transform(images)


def test_no_images_give_no_rows(encoder):
    for nothing in ([], np.empty((0, 8, 8, 3), np.uint8), pd.Series([], dtype=object)):
        assert encoder.transform(nothing).shape == (0, 128)


NO_COLUMN = [
    *(
        (one, ValueError, r"write \[X\]")
        for one in ("a.png", Path("a.png"), b"a", Image.new("RGB", (2, 2)))
    ),
    (np.zeros((8, 8, 3), np.uint8), ValueError, r"\(n, h, w, 3\).*in a list"),
    (np.zeros((2, 8, 8, 3), np.float32), ValueError, "must be uint8 .* not float32.*255"),
    (
        torch.zeros(2, 3, 8, 8).byte(),
        ValueError,
        r"got \(2, 3, .*move the channels of \(n, 3, h, w\) to the end",
    ),
    ([np.zeros((8, 8, 3), bool)], ImageReadError, r"Image 0 .*must be uint8"),
    (
        pd.DataFrame({"image": ["a"], "label": ["b"]}),
        ValueError,
        r"2 columns \(image, label\); select the one",
    ),
    (np.array([["a.png", "b.png"]]), ValueError, r"shape \(n,\) or \(n, 1\)"),
    (np.ones((2, 128), np.float32), ValueError, "give embeddings to the classifier itself"),
    *((X, TypeError, "X is no list, array, series") for X in ({"a": 1}, {"a"}, 3, None, iter("a"))),
]


@pytest.mark.parametrize(("X", "error", "message"), NO_COLUMN)
def test_what_is_no_column_of_images_is_refused_with_the_remedy(encoder, X, error, message):
    with pytest.raises(error, match=message):
        encoder.transform(X)


# Order, batches, duplicates


@settings(max_examples=10)
@given(
    order=st.permutations(range(7)),
    batch_size=st.integers(1, 8),
    n_jobs=st.sampled_from([None, 1, 2, -1]),
)
def test_order_batch_size_and_threads_do_not_matter(order, batch_size, n_jobs):
    pictures = some_pictures(7)
    encoder = CLIPImageEncoder("mini", "bundled", precision="fp32", cache=None)
    other = clone(encoder).set_params(batch_size=batch_size, n_jobs=n_jobs)
    close(other.transform([pictures[i] for i in order]), encoder.transform(pictures)[list(order)])


def test_an_image_object_given_many_times_is_embedded_once(encoder, paths, expected, passes):
    close(encoder.set_params(n_jobs=4).transform(opened(paths) * 20), np.tile(expected, (20, 1)))
    assert sum(passes) == 7


@pytest.mark.parametrize("n_jobs", [1, 3])
@pytest.mark.parametrize("with_cache", [False, True])
def test_rows_of_equal_sources_and_equal_contents_are_all_filled(
    encoder, paths, expected, passes, tmp_path, n_jobs, with_cache
):
    copy, broken, broken_too = (
        tmp_path / name for name in ("copy.png", "broken.png", "broken too.png")
    )
    shutil.copy(paths[0], copy)
    broken.write_bytes(Path(paths[1]).read_bytes()[:100])
    shutil.copy(broken, broken_too)
    pixels = some_pictures(7)[6]
    sources = [
        paths[0],
        copy,
        paths[0],
        copy.read_bytes(),
        broken,
        broken_too,
        broken_too,
        copy,
        paths[2],
    ]
    sources += [pixels, pixels.copy()]
    encoder.set_params(on_error="nan", n_jobs=n_jobs, batch_size=2)
    encoder.set_params(cache=tmp_path / "cache" if with_cache else None)
    with pytest.warns(UserWarning, match="3 of 11 images"):
        got = encoder.transform(sources)
    assert sum(passes) == 3
    close(np.delete(got, [4, 5, 6], axis=0), expected[[0] * 5 + [2, 6, 6]])
    assert np.isnan(got[4:7]).all()


@pytest.fixture
def on_read(monkeypatch):
    """Call a function before each image is read."""

    def call(function):
        fetch = _image_encoder.fetch
        monkeypatch.setattr(
            _image_encoder, "fetch", lambda *args: (function(args[0]), fetch(*args))[1]
        )

    return call


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_few_images_are_read_ahead_of_the_model(encoder, on_pass, on_read, n_jobs):
    read, embedded, ahead = [], [], []

    def count(image):
        read.append(image)
        ahead.append(len(read) - sum(embedded))

    on_read(count)
    on_pass("image", lambda _: time.sleep(0.02))
    on_pass("image", embedded.append, after=True)
    encoder.set_params(batch_size=4, n_jobs=n_jobs).transform(some_pictures(40))
    assert len(read) == 40
    # And while one batch is in the model the next is read.
    assert 4 < max(ahead) <= 2 * 4


def test_errors_of_readers_reach_the_caller_and_leave_no_threads_behind(encoder, pictures, on_read):
    def interrupt(image):
        if image is pictures[5]:
            raise KeyboardInterrupt("the sixth")

    on_read(interrupt)
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt, match="the sixth"):
        encoder.set_params(batch_size=2, n_jobs=3).transform(pictures)
    assert threading.active_count() == before


# Images that cannot be read


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        ("note.jpg", "'note.jpg'"),
        (b"text", "bytes"),
        *((other, type(other).__name__) for other in (None, float("nan"), pd.NA, 3)),
    ],
)
def test_a_bad_image_is_named_with_position_and_source(encoder, paths, bad, named):
    with pytest.raises(
        ImageReadError, match=rf"^Image 2 \({re.escape(named)}\) cannot be read: .*"
    ):
        encoder.transform([paths[0], paths[0], bad, paths[1]])


def test_bad_images_become_rows_of_nan_and_all_others_stay_in_place(encoder, paths, expected):
    sources = [paths[0], "missing.jpg", *paths[1:4], b"", *paths[4:], "missing.jpg", None, paths[0]]
    bad = np.array([1, 5, 9, 10])
    message = (
        r"4 of 12 images .*: 1 \('missing.jpg'\), 5 \(bytes\), 9 \('missing.jpg'\) and 1 more\. "
        r"The first: there is no such file"
    )
    with pytest.warns(UserWarning, match=message) as caught:
        got = encoder.set_params(on_error="nan", batch_size=2).transform(sources)
    assert len(caught) == 1
    assert np.isnan(got[bad]).all()
    close(np.delete(got, bad, axis=0), np.vstack([expected, expected[:1]]))
    with pytest.warns(UserWarning, match=r"3 of 3 images .*, 2 \('c.jpg'\)\. The first"):
        assert np.isnan(
            encoder.set_params(normalize=True).transform(["a.jpg", "b.jpg", "c.jpg"])
        ).all()


def test_pictures_too_narrow_to_be_resized_are_named(encoder):
    # Resized by its shorter side, this one would take 48 x 4,800,000 pixels.
    with pytest.raises(ImageReadError, match="Image 0 .*more than the limit"):
        encoder.transform([np.zeros((1, 100_000), np.uint8)])
    assert encoder.transform([np.zeros((1, 1000), np.uint8)]).shape == (1, 128)


# Manners of scikit-learn


def test_a_column_of_a_data_frame_is_embedded_and_the_index_kept(encoder, paths, expected):
    X = pd.DataFrame({"price": np.arange(7.0), "image": paths}, index=list("abcdefg"))
    columns = ColumnTransformer(
        [("picture", encoder, ["image"]), ("rest", "passthrough", ["price"])]
    )
    frame = columns.set_output(transform="pandas").fit_transform(X)
    close(np.float32(frame)[:, :-1], expected)
    assert list(frame.index) == list(X.index)
    assert list(frame.columns[[0, -1]]) == ["picture__clipimageencoder0", "rest__price"]


@pytest.mark.parametrize(
    ("name", "value"), [("batch_size", 0), ("precision", "fp8"), ("on_error", "ignore")]
)
def test_wrong_parameters_are_named_without_fit_too(encoder, paths, name, value):
    with pytest.raises(ValueError, match=f"The '{name}' parameter"):
        encoder.set_params(**{name: value}).transform(paths)


def test_half_precision_stays_close(pictures, expected):
    for precision in ("bf16", "auto"):
        got = CLIPImageEncoder("mini", "bundled", precision=precision).transform(pictures)
        assert got.dtype == np.float32
        cosine = (
            (got * expected).sum(1) / np.linalg.norm(got, axis=1) / np.linalg.norm(expected, axis=1)
        )
        assert cosine.min() > 0.999


def test_a_callers_autocast_changes_no_row():
    images, encoder = some_pictures(70), CLIPImageEncoder(BUNDLED, device="cpu", cache=None)
    expected = encoder.transform(images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_allclose(encoder.transform(images), expected, atol=1e-5 * np.abs(expected).max())


def test_threads_may_share_an_encoder(encoder, pictures, expected):
    y, n_threads, together = [0, 1, 0, 1, 0, 1, 0], 4, threading.Barrier(4)

    def fit(_):
        together.wait()
        for _ in range(5):
            close(encoder.fit_transform(pictures), expected)
            # A pipeline of scikit-learn sets attributes of its steps during `fit`, so each has its
            # own.
            make_pipeline(clone(encoder), LogisticRegression()).fit(pictures, y)

    with ThreadPoolExecutor(n_threads) as threads:
        list(threads.map(fit, range(n_threads)))
    assert set(vars(encoder)) == set(encoder.get_params())


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT], ids=str)
def test_an_error_of_a_missing_image_names_the_remedy(missing):
    encoder = CLIPImageEncoder("mini", "bundled")
    images = [np.zeros((8, 8, 3), dtype=np.uint8), missing]
    with pytest.raises(ImageReadError, match='Image 1 .*With on_error="nan", a missing image has'):
        encoder.transform(images)
    with pytest.warns(UserWarning, match="1 of 2 images cannot be read"):
        rows = encoder.set_params(on_error="nan").transform(pd.Series(images))
    assert np.isnan(rows).all(axis=1).tolist() == [False, True]
