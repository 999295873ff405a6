"""Time and memory of fit, `with_unlabeled` and prediction by size, with one thread of BLAS and as installed.

    python benchmarks/speed.py
    python benchmarks/speed.py --busy 2

Embeddings are made up, in float32. `fit` has text. Of each number of classes and shots, `with_unlabeled` takes 2,000 images, and
`predict_proba` 10,000. "one thread" limits BLAS, "all" lifts the limit that the package sets for small products, and "installed" is with it. They take
turns, and times are medians. `LogisticRegression` is scikit-learn's on the same shots. Memory is the peak that `tracemalloc` sees
above the arrays that are given. `--busy N` keeps N other processes busy, as on a shared machine. `--training` times the
solvers of the paper's method instead.
"""

import argparse
import subprocess
import sys
import tracemalloc
import warnings
from unittest import mock

import numpy as np
import tasks
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits
from timing import alternate, timed

from sksemobridge import PaperBlend, SeMoBridgeClassifier, Training
from sksemobridge._utils import threads

SIZES = ((10, 4), (37, 8), (100, 4), (100, 16), (1000, 4), (1000, 16))
N_POOL, N_QUERIES = 2000, 10_000


def on_one_thread(function):
    def limited():
        with threadpool_limits(1, "blas"):
            return function()

    return limited


def on_all_threads(function):
    def unlimited():
        with mock.patch.object(threads, "SMALL_PRODUCT", 0):
            return function()

    return unlimited


def peak(function):
    """Peak memory of a call in MB."""
    tracemalloc.start()
    function()
    n_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return n_bytes / 1e6


def stages(n_classes, shots, width):
    """What is timed, by name."""
    task = tasks.made_up(n_classes, shots, width)
    noise = np.random.default_rng(1).normal(scale=0.02, size=(N_QUERIES, width)).astype(np.float32)
    queries = task.X[np.arange(N_QUERIES) % len(task.X)] + noise
    classifier = SeMoBridgeClassifier(task.text_encoder, prompts=task.prompts)
    fitted = SeMoBridgeClassifier(task.text_encoder, prompts=task.prompts).fit(task.X, task.y)
    return {
        "fit": lambda: classifier.fit(task.X, task.y),
        "with_unlabeled": lambda: fitted.with_unlabeled(queries[:N_POOL]),
        "predict_proba": lambda: fitted.predict_proba(queries),
        "LogisticRegression": lambda: logistic(task),
    }


def logistic(task):
    model = LogisticRegression(C=10, max_iter=200, tol=1e-7).fit(task.X, task.y)
    if not model.n_iter_.all():
        raise RuntimeError("LogisticRegression stopped before its first step: its tolerance is too large.")
    return model


def by_size(sizes, width, repeats):
    for n_classes, shots in sizes:
        for name, stage in stages(n_classes, shots, width).items():
            ways = on_one_thread(stage), on_all_threads(stage), stage
            seconds = np.median(alternate(*ways, repeats=repeats), axis=0)
            cells = *(f"{value:.3f} s" for value in seconds), f"{peak(stage):.0f} MB"
            yield [f"{n_classes:,} x {shots}", name, *cells]


def by_solver(sizes, width):
    for n_classes, shots in sizes:
        task = tasks.made_up(n_classes, shots, width)
        for solver, max_iter in (("lbfgs", None), ("adamw", 50)):
            training = Training(solver, max_iter=max_iter, device="cpu")
            model = SeMoBridgeClassifier(
                task.text_encoder, prompts=task.prompts, blend=PaperBlend(), solver=training
            )
            seconds, _ = timed(model.fit, task.X, task.y)
            step = f"{1000 * seconds / model.n_iter_:.1f} ms"
            yield [
                f"{n_classes:,} x {shots}",
                solver,
                str(model.n_iter_),
                f"{seconds:.1f} s",
                step,
                f"{model.loss_curve_[-1]:.4f}",
            ]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--sizes", nargs="+", default=["x".join(map(str, size)) for size in SIZES], metavar="CxK"
    )
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--busy", type=int, default=0)
    parser.add_argument("--training", action="store_true")
    args = parser.parse_args(arguments)
    warnings.simplefilter("ignore")  # of convergence
    sizes = [tuple(map(int, size.split("x"))) for size in args.sizes]
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(args.busy)]
    try:
        if args.training:
            header = ["classes x shots", "solver", "steps", "fit", "a step", "final loss"]
            print(tasks.table(header, by_solver(sizes, args.width), n_left=2))
        else:
            header = ["classes x shots", "what", "one thread", "all", "installed", "peak memory"]
            print(tasks.table(header, by_size(sizes, args.width, args.repeats), n_left=2))
    finally:
        for other in others:
            other.kill()


if __name__ == "__main__":
    main()
