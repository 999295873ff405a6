"""Run the code blocks of README.md and docs/ as they stand, each page in an empty folder of its
own.
"""

import gc
import os
import re
from contextlib import ExitStack, chdir
from importlib.util import find_spec
from tempfile import TemporaryDirectory
from unittest import mock

from sybil import Region, Sybil
from sybil.parsers.myst import PythonCodeBlockParser, SkipParser

# Several workers with a thread for each core wait for each other. NumPy and torch read this when
# they are imported.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# What is imported while tests are collected stays. To look for garbage among it took a third of
# that time.
gc.disable()


def pytest_collection_finish():
    gc.freeze()
    # Reports and what tests import stay, too: the oldest objects are gone through ten times less.
    youngest, young, _ = gc.get_threshold()
    gc.set_threshold(youngest, young, 100)
    gc.enable()


# Modules that pytest must not import in search of doctests.
collect_ignore_glob = [
    "docs/*.py",
    "docs/auto_examples/*",
    "examples/*",
    "benchmarks/*",
    "tools/*",
]


def figures_in_prose(document):
    """Figures marked as `67 %<!-- printed -->`, each checked after the blocks above it."""
    for match in re.finditer(r"(\d+(?:\.(\d+))?)( %)?<!-- printed -->", document.text):
        yield Region(match.start(), match.end(), match, check_figure)


def check_figure(example):
    """A message if no block has printed the figure. The last digit may differ by one from machine
    to machine.
    """
    figure, decimals, percent = example.parsed.groups()
    printed = "\n".join(example.namespace["_printed"])
    values = [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", printed)]
    values += [100 * value for value in values if percent]
    unit = 10.0 ** -len(decimals or "")
    if not any(
        abs(round(value, len(decimals or "")) - float(figure)) <= 1.01 * unit for value in values
    ):
        return f"the blocks above do not print {figure}{percent or ''}, but:\n{printed}"


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
    printed = namespace["_printed"] = []

    def print_and_keep(*values, **options):
        printed.append(" ".join(map(str, values)))
        print(*values, **options)

    namespace["print"] = print_and_keep
    # For comments that skip the next block where a package is not installed.
    namespace["missing"] = lambda *packages: any(find_spec(package) is None for package in packages)


def tear_down(namespace):
    import matplotlib.pyplot as plt

    plt.close("all")
    namespace["_undo"].close()


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser(), figures_in_prose],
    patterns=["README.md", "docs/*.md"],
    setup=set_up,
    teardown=tear_down,
).pytest()
