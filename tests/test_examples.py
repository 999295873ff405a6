"""Every example runs, prints or draws something, and needs no network."""

import io
import runpy
import subprocess
import sys
import warnings
from contextlib import redirect_stdout
from pathlib import Path

import matplotlib
import pytest

# What is not among the requirements of the tests.
NEEDS = {
    "serve_onnx": ("onnx", "onnxruntime"),
    "serve_mlflow": ("mlflow",),
    "fiftyone_model": ("fiftyone",),
    "plot_held_out": ("cleanlab", "mapie"),
}
EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


def run_here(command, stdout=None, **_):
    """Run a command of Python in this process, as `subprocess.run` would in a new one. The imports
    of a new one take seconds.
    """
    _, *arguments = command
    is_module = arguments[0] == "-m"
    name, *arguments = arguments[is_module:]
    printed, status = io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed if stdout else sys.stdout):
        patch.setattr(sys, "argv", [str(name), *map(str, arguments)])
        try:
            (runpy.run_module if is_module else runpy.run_path)(str(name), run_name="__main__")
        except SystemExit as ended:
            status = ended.code
    assert not status
    return subprocess.CompletedProcess(command, status, printed.getvalue())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path, monkeypatch, tmp_path, capsys):
    if path.stem in NEEDS and not path.stem.startswith("plot_"):
        warnings.simplefilter("ignore")  # these packages warn of each other
    for package in NEEDS.get(path.stem, ()):
        pytest.importorskip(package, reason=f"needs {package}")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figures = []
    monkeypatch.setattr(plt, "show", lambda: figures.extend(plt.get_fignums()))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(subprocess, "run", run_here)
    try:
        runpy.run_path(str(path), run_name="__main__")
    except Exception as error:
        if type(error).__name__ == "FiftyOneConfigError":
            pytest.skip("needs the database of fiftyone")
        raise
    finally:
        plt.close("all")
    assert capsys.readouterr().out
    assert not path.stem.startswith("plot_") or figures or list(tmp_path.rglob("*.png"))
