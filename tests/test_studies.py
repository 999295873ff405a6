"""The studies run, on tasks of a size that proves nothing."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import tasks


def study(name):
    """The module of a study; `training.py` is also the name of a benchmark."""
    path = Path(__file__).parents[1] / "studies" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"studies_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    rng = np.random.default_rng(0)
    text = rng.normal(size=(4, 12))
    labels = np.repeat(np.arange(4), 6)
    images = text[labels] + 2 * rng.normal(size=(24, 12))
    path = tmp_path_factory.mktemp("data") / "made_up.npz"
    np.savez(
        path, images=images, labels=labels, class_names=np.array(["ant", "bee", "cat", "dog"]), text=text
    )
    return tasks.from_npz(path)


def test_the_blend_is_measured_on_a_task(task):
    blend = study("blend")
    assert all(hasattr(module, name) for module, names in blend.CONSTANTS.items() for name in names)
    with_text = blend.losses([task], (1, 2), range(2))
    assert np.shape(with_text) == (1,)
    assert np.isfinite(with_text).all()


def test_every_constant_of_training_is_changed_and_put_back(task, capsys):
    training = study("training")
    before = [getattr(module, name) for module, name, _ in training.CONSTANTS]
    training.report(task, 2, range(1))
    assert len(capsys.readouterr().out.splitlines()) == 2 + sum(
        len(values) for *_, values in training.CONSTANTS
    )
    assert [getattr(module, name) for module, name, _ in training.CONSTANTS] == before
    assert [values[0] for *_, values in training.CONSTANTS] == before


def test_all_directions_hold_all_of_the_variance():
    rng = np.random.default_rng(0)
    basis, held = study("directions").directions(rng.normal(size=(30, 8)))
    np.testing.assert_allclose(basis.T @ basis, np.eye(8), atol=1e-12)
    assert held[-1] == pytest.approx(1)
    assert (np.diff(held) > 0).all()
