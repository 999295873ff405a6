"""Every example runs, prints or draws something, and needs no network."""

import runpy
import warnings
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
