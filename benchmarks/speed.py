"""Time and memory of fit, `with_unlabeled`, prediction and encoders of few images, on a quiet
machine and beside two busy programs.

    python benchmarks/speed.py
    python benchmarks/speed.py --sizes 37x8 1000x16

Embeddings are made up, in float32, and `fit` has text. Of each number of classes and shots,
`with_unlabeled` takes 2,000 images, and `predict_proba` 10,000. The bundled model embeds 1, 4 and
16 images. "one" limits all libraries to one thread, and "installed" does not. They take turns,
times are medians, and ratios are of the same rounds. `LogisticRegression` is scikit-learn's on the
same shots. Memory is the peak that `tracemalloc` sees above the arrays that are given. `--training`
times the solvers of the paper's method instead.
"""

import argparse
import contextlib
import subprocess
import sys
import tracemalloc
import warnings

import numpy as np
import tasks
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits
from timing import alternate, timed

from sksemobridge import CLIPImageEncoder, FewShotClassifier, SeMoBridgeClassifier
from sksemobridge.datasets import load_emoji

SIZES = ((10, 4), (37, 8), (100, 16), (1000, 4), (1000, 16))
N_POOL = 2000
N_QUERIES = 10_000
N_IMAGES = (1, 4, 16)
N_BUSY = 2


def on_one_thread(function):
    def limited():
        with threadpool_limits(1):
            return function()

    return limited


@contextlib.contextmanager
def busy(n):
    """`n` other programs compute meanwhile."""
    program = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"
    others = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(n)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


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
    classifier = FewShotClassifier(task.text_encoder, prompts=task.prompts)
    fitted = FewShotClassifier(task.text_encoder, prompts=task.prompts).fit(task.X, task.y)
    return {
        "fit": lambda: classifier.fit(task.X, task.y),
        "with_unlabeled": lambda: fitted.with_unlabeled(queries[:N_POOL]),
        "predict_proba": lambda: fitted.predict_proba(queries),
        "LogisticRegression": lambda: logistic(task),
    }


def logistic(task):
    model = LogisticRegression(C=10, max_iter=200, tol=1e-7).fit(task.X, task.y)
    if not model.n_iter_.all():
        raise RuntimeError(
            "LogisticRegression stopped before its first step: its tolerance is too large."
        )
    return model


def encoder_stages():
    encoder, images = CLIPImageEncoder("mini", "bundled"), load_emoji().images
    return {f"encoder, {n} images": lambda n=n: encoder.transform(images[:n]) for n in N_IMAGES}


def compared(title, of_title, repeats):
    """Rows of the table."""
    for name, stage in of_title.items():
        cells = []
        for n in (0, N_BUSY):
            with busy(n):
                seconds = alternate(on_one_thread(stage), stage, repeats=repeats)
            cells += [f"{value:.3f} s" for value in np.median(seconds, axis=0)]
            cells.append(f"{np.median(seconds[:, 1] / seconds[:, 0]):.2f}")
        yield [title, name, *cells, f"{peak(stage):.0f} MB"]


def by_size(sizes, width, repeats):
    for n_classes, shots in sizes:
        yield from compared(f"{n_classes:,} x {shots}", stages(n_classes, shots, width), repeats)
    yield from compared("bundled model", encoder_stages(), repeats)


def by_solver(sizes, width):
    for n_classes, shots in sizes:
        task = tasks.made_up(n_classes, shots, width)
        for solver, max_iter in (("lbfgs", None), ("adamw", 50)):
            model = SeMoBridgeClassifier(
                task.text_encoder,
                prompts=task.prompts,
                solver=solver,
                max_iter=max_iter,
                device="cpu",
            )
            seconds, _ = timed(model.fit, task.X, task.y)
            step = f"{1000 * seconds / model.n_iter_:.1f} ms"
            steps, loss = str(model.n_iter_), f"{model.loss_curve_[-1]:.4f}"
            yield [f"{n_classes:,} x {shots}", solver, steps, f"{seconds:.1f} s", step, loss]


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--sizes", nargs="+", default=["x".join(map(str, size)) for size in SIZES], metavar="CxK"
    )
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--training", action="store_true")
    args = parser.parse_args(arguments)
    warnings.simplefilter("ignore")  # of convergence
    sizes = [tuple(map(int, size.split("x"))) for size in args.sizes]
    if args.training:
        header = ["classes x shots", "solver", "steps", "fit", "a step", "final loss"]
        print(tasks.table(header, by_solver(sizes, args.width), n_left=2))
    else:
        both = ["one", "installed", "ratio"]
        header = [
            "classes x shots",
            "what",
            *both,
            *(f"{cell}, busy" for cell in both),
            "peak memory",
        ]
        print(tasks.table(header, by_size(sizes, args.width, args.repeats), n_left=2))


if __name__ == "__main__":
    main()
