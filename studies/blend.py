"""The estimated blend beside its defaults and the best weights on test labels.

    python studies/blend.py emoji digits npz:cifar10_vit_b32.npz
    python studies/blend.py digits openmoji:NODE_MODULES --first-seed 100

Constants of `sksemobridge/_method/blend.py` were chosen on the tasks and seeds of the second command (100 to 119), by
the accuracy and the log loss of `defaults alone` and `ours`. The oracle is the best accuracy on the test labels over a
grid of weights.

Columns: accuracy; its mean paired difference to zero-shot and the standard error, over draws; log loss; expected
calibration error (15 bins, all draws pooled); how far the weights are from their defaults (mean of `|log(s / s0)|`).
"""

import argparse
import itertools
import sys
import warnings
from pathlib import Path
from unittest import mock

import numpy as np
from sklearn.metrics import log_loss

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import tasks

from sksemobridge import SeMoBridgeClassifier, ZeroShotClassifier
from sksemobridge._method import blend

# The oracle multiplies the weights of z2, z3 and z4 by each of these (a common factor changes no accuracy).
ORACLE_GRID = 2.0 ** np.arange(-6, 9, 2)
VARIANTS = {
    "ours": {},
    "ours without z4": {"whiten": False},
    "trained": {"solver": "lbfgs"},
    "trained without z4": {"solver": "lbfgs", "whiten": False},
}


def oracle(classifier, X, y):
    """The best accuracy on test labels that weights on the grid reach."""
    affinities = classifier.affinities(X)
    names = [name for name in affinities if name != "z1"]
    codes = np.searchsorted(classifier.classes_, y)
    best = 0.0
    for factors in itertools.product(ORACLE_GRID, repeat=len(names)):
        scales = classifier.blend_ | {
            name: classifier.blend_[name] * factor for name, factor in zip(names, factors)
        }
        best = max(best, np.mean(blend.fuse(affinities, scales).argmax(axis=1) == codes))
    return best


def one_draw(task, k, seed):
    """`{name: (probabilities, movement of the weights or None)}`, labels of the queries, and the oracle's accuracy."""
    shots, queries = task.draw(k, seed)
    X, y, Q = task.X[shots], task.y[shots], task.X[queries]
    zero_shot = ZeroShotClassifier(task.text_encoder, prompts=task.prompts).fit(X, y)
    ours = SeMoBridgeClassifier(task.text_encoder, prompts=task.prompts)
    with mock.patch.object(blend, "PRIOR_STRENGTH", 1e9):
        ours.fit(X, y)
    defaults = ours.blend_
    found = {
        "zero-shot": (zero_shot.predict_proba(Q), None),
        "defaults alone": (ours.predict_proba(Q), None),
    }
    for name, params in VARIANTS.items():
        fitted = SeMoBridgeClassifier(task.text_encoder, prompts=task.prompts, **params).fit(X, y)
        moved = [abs(np.log(s / defaults[z])) for z, s in fitted.blend_.items() if z in defaults]
        found[name] = fitted.predict_proba(Q), np.mean(moved)
        if name == "ours":
            best = oracle(fitted, Q, task.y[queries])
    return found, task.y[queries], best


def report(task, k, seeds):
    draws = [one_draw(task, k, seed) for seed in seeds]
    classes = np.unique(draws[0][1])
    print(f"\n{task.name}, {k} shots a class, {len(draws)} draws")
    print(
        f"  {'method':20s} {'accuracy':>9s} {'to zero-shot':>15s} {'log loss':>9s} {'ECE':>6s} {'moved':>6s}"
    )

    def accuracies(name):
        return np.array([np.mean(classes[found[name][0].argmax(axis=1)] == y) for found, y, _ in draws])

    def line(name, accuracy, rest=""):
        gain = 100 * (accuracy - accuracies("zero-shot"))
        error = gain.std(ddof=1) / np.sqrt(len(gain))
        print(
            f"  {name:20s} {100 * accuracy.mean():8.2f}  {gain.mean():+7.2f} ± {error:4.2f}  {rest}",
            flush=True,
        )

    for name in draws[0][0]:
        loss = np.mean([log_loss(y, found[name][0], labels=classes) for found, y, _ in draws])
        probability = np.concatenate([found[name][0] for found, _, _ in draws])
        right = classes[probability.argmax(axis=1)] == np.concatenate([y for _, y, _ in draws])
        error = tasks.expected_calibration_error(probability.max(axis=1), right)
        moved = [found[name][1] for found, _, _ in draws]
        moved = "" if moved[0] is None else f"{np.mean(moved):6.2f}"
        line(name, accuracies(name), f"{loss:9.3f} {error:6.3f} {moved}")
    line("oracle", np.array([best for *_, best in draws]))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "tasks", nargs="+", metavar="TASK", help="as for few_shot.py, or openmoji:NODE_MODULES"
    )
    parser.add_argument("--shots", default=[1, 2, 4, 8, 16], type=int, nargs="+")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--draws", type=int, default=20)
    args = parser.parse_args()
    warnings.filterwarnings("ignore", category=UserWarning)
    seeds = range(args.first_seed, args.first_seed + args.draws)
    for task in map(tasks.load, args.tasks):
        for k in args.shots:
            if task.draw(k, 0) is not None:
                report(task, k, seeds)


if __name__ == "__main__":
    main()
