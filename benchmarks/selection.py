"""What one more candidate of a parameter search costs, and how classes known by name only fare.

    python benchmarks/selection.py [--embeddings cifar10_vit_b32.npz]

Search: `GridSearchCV` over the paper's numbers on 1,600 shots x 100 classes x 512 dimensions; the time of one
candidate (one fit and one score on one fold) after the first. Names: 8 classes with shots and 2 by name only,
added with `with_classes`.
"""

import argparse
import warnings
from time import perf_counter

import embeddings
import numpy as np
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, StratifiedKFold

from sksemobridge import PrecomputedTextEncoder, SeMoBridgeClassifier, ZeroShotClassifier


def search_problem(n_classes=100, k=16, d=512, seed=0):
    """Made-up embeddings around made-up texts."""
    rng = np.random.default_rng(seed)
    projection = rng.normal(size=(d, d)) / np.sqrt(d)
    eos = 10 * rng.normal(size=(n_classes, d))
    y = np.repeat(np.arange(n_classes), k)
    X = (eos @ projection)[y] + 15 * rng.normal(size=(len(y), d))
    texts = [f"class {c}" for c in range(n_classes)]
    prompts = {c: [text] for c, text in enumerate(texts)}
    encoder = PrecomputedTextEncoder(texts, eos, projection)
    return SeMoBridgeClassifier(encoder, prompts=prompts, blend="paper"), X.astype(np.float32), y


def search():
    classifier, X, y = search_problem()
    train, test = next(StratifiedKFold(5).split(X, y))
    seconds = []
    for i in range(30):
        candidate = clone(classifier).set_params(alpha=1 + i / 10, lambda2=0.1 + i / 40, smoothness=i / 20)
        start = perf_counter()
        candidate.fit(X[train], y[train]).score(X[test], y[test])
        seconds.append(perf_counter() - start)
    later = 1000 * np.array(seconds[1:])
    print(
        f"one candidate on one fold: first {1000 * seconds[0]:.0f} ms, then median {np.median(later):.1f} ms, "
        f"slowest {later.max():.1f} ms"
    )
    grid = {"alpha": [1.0, 5.0], "beta": [1.0, 5.0], "gamma": [1.0, 5.0], "lambda2": [0.2, 0.5, 0.8]}
    start = perf_counter()
    GridSearchCV(classifier, grid, cv=5).fit(X, y)
    total = perf_counter() - start
    print(
        f"GridSearchCV over 24 candidates x 5 folds: {total:.1f} s, {1000 * total / 120:.0f} ms a fit and score"
    )


def names(path, seeds):
    task = embeddings.from_npz(path)
    classes = np.unique(task.y)
    print("\n2 of 10 classes by name only, mean of", len(seeds), "draws")
    print(f"{'shots':>5s} {'recall of names':>16s} {'zero-shot':>10s} {'all':>7s} {'zero-shot':>10s}")
    for k in (1, 2, 4, 8):
        rows = []
        for seed in seeds:
            unseen = np.random.default_rng(seed).permutation(classes)[:2]
            shots, queries = task.draw(k, seed)
            shown = shots[~np.isin(task.y[shots], unseen)]
            fitted = SeMoBridgeClassifier(task.text_encoder, prompts=task.prompts).fit(
                task.X[shown], task.y[shown]
            )
            ours = fitted.with_classes(classes).predict(task.X[queries]) == task.y[queries]
            zero = ZeroShotClassifier(task.text_encoder, prompts=task.prompts).fit(task.X, task.y)
            zero = zero.predict(task.X[queries]) == task.y[queries]
            by_name = np.isin(task.y[queries], unseen)
            rows.append([ours[by_name].mean(), zero[by_name].mean(), ours.mean(), zero.mean()])
        recall, zero_recall, overall, zero_overall = 100 * np.mean(rows, axis=0)
        print(f"{k:5d} {recall:14.1f} % {zero_recall:8.1f} % {overall:5.1f} % {zero_overall:8.1f} %")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--embeddings", help="npz of image and text embeddings, as for fusion.py")
    parser.add_argument("--draws", type=int, default=20)
    args = parser.parse_args()
    warnings.filterwarnings("ignore", category=UserWarning)
    search()
    if args.embeddings:
        names(args.embeddings, range(args.draws))


if __name__ == "__main__":
    main()
