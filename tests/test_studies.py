"""The study of constants runs, on a task of a size that proves nothing."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from .benchmarks.task_files import write_task


@pytest.fixture(scope="module")
def blend():
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "studies" / "blend.py")))


@pytest.fixture(scope="module")
def npz(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "made_up.npz"
    return write_task(path, [6] * 4, kind="animal", noise=2.0)


@pytest.fixture
def words(tmp_path):
    """A vocabulary."""
    rows = np.random.default_rng(1).normal(size=(40, 12))
    np.savez(tmp_path / "words.npz", texts=[f"a thing {i}" for i in range(40)], text=rows)
    return tmp_path / "words.npz"


def test_each_constant_has_a_row_for_each_value_and_what_it_costs_to_choose_it(blend, npz, words, capsys):
    name = blend.CONSTANTS[0]
    before = blend.value_of(name)
    arguments = ["--vocabulary", str(words), "--shots", "1", "2", "--draws", "1", "--jobs", "1"]
    blend.main([str(npz), *arguments, "--constants", name])
    head, *rows, costs = capsys.readouterr().out.splitlines()
    assert head.split() == ["1", "shots", "2", "shots"]
    assert [row.split()[0] for row in rows] == [name] * 3
    assert "to choose it costs" in costs
    assert blend.value_of(name) == before


def test_choosing_costs_what_a_task_loses_with_the_value_that_suits_the_others(blend):
    as_it_is, half = [1.0, 1.0, 1.0], [0.5, 0.9, 2.0]
    # The first would be given the first row, the others the second.
    np.testing.assert_allclose(blend.cost(np.array([as_it_is, half])), [0.0, 0.0, 1.0])
