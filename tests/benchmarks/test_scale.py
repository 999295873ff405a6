"""Speed and scale: what the benchmark fits, and the restated loop of the paper."""

import numpy as np
import pytest
import scale
from tasks import made_up_arrays

TINY = {"shots": 3, "classes": 4, "queries": 10, "dimensions": 12}


def test_slopes_are_exponents_of_growth():
    sizes = np.array([1, 2, 4, 8])
    assert scale.slope(sizes, 5.0 * sizes**2) == pytest.approx(2)
    assert scale.slope(sizes, np.array([1.0, 1, 1, 1])) == pytest.approx(0)


def test_the_size_that_fits_takes_a_constant_share_into_account():
    sizes = np.array([1, 2, 4, 8])
    assert scale.fits_until(sizes, 10.0 + 3 * sizes, limit=310) == pytest.approx(100)
    assert scale.fits_until(sizes, 10.0 + 3 * sizes**2, limit=310) == pytest.approx(10)
    # Nothing grows slower than the data: four sizes more cost what the last four did.
    flattening = np.array([10.0, 20, 28, 34])
    assert scale.fits_until(sizes, flattening, limit=34 + 6 * 10) == pytest.approx(8 + 4 * 10)
    assert scale.fits_until(sizes, np.full(4, 10.0)) == np.inf


def test_the_restated_loop_trains_as_the_papers_solver_does():
    problem = made_up_arrays(5, 3, 16)
    losses, bridge, class_bias = scale.paper_loop(problem, steps=60)
    ours = scale.train_on(problem, scale.Training("adamw", max_iter=60, device="cpu"))
    np.testing.assert_allclose(losses, ours.loss_curve, rtol=1e-4)
    np.testing.assert_allclose(bridge.numpy(), ours.bridge, atol=1e-4)
    np.testing.assert_allclose(class_bias.numpy(), ours.class_bias, atol=1e-4)


def test_every_part_gives_a_table(monkeypatch):
    monkeypatch.setattr(scale, "BASE", TINY)
    monkeypatch.setattr(scale, "GROWTH", {"shots": ([2, 4, 8], scale.STAGES)})
    assert scale.growth().count("| shots, 2 to 8 |") == 3
    monkeypatch.setattr(scale, "peak_memory", lambda function, *args, warm_up: (0, function(*args)))
    assert "| closed_form | 1 |" in scale.imagenet(TINY)
    assert "| lbfgs |" in scale.imagenet(TINY, "lbfgs")
    text = scale.loops(TINY, TINY, steps=4)
    assert text.count("| plain torch |") == text.count('| solver="adamw" |') == 2
    losses = [line.split("|")[-3] for line in text.splitlines() if "| 4 |" in line]
    assert losses[0] == losses[1]


def test_the_command_prints_the_parts_it_is_asked_for(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(scale, "PARTS", {name: f"## {name}".title for name in scale.PARTS})
    scale.main(["--parts", "growth", "--docs", str(tmp_path)])
    assert "## Growth" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
    scale.main(["--docs", str(tmp_path)])
    assert "## Loops" in (tmp_path / "benchmarks_scale.md").read_text()
