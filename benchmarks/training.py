"""Time, loss, accuracy and memory of the two solvers that train the bridge.

    python benchmarks/training.py --embeddings cifar10_vit_b32.npz --draws 20

The embeddings file holds `images (n, D)`, `labels (n,)` and `text (C, D)`; without it only synthetic problems
are run. The largest excess is that of L-BFGS's loss over AdamW's among all draws. Other programs on the
machine distort times; ratios compare runs that follow each other.
"""

import argparse
import itertools
import os
import resource
import subprocess
import sys
from pathlib import Path
from time import perf_counter

import embeddings
import numpy as np
from sklearn.model_selection import GridSearchCV

from sksemobridge import PrecomputedTextEncoder, SeMoBridgeClassifier, ZeroShotClassifier
from sksemobridge._method.bridge import pseudo_inverse
from sksemobridge._training.train import train_bridge
from sksemobridge._utils.array_api import l2_normalize

HEADER = (
    f"{'problem':<34}{'draws':>6}{'adamw s':>10}{'lbfgs s':>10}{'ratio':>7}{'iterations':>11}"
    f"{'adamw loss':>12}{'lbfgs loss':>12}{'largest excess':>16}"
)


def compare(name, problems, device):
    """Train every problem with both solvers, print a row, return pairs of outcomes."""
    outcomes, seconds = [], []
    for problem in problems:
        pair, times = [], []
        for solver in ("adamw", "lbfgs"):
            start = perf_counter()
            pair.append(train_bridge(**problem, solver=solver, device=device))
            times.append(perf_counter() - start)
        outcomes.append(pair)
        seconds.append(times)
    adamw, lbfgs = np.mean(seconds, axis=0)
    losses = np.array([[outcome.loss_curve[-1] for outcome in pair] for pair in outcomes])
    print(
        f"{name:<34}{len(outcomes):>6}{adamw:>10.2f}{lbfgs:>10.3f}{adamw / lbfgs:>7.0f}"
        f"{np.mean([pair[1].n_iter for pair in outcomes]):>11.0f}{losses[:, 0].mean():>12.6f}"
        f"{losses[:, 1].mean():>12.6f}{np.max(losses[:, 1] - losses[:, 0]):>16.1e}",
        flush=True,
    )
    return outcomes


def draw(labels, shots, seed):
    """Indices of `shots` images a class, and of all others."""
    rng = np.random.default_rng(seed)
    classes = range(labels.max() + 1)
    train = np.concatenate([rng.permutation(np.flatnonzero(labels == c))[:shots] for c in classes])
    return train, np.setdiff1d(np.arange(len(labels)), train)


def accuracy(outcome, X, y, queries, labels, text):
    """Share of queries where `z1 + z2 + z3` is largest for the right class (`W` the identity)."""
    bias = 0 if outcome.class_bias is None else outcome.class_bias[y]
    eos = l2_normalize(X @ outcome.bridge + bias)
    classes = range(len(text))
    prototypes = l2_normalize(np.stack([eos[y == c].mean(axis=0) for c in classes]))
    image_means = l2_normalize(np.stack([X[y == c].mean(axis=0) for c in classes]))
    z1, z2 = l2_normalize(queries) @ text.T, l2_normalize(queries) @ prototypes.T
    z3 = l2_normalize(queries @ outcome.bridge) @ image_means.T
    return np.mean(np.argmax(z1 + z2 + z3, axis=1) == labels)


def real(path, shots, draws, device):
    """Both solvers on drawn shots of stored embeddings, with `W` the identity."""
    with np.load(path) as data:
        images, labels = data["images"].astype(np.float64), data["labels"]
        text = l2_normalize(data["text"].astype(np.float64))
    splits = [draw(labels, shots, seed) for seed in range(draws)]
    problems = [
        {
            "X": images[train],
            "codes": labels[train],
            "weight_in_class": np.full(len(train), 1 / shots),
            "bridge": np.eye(images.shape[1]),
            "projection": None,
            "text_embeddings": text,
            "eos_directions": text,
        }
        for train, _ in splits
    ]
    outcomes = compare(f"{path.stem}, {shots} shots", problems, device)
    scores = np.array(
        [
            [accuracy(o, images[train], labels[train], images[test], labels[test], text) for o in pair]
            for (train, test), pair in zip(splits, outcomes)
        ]
    )
    difference = scores[:, 1] - scores[:, 0]
    error = difference.std(ddof=1) / np.sqrt(draws) if draws > 1 else np.nan
    print(
        f"    held-out accuracy: adamw {scores[:, 0].mean():.4f}, lbfgs {scores[:, 1].mean():.4f}, "
        f"paired difference {difference.mean():+.4f} (standard error {error:.4f})",
        flush=True,
    )


def synthetic(n_classes, shots, width, seed=0):
    """Classes around random directions, texts near them, and a random projection."""
    rng = np.random.default_rng(seed)
    noise = 1 / np.sqrt(width)
    means = l2_normalize(rng.normal(size=(n_classes, width)))
    codes = np.repeat(np.arange(n_classes), shots)
    X = means[codes] + noise * rng.normal(size=(len(codes), width))
    projection = noise * rng.normal(size=(width, width))
    bridge, _ = pseudo_inverse(projection)
    eos = (means + noise * rng.normal(size=means.shape)) @ bridge
    return {
        "X": X,
        "codes": codes,
        "weight_in_class": np.full(len(codes), 1 / shots),
        "bridge": bridge,
        "projection": projection,
        "text_embeddings": l2_normalize(eos @ projection),
        "eos_directions": l2_normalize(eos),
    }


