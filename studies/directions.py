"""How many directions of a vocabulary the bridge should keep.

    python studies/directions.py --tasks FOLDER --vocabulary vocabulary_vit_b32.npz vocabulary_rn50.npz

Tasks, words and the search are those of `benchmarks/bridge.py`, both sides bridged. Columns are the mean average
precision in percent by the number of directions, as a part of the embedding's width, and by the share of the variance
of the words that they hold; in brackets the number of directions of the latter.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from bridge import MAX_IMAGES, centred, precision, read_tasks

from sksemobridge._utils.array_api import l2_normalize

PARTS = (0.1, 0.15, 0.2, 1 / 3, 0.4, 1 / 2, 0.6, 0.8)
VARIANCE_SHARES = (0.8, 0.85, 0.9, 0.95)


def directions(words):
    """Principal directions `(D, r)` of unit words, and the share of the variance that the first of them hold."""
    unit = l2_normalize(words)
    _, deviations, right = np.linalg.svd(unit - unit.mean(axis=0), full_matrices=False)
    variances = np.square(deviations)
    return right.T, np.cumsum(variances) / variances.sum()


def measure(task):
    """Mean average precision by part of the width, and `(precision, rank)` by share of the variance."""
    chosen = np.random.default_rng(0).permutation(len(task.X))[:MAX_IMAGES]
    X, y = task.X[chosen], task.y[chosen]
    X = centred(X)
    basis, held = directions(task.words)

    def search(rank):
        return precision(X @ basis[:, :rank], y)

    ranks = [int(np.searchsorted(held, share)) + 1 for share in VARIANCE_SHARES]
    return [search(round(part * X.shape[1])) for part in PARTS], [(search(rank), rank) for rank in ranks]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tasks", type=Path, required=True)
    parser.add_argument("--vocabulary", type=Path, nargs="+", required=True)
    args = parser.parse_args()
    by_part = "".join(f"{part:7.2f}" for part in PARTS)
    by_share = "".join(f"{share:12.0%}" for share in VARIANCE_SHARES)
    print(f"{'':18s}{by_part}{by_share}")
    for task in read_tasks(args.tasks, args.vocabulary):
        by_part, by_share = measure(task)
        line = "".join(f"{value:7.1f}" for value in by_part)
        line += "".join(f"{value:7.1f} {f'({rank})':>4s}" for value, rank in by_share)
        print(f"{task.name:18s}{line}", flush=True)


if __name__ == "__main__":
    main()
