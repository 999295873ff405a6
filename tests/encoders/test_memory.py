"""Embeddings that the process keeps: nothing is embedded twice, and the room is bounded."""

import pickle
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sksemobridge.encoders import (
    CLIPImageEncoder,
    CLIPTextEncoder,
    _cache,
    _text_encoder,
    clear_model_cache,
)
from sksemobridge.encoders._cache import store_in_memory

from ..encoder_helpers import n_cached, small_config, some_pictures, write_model, write_pictures

ENCODER = CLIPImageEncoder("mini", "bundled", precision="fp32")
ITEM = 4 * 16 + _cache._ITEM_BYTES


def test_a_search_from_images_embeds_each_once(tmp_path, passes):
    paths, y = np.array(write_pictures(tmp_path, 20), dtype=object), np.resize([0, 1], 20)
    pipeline = make_pipeline(clone(ENCODER), LogisticRegression())
    GridSearchCV(pipeline, {"logisticregression__C": [0.1, 1, 10, 100]}, cv=5).fit(paths, y)
    assert sum(passes) == 20


def test_what_is_kept_goes_by_content_and_model_and_precision(tmp_path, passes):
    pictures = some_pictures(3)
    expected = ENCODER.transform(pictures)
    turned = [pictures[2].copy(), *pictures[:2]]
    assert_array_equal(clone(ENCODER).transform(turned), expected[[2, 0, 1]])
    assert sum(passes) == 3
    clone(ENCODER).set_params(precision="bf16").transform(pictures)
    assert sum(passes) == 6
    name = write_model(tmp_path, small_config("ViT-B-16"))
    other = CLIPImageEncoder(name, precision="fp32")
    first = other.transform(pictures)
    assert sum(passes) == 9
    # Other weights in the same folder are another model.
    write_model(tmp_path, small_config("ViT-B-16"), seed=1)
    assert not np.allclose(other.transform(pictures), first)
    assert sum(passes) == 12


def test_rows_that_were_given_out_may_be_changed():
    pictures = some_pictures(2)
    first = ENCODER.transform(pictures)
    expected = first.copy()
    first[:] = 0
    second = ENCODER.transform(pictures)
    assert_array_equal(second, expected)
    second[:] = 0
    assert_array_equal(ENCODER.transform(pictures), expected)


def test_the_parameters_have_the_order_of_the_documentation():
    for encoder, names in (
        (CLIPImageEncoder, "n_jobs cache normalize on_error progress"),
        (CLIPTextEncoder, "cache progress"),
    ):
        wanted = f"model_name pretrained device precision batch_size {names}"
        parameters = signature(encoder).parameters
        assert list(parameters) == wanted.split()
        assert parameters["cache"].default == "memory"


def test_none_keeps_nothing_and_a_folder_may_have_the_name(tmp_path, monkeypatch, on_pass):
    monkeypatch.chdir(tmp_path)
    sizes = {"image": [], "text": []}
    for kind, seen in sizes.items():
        on_pass(kind, seen.append)
    images, texts = some_pictures(2), ["a cat", "a dog"]
    for encoder, items in (
        (clone(ENCODER), images),
        (CLIPTextEncoder("mini", "bundled"), texts),
    ):
        for cache in (None, None, "memory", "memory", Path("memory")):
            encoder.set_params(cache=cache).transform(items)
    assert sizes == {"image": [2, 2, 2, 2], "text": [2, 2, 2, 2]}
    assert n_cached("memory") == 4


def test_nothing_of_it_is_in_a_pickle_and_clearing_models_forgets_it(passes):
    encoder, pictures = clone(ENCODER), some_pictures(2)
    before = len(pickle.dumps(encoder))
    encoder.transform(pictures)
    assert len(pickle.dumps(encoder)) == before
    clear_model_cache()
    encoder.transform(pictures)
    assert sum(passes) == 4


@pytest.mark.parametrize("kind", ["image", "text"])
def test_a_pass_larger_than_the_room_finds_what_fitted(kind, monkeypatch, on_pass):
    room = store_in_memory(10 * (4 * 128 + _cache._ITEM_BYTES))
    sizes = []
    on_pass(kind, sizes.append)
    for module in (_cache, _text_encoder):
        monkeypatch.setattr(module, "IN_MEMORY", room)
    if kind == "image":
        encoder, items = clone(ENCODER), some_pictures(16)
    else:
        encoder, items = CLIPTextEncoder("mini", "bundled"), [f"{i} cats" for i in range(16)]
    first = encoder.transform(items)
    np.testing.assert_allclose(encoder.transform(items), first, atol=1e-5)
    assert sizes == [16, 6]


def contents(n, start=0):
    return dict.fromkeys(range(start, start + n), bytes(4 * 16))


def found(store, keys):
    return [*store.begin().find(keys)]


def test_the_room_is_bounded_and_the_longest_unused_is_dropped_first():
    store = store_in_memory(5 * ITEM)
    store.begin().keep(contents(5))
    assert store._size == 5 * ITEM
    assert found(store, [0, 1]) == [0, 1]
    store.begin().keep(contents(2, start=10))
    assert store._size == 5 * ITEM
    assert found(store, range(12)) == [0, 1, 4, 10, 11]
    store.begin().keep(contents(9, start=20))
    assert found(store, range(30)) == [20, 21, 22, 23, 24]
    store.clear()
    assert store._size == 0
    assert found(store, range(30)) == []


def test_what_has_no_room_at_all_is_not_kept():
    store = store_in_memory(ITEM - 1)
    store.begin().keep(contents(1))
    assert found(store, [0]) == []
    assert store._size == 0
