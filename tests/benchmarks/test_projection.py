"""What a projection gains is measured against the identity, on the same shots and texts."""

import numpy as np
import pandas as pd
import projection
import pytest
import tasks

from .task_files import write_task


@pytest.fixture
def files(tmp_path):
    matrix = np.random.default_rng(0).normal(size=(12, 12))
    path = tmp_path / "projections.npz"
    np.savez(path, text_projection=matrix)
    return write_task(tmp_path / "task.npz", [8, 8, 8]), path


def test_bridges_differ_only_before_the_projection(files):
    task, matrix = tasks.from_npz(files[0]), np.load(files[1])["text_projection"]
    for of in (matrix, projection.along_random_directions(matrix, seed=1)):
        other = projection.with_projection(task, of).text_encoder
        texts = task.text_encoder.transform(other.texts)
        np.testing.assert_allclose(other.transform(other.texts), texts)
        values = np.linalg.svd(of, compute_uv=False)
        np.testing.assert_allclose(values, np.linalg.svd(matrix, compute_uv=False))


def test_each_solver_is_measured_with_and_without_texts(files, tmp_path, capsys):
    arguments = [*map(str, files), "--shots", "2", "--draws", "2", "--jobs", "1"]
    projection.main([*arguments, "--results", str(tmp_path / "rows.csv")])
    lines = [line.strip("| ").split(" | ")[:3] for line in capsys.readouterr().out.splitlines()[2:]]
    bridges = [projection.IDENTITY, projection.CUT, projection.RANDOM]
    assert lines == [
        [solver, texts, bridge]
        for solver in projection.SOLVERS
        for texts in projection.TEXTS
        for bridge in bridges
    ]


def test_gains_are_those_of_the_same_draws():
    rows = [
        ("task", 1, seed, "title", "yes", bridge, accuracy + gain)
        for seed, accuracy in enumerate((50.0, 90.0))
        for bridge, gain in ((projection.IDENTITY, 0), (projection.CUT, 2), (projection.RANDOM, -1))
    ]
    frame = pd.DataFrame(rows, columns=[*projection.KEY, *projection.VALUES])
    printed = projection.report(frame).splitlines()
    assert printed[2] == "| title | yes | identity | 70.0 ± 20.0 |"
    assert printed[3] == "| title | yes | cut at 0.3 | +2.0 ± 0.0 |"
    assert printed[4] == "| title | yes | random directions | -1.0 ± 0.0 |"
