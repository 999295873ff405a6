"""The ridge of the scatter that `z4` whitens with: that of docs/method.md, its multiples, Ledoit-Wolf, OAS.

    python studies/whitening.py digits npz:cifar10_vit_b32.npz openmoji:NODE_MODULES

Rules differ in the ridge `t` of `inv(S + t I)` only; `z4` uses `t = tr(S) / (n - 1)`. Columns, mean over draws
(seeds 100 to 107): the best accuracy and the best log loss of `a z1 + g z4` over a grid of `a` and `g` on the test
labels, and the accuracy of `z4` alone.
"""

import argparse
import sys
import warnings
from pathlib import Path

import numpy as np
from scipy.special import logsumexp
from sklearn.covariance import OAS, ledoit_wolf_shrinkage

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import tasks

from sksemobridge import ZeroShotClassifier
from sksemobridge._utils.array_api import l2_normalize

SEEDS, SHOTS = range(100, 108), (2, 4, 8, 16)


def ridges(deviations):
    """Name and ridge of each rule, for the deviations `(n, D)` of unit shots from their class means."""
    n, width = deviations.shape
    trace = np.square(deviations).sum()
    ours = trace / (n - 1)
    rules = {f"{factor:g} t": factor * ours for factor in (0.1, 1 / 3, 1, 3, 10)}
    shrinkage = {
        "Ledoit-Wolf": ledoit_wolf_shrinkage(deviations, assume_centered=True),
        "OAS": OAS(assume_centered=True).fit(deviations).shrinkage_,
    }
    for name, rho in shrinkage.items():
        rules[name] = rho / max(1 - rho, 1e-9) * trace / width
    return rules


def report(task, k):
    zero = ZeroShotClassifier(task.text_encoder, prompts=task.prompts).fit(task.X, task.y)
    classes, y = np.unique(task.y, return_inverse=True)
    rows = {}
    for seed in SEEDS:
        train, test = task.draw(k, seed)
        U, V = l2_normalize(task.X[train]), l2_normalize(task.X[test])
        means = np.stack([U[y[train] == c].mean(axis=0) for c in range(len(classes))])
        deviations = U - means[y[train]]
        values, vectors = np.linalg.eigh(deviations.T @ deviations)
        text = task.text_encoder.logit_scale_ * V @ zero.text_embeddings_.T
        for name, ridge in ridges(deviations).items():
            weights = means @ (vectors / (np.maximum(values, 0) + ridge)) @ vectors.T
            z4 = V @ weights.T - 0.5 * np.einsum("cd,cd->c", weights, means)
            z4 /= np.sqrt(np.var(z4, axis=1).mean())
            factors = 2.0 ** np.arange(-4, 5, 0.5)
            best = max(np.mean((text + g * z4).argmax(axis=1) == y[test]) for g in factors)
            loss = min(
                np.mean(logsumexp(s, axis=1) - s[np.arange(len(test)), y[test]])
                for s in (a * text + g * z4 for a in (0.1, 0.3, 0.6, 1, 1.5) for g in factors)
            )
            alone = np.mean(z4.argmax(axis=1) == y[test])
            rows.setdefault(name, []).append([100 * best, loss, 100 * alone])
    print(f"\n{task.name}, {k} shots: accuracy, log loss with z1; accuracy alone")
    for name, row in rows.items():
        best, loss, alone = np.mean(row, axis=0)
        print(f"  {name:12s} {best:6.2f} {loss:6.3f} {alone:6.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "tasks", nargs="+", metavar="TASK", help="as for few_shot.py, or openmoji:NODE_MODULES"
    )
    args = parser.parse_args()
    warnings.filterwarnings("ignore", category=UserWarning)
    for task in map(tasks.load, args.tasks):
        for k in SHOTS:
            if task.draw(k, 0) is not None:
                report(task, k)


if __name__ == "__main__":
    main()
