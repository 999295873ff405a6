"""The studies run, on tasks of a size that proves nothing."""

import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from .benchmarks.task_files import write_task

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import tasks


def study(name):
    """What a study defines; `training.py` is also the name of a benchmark."""
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "studies" / f"{name}.py")))


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


def test_every_constant_of_the_model_is_changed_where_it_is_used_and_put_back(npz, words):
    blend = study("blend")
    before = [blend.value_of(name) for name in blend.CONSTANTS]
    task, ways = blend.classifiers(npz, [dict(np.load(words))])
    assert [name for name, _ in ways] == ["made_up, no text", "made_up, text", "made_up, words"]

    def losses(name, factor):
        return [blend.measure(task, way, k, [0, 1], name, factor)[1] for _, way in ways for k in (1, 2)]

    as_it_is = losses("FEW_DEGREES", 1.0)
    for name in blend.CONSTANTS:
        # Bounds are tried far enough to reach them.
        factor = {"LARGEST_KAPPA": 0.01, "LEAST_VARIANCE": 1000.0}.get(name, 2.0)
        assert losses(name, factor) != as_it_is, name
    assert [blend.value_of(name) for name in blend.CONSTANTS] == before


def test_each_constant_has_a_row_for_each_value_and_what_it_costs_to_choose_it(npz, words, capsys):
    arguments = ["--vocabulary", str(words), "--shots", "1", "2", "--draws", "1", "--jobs", "1"]
    study("blend").main([str(npz), *arguments, "--constants", "LEANING"])
    head, *rows, costs = capsys.readouterr().out.splitlines()
    assert head.split() == ["1", "shots", "2", "shots"]
    assert [row.split()[:2] for row in rows] == [["LEANING", value] for value in ("1.5", "0.75", "3.0")]
    assert "to choose it costs" in costs


def test_choosing_costs_what_a_task_loses_with_the_value_that_suits_the_others():
    as_it_is, half = [1.0, 1.0, 1.0], [0.5, 0.9, 2.0]
    # The first would be given the first row, the others the second.
    np.testing.assert_allclose(study("blend").cost(np.array([as_it_is, half])), [0.0, 0.0, 1.0])


def test_accuracies_of_some_terms_alone_are_printed(npz, capsys):
    parts = study("parts")
    parts.main([str(npz), "--shots", "1", "2", "--draws", "1", "--jobs", "1"])
    head, _, whole, *rows = capsys.readouterr().out.splitlines()
    assert head == "| terms | 1 shot | 2 shots |"
    assert whole.startswith("| text + shots + correction |")
    assert len(rows) == len(parts.PARTS) - 1


def test_every_constant_of_training_is_changed_and_put_back(npz, capsys):
    training = study("training")
    before = [getattr(module, name) for module, name, _ in training.CONSTANTS]
    training.report(tasks.from_npz(npz), 2, range(1))
    n_values = sum(len(values) for *_, values in training.CONSTANTS)
    assert len(capsys.readouterr().out.splitlines()) == 2 + n_values
    assert [getattr(module, name) for module, name, _ in training.CONSTANTS] == before
    assert [values[0] for *_, values in training.CONSTANTS] == before


def test_all_directions_hold_all_of_the_variance():
    rng = np.random.default_rng(0)
    basis, held = study("directions").directions(rng.normal(size=(30, 8)))
    np.testing.assert_allclose(basis.T @ basis, np.eye(8), atol=1e-12)
    assert held[-1] == pytest.approx(1)
    assert (np.diff(held) > 0).all()
