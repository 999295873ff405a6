"""Peak memory of the solvers of the paper's method, in units of the embeddings (Linux).

    python benchmarks/training_memory.py
    python benchmarks/training_memory.py --sizes 1000x4 1000x16 --solvers lbfgs

Each row is a process of its own, which has imported all and fitted a small task. The peak is that
of the process during `fit`, above its level before, when the embeddings were there. These are made
up, in float32, with text. Training makes a few steps: more need no more memory.
"""

import argparse
import multiprocessing
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import tasks

from sksemobridge import SeMoBridgeClassifier

SIZES = ("100x16", "1000x4", "1000x16")
SOLVERS = ("closed_form", "lbfgs", "adamw")
N_STEPS = 6


def fit(task, solver):
    # All images of the task are shots.
    SeMoBridgeClassifier(
        task.text_encoder, prompts=task.prompts, solver=solver, max_iter=N_STEPS, device="cpu"
    ).fit(task.X, task.y)


def memory(name):
    """Memory of this process in bytes, by its name in `/proc/self/status`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def peak(size, solver):
    """Bytes that `fit` needs at most, and those of the embeddings."""
    warnings.simplefilter("ignore")  # of convergence
    n_classes, shots, width = size
    fit(tasks.made_up(10, 2, 64), solver)
    task = tasks.made_up(n_classes, shots, width)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = memory("VmRSS")
    fit(task, solver)
    return memory("VmHWM") - before, task.X.nbytes


def rows_of(sizes, solvers, width):
    # A process that is spawned shares nothing with this one.
    context = multiprocessing.get_context("spawn")
    for size in sizes:
        n_classes, shots = map(int, size.split("x"))
        for solver in solvers:
            with ProcessPoolExecutor(1, context) as process:
                size_of_task = n_classes, shots, width
                most, given = process.submit(peak, size_of_task, solver).result()
            yield [
                f"{n_classes:,} x {shots}",
                solver,
                f"{given / 1e6:.0f} MB",
                f"{most / 1e6:.0f} MB",
                f"{most / given:.1f}",
            ]


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", default=SIZES, metavar="CxK")
    parser.add_argument("--solvers", nargs="+", default=SOLVERS, choices=SOLVERS)
    parser.add_argument("--width", type=int, default=512)
    args = parser.parse_args(arguments)
    header = ["classes x shots", "solver", "embeddings", "peak", "times X"]
    print(tasks.table(header, rows_of(args.sizes, args.solvers, args.width), n_left=2))


if __name__ == "__main__":
    main()
