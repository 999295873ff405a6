"""Every example runs, prints or draws something, and needs no network."""

import runpy
import warnings
from pathlib import Path

import matplotlib
import pytest

# Packages that are not among the requirements of the tests, and warn of each other.
NEEDS = {
    "serve_onnx": ("onnx", "onnxscript", "onnxruntime"),
    "serve_mlflow": ("mlflow",),
    "fiftyone_model": ("fiftyone",),
    "lightly_studio_operator": ("lightly_studio",),
}
# What is not among the requirements of the tests.
TOOLS = {
    "plot_held_out": ("cleanlab", "mapie"),
    "plot_label_next": ("skactiveml",),
}
EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


@pytest.mark.usefixtures("one_cache_for_all")
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path, monkeypatch, tmp_path, capsys):
    for package in NEEDS.get(path.stem, ()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pytest.importorskip(package, reason=f"needs {package}")
    if path.stem in NEEDS:
        warnings.simplefilter("ignore")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    for tool in TOOLS.get(path.stem, ()):
        pytest.importorskip(tool, reason=f"needs {tool}")
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.extend(plt.get_fignums()))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("LIGHTLY_STUDIO_ANALYTICS_ENABLED", "0")
    try:
        runpy.run_path(str(path), run_name="__main__")
    except Exception as error:
        if type(error).__name__ == "FiftyOneConfigError":
            pytest.skip("needs the database of fiftyone")
        raise
    finally:
        plt.close("all")
    assert capsys.readouterr().out
    assert not path.stem.startswith("plot_") or shown or list(tmp_path.glob("*.png"))


def test_there_is_an_example():
    assert len(EXAMPLES) >= 10
