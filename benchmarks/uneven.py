"""Shots that are uneven: accuracy and log loss beside zero-shot, and what the first shot of a class does.

    python benchmarks/uneven.py FILE.npz ... --first FILE.npz ...

Files are as `benchmarks/few_shot.py` takes them. The first table gives half of the classes one shot and the other half
sixteen, ten draws. The second gives each class in turn one shot beside sixteen of all others, three draws: recall of
that class and accuracy over all classes, by zero-shot, by the name of the class alone, and with its shot. Draws are
`default_rng(2000 + s)`. Differences to zero-shot have standard errors over draws.
"""

import argparse
import os

import joblib
import numpy as np
import tasks

from sksemobridge import SeMoBridgeClassifier, ZeroShotClassifier

MANY, FIRST_SEED = 16, 2000


def draw(task, wanted, rng):
    """Rows of `wanted[c]` shots of each class, two images less than it has at most, and of all other images."""
    shots, queries = [], []
    for name in np.unique(task.y):
        rows = rng.permutation(np.flatnonzero(task.y == name))
        k = min(wanted[name], len(rows) - 2)
        shots.append(rows[:k])
        queries.append(rows[k:])
    return np.concatenate(shots), np.concatenate(queries)


def half(task, seed):
    """Accuracy in percent and log loss of the classifier, and of zero-shot."""
    rng, classes = np.random.default_rng(seed), np.unique(task.y)
    order = rng.permutation(len(classes))
    wanted = dict.fromkeys(classes, 1) | dict.fromkeys(classes[order[: len(classes) // 2]], MANY)
    shots, queries = draw(task, wanted, rng)
    figures = []
    for kind in (SeMoBridgeClassifier, ZeroShotClassifier):
        fitted = kind(task.text_encoder, prompts=task.prompts).fit(task.X[shots], task.y[shots])
        figures += tasks.accuracy_and_log_loss(fitted, task.X[queries], task.y[queries])
    return figures


def first_shot(task, name, seed):
    """Recall of a class and accuracy, in percent: zero-shot, without a shot of the class, and with its first."""
    rng, classes = np.random.default_rng(seed), np.unique(task.y)
    shots, queries = draw(task, dict.fromkeys(classes, MANY) | {name: 1}, rng)
    X, y = task.X[shots], task.y[shots]
    others = y != name
    blend = SeMoBridgeClassifier(task.text_encoder, prompts=task.prompts)
    figures = []
    for fitted in (
        ZeroShotClassifier(task.text_encoder, prompts=task.prompts).fit(X, y),
        blend.fit(X[others], y[others]).with_classes(classes),
        SeMoBridgeClassifier(task.text_encoder, prompts=task.prompts).fit(X, y),
    ):
        right = fitted.predict(task.X[queries]) == task.y[queries]
        figures += [100 * right[task.y[queries] == name].mean(), 100 * right.mean()]
    return figures


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="FILE.npz", help="tasks of the first table")
    parser.add_argument(
        "--first", nargs="*", default=[], metavar="FILE.npz", help="tasks of the second table"
    )
    parser.add_argument(
        "--draws", default=10, type=int, help="of the first table; a third as many of the second"
    )
    parser.add_argument("--jobs", default=os.cpu_count(), type=int)
    args = parser.parse_args(arguments)
    seeds = range(FIRST_SEED, FIRST_SEED + args.draws)
    with joblib.parallel_config("loky", n_jobs=args.jobs, inner_max_num_threads=1):
        print("| half 1, half 16 shots | accuracy | zero-shot | difference | log loss | zero-shot |")
        print("| --- | ---: | ---: | ---: | ---: | ---: |")
        for task in map(tasks.from_npz, args.files):
            rows = np.array(joblib.Parallel()(joblib.delayed(half)(task, seed) for seed in seeds))
            ours, loss, theirs, their_loss = rows.mean(axis=0)
            error = np.std(rows[:, 0] - rows[:, 2], ddof=1) / np.sqrt(len(rows))
            print(
                f"| {task.name} | {ours:.1f} | {theirs:.1f} | {ours - theirs:+.2f} ± {error:.2f} "
                f"| {loss:.3f} | {their_loss:.3f} |"
            )
        if args.first:
            print("\n| first shot beside 16 | zero-shot | name alone | with its shot |")
            print("| --- | ---: | ---: | ---: |")
        for task in map(tasks.from_npz, args.first):
            rows = joblib.Parallel()(
                joblib.delayed(first_shot)(task, name, seed)
                for seed in seeds[: max(len(seeds) // 3, 1)]
                for name in np.unique(task.y)
            )
            recall, accuracy = np.mean(rows, axis=0).reshape(3, 2).T
            for kind, figures in (("recall", recall), ("accuracy", accuracy)):
                print(f"| {task.name}, {kind} | " + " | ".join(f"{value:.1f}" for value in figures) + " |")


if __name__ == "__main__":
    main()
