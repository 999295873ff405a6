"""Runs whose embeddings are all cached, which load no model."""

import os
import sys

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sksemobridge.encoders import CLIPImageEncoder, CLIPTextEncoder, clear_model_cache

from ..encoder_helpers import n_cached, small_config, some_pictures, write_model, write_pictures
from ..programs import run_program

RUN = """
import sys
from sksemobridge import make_few_shot_pipeline

cache, *paths = sys.argv[1:]
params = {"encoder_params": {"cache": cache}, "prompts": "a {}."}
pipeline = make_few_shot_pipeline("mini", "bundled", **params)
pipeline.fit(paths, ["cat", "cat", "dog", "dog"])
print(pipeline.predict_proba(paths).tolist(), "torch" in sys.modules)
"""


@pytest.fixture
def forget():
    """Forget models and embeddings, as a new process would."""
    return clear_model_cache


def test_a_run_whose_embeddings_are_all_cached_does_without_torch(
    tmp_path, forget, monkeypatch, capsys
):
    forget()
    arguments = ["-c", str(tmp_path / "cache"), *write_pictures(tmp_path, 4)]
    monkeypatch.setattr(sys, "argv", arguments)
    exec(RUN)
    here = capsys.readouterr().out
    done = run_program(RUN, *arguments[1:])
    assert done.returncode == 0, done.stderr
    assert here.endswith(" True\n")
    assert done.stdout == here.replace(" True\n", " False\n")


def test_a_model_is_known_in_any_folder_and_its_relative_name_in_one(
    tmp_path, forget, loads, monkeypatch
):
    pictures = some_pictures(1)
    for folder in ("a", "b"):
        write_model(tmp_path / folder / "model", small_config("ViT-B-16"))
    for name, n_loads in (("mini", 1), ("local-dir:model", 2)):
        pretrained = "bundled" if name == "mini" else None
        loads.clear()
        for _ in range(2):
            for folder in ("a", "b"):
                monkeypatch.chdir(tmp_path / folder)
                forget()
                CLIPImageEncoder(name, pretrained, cache=tmp_path / "cache").transform(pictures)
        assert len(loads) == n_loads


def test_what_is_not_cached_is_embedded_as_ever(tmp_path, forget, loads):
    pictures = some_pictures(4)
    encoder = CLIPImageEncoder("mini", "bundled", precision="fp32", cache=tmp_path)
    expected = CLIPImageEncoder("mini", "bundled", precision="fp32").transform(pictures)
    encoder.transform(pictures[:2])
    forget()
    loads.clear()
    encoder.transform(pictures[:2])
    assert loads == []
    np.testing.assert_allclose(encoder.transform(pictures), expected, atol=1e-5)
    assert len(loads) == 1
    assert n_cached(tmp_path) == 4


@pytest.mark.parametrize("kind", [CLIPImageEncoder, CLIPTextEncoder])
def test_another_model_in_its_place_is_noticed(tmp_path, forget, kind):
    inputs = some_pictures(2) if kind is CLIPImageEncoder else ["a cat", "a dog"]
    config, found = small_config("ViT-B-16"), []
    for seed in (0, 1):
        name = write_model(tmp_path / "model", config, seed=seed)
        for path in (tmp_path / "model").iterdir():
            os.utime(path, ns=(0, 0))
        for _ in range(2):
            forget()
            found.append(kind(name, cache=tmp_path / "cache").transform(inputs))
    assert_array_equal(found[0], found[1])
    assert_array_equal(found[2], found[3])
    assert not np.allclose(found[0], found[2])


@pytest.mark.parametrize("content", ["", "[]", '{"files": [["/nothing", 1]]}'])
def test_a_broken_memory_is_as_good_as_none(tmp_path, forget, content):
    pictures = some_pictures(2)
    encoder = CLIPImageEncoder("mini", "bundled", cache=tmp_path)
    expected = encoder.transform(pictures)
    (memory,) = tmp_path.glob("model-*.json")
    memory.write_text(content)
    forget()
    assert_array_equal(encoder.transform(pictures), expected)
    assert memory.read_text() != content


def test_a_memory_of_other_facts_is_replaced_where_the_model_is_loaded(tmp_path, forget):
    encoder = CLIPImageEncoder("mini", "bundled", precision="fp32", cache=tmp_path)
    encoder.transform(some_pictures(1))
    (memory,) = tmp_path.glob("model-*.json")
    right = memory.read_text()
    memory.write_text(right.replace('"digest": "', '"digest": "00'))
    forget()
    expected = CLIPImageEncoder("mini", "bundled", precision="fp32").transform(some_pictures(3))
    np.testing.assert_allclose(encoder.transform(some_pictures(3)), expected, atol=1e-5)
    assert memory.read_text() == right


@pytest.mark.parametrize("other", [{"device": "cpu"}, {"precision": "bf16"}])
def test_a_model_is_remembered_for_its_device_and_precision(tmp_path, forget, loads, other):
    params = {"device": "auto", "precision": "fp32"}
    for changed in ({}, other, {}, other):
        forget()
        encoder = CLIPImageEncoder("mini", "bundled", cache=tmp_path, **(params | changed))
        encoder.transform(some_pictures(1))
    assert len(loads) == 2
