"""The modules of benchmarks/ can be imported by their names, as the programs there import each
other.
"""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))


@pytest.fixture(autouse=True)
def _results_of_each_test_alone(tmp_path, monkeypatch):
    """Programs keep rows in files of the working directory."""
    monkeypatch.chdir(tmp_path)
