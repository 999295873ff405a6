"""Write the tables of few shots in README and docs from the committed results.

    python benchmarks/docs_tables.py

Each table stands between two comments in its page. `TABLES` says which rows of `results/*.csv` it
is made of. `few_shot.py --results benchmarks/results/few_shot.csv --tasks FILE.npz ...` measures
them.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from few_shot import differences_by_shots, means_by_shots
from few_shot_methods import CLOSED_FORM, OURS, PEERS, TRAINED, WITHOUT_TEXT, ZERO_SHOT
from peer_settings import choices
from settings import MEASURED

HERE = Path(__file__).parent
ROOT = HERE.parent
FEW_SHOT = HERE / "results" / "few_shot.csv"
ALL_SHOTS = (1, 2, 4, 8, 16)
PHOTOGRAPHS = ("caltech101", "fashion")
IMAGENET = ("imagenet_0_151", "imagenet_151_269", "imagenet_269_400")
AERIAL = (
    "whurs19_clip_vit-b-32",
    "whurs19_remoteclip_vit-l-14",
    "whurs19_skyclip50_vit-b-32",
    "whurs19_skyclip50_vit-l-14",
)
N_BEST = 5
OTHERS = {OURS, WITHOUT_TEXT, CLOSED_FORM, TRAINED, ZERO_SHOT}


@dataclass(frozen=True)
class Table:
    """Where a table stands, and the rows that it is the mean of."""

    page: str
    mark: str
    tasks: tuple
    shots: tuple = ALL_SHOTS
    best_only: bool = False
    differences: bool = False


TABLES = (
    Table("README.md", "shots table", PHOTOGRAPHS, best_only=True),
    Table("docs/benchmarks.md", "all methods", PHOTOGRAPHS),
    Table("docs/benchmarks.md", "differences", PHOTOGRAPHS, differences=True),
    Table("docs/benchmarks.md", "five tasks", PHOTOGRAPHS + IMAGENET, (1, 2, 4)),
    Table("docs/benchmarks.md", "emoji", ("emoji",)),
    Table("docs/benchmarks.md", "remote sensing", AERIAL),
    Table("docs/benchmarks.md", "without texts", ("dtd", "oxford_flowers")),
)


def best_peers(frame):
    """The peers with the best mean over tasks and the numbers of shots that all of them have."""
    peers = frame[frame.method.isin(PEERS.keys() - {ZERO_SHOT})]
    common = set.intersection(*peers.groupby("method").shots.agg(set))
    of_method = peers[peers.shots.isin(common)].groupby(["method", "task", "shots"]).accuracy.mean()
    return set(of_method.groupby("method").mean().nlargest(N_BEST).index)


def markdown(table, frame):
    """A table, made of the accuracies in percent of `frame`."""
    rows = frame[frame.task.isin(table.tasks) & frame.shots.isin(table.shots)]
    if table.best_only:
        rows = rows[rows.method.isin(OTHERS | best_peers(rows))]
    if table.differences:
        return differences_by_shots(rows, "accuracy", 1, OURS)
    return means_by_shots(rows, "accuracy", 1)


def with_table(text, mark, table):
    """The text of a page with the table between the comments of a mark in place of its own."""
    pattern = rf"(<!-- {mark} -->\n(?:(?!<!--|\|).*\n)*)(?:\|.*\n)+"
    text, found = re.subn(pattern, lambda match: match[1] + table + "\n", text)
    if found != 1:
        raise SystemExit(f"There are {found} tables after '<!-- {mark} -->'; one is needed.")
    return text


def pages():
    """The pages with their tables made anew, by name."""
    frame = pd.read_csv(FEW_SHOT).assign(accuracy=lambda rows: 100 * rows.accuracy)
    made = [(table.page, table.mark, markdown(table, frame)) for table in TABLES]
    made.append(("docs/benchmarks.md", "settings", choices(pd.read_csv(MEASURED))))
    texts = {page: (ROOT / page).read_text(encoding="utf-8") for page, *_ in made}
    for page, mark, table in made:
        texts[page] = with_table(texts[page], mark, table)
    return texts


def main():
    for page, text in pages().items():
        (ROOT / page).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