def search():
    """Time a search over solvers and their parameters on 500 embeddings of 10 classes."""
    rng = np.random.default_rng(0)
    problem = synthetic(10, 50, 512)
    texts = [f"class {c}" for c in range(10)]
    eos = problem["eos_directions"] * 10
    encoder = PrecomputedTextEncoder(texts, eos, problem["projection"])
    X = problem["X"] + rng.normal(scale=0.05, size=problem["X"].shape).astype(np.float32)
    classifier = SeMoBridgeClassifier(encoder, prompts={c: [text] for c, text in enumerate(texts)})
    grid = {"solver": ["closed_form", "lbfgs"], "lambda_it": [0.3, 0.5, 0.7], "class_bias": [True, False]}
    for tol, n_jobs in itertools.product((1e-6, 1e-4), (1, 2)):
        start = perf_counter()
        GridSearchCV(classifier.set_params(tol=tol), grid, cv=5, n_jobs=n_jobs).fit(X, problem["codes"])
        print(
            f"GridSearchCV, 12 candidates x 5 folds, 500 x 512, 10 classes, tol={tol}, n_jobs={n_jobs}: "
            f"{perf_counter() - start:.1f} s",
            flush=True,
        )


def bundled(draws):
    """Accuracy and fit time of each solver, default blend, on the bundled pictures."""
    task = embeddings.emoji()
    zero = ZeroShotClassifier(task.text_encoder).fit(task.X, task.y)
    print(f"bundled pictures, {draws} draws: accuracy, paired difference to zero-shot ± se, seconds to fit")
    for shots in (1, 2, 4, 8, 16):
        for solver, tol in (("closed_form", 1e-6), ("lbfgs", 1e-3), ("lbfgs", 1e-6), ("adamw", 1e-6)):
            scores, seconds = [], []
            for seed in range(draws):
                train, test = task.draw(shots, seed)
                classifier = SeMoBridgeClassifier(task.text_encoder, solver=solver, tol=tol)
                start = perf_counter()
                classifier.fit(task.X[train].astype(np.float32), task.y[train])
                seconds.append(perf_counter() - start)
                X = task.X[test].astype(np.float32)
                scores.append([100 * model.score(X, task.y[test]) for model in (classifier, zero)])
            ours, zero_shot = np.array(scores).T
            gain = ours - zero_shot
            print(
                f"  {shots:2d} shots  {solver:12s} {f'tol={tol}' if solver == 'lbfgs' else '':10s} {ours.mean():6.1f} %  {gain.mean():+5.1f} ± "
                f"{gain.std(ddof=1) / np.sqrt(draws):.1f}  {np.mean(seconds):8.3f} s",
                flush=True,
            )


def peak_memory():
    """Peak resident memory of this process so far, in GiB."""
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return kilobytes / 2**20


def memory(solver):
    """Print the peak memory of a large problem above that of the imports; runs in a process of its own."""
    train_bridge(**synthetic(2, 1, 8), solver=solver, max_iter=2, device="cpu")  # what is imported when used
    before = peak_memory()
    problem = synthetic(1000, 16, 512)
    start = perf_counter()
    outcome = train_bridge(**problem, solver=solver, max_iter=10, device="cpu")
    seconds = (perf_counter() - start) / outcome.n_iter
    print(
        f"1000 classes x 16 shots x 512, {solver}: peak {peak_memory() - before:.2f} GiB above imports, "
        f"{seconds:.2f} s an iteration",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--embeddings", type=Path, default=Path("cifar10_vit_b32.npz"))
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", choices=["solvers", "search", "bundled"], help="one part alone")
    parser.add_argument("--bundled-draws", type=int, default=5)
    parser.add_argument("--memory", choices=["adamw", "lbfgs"], help="only measure this solver's memory")
    args = parser.parse_args()
    if args.memory:
        memory(args.memory)
        return
    if args.only in (None, "search"):
        search()
    if args.only in (None, "bundled"):
        bundled(args.bundled_draws)
    if args.only not in (None, "solvers"):
        return
    print(f"device {args.device}, {os.environ.get('OMP_NUM_THREADS', os.cpu_count())} threads")
    train_bridge(
        **synthetic(2, 1, 8), solver="adamw", max_iter=2, device=args.device
    )  # what is imported when used
    print(HEADER)
    if args.embeddings.exists():
        for shots in (1, 8):
            real(args.embeddings, shots, args.draws, args.device)
    else:
        print(f"{args.embeddings} is absent: synthetic problems only")
    compare("synthetic, 100 classes x 16 x 512", [synthetic(100, 16, 512)], args.device)
    for solver in ("lbfgs", "adamw"):
        subprocess.run([sys.executable, __file__, "--memory", solver], check=True)


if __name__ == "__main__":
    main()
