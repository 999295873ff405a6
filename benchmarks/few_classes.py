"""Few classes without text: the classifier and scikit-learn's `LogisticRegression` on the same images.

    python benchmarks/few_classes.py FILE.npz ...

Files are as `benchmarks/few_shot.py` takes them; their texts are not used. Of each file 2, 3, 5 and 10 classes are drawn by
`default_rng(4000 + s).permutation`, and all are taken; each class has 1, 2 and 4 shots, and two images more. Queries are the
other images of these classes. `LogisticRegression(C=10)` gets rows of unit length. Figures are means over the files of
accuracy in percent and of log loss; differences are paired, with the standard error over the draws.
"""

import argparse
import os
import warnings
from itertools import product

import joblib
import numpy as np
import tasks
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from sksemobridge import SeMoBridgeClassifier

SIZES, SHOTS, FIRST_SEED = (2, 3, 5, 10, "all"), (1, 2, 4), 4000


def one_draw(task, size, k, seed):
    """Accuracy and log loss `(2, 2)` of the classifier and of `LogisticRegression`; None with too few images."""
    if size != "all":
        task = task.some_classes(size, k, seed)
    drawn = None if task is None else task.draw(k, seed)
    if drawn is None:
        return None
    shots, queries = drawn
    figures = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of searches that stop early
        for model in (
            SeMoBridgeClassifier(class_names="ignore"),
            make_pipeline(Normalizer(), LogisticRegression(C=10, max_iter=1000)),
        ):
            model.fit(task.X[shots], task.y[shots])
            figures.append(tasks.accuracy_and_log_loss(model, task.X[queries], task.y[queries]))
    return figures


def row(all_tasks, size, k, draws):
    """A line of the table, or None where no file has so many images."""
    by_task = []
    for task in all_tasks:
        seeds = range(FIRST_SEED, FIRST_SEED + draws)
        found = joblib.Parallel()(joblib.delayed(one_draw)(task, size, k, seed) for seed in seeds)
        if all(figures is not None for figures in found):
            by_task.append(found)
    if not by_task:
        return None
    figures = np.array(by_task)  # (files, draws, models, accuracy and log loss)
    (ours, loss), (theirs, their_loss) = figures.mean(axis=(0, 1))
    paired = figures[:, :, 0] - figures[:, :, 1]
    errors = paired.std(axis=1, ddof=1) / np.sqrt(draws)
    error, error_of_loss = np.sqrt(np.square(errors).sum(axis=0)) / len(figures)
    return (
        f"| {size} x {k} | {len(figures)} | {ours:.1f} | {theirs:.1f} | {ours - theirs:+.2f} ± {error:.2f} "
        f"| {loss:.3f} | {their_loss:.3f} | {loss - their_loss:+.3f} ± {error_of_loss:.3f} |"
    )


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="FILE.npz")
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    args = parser.parse_args(arguments)
    all_tasks = tasks.from_folder(*args.files)
    print("| classes x shots | files | accuracy | LR | difference | log loss | LR | difference |")
    print("| --- |" + " ---: |" * 7)
    with joblib.parallel_config("loky", n_jobs=args.jobs, inner_max_num_threads=1):
        for size, k in product(SIZES, SHOTS):
            if (line := row(all_tasks, size, k, args.draws)) is not None:
                print(line, flush=True)


if __name__ == "__main__":
    main()
