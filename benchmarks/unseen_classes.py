"""Accuracy on classes that are known by name only.

    python benchmarks/unseen_classes.py npz:cifar10_vit_b32.npz

A fifth of the classes has no shots and is added with `with_classes`. Columns are the mean over draws of the recall of
these classes and of the accuracy on all, each beside that of the texts alone.
"""

import argparse
import warnings

import numpy as np
import tasks

from sksemobridge import SeMoBridgeClassifier, ZeroShotClassifier


def one_draw(task, k, seed):
    """Recall of the unseen classes and accuracy on all: ours, zero-shot."""
    shots, queries = task.draw(k, seed)
    classes = np.unique(task.y[shots])
    unseen = np.random.default_rng(seed).permutation(classes)[: len(classes) // 5]
    shots = shots[~np.isin(task.y[shots], unseen)]
    X, y = task.X[queries], task.y[queries]
    ours = SeMoBridgeClassifier(task.text_encoder, prompts=task.prompts).fit(task.X[shots], task.y[shots])
    zero_shot = ZeroShotClassifier(task.text_encoder, prompts=task.prompts).fit(X, y)
    right = np.array([model.predict(X) == y for model in (ours.with_classes(classes), zero_shot)])
    return [*right[:, np.isin(y, unseen)].mean(axis=1), *right.mean(axis=1)]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", metavar="TASK", help="as for few_shot.py")
    parser.add_argument("--draws", type=int, default=20)
    args = parser.parse_args()
    warnings.filterwarnings("ignore", category=UserWarning)
    task = tasks.load(args.task)
    print(f"{'shots':>5s} {'unseen classes':>15s} {'zero-shot':>10s} {'all':>8s} {'zero-shot':>10s}")
    for k in (1, 2, 4, 8):
        unseen, zero_unseen, overall, zero_overall = 100 * np.mean(
            [one_draw(task, k, seed) for seed in range(args.draws)], axis=0
        )
        print(f"{k:5d} {unseen:13.1f} % {zero_unseen:8.1f} % {overall:6.1f} % {zero_overall:8.1f} %")


if __name__ == "__main__":
    main()
