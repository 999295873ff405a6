"""Constants of the trained bridge: the scale of the class bias, how far inputs are evened out, the steps of L-BFGS.

    python studies/training.py digits npz:cifar10_vit_b32.npz openmoji:NODE_MODULES
    OPENBLAS_NUM_THREADS=2 python studies/training.py --threads

One constant changes at a time; the first value is that of the package. Columns are means over draws (seeds 100 to 104):
accuracy, log loss, iterations of the bridge, and seconds of a fit.

`--threads` times a few iterations on made-up shots with one thread of linear algebra, and with as many as there are:
`SMALL_PRODUCT` lies where the second begins to pay.
"""

import argparse
import sys
import warnings
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import tasks
from timing import alternate, timed

from sksemobridge import PaperBlend, SeMoBridgeClassifier, Training
from sksemobridge._paper import training
from sksemobridge._utils import threads as thread_limits

SEEDS, SHOTS = range(100, 105), (1, 4, 16)
CONSTANTS = [
    (training, "BIAS_SCALE", [1 / 4, 1 / 64, 1 / 16, 1.0]),
    (training, "PRECONDITIONING", [0.5, 0.0, 0.25, 0.75]),
    (training, "MEMORY", [5, 3, 10, 20]),
    (training, "WINDOW", [10, 5, 20]),
]


def measure(task, k, seed):
    """Accuracy in percent, log loss, iterations and seconds of one draw."""
    shots, queries = task.draw(k, seed)
    params = {"blend": PaperBlend(), "solver": Training(device="cpu")}
    classifier = SeMoBridgeClassifier(task.text_encoder, prompts=task.prompts, **params)
    seconds, _ = timed(classifier.fit, task.X[shots], task.y[shots])
    figures = tasks.accuracy_and_log_loss(classifier, task.X[queries], task.y[queries])
    return *figures, classifier.n_iter_, seconds


def report(task, k, seeds=SEEDS):
    print(f"\n{task.name}, {k} shots a class: accuracy, log loss, iterations, seconds")
    for module, name, values in CONSTANTS:
        for value in values:
            with mock.patch.object(module, name, value):
                accuracy, loss, n_iter, seconds = np.mean([measure(task, k, seed) for seed in seeds], axis=0)
            row = f"  {name:12s} {value:<8g} {accuracy:6.2f} {loss:7.4f} {n_iter:6.0f} {seconds:8.3f}"
            print(row, flush=True)


def threads():
    """Milliseconds of an iteration with one thread and with all, for growing numbers of classes."""
    print("classes x 16 shots x 512 dimensions: multiplications, ms with one thread, with all, ratio")
    n_iter = 10

    def seconds(problem, small_product):
        with mock.patch.object(thread_limits, "SMALL_PRODUCT", small_product):
            tasks.train_on(problem, Training(max_iter=n_iter, device="cpu"))

    for n_classes in (5, 10, 20, 40, 80, 160):
        problem = tasks.made_up_arrays(n_classes, 16, 512)
        times = alternate(partial(seconds, problem, np.inf), partial(seconds, problem, 0))
        one, many = np.median(times, axis=0)
        size = len(problem["X"]) * problem["bridge"].size
        print(
            f"  {n_classes:4d} 2^{np.log2(size):.1f} {1000 * one / n_iter:8.1f} {1000 * many / n_iter:8.1f} {many / one:6.2f}"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "tasks", nargs="*", metavar="TASK", help="as for few_shot.py, or openmoji:NODE_MODULES"
    )
    parser.add_argument("--threads", action="store_true", help="time threads of linear algebra as well")
    args = parser.parse_args()
    if args.threads:
        threads()
    warnings.filterwarnings("ignore", category=UserWarning)
    for task in map(tasks.load, args.tasks):
        for k in SHOTS:
            if task.draw(k, 0) is not None:
                report(task, k)


if __name__ == "__main__":
    main()
