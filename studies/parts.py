"""What the terms of the default model are worth: accuracy of some of them alone.

    python studies/parts.py FILE.npz ...

Files are as `benchmarks/few_shot.py` takes them, with class texts. The model is fitted whole; a row adds up the terms that it
names. Figures are accuracy in percent, means over the files. Draws have the seeds 6000, 6001, ...
"""

import argparse
import os
import sys
import warnings
from pathlib import Path

import joblib
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import tasks
from tables import shots_in_words, table

from sksemobridge import SeMoBridgeClassifier

PARTS = (
    ("text", "shots", "correction"),
    ("text", "shots"),
    ("text", "correction"),
    ("shots", "correction"),
    ("text",),
    ("shots",),
)
FIRST_SEED = 6000


def measure(task, k, seeds):
    """Accuracy in percent of each of `PARTS`, means over draws; NaN where the task has too few images."""
    warnings.simplefilter("ignore")
    figures = []
    for drawn in (task.draw(k, seed) for seed in seeds):
        if drawn is None:
            return np.full(len(PARTS), np.nan)
        shots, queries = drawn
        classifier = SeMoBridgeClassifier(task.text_encoder, prompts=task.prompts)
        terms = classifier.fit(task.X[shots], task.y[shots]).affinities(task.X[queries])
        predicted = [classifier.classes_[sum(terms[name] for name in part).argmax(axis=1)] for part in PARTS]
        figures.append([100 * np.mean(labels == task.y[queries]) for labels in predicted])
    return np.mean(figures, axis=0)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="FILE.npz")
    parser.add_argument("--shots", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    args = parser.parse_args(arguments)
    some = [task for task in map(tasks.from_npz, args.files) if task.text_encoder is not None]
    seeds = range(FIRST_SEED, FIRST_SEED + args.draws)
    calls = (joblib.delayed(measure)(task, k, seeds) for k in args.shots for task in some)
    found = joblib.Parallel(args.jobs)(calls)
    means = np.nanmean(np.reshape(found, (len(args.shots), len(some), len(PARTS))), axis=1)
    rows = [[" + ".join(part), *(f"{mean:.1f}" for mean in row)] for part, row in zip(PARTS, means.T)]
    print(table(["terms", *map(shots_in_words, args.shots)], rows))


if __name__ == "__main__":
    main()
