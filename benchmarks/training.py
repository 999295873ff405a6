"""Time, loss, accuracy and memory of the two solvers that train the bridge.

    python benchmarks/training.py --embeddings cifar10_vit_b32.npz --draws 20

The embeddings file is one of `tasks.from_npz`; without it only made-up problems are run. The largest excess is that of
L-BFGS's loss over AdamW's among all draws. Other programs on the machine distort times; ratios are of runs that follow
each other.
"""

import argparse
import itertools
import os
from pathlib import Path

import numpy as np
from sklearn.model_selection import GridSearchCV
from tasks import emoji, from_npz, made_up, made_up_arrays, train_on
from timing import peak_memory, timed

from sksemobridge import PaperBlend, SeMoBridgeClassifier, Training, ZeroShotClassifier
from sksemobridge._utils.array_api import l2_normalize

HEADER = (
    f"{'problem':<34}{'draws':>6}{'adamw s':>10}{'lbfgs s':>10}{'ratio':>7}{'iterations':>11}"
    f"{'adamw loss':>12}{'lbfgs loss':>12}{'largest excess':>16}"
)


def compare(name, problems, device):
    """Train every problem with both solvers, print a row, and return the pairs of outcomes."""
    runs = [
        [timed(train_on, problem, Training(solver, device=device)) for solver in ("adamw", "lbfgs")]
        for problem in problems
    ]
    adamw, lbfgs = np.mean([[seconds for seconds, _ in pair] for pair in runs], axis=0)
    outcomes = [[outcome for _, outcome in pair] for pair in runs]
    losses = np.array([[outcome.loss_curve[-1] for outcome in pair] for pair in outcomes])
    print(
        f"{name:<34}{len(outcomes):>6}{adamw:>10.2f}{lbfgs:>10.3f}{adamw / lbfgs:>7.0f}"
        f"{np.mean([pair[1].n_iter for pair in outcomes]):>11.0f}{losses[:, 0].mean():>12.6f}"
        f"{losses[:, 1].mean():>12.6f}{np.max(losses[:, 1] - losses[:, 0]):>16.1e}",
        flush=True,
    )
    return outcomes


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
    """Compare both solvers on draws of stored embeddings, with `W` the identity."""
    task = from_npz(path)
    zero_shot = ZeroShotClassifier(task.text_encoder, prompts=task.prompts).fit(task.X, task.y)
    texts = zero_shot.text_embeddings_
    X, codes = task.X.astype(np.float64), np.searchsorted(zero_shot.classes_, task.y)
    splits = [task.draw(shots, seed) for seed in range(draws)]
    problems = [
        {
            "X": X[train],
            "codes": codes[train],
            "share": np.full(len(train), 1 / shots),
            "bridge": np.eye(X.shape[1]),
            "projection": None,
            "text_embeddings": texts,
            "eos_directions": texts,
        }
        for train, _ in splits
    ]
    outcomes = compare(f"{path.stem}, {shots} shots", problems, device)
    scores = np.array(
        [
            [accuracy(outcome, X[train], codes[train], X[test], codes[test], texts) for outcome in pair]
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


def search():
    """Time a search over parameters of training on 500 embeddings of 10 classes."""
    task = made_up(10, 50, 512)
    noise = np.random.default_rng(0).normal(scale=0.05, size=task.X.shape)
    X = task.X + noise.astype(np.float32)
    classifier = SeMoBridgeClassifier(
        task.text_encoder, prompts=task.prompts, blend=PaperBlend(), solver=Training()
    )
    grid = {"solver__lambda_it": [0.3, 0.5, 0.7], "solver__class_bias": [True, False]}
    for tol, n_jobs in itertools.product((1e-6, 1e-4), (1, 2)):
        search = GridSearchCV(classifier.set_params(solver__tol=tol), grid, cv=5, n_jobs=n_jobs)
        seconds, _ = timed(search.fit, X, task.y)
        print(
            f"GridSearchCV, 6 candidates x 5 folds, 500 x 512, 10 classes, tol={tol}, n_jobs={n_jobs}: "
            f"{seconds:.1f} s",
            flush=True,
        )


def bundled(draws):
    """Print accuracy and time of each solver with the paper's blend on the bundled pictures."""
    task = emoji()
    zero = ZeroShotClassifier(task.text_encoder).fit(task.X, task.y)
    print(f"bundled pictures, {draws} draws: accuracy, paired difference to zero-shot ± se, seconds to fit")
    for shots in (1, 2, 4, 8, 16):
        for solver, tol in (("closed_form", 1e-6), ("lbfgs", 1e-3), ("lbfgs", 1e-6), ("adamw", 1e-6)):
            scores, seconds = [], []
            for seed in range(draws):
                train, test = task.draw(shots, seed)
                how = solver if solver == "closed_form" else Training(solver, tol=tol)
                classifier = SeMoBridgeClassifier(task.text_encoder, blend=PaperBlend(), solver=how)
                seconds.append(timed(classifier.fit, task.X[train].astype(np.float32), task.y[train])[0])
                X = task.X[test].astype(np.float32)
                scores.append([100 * model.score(X, task.y[test]) for model in (classifier, zero)])
            ours, zero_shot = np.array(scores).T
            gain = ours - zero_shot
            stop = f"tol={tol}" if solver == "lbfgs" else ""
            print(
                f"  {shots:2d} shots  {solver:12s} {stop:10s} {ours.mean():6.1f} %  {gain.mean():+5.1f} ± "
                f"{gain.std(ddof=1) / np.sqrt(draws):.1f}  {np.mean(seconds):8.3f} s",
                flush=True,
            )


def train(solver, n_classes, shots, width, max_iter, device="cpu"):
    """Train on a made-up problem, and return seconds and iterations."""
    problem = made_up_arrays(n_classes, shots, width)
    seconds, outcome = timed(train_on, problem, Training(solver, max_iter=max_iter, device=device))
    return seconds, outcome.n_iter


def memory():
    """Print memory and time of a large problem for each solver."""
    size = (1000, 16, 512, 10)
    for solver in ("lbfgs", "adamw"):
        peak, (seconds, n_iter) = peak_memory(train, solver, *size, warm_up=(solver, 2, 1, 8, 2))
        print(
            f"1000 classes x 16 shots x 512, {solver}: peak {peak / 2**30:.2f} GiB above imports, "
            f"{seconds / n_iter:.2f} s an iteration",
            flush=True,
        )


def solvers(embeddings, draws, device):
    """Compare the solvers on real and made-up problems."""
    print(f"device {device}, {os.environ.get('OMP_NUM_THREADS', os.cpu_count())} threads")
    train("adamw", 2, 1, 8, 2, device)  # what is imported when it is used
    print(HEADER)
    if embeddings.exists():
        for shots in (1, 8):
            real(embeddings, shots, draws, device)
    else:
        print(f"{embeddings} is absent: made-up problems only")
    compare("made up, 100 classes x 16 x 512", [made_up_arrays(100, 16, 512)], device)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--embeddings", type=Path, default=Path("cifar10_vit_b32.npz"))
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--bundled-draws", type=int, default=5)
    parser.add_argument("--only", choices=["search", "bundled", "solvers", "memory"], help="one part alone")
    args = parser.parse_args()
    parts = {
        "search": search,
        "bundled": lambda: bundled(args.bundled_draws),
        "solvers": lambda: solvers(args.embeddings, args.draws, args.device),
        "memory": memory,
    }
    for part in [args.only] if args.only else parts:
        parts[part]()


if __name__ == "__main__":
    main()
