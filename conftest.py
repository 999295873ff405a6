"""Run the code blocks of README.md and docs/ as they stand, each page in an empty folder of its own."""

import os
from contextlib import ExitStack, chdir
from importlib.util import find_spec
from tempfile import TemporaryDirectory
from unittest import mock

import pytest
from sybil import Sybil
from sybil.parsers.myst import PythonCodeBlockParser, SkipParser

# Several workers with a thread for each core wait for each other. NumPy and torch read this when they are imported.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Modules that pytest must not import in search of doctests.
collect_ignore_glob = [
    "docs/*.py",
    "docs/auto_examples/*",
    "examples/*",
    "benchmarks/*",
    "studies/*",
    "tools/*",
]


@pytest.fixture(scope="session")
def embeddings_folder(tmp_path_factory):
    return str(tmp_path_factory.mktemp("embeddings"))


@pytest.fixture
def one_cache_for_all(monkeypatch, embeddings_folder):
    """A cache for encoders that are given none: docs and examples embed the same pictures again and again."""
    from sksemobridge import CLIPImageEncoder, CLIPTextEncoder

    for encoder in (CLIPImageEncoder, CLIPTextEncoder):
        monkeypatch.setitem(encoder.__init__.__kwdefaults__, "cache", embeddings_folder)


def set_up(namespace):
    """An empty folder to work in; no block gets a name that its page does not define."""
    import matplotlib
    from PIL import Image

    matplotlib.use("Agg")
    undo = namespace["_undo"] = ExitStack()
    undo.enter_context(mock.patch.dict(os.environ))
    # Which a page may lower.
    undo.enter_context(mock.patch.object(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS))
    undo.enter_context(chdir(undo.enter_context(TemporaryDirectory())))
    # For comments that skip the next block where a package is not installed.
    namespace["missing"] = lambda *packages: any(find_spec(package) is None for package in packages)


def tear_down(namespace):
    import matplotlib.pyplot as plt

    plt.close("all")
    namespace["_undo"].close()


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()],
    patterns=["README.md", "docs/*.md"],
    setup=set_up,
    teardown=tear_down,
    fixtures=["one_cache_for_all"],
).pytest()
