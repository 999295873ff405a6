"""The fixed setting of each peer: the best one on tasks of other families than the task at hand.

`peer_settings.py` measures the settings of `GRIDS`, and `data.csv` says of which family a task is.
"""

from functools import cache
from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent
MEASURED = HERE / "results" / "peer_settings.csv"

# Peers with a number to choose. NearestClassMean, LP++, TextCoord and zero-shot have none.
GRIDS = {
    "LogisticRegression": {"C": (1, 10, 100, 1000)},
    "LDA": {"shrinkage": (0.3, 0.5, 0.7, 0.9, 0.97)},
    "ridge": {"alpha": (0.003, 0.01, 0.03, 0.1, 0.3, 1)},
    "linear SVM": {"C": (0.1, 1, 10, 100)},
    "GDA": {"a": (0.003, 0.01, 0.03, 0.1, 0.3, 1)},
    "Tip-Adapter": {"a": (1, 5, 20, 50, 100), "b": (1, 5.5, 20)},
    "CLAP-style probe": {"C": (1, 10, 100, 1000)},
}


@cache
def families():
    """The family of each task, by its name."""
    files = pd.read_csv(HERE / "data.csv")
    return dict(zip(files.file.str.removesuffix(".npz"), files.family))


def in_words(params):
    return ", ".join(f"{name}={value:g}" for name, value in params.items())


def from_words(words):
    return {name: float(value) for name, value in (part.split("=") for part in words.split(", "))}


def best_setting(measured, method, left_out=None):
    """The setting, in words, with the best mean accuracy over the families but one.

    A family is the mean over its tasks, shots and draws.
    """
    rows = measured[(measured.method == method) & (measured.task.map(families()) != left_out)]
    of_family = rows.groupby([rows.task.map(families()), "setting"], sort=False).accuracy.mean()
    return of_family.groupby("setting", sort=False).mean().idxmax()


@cache
def setting(method, task):
    """Parameters of a peer on a task, by the name of the task; none for peers without a grid."""
    if method not in GRIDS:
        return {}
    return from_words(best_setting(pd.read_csv(MEASURED), method, families().get(task)))
